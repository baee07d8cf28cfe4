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
#include "supervisor/children/exit_report.h"
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
	void (*gone)(struct child *, const struct exit_report *, void *arg);
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
	char cause[160]; /* why we ended it; "" when we did not */
	enum child_state state;
	bool was_ready : 1; /* it has said ready */
	bool closed : 1; /* it has closed its channel */
	bool dying : 1; /* dead, and being read for the last time */
	bool lease_started : 1; /* it has said started for its lease */
};

/* Starts a process. argv and envp are borrowed for the call only. NULL and
 * why. */
struct child *child_new(const struct child_env *, char *const argv[],
    char *const envp[], const char *category, const struct child_ops *,
    void *arg, struct why *why);
/* True when it can be given a lease. */
bool child_is_free(const struct child *);
/* Gives a free child a lease. -1 and why when the lease cannot be sent; the
 * child is then idle still, or ending. */
int child_run(struct child *, struct lease *, struct why *);
/* Asks an idle or starting child to leave; it is killed after a grace. */
void child_stop(struct child *);
/* Ends it and everything in its process group, now, for that reason. */
void child_kill(struct child *, const char *cause);
/* Frees it: after gone(), or at the very end of the supervisor. */
void child_free(struct child *);

const char *child_state_name(enum child_state);

#endif
