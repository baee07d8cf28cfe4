/* SPDX-License-Identifier: ISC */
/*
 * category.h: a pool of children that run the same handlers: how many there
 * are, who gets which lease, and what happens when one dies.
 */
#ifndef AVTOWORKER_CATEGORY_H
#define AVTOWORKER_CATEGORY_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>

#include "supervisor/base/backoff.h"
#include "supervisor/base/why.h"
#include "supervisor/children/child.h"
#include "supervisor/children/pool.h"
#include "supervisor/children/program.h"
#include "supervisor/children/start_gate.h"

struct category;
struct conf_category;
struct handler_table;
struct lease_table;
struct poison;

struct category_ops {
	/* A lease has its result; the result is the callee's to take. */
	void (*finished)(struct lease *, struct result *, void *arg);
	/* A handler tells something of its lease. May be NULL. */
	void (*event)(struct lease *, const struct task_event *, void *arg);
	/* Whether it can be offered is known now, or has changed. */
	void (*settled)(struct category *, void *arg);
	/* It may have room for another lease, or has given up a place among
	 * the running ones that another category waits for. */
	void (*room)(void *arg);
	/* A retired category will not run this queued lease: it is the
	 * callee's, to be given to another. NULL: it ends as interrupted, or
	 * with its child's death. */
	void (*returned)(struct lease *, void *arg);
	/* A child has ended: by the name of a death's cause, or "idle",
	 * "recycled_tasks", "recycled_age", "recycled_memory", "stopped".
	 * May be NULL. */
	void (*child_ended)(struct category *, const char *reason, void *arg);
	/* It was told to stop or to retire and its last child is gone. It may
	 * be freed from within. */
	void (*emptied)(struct category *, void *arg);
};

TAILQ_HEAD(category_queue, lease);
TAILQ_HEAD(category_children, child);

struct category {
	TAILQ_ENTRY(category) entry; /* of the owner's list */
	const struct category_ops *ops;
	void *arg;
	char *name;
	const struct conf_category *conf; /* borrowed */
	const struct child_env *env;
	const struct handler_table *handlers; /* borrowed */
	struct lease_table *leases; /* borrowed */
	struct poison *poison; /* borrowed; or NULL */
	struct start_gate *gate; /* borrowed; or NULL */
	struct program program; /* starts one child */
	struct category_children children; /* idle ones first, and of these
					      the last used one */
	struct category_queue queue; /* no free child yet */
	int64_t expires_ms; /* no queued lease has an earlier deadline */
	unsigned queued;
	unsigned max_running; /* leases, over all categories; 0: no limit */
	struct pool pool; /* how many children there should be */
	struct gate_ticket ticket; /* of the child on trial */
	struct backoff backoff; /* between starts that fail; while there are
				   failures, one child at a time is tried */
	struct event timer; /* for what is due next */
	int64_t timer_ms; /* when it is set for; INT64_MAX: it is not */
	int64_t not_before_ms; /* no child is started earlier */
	int64_t down_ms; /* since when a child is wanted and none is ready; 0:
			    that is not so */
	char failure[256]; /* why the last start failed; or "" */
	bool was_ready : 1; /* some child has been ready; not so any more when
			       none has been for long */
	bool usable : 1; /* it can be offered */
	bool offered : 1; /* usable as last told by settled() */
	bool settled : 1; /* ready once, or failed once */
	bool succeeded : 1; /* some lease has got a child's result */
	bool paused : 1;
	bool stopping : 1; /* by category_stop(), _abandon() or _retire() */
	bool retiring : 1; /* by category_retire() */
	bool yields : 1; /* others may take the place of its last task */
	bool balancing : 1; /* balance() is under way */
	bool unbalanced : 1; /* and must look again */
};

/* Borrowed while the category lives, but for the name. */
struct category_settings {
	const char *name;
	const struct conf_category *conf;
	const struct handler_table *handlers; /* its own are those that name
						 it */
	struct lease_table *leases;
	const struct child_env *env;
	bool inherit; /* what environment = auto means */
	unsigned max_running; /* leases at once, over all categories; 0: no
				 limit */
	struct poison *poison; /* of the whole worker; NULL: no such limit */
	struct start_gate *gate; /* of the whole worker; NULL: none */
	const struct category_ops *ops;
	void *arg;
};

/* NULL and why. */
struct category *category_new(const struct category_settings *, struct why *);
/* Starts the children that it always has; further ones follow by themselves.
 * One that has none until there are tasks is settled at once. */
void category_start(struct category *);
/* Runs a queued lease as soon as a child is free, which is started for it if
 * need be. */
void category_submit(struct category *, struct lease *);
/* Leases it could take at once: children that are idle or starting or could
 * be started, less the queue; negative when the queue is longer. */
int category_places(const struct category *);
/* True when its skills can be offered. */
bool category_is_offered(const struct category *);
/* Compares what is with what should be: called by itself after every change of
 * its own, and by the owner when a task of another category has ended, for
 * which leases may have waited here. */
void category_balance(struct category *);
/* Keeps the queue and gives nothing to children, until it is resumed. */
void category_pause(struct category *);
void category_resume(struct category *);
/* Ends a lease that nobody wants any more: one that waits at once, for one
 * that runs the handler is told, and its child is killed when it does not
 * listen. False when the lease is not here. */
bool category_cancel(struct category *, struct lease *);
/* Asks the tasks that run to stop: the worker is about to. */
void category_say_farewell(struct category *);
/* The first of the leases that wait here, which is then the caller's; NULL:
 * none does. */
struct lease *category_take_queued(struct category *);
/* Gives back what is queued by returned(), now and later; otherwise as
 * category_stop(). */
void category_retire(struct category *);
/* Ends the children as they become idle; says emptied when none is left. */
void category_stop(struct category *);
/* Hands every lease back as interrupted, then kills the children. */
void category_abandon(struct category *);
/* Frees it and kills what is left of it; NULL is fine. */
void category_free(struct category *);

#endif
