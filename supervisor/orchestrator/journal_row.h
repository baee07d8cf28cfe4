/* SPDX-License-Identifier: ISC */
/* journal_row.h: a lease or a dead letter as the journal has it, without what
 * may be large. Whoever has used sqlite3(1) may have written it, so it is
 * checked like anything that comes from outside. */
#ifndef AVTOWORKER_JOURNAL_ROW_H
#define AVTOWORKER_JOURNAL_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "supervisor/base/why.h"
#include "supervisor/result.h"
#include "supervisor/task.h"

struct journal_row {
	TAILQ_ENTRY(journal_row) entry;
	int64_t id;
	char *url; /* of the orchestrator that it is of */
	char *worker_id; /* by which that one knew us */
	struct task task; /* what its result needs of it */
	char *status; /* of its result; NULL: there is none */
	char *code; /* of its error; or NULL */
	int64_t leased_ms; /* clock_wall_ms() */
	int64_t finished_ms; /* the same; 0: no result */
	int64_t sending_ms; /* it may have been delivered then; 0: it was not */
};

TAILQ_HEAD(journal_rows, journal_row);

/* A result, and what its message has of the task. */
struct journal_result {
	struct result result;
	struct bytes task_metadata;
	int64_t ran_ms; /* how long a child had it; 0: none had */
};

/* NULL is fine. */
void journal_row_free(struct journal_row *);
/* False and why when it is no lease whose result could be sent. */
bool journal_row_ok(const struct journal_row *, struct why *);
/* The same for a result: every part of it is what the wire wants. */
bool journal_result_ok(const struct journal_result *, struct why *);
void journal_result_fini(struct journal_result *);

#endif
