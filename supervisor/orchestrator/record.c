/* SPDX-License-Identifier: ISC */
/*
 * record.c: builds the texts of entries, in the order that journal_db.h tells,
 * and their moments, which are of the wall clock: the other one begins anew
 * with the machine.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "child/bytes.h"
#include "supervisor/base/clock.h"
#include "supervisor/lease.h"
#include "supervisor/orchestrator/journal.h"
#include "supervisor/orchestrator/record.h"

static struct journal_text
text_of(const char *p)
{
	return ((struct journal_text){ p, p != NULL ? strlen(p) : SIZE_MAX });
}

static struct journal_text
text_of_bytes(const struct bytes *b)
{
	return ((struct journal_text){ b->p, b->len > 0 ? b->len : SIZE_MAX });
}

static int64_t
wall_of(int64_t ms)
{
	return (clock_wall_ms() - (clock_now_ms() - ms));
}

void
record_lease(struct journal *j, const char *url, const char *worker_id,
    const struct lease *l)
{
	const struct journal_text texts[] = {
		text_of(url),
		text_of(worker_id),
		text_of(l->task.task_id),
		text_of(l->task.job_id),
		text_of(l->task.type),
		text_of_bytes(&l->task.metadata),
	};

	if (j != NULL)
		(void)journal_write(j, JOURNAL_LEASE, (int64_t)l->id,
		    wall_of(l->leased_ms), texts,
		    sizeof(texts) / sizeof(texts[0]));
}

/* How long a child had it; NULL: none had. */
static const char *
ran_text(const struct lease *l, char *text, size_t size)
{
	if (l->running_ms == 0)
		return (NULL);
	(void)snprintf(text, size, "%" PRId64, l->ran_ms);
	return (text);
}

void
record_result(struct journal *j, struct lease *l)
{
	const struct result *r = &l->result;
	char ran_ms[24];
	const struct journal_text texts[] = {
		text_of(r->status != NULL ? r->status : "failure"),
		text_of(r->code),
		text_of(r->message),
		text_of_bytes(&r->data),
		text_of_bytes(&r->details),
		text_of_bytes(&r->metadata),
		text_of_bytes(&r->data_metadata),
		text_of(ran_text(l, ran_ms, sizeof(ran_ms))),
		text_of(r->tail),
	};

	if (j != NULL)
		l->record.written = journal_write(j, JOURNAL_RESULT,
		    (int64_t)l->id, wall_of(l->record.finished_ms), texts,
		    sizeof(texts) / sizeof(texts[0]));
}

void
record_sending(struct journal *j, struct lease *l)
{
	if (j != NULL)
		l->record.marked = journal_write(j, JOURNAL_SENDING,
		    (int64_t)l->id, wall_of(l->record.sending_ms), NULL, 0);
}

void
record_not_sent(struct journal *j, const struct lease *l)
{
	if (j != NULL)
		(void)journal_write(
		    j, JOURNAL_SENDING, (int64_t)l->id, 0, NULL, 0);
}

void
record_ended(struct journal *j, const struct lease *l, const char *outcome)
{
	const struct journal_text text = text_of(outcome);

	if (j != NULL)
		(void)journal_write(j, JOURNAL_ENDED, (int64_t)l->id,
		    clock_wall_ms(), &text, 1);
}

void
record_dead(struct journal *j, int64_t id, const char *reason)
{
	const struct journal_text text = text_of(reason);

	if (j != NULL)
		(void)journal_write(
		    j, JOURNAL_DEAD, id, clock_wall_ms(), &text, 1);
}

void
record_revived(struct journal *j, int64_t id, int64_t finished_ms)
{
	if (j != NULL)
		(void)journal_write(
		    j, JOURNAL_REVIVE, id, wall_of(finished_ms), NULL, 0);
}
