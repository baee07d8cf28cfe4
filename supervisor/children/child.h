/* SPDX-License-Identifier: ISC */
/*
 * child.h: one child process: its states, its channel and its end. Whoever
 * made it owns it and hears of it through child_ops; it is freed by its owner
 * after gone(), never before: so no event of an old child can be taken for
 * one of its successor.
 */
#ifndef AVTOWORKER_CHILD_H
#define AVTOWORKER_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>

#include "supervisor/base/why.h"
#include "supervisor/children/death.h"
#include "supervisor/children/frame_stream.h"
#include "supervisor/children/output.h"
#include "supervisor/children/reaper.h"

struct child;
struct lease;
struct offer;
struct result;

/* state, name, states that may follow */
#define CHILD_STATES(X) \
	X(STARTING, "starting", S(IDLE) | S(STOPPING) | S(ENDING)) \
	X(IDLE, "idle", S(BUSY) | S(STOPPING) | S(ENDING)) \
	X(BUSY, "busy", S(IDLE) | S(ENDING)) \
	X(STOPPING, "stopping", S(ENDING)) \
	X(ENDING, "ending", 0)

enum child_state {
#define X(state, name, next) CHILD_##state,
	CHILD_STATES(X)
#undef X
	CHILD_NSTATES,
};

struct child_ops {
	/* It may be given tasks. The offer is borrowed. */
	void (*ready)(struct child *, const struct offer *, void *arg);
	/* It has finished its lease and is idle; the result is the callee's
	 * to take. */
	void (*finished)(
	    struct child *, struct lease *, struct result *, void *arg);
	/* It is dead and reaped. child->lease is what it held, if anything.
	 * The callee frees the child. */
	void (*gone)(struct child *, const struct death *, void *arg);
};

/* What every task of a child may take; 0: no limit. */
struct task_limits {
	int64_t soft_ms; /* then it is asked to stop */
	int64_t hard_ms; /* then its child is ended */
	int64_t grace_ms; /* between a request to stop and the end */
	int64_t slow_ms; /* then the log tells what it is doing */
	int64_t deadline_ms; /* clock_now_ms() at which it must have ended */
	int64_t output_max; /* bytes of output that are logged */
};

/* Why a handler is asked to stop; what the cancel frame says. */
#define CANCEL_REASONS(X) \
	X(TIME_LIMIT, "time_limit") \
	X(CANCEL, "cancel") \
	X(DRAIN, "drain")

enum cancel_reason {
#define X(reason, word) CANCEL_##reason,
	CANCEL_REASONS(X)
#undef X
};

/* What every child of a supervisor shares; borrowed by each. */
struct child_env {
	struct event_base *base;
	struct reaper *reaper;
	const char *program; /* path of avtoworker-child */
	char *const *clean; /* environment made from the allowlist */
	char *const *inherited; /* the caller's, less our secrets */
};

struct child {
	TAILQ_ENTRY(child) entry; /* of the owner's list */
	const struct child_ops *ops;
	void *arg;
	const char *category; /* borrowed; for log lines */
	struct lease *lease; /* borrowed; NULL when it has none */
	struct reaper *reaper; /* borrowed */
	struct reaped reaped;
	struct frame_stream channel;
	struct output output;
	struct event dead; /* the pidfd is readable */
	struct event timer; /* limit of starting, stopping or ending */
	int64_t born_ms; /* when it was started */
	int64_t since_ms; /* when the state began */
	int pidfd;
	pid_t pid;
	enum death_cause blamed; /* valid with a reason */
	char reason[160]; /* why we ended it: a sentence without subject; ""
			     when we did not */
	enum child_state state;
	bool was_ready : 1; /* it has said ready */
	bool closed : 1; /* it has closed its channel */
	bool dying : 1; /* dead, and being read for the last time */
	bool lease_started : 1; /* it has said started for its lease */
};

/* How a child is started. Borrowed for the call only, but for env, category,
 * ops and arg. */
struct child_start {
	const struct child_env *env;
	const char *category;
	char *const *argv;
	char *const *envp;
	int64_t timeout_ms; /* until it must be ready */
	const struct child_ops *ops;
	void *arg;
};

/* Starts a process. NULL and why. */
struct child *child_new(const struct child_start *, struct why *why);
/* True when it can be given a lease. */
bool child_is_free(const struct child *);
/* Gives a free child a lease; the limits count from now. -1 and why when the
 * lease cannot be sent; the child is then idle still, or ending. */
int child_run(
    struct child *, struct lease *, const struct task_limits *, struct why *);
/* Asks an idle or starting child to leave; it is killed after a grace. */
void child_stop(struct child *);
/* Ends it and everything in its process group, now; reason is a sentence
 * without subject. */
void child_kill(struct child *, enum death_cause, const char *reason);
/* Frees it: after gone(), or at the very end of the supervisor. */
void child_free(struct child *);

const char *child_state_name(enum child_state);

#endif
