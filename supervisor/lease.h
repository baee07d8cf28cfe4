/* SPDX-License-Identifier: ISC */
/*
 * lease.h: one task on this machine, from the poll that brought it to the
 * acknowledged result. Owned by its supervisor's lease table; the category,
 * the child and the outgoing side borrow it.
 */
#ifndef AVTOWORKER_LEASE_H
#define AVTOWORKER_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "supervisor/base/backoff.h"
#include "supervisor/base/log.h"
#include "supervisor/result.h"
#include "supervisor/task.h"

struct orchestrator;

/* state, name, states that may follow */
#define LEASE_STATES(X) \
	X(QUEUED, "queued", S(RUNNING) | S(FINISHED)) \
	X(RUNNING, "running", S(QUEUED) | S(FINISHED)) \
	X(FINISHED, "finished", 0)

enum lease_state {
#define X(state, name, next) LEASE_##state,
	LEASE_STATES(X)
#undef X
	LEASE_NSTATES,
};

struct lease {
	TAILQ_ENTRY(lease) entry; /* of the one list that holds it just now:
				     a category's queue or an outbox */
	RB_ENTRY(lease) by_id;
	RB_ENTRY(lease) by_task;
	uint64_t id; /* names it on the channel; never used twice */
	struct task task;
	struct orchestrator *origin; /* borrowed; where the result goes */
	struct result result; /* valid once finished */
	int64_t leased_ms; /* when it came */
	int64_t running_ms; /* when a child got it last; 0: none has */
	int64_t ran_ms; /* until it was finished, if running_ms is set */
	int64_t deadline_ms; /* clock_now_ms() at which it must have ended; 0:
				never */
	struct backoff delivery; /* of its own result, when it is refused */
	int64_t deliver_after_ms; /* its result is not sent earlier */
	unsigned requeues; /* children lost before they said started */
	enum lease_state state;
	bool cancelled; /* nobody wants its result any more */
};

RB_HEAD(lease_ids, lease);
RB_HEAD(lease_tasks, lease);

/* Every lease of a supervisor. */
struct lease_table {
	struct lease_ids ids;
	struct lease_tasks tasks;
	uint64_t last_id;
	unsigned count[LEASE_NSTATES];
};

void lease_table_init(struct lease_table *);
/* Frees every lease that is left. */
void lease_table_fini(struct lease_table *);

/* Makes a queued lease of a task. Takes the task's content, also on failure.
 * NULL with errno ENOMEM, or EEXIST when that task id is held already. */
struct lease *lease_new(struct lease_table *, struct task *,
    struct orchestrator *origin, int64_t now_ms);
/* Removes it from the table and frees it; NULL is fine. */
void lease_free(struct lease_table *, struct lease *);

/* In the order in which they came; NULL ends. */
struct lease *lease_first(const struct lease_table *);
struct lease *lease_next(struct lease *);

void lease_set_running(struct lease_table *, struct lease *);
/* Back to the queue: the child died before the handler began. */
void lease_set_queued(struct lease_table *, struct lease *);
/* Ends it; takes the result's content. */
void lease_finish(struct lease_table *, struct lease *, struct result *);

const char *lease_state_name(enum lease_state);
/* What log lines about it carry. */
struct log_context lease_context(const struct lease *);

#endif
