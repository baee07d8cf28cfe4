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

/* Where leases come from. */
#define LEASE_SOURCES(X) \
	X(FROM_POLL, "poll") \
	X(FROM_JOURNAL, "journal") \
	X(FROM_DEAD_LETTER, "dead_letter")

enum lease_source {
#define X(source, name) LEASE_##source,
	LEASE_SOURCES(X)
#undef X
	LEASE_NSOURCES,
};

/* What has become of their results. */
#define LEASE_OUTCOMES(X) \
	X(ACCEPTED, "accepted") \
	X(IGNORED, "ignored") \
	X(DEAD, "dead_letter")

enum lease_outcome {
#define X(outcome, name) LEASE_##outcome,
	LEASE_OUTCOMES(X)
#undef X
	LEASE_NOUTCOMES,
};

/* What the outbox knows of a lease. Times are clock_now_ms(). */
struct lease_record {
	int64_t finished_ms; /* its result is there since */
	int64_t expires_ms; /* and is given up then */
	int64_t sending_ms; /* marked as being sent since; 0: it is not */
	uint64_t written; /* number of its result in the journal; 0: none */
	uint64_t marked; /* of the mark that it is sent; 0: there is none, or
			    it is on disk */
	size_t held; /* bytes of its result in memory */
	bool on_disk; /* only there; in memory are status and code */
	bool fetching; /* from there */
	bool read_back; /* from there, where it still is */
	bool in_doubt; /* it may have been taken since sending_ms */
	bool resent; /* it was a dead letter */
	bool lost; /* it cannot be read back, and no other may be sent */
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
	struct lease_record record;
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
	/* Since the start, always: the sum of received is that of ended and
	 * count. */
	uint64_t received[LEASE_NSOURCES];
	uint64_t ended[LEASE_NOUTCOMES];
};

void lease_table_init(struct lease_table *);
/* Frees every lease that is left. */
void lease_table_fini(struct lease_table *);

/* Makes a queued lease of a task. Takes the task's content, also on failure.
 * NULL with errno ENOMEM, or EEXIST when that task id is held already. */
struct lease *lease_new(struct lease_table *, struct task *,
    struct orchestrator *origin, int64_t now_ms);
/* The same with an id of before, no greater than last_id, for a lease that has
 * been here already. */
struct lease *lease_restore(struct lease_table *, struct task *,
    struct orchestrator *origin, uint64_t id, int64_t now_ms,
    enum lease_source);
/* Removes it from the table and frees it; NULL is fine. */
void lease_free(struct lease_table *, struct lease *);
/* The same for a finished one whose result has come to that, which is counted. */
void lease_end(struct lease_table *, struct lease *, enum lease_outcome);

/* NULL when there is none. */
struct lease *lease_find(const struct lease_table *, uint64_t id);
struct lease *lease_find_task(const struct lease_table *, const char *task_id);
/* In the order in which they came; NULL ends. */
struct lease *lease_first(const struct lease_table *);
struct lease *lease_next(struct lease *);

void lease_set_running(struct lease_table *, struct lease *);
/* Back to the queue: the child died before the handler began. */
void lease_set_queued(struct lease_table *, struct lease *);
/* Ends it; takes the result's content. */
void lease_finish(struct lease_table *, struct lease *, struct result *);

const char *lease_state_name(enum lease_state);
const char *lease_source_name(enum lease_source);
const char *lease_outcome_name(enum lease_outcome);
/* What log lines about it carry. */
struct log_context lease_context(const struct lease *);

#endif
