/* SPDX-License-Identifier: ISC */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "supervisor/orchestrator/journal.h"
#include "supervisor/orchestrator/journal_writer.h"
#include "tests/fuzz/fake_journal.h"
#include "tests/must.h"

struct journal {
	const struct journal_ops *ops;
	void *arg;
	struct journal_db *db; /* NULL while it is broken */
	struct journal_entries waiting;
	struct journal_entries told; /* to be on disk; not written yet */
	struct journal_questions asked;
	uint64_t last; /* number given out last */
	uint64_t known; /* as committed */
	int64_t last_id;
	int64_t letters;
};

static struct {
	struct journal *journal; /* the one that is open, or NULL */
	char path[256];
	bool kill;
	struct fake_record records[FAKE_JOURNAL_IDS];
	struct fake_record written[FAKE_JOURNAL_IDS]; /* of them */
} fake;

static struct fake_record *
record(int64_t id)
{
	must(id > 0 && id < FAKE_JOURNAL_IDS);
	return (&fake.records[id]);
}

const struct fake_record *
fake_journal_record(int64_t id)
{
	return (record(id));
}

static void
note(const struct journal_entry *e)
{
	struct fake_record *r;

	if (e->kind == JOURNAL_DROP)
		return;
	r = record(e->id);
	switch (e->kind) {
	case JOURNAL_LEASE:
		r->leased = true;
		break;
	case JOURNAL_RESULT:
		r->finished = r->leased;
		break;
	case JOURNAL_SENDING:
		r->sending = r->leased && e->at_ms != 0;
		break;
	case JOURNAL_ENDED:
		*r = (struct fake_record){ .ended = r->leased || r->ended };
		break;
	case JOURNAL_DEAD:
		*r = (struct fake_record){ .dead = r->leased || r->dead };
		break;
	case JOURNAL_REVIVE:
		if (r->dead)
			*r = (struct fake_record){ .leased = true,
				.finished = true };
		break;
	case JOURNAL_DROP:
	case JOURNAL_NKINDS:
		break;
	}
}

/* What is told to be on disk gets there. */
static void
write_told(struct journal *j)
{
	struct journal_entry *e;
	struct why why;

	if (STAILQ_EMPTY(&j->told))
		return;
	must(journal_db_begin(j->db, &why) == 0);
	while ((e = STAILQ_FIRST(&j->told)) != NULL) {
		must(journal_db_write(j->db, e, &why) == 0);
		STAILQ_REMOVE_HEAD(&j->told, entry);
		free(e);
	}
	must(journal_db_commit(j->db, &why) == 0);
	must(journal_db_count_letters(j->db, &j->letters, &why) == 0);
	memcpy(fake.written, fake.records, sizeof(fake.written));
}

static void
commit(struct journal *j, unsigned count)
{
	struct journal_entry *e;

	write_told(j);
	while (count-- > 0 && (e = STAILQ_FIRST(&j->waiting)) != NULL) {
		STAILQ_REMOVE_HEAD(&j->waiting, entry);
		STAILQ_INSERT_TAIL(&j->told, e, entry);
		note(e);
		j->known = e->number;
	}
}

static void
answer(struct journal *j)
{
	struct journal_question *q;

	while (STAILQ_EMPTY(&j->waiting) &&
	    (q = STAILQ_FIRST(&j->asked)) != NULL) {
		write_told(j);
		STAILQ_REMOVE_HEAD(&j->asked, entry);
		must(journal_question_ask(q, j->db) == 0);
		journal_question_answer(q);
	}
}

void
fake_journal_commit(unsigned count)
{
	struct journal *j = fake.journal;

	if (j == NULL || j->db == NULL)
		return;
	commit(j, count);
	answer(j);
	j->ops->progress(j->arg);
}

void
fake_journal_break(bool loses)
{
	struct journal *j = fake.journal;

	if (j == NULL || j->db == NULL)
		return;
	if (loses) {
		journal_entries_free(&j->told);
		memcpy(fake.records, fake.written, sizeof(fake.records));
	} else
		write_told(j);
	journal_db_close(j->db, false);
	j->db = NULL;
	j->ops->progress(j->arg);
}

void
fake_journal_mend(void)
{
	struct journal *j = fake.journal;
	struct why why;

	if (j == NULL || j->db != NULL)
		return;
	must(journal_db_open(fake.path, false, &j->db, &why) == JOURNAL_OPENED);
	must(journal_db_settle(j->db, &why) == 0);
	commit(j, UINT_MAX);
	j->ops->rewrite(j->arg);
	answer(j);
	j->ops->progress(j->arg);
}

bool
fake_journal_is_broken(void)
{
	return (fake.journal != NULL && fake.journal->db == NULL);
}

void
fake_journal_kill(void)
{
	fake.kill = true;
}

void
fake_journal_reset(void)
{
	static const char *const ends[] = { "", "-wal" };
	char name[300];
	size_t i;

	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", fake.path, ends[i]);
		(void)unlink(name);
	}
	memset(fake.records, 0, sizeof(fake.records));
	memset(fake.written, 0, sizeof(fake.written));
}

/*
 * journal.h
 */

struct journal *
journal_open(const struct journal_settings *set, const struct journal_ops *ops,
    void *arg, int *status, struct why *why)
{
	struct journal *j = calloc(1, sizeof(*j));

	must(j != NULL);
	*status = EX_OK;
	(void)snprintf(fake.path, sizeof(fake.path), "%s", set->path);
	j->ops = ops;
	j->arg = arg;
	STAILQ_INIT(&j->waiting);
	STAILQ_INIT(&j->told);
	STAILQ_INIT(&j->asked);
	must(journal_db_open(set->path, set->safe, &j->db, why) ==
	    JOURNAL_OPENED);
	must(journal_db_last_id(j->db, &j->last_id, why) == 0);
	must(journal_db_count_letters(j->db, &j->letters, why) == 0);
	must(journal_db_leases(j->db, ops->row, arg, why) == 0);
	must(journal_db_ended(j->db, ops->ended, arg, why) == 0);
	fake.journal = j;
	return (j);
}

bool
journal_close(struct journal *j, int64_t limit_ms)
{
	bool whole = j->db != NULL;

	(void)limit_ms;
	if (whole && !fake.kill)
		commit(j, UINT_MAX);
	if (whole)
		write_told(j);
	journal_db_close(j->db, !fake.kill);
	journal_entries_free(&j->waiting);
	journal_entries_free(&j->told);
	journal_questions_free(&j->asked);
	free(j);
	fake.journal = NULL;
	fake.kill = false;
	return (whole);
}

uint64_t
journal_write(struct journal *j, enum journal_kind kind, int64_t id,
    int64_t at_ms, const struct journal_text *texts, size_t count)
{
	struct journal_entry *e =
	    journal_entry_new(kind, id, at_ms, texts, count);

	must(e != NULL);
	e->number = ++j->last;
	STAILQ_INSERT_TAIL(&j->waiting, e, entry);
	return (e->number);
}

bool
journal_has(const struct journal *j, uint64_t number)
{
	return (number != 0 && number <= j->known);
}

const char *
journal_trouble(const struct journal *j)
{
	return (j->db == NULL ? "the disk is full" : NULL);
}

int64_t
journal_last_id(const struct journal *j)
{
	return (j->last_id);
}

int64_t
journal_letters(const struct journal *j)
{
	return (j->letters);
}

static int
ask(struct journal *j, enum journal_asking kind, int64_t id, journal_done done,
    void *arg)
{
	struct journal_question *q = journal_question_new(kind, id, done, arg);

	must(q != NULL);
	STAILQ_INSERT_TAIL(&j->asked, q, entry);
	return (0);
}

int
journal_fetch(struct journal *j, int64_t id, journal_done done, void *arg)
{
	return (ask(j, JOURNAL_ASK_RESULT, id, done, arg));
}

int
journal_find_letters(
    struct journal *j, int64_t id, journal_done done, void *arg)
{
	return (ask(j, JOURNAL_ASK_ROWS, id, done, arg));
}

int
journal_show_letters(
    struct journal *j, int64_t id, journal_done done, void *arg)
{
	return (ask(j, JOURNAL_ASK_TEXT, id, done, arg));
}
