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
#include <sys/resource.h>

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>

#include "supervisor/base/why.h"
#include "supervisor/children/death.h"
#include "supervisor/children/frame_stream.h"
#include "supervisor/children/held.h"
#include "supervisor/children/memory.h"
#include "supervisor/children/output.h"
#include "supervisor/children/reaper.h"
#include "supervisor/children/task_clock.h"

struct child;
struct lease;
struct offer;
struct result;
struct spawn_files;
struct task_event;
struct workspaces;

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
	/* It has finished a lease, and is idle if that was its only one; the
	 * result is the callee's to take. */
	void (*finished)(
	    struct child *, struct lease *, struct result *, void *arg);
	/* A handler tells something of a lease it holds. May be NULL. */
	void (*event)(struct child *, struct lease *, const struct task_event *,
	    void *arg);
	/* It says anew what it holds. May be NULL. */
	void (*held)(struct child *, void *arg);
	/* It is dead, and this lease, which it held, has no result. started:
	 * its handler had begun. The death is told as that lease has met it.
	 * Called for each of them, before gone(). */
	void (*lost)(struct child *, struct lease *, bool started,
	    const struct death *, void *arg);
	/* It is dead and reaped, and holds nothing any more. The callee frees
	 * the child. */
	void (*gone)(struct child *, const struct death *, void *arg);
};

/* What every child of a supervisor shares; borrowed by each. */
struct child_env {
	struct event_base *base;
	struct reaper *reaper;
	const char *program; /* path of avtoworker-child */
	const char *python; /* folder of the module that scripts find */
	char *const *clean; /* environment made from the allowlist */
	char *const *inherited; /* the caller's, less our secrets */
	rlim_t nofile; /* descriptors we were started with, which children get
			  back; 0: as many as we have */
	struct memory *memory; /* NULL: no limit of memory is kept */
	struct workspaces *workspaces; /* NULL: tasks have none */
	const char *figures; /* folder where scripts count; NULL: they do not */
};

/* A task that a child has. */
struct child_task {
	TAILQ_ENTRY(child_task) entry;
	struct lease *lease; /* borrowed */
	struct task_clock clock;
	bool started : 1; /* the child has said so */
	bool guilty : 1; /* it did not end in time, so the child was ended */
};

TAILQ_HEAD(child_tasks, child_task);

struct child {
	TAILQ_ENTRY(child) entry; /* of the owner's list */
	const struct child_ops *ops;
	void *arg;
	const char *category; /* borrowed; for log lines */
	struct child_tasks running; /* owned; in the order they came */
	unsigned running_len;
	struct reaper *reaper; /* borrowed */
	struct workspaces *workspaces; /* borrowed; or NULL */
	struct reaped reaped;
	struct frame_stream channel;
	struct output output;
	struct memory_use memory;
	struct held held;
	struct event dead; /* the pidfd is readable */
	struct event timer; /* for what is due next: see child_task.c */
	int64_t limit_ms; /* when starting, stopping or a closed channel has
			     lasted long enough; 0: no such limit */
	int64_t due_ms; /* when the timer was to fire; valid while it is set */
	int64_t cpu_limit_ms; /* that the child keeps by itself; 0: none */
	int64_t stop_timeout_ms; /* how long it may take to leave */
	int64_t born_ms; /* when it was started */
	int64_t since_ms; /* when the state began */
	int pidfd;
	pid_t pid;
	enum death_cause blamed; /* valid with a reason */
	char reason[160]; /* why we ended it: a sentence without subject; ""
			     when we did not */
	unsigned tasks; /* that it has finished */
	unsigned lost; /* leases that it held when it died */
	enum child_state state;
	enum child_state last; /* the state before the end; valid in it */
	/* The owner's: child.c leaves them alone. */
	const char *leaving; /* why it was told to, or will be once it has
				ended its tasks; NULL: it stays */
	unsigned jitter; /* by how much its own limits are lower, in ten
			    thousandths */
	bool launched : 1; /* pid is a launcher, and the handler's process is
			      its child */
	bool was_ready : 1; /* it has said ready */
	bool put_off : 1; /* its limits were, in this state: see on_timer() */
	bool complained : 1; /* that a state frame of its is no good */
	bool closed : 1; /* it has closed its channel */
	bool dying : 1; /* dead, and being read for the last time */
	bool answered : 1; /* its last result came when it was dead already */
	bool one_guilty : 1; /* it was ended for some of its tasks, not all */
};

/* How a child is started. Borrowed for the call only, but for env, category,
 * ops and arg. */
struct child_start {
	const struct child_env *env;
	const char *category;
	char *const *argv;
	char *const *envp;
	const struct spawn_files *files; /* that it is born with; or NULL */
	int64_t timeout_ms; /* until it must be ready */
	int64_t stop_timeout_ms; /* until it is gone when told to leave */
	int64_t cpu_limit_ms; /* processor time of one task, which the child
				 limits by itself; 0: it does not */
	bool launched; /* a launcher stays above the handler's process */
	int64_t memory_limit; /* bytes, with all it starts; 0: none */
	const struct child_ops *ops;
	void *arg;
};

/* Starts a process. NULL and why. */
struct child *child_new(const struct child_start *, struct why *why);
/* It is another one's from now on, who has heard nothing of it yet. category
 * stays borrowed. */
void child_adopt(
    struct child *, const char *category, const struct child_ops *, void *arg);
/* True when it hears what it is given: it is ready, and is not leaving. How
 * many leases it can hold at once is for the owner to know. */
bool child_is_open(const struct child *);
/* The same, and it has no lease. */
bool child_is_free(const struct child *);
/* Gives an open child a lease; its limits count from now. -1 and why when the
 * lease cannot be sent; the child is then as it was, or ending. */
int child_run(
    struct child *, struct lease *, const struct task_limits *, struct why *);
/* Its task of that lease, or NULL. */
struct child_task *child_task_find(const struct child *, uint64_t lease_id);
/* Asks a task to stop, once; a child that is still at it after the grace is
 * killed. A result that comes before is the task's. */
void child_cancel(
    struct child *, struct child_task *, enum cancel_reason, int64_t grace_ms);
/* Asks all of its tasks. */
void child_cancel_all(struct child *, enum cancel_reason, int64_t grace_ms);
/* Takes a lease away from a child that is killed next: it is the caller's to
 * end. NULL: it has none. */
struct lease *child_take(struct child *);
/* After that: nothing that it says is heard any more. */
void child_let_go(struct child *);
/* Tells an open child what is about none of its tasks. -1 and why: there is no
 * memory for it, or the child reads nothing any more. */
int child_tell(struct child *, enum frame_type, const char *payload, size_t len,
    struct why *why);
/* Asks an idle or starting child to leave; it is killed after a grace. */
void child_stop(struct child *);
/* Ends it and everything in its process group, now; reason is a sentence
 * without subject. */
void child_kill(struct child *, enum death_cause, const char *reason);
/* Frees it: after gone(), or at the very end of the supervisor. */
void child_free(struct child *);

const char *child_state_name(enum child_state);

#endif
