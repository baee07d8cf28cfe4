/* SPDX-License-Identifier: ISC */
/*
 * journal.c: the loop's side: gives numbers, gathers the changes of a turn and
 * hands them to the writer, and looks what has become of them. After a failure
 * the loop is asked for all that it holds, since what was committed before may
 * be gone (journal_writer.c).
 */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/orchestrator/journal.h"
#include "supervisor/orchestrator/journal_writer.h"

#define LOOK_MS       ((int64_t)1000)
#define STALLED_LOOKS 5 /* in a row, without progress */

struct journal {
	const struct journal_ops *ops;
	void *arg;
	struct journal_writer *writer;
	struct event flush; /* at the end of this turn */
	struct event woken; /* by the writer */
	struct event look; /* whether it gets on */
	struct journal_entries turn; /* of this turn */
	uint64_t last; /* number given out last */
	uint64_t known; /* as committed */
	unsigned looks; /* on our timer since that has changed. Not time: when
			   we do not run, the writer does not, either */
	struct why told; /* trouble, as told last; "": none */
	bool rewrite : 1; /* something could not even be queued */
};

/*
 * What is written.
 */

static void
look_later(struct journal *j)
{
	const struct timeval tv = clock_timeval(LOOK_MS);

	if (!evtimer_pending(&j->look, NULL) && event_add(&j->look, &tv) == -1)
		log_err("cannot set a timer for the journal");
}

static void
on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct journal *j = arg;

	(void)fd;
	(void)what;
	journal_writer_write(j->writer, &j->turn);
	if (!evtimer_pending(&j->look, NULL))
		j->looks = 0;
	look_later(j);
}

uint64_t
journal_write(struct journal *j, enum journal_kind kind, int64_t id,
    int64_t at_ms, const struct journal_text *texts, size_t count)
{
	struct journal_entry *e;

	if ((e = journal_entry_new(kind, id, at_ms, texts, count)) == NULL) {
		log_err("no memory for the journal; it is made up for later");
		j->rewrite = true;
		look_later(j);
		return (0);
	}
	e->number = ++j->last;
	if (STAILQ_EMPTY(&j->turn))
		event_active(&j->flush, EV_TIMEOUT, 0);
	STAILQ_INSERT_TAIL(&j->turn, e, entry);
	return (e->number);
}

/*
 * What has become of it.
 */

/* Trouble has begun, changed or ended: says so, once. */
static void
tell(struct journal *j, const struct why *now)
{
	if (strcmp(now->text, j->told.text) == 0)
		return;
	if (now->text[0] != '\0')
		log_err("journal: %s; no more tasks are taken, results are "
			"kept in memory and delivered; trying again",
		    now->text);
	else
		log_info("journal: it can be written again");
	j->told = *now;
}

/* Takes over what the writer has come to. */
static void
look_at_state(struct journal *j)
{
	struct journal_writer_state state;

	journal_writer_state(j->writer, &state);
	if (state.committed != j->known)
		j->looks = 0;
	j->known = state.committed;
	j->rewrite = j->rewrite || state.reopened;
	if (state.note.text[0] != '\0')
		log_err("%s", state.note.text);
	if (state.failure.text[0] == '\0' && j->known < j->last &&
	    j->looks >= STALLED_LOOKS)
		why_set(&state.failure, "the disk does not answer");
	tell(j, &state.failure);
}

static void
rewrite_if_needed(struct journal *j)
{
	if (!j->rewrite || j->told.text[0] != '\0')
		return;
	j->rewrite = false;
	j->ops->rewrite(j->arg);
}

static void
on_look(evutil_socket_t fd, short what, void *arg)
{
	struct journal *j = arg;
	const bool troubled = j->told.text[0] != '\0';
	const uint64_t known = j->known;

	(void)fd;
	(void)what;
	j->looks++;
	look_at_state(j);
	rewrite_if_needed(j);
	if (j->known < j->last || j->rewrite)
		look_later(j);
	if (troubled != (j->told.text[0] != '\0') || known != j->known)
		j->ops->progress(j->arg);
}

static void
give_answers(struct journal *j)
{
	struct journal_questions answers;
	struct journal_question *q;

	journal_writer_answers(j->writer, &answers);
	while ((q = STAILQ_FIRST(&answers)) != NULL) {
		STAILQ_REMOVE_HEAD(&answers, entry);
		journal_question_answer(q);
	}
}

static void
on_woken(evutil_socket_t fd, short what, void *arg)
{
	struct journal *j = arg;
	uint64_t count;

	(void)what;
	(void)!read(fd, &count, sizeof(count));
	look_at_state(j);
	rewrite_if_needed(j);
	give_answers(j);
	j->ops->progress(j->arg);
}

bool
journal_has(const struct journal *j, uint64_t number)
{
	return (number != 0 && number <= j->known);
}

const char *
journal_trouble(const struct journal *j)
{
	return (j->told.text[0] != '\0' ? j->told.text : NULL);
}

int64_t
journal_last_id(const struct journal *j)
{
	return (journal_writer_last_id(j->writer));
}

int64_t
journal_letters(const struct journal *j)
{
	return (journal_writer_letters(j->writer));
}

/*
 * What is asked.
 */

static int
ask(struct journal *j, enum journal_asking kind, int64_t id, journal_done done,
    void *arg)
{
	struct journal_question *q;

	if ((q = journal_question_new(kind, id, done, arg)) == NULL)
		return (-1);
	/* What was written before comes first. */
	journal_writer_write(j->writer, &j->turn);
	journal_writer_ask(j->writer, q);
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

/*
 * Beginning and end.
 */

static void
journal_free(struct journal *j)
{
	if (event_initialized(&j->flush))
		(void)event_del(&j->flush);
	if (event_initialized(&j->look))
		(void)event_del(&j->look);
	if (event_initialized(&j->woken))
		(void)event_del(&j->woken);
	journal_entries_free(&j->turn);
	journal_writer_free(j->writer);
	free(j);
}

static struct journal *
journal_new(const struct journal_settings *set, const struct journal_ops *ops,
    void *arg, struct why *why)
{
	struct journal *j;

	if ((j = calloc(1, sizeof(*j))) == NULL) {
		why_set(why, "no memory for the journal");
		return (NULL);
	}
	j->ops = ops;
	j->arg = arg;
	STAILQ_INIT(&j->turn);
	if ((j->writer = journal_writer_new(set, why)) == NULL) {
		journal_free(j);
		return (NULL);
	}
	if (evtimer_assign(&j->flush, set->loop, on_flush, j) == -1 ||
	    evtimer_assign(&j->look, set->loop, on_look, j) == -1 ||
	    event_assign(&j->woken, set->loop, journal_writer_fd(j->writer),
		EV_READ | EV_PERSIST, on_woken, j) == -1 ||
	    event_add(&j->woken, NULL) == -1) {
		why_errno(why, "journal");
		journal_free(j);
		return (NULL);
	}
	return (j);
}

struct journal *
journal_open(const struct journal_settings *set, const struct journal_ops *ops,
    void *arg, int *status, struct why *why)
{
	struct journal *j;

	*status = EX_OSERR;
	if ((j = journal_new(set, ops, arg, why)) == NULL)
		return (NULL);
	if (journal_writer_start(j->writer, ops, arg, status, why) == -1) {
		journal_free(j);
		return (NULL);
	}
	look_at_state(j); /* it may have been damaged */
	return (j);
}

bool
journal_close(struct journal *j, int64_t limit_ms)
{
	uint64_t committed;
	bool whole;

	if (j == NULL)
		return (true);
	journal_writer_write(j->writer, &j->turn);
	if (!journal_writer_end(j->writer, limit_ms, &committed))
		j->writer = NULL; /* its thread still uses it, and hangs */
	/* Also when it hangs where what is committed moves to the file. */
	whole = committed == j->last && !j->rewrite;
	journal_free(j);
	return (whole);
}
