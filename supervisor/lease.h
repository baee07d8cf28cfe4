/* SPDX-License-Identifier: ISC */
/*
 * lease.h: one task on this machine, from the poll that brought it to the
 * acknowledged result. Owned by its supervisor's lease table; the category,
 * the child and the outgoing side borrow it.
 */
#ifndef AVTOWORKER_LEASE_H
#define AVTOWORKER_LEASE_H

#include <stdint.h>

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "child/bytes.h"
#include "supervisor/base/log.h"
#include "supervisor/base/why.h"

struct orchestrator;

#define TASK_ID_MAX        128 /* characters of a task id, job id or type */

/* Error codes that the orchestrator acts on (contract, section 7). */
#define CODE_TRANSIENT     "TRANSIENT_ERROR"
#define CODE_PERMANENT     "PERMANENT_ERROR"
#define CODE_INVALID_INPUT "INVALID_INPUT_ERROR"
#define CODE_CONTRACT      "CONTRACT_VIOLATION_ERROR"

/* A task as it came. */
struct task {
	char *task_id; /* [A-Za-z0-9._:-]{1,128} */
	char *job_id; /* the same */
	char *type; /* the same */
	struct bytes params; /* checked text of a JSON object */
};

/* What is reported for a task. */
struct result {
	char *status; /* success, failure, cancelled, or a blueprint's word */
	char *code; /* error code; NULL when there is no error */
	char *message; /* for people; NULL when there is no error */
	struct bytes data; /* checked text of a JSON object, or empty */
	struct bytes details; /* of the error: the same, or empty */
};

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
	unsigned requeues; /* children lost before they said started */
	enum lease_state state;
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

void lease_set_running(struct lease_table *, struct lease *);
/* Back to the queue: the child died before the handler began. */
void lease_set_queued(struct lease_table *, struct lease *);
/* Ends it; takes the result's content. */
void lease_finish(struct lease_table *, struct lease *, struct result *);

const char *lease_state_name(enum lease_state);
/* What log lines about it carry. */
struct log_context lease_context(const struct lease *);

/* True when text may stand in a path, a log line or a metric label. */
bool task_id_ok(const char *text);
void task_fini(struct task *);

/* A failure of our own making: code and message (printf-like). Returns a
 * result without message when memory is short, never an invalid one. */
struct result result_failure(const char *code, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));
/* Reads a child's result frame, a JSON object. -1 and why when it breaks the
 * protocol; out is then untouched. */
int result_read(const char *text, size_t len, struct result *out, struct why *);
/* Appends ,"error":{...} when there is one: code, message, details. */
void result_put_error(const struct result *, struct bytes *);
void result_fini(struct result *);

#endif
