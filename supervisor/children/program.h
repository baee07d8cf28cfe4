/* SPDX-License-Identifier: ISC */
/*
 * program.h: what children run, and the pool of them: the C modules of a
 * category together, an executable, or a program that speaks the channel. How
 * many children there are, who gets which lease, and what happens when one
 * dies. How many of its tasks run at once is limited by their categories.
 */
#ifndef AVTOWORKER_PROGRAM_H
#define AVTOWORKER_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>

#include "supervisor/base/backoff.h"
#include "supervisor/base/why.h"
#include "supervisor/children/category.h"
#include "supervisor/children/child.h"
#include "supervisor/children/command.h"
#include "supervisor/children/offer.h"
#include "supervisor/children/pool.h"
#include "supervisor/children/start_gate.h"

struct conf_category;
struct handler_source;
struct handler_table;
struct lease_table;
struct places;
struct poison;
struct program;
struct used;

struct program_ops {
	/* A lease has its result; the result is the callee's to take. */
	void (*finished)(struct lease *, struct result *, void *arg);
	/* A handler tells something of its lease. May be NULL. */
	void (*event)(struct lease *, const struct task_event *, void *arg);
	/* A child says anew what it holds. May be NULL. */
	void (*held)(void *arg);
	/* Whether it can be offered is known now, or has changed. */
	void (*settled)(struct program *, void *arg);
	/* It may have room for another lease, or has given up a place among
	 * the running ones that another program waits for. */
	void (*room)(void *arg);
	/* A retired program will not run this queued lease: it is the
	 * callee's, to be given to another. NULL: it ends as interrupted, or
	 * with its child's death. */
	void (*returned)(struct lease *, void *arg);
	/* A child has ended: by the name of a death's cause, or "idle",
	 * "recycled_tasks", "recycled_age", "recycled_memory", "left",
	 * "stopped".
	 * May be NULL. */
	void (*child_ended)(struct program *, const char *reason, void *arg);
	/* It was told to stop or to retire and its last child is gone. It may
	 * be freed from within. */
	void (*emptied)(struct program *, void *arg);
};

TAILQ_HEAD(program_queue, lease);
TAILQ_HEAD(program_children, child);

/* What a program has of one category. */
struct lane {
	struct category *category; /* borrowed */
	struct program_queue queue; /* no free child, or no room, yet */
	unsigned queued;
	unsigned running; /* its part of the category's */
	bool full; /* the speaker wants none of its tasks just now */
};

/* What the speaker of a program has said of the machine. */
struct spoken {
	char *full; /* names of task types that are not to come now; NULL: it
		       has not said */
	struct used *used; /* NULL: it has not said */
	int64_t full_ms; /* when it said so */
	int64_t used_ms;
};

struct program {
	TAILQ_ENTRY(program) entry; /* of the owner's list */
	const struct program_ops *ops;
	void *arg;
	char *name; /* of the category, the task type or the block */
	struct category *category; /* borrowed; whose settings its children
				      have */
	const struct handler_source *source; /* the table's; NULL: the C
						modules of its category */
	const struct conf_category *conf; /* borrowed; the category's */
	const struct child_env *env;
	const struct handler_table *handlers; /* borrowed */
	struct lease_table *leases; /* borrowed */
	struct poison *poison; /* borrowed; or NULL */
	struct start_gate *gate; /* borrowed; or NULL */
	struct command command; /* starts one child */
	struct offer offer; /* what each child of a source that stays offers */
	struct child *speaker; /* of the children; NULL: none is */
	struct spoken spoken;
	struct program_children children; /* idle ones first, and of these
					     the last used one */
	struct lane *lanes; /* by category */
	size_t lanes_len;
	int64_t expires_ms; /* no queued lease has an earlier deadline */
	unsigned queued; /* in all lanes */
	unsigned max_running; /* leases, over all programs; 0: no limit */
	unsigned spare; /* places that are not given away yet, while they are
			   counted */
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
	bool inherit : 1; /* what environment = auto means */
	bool usable : 1; /* it can be offered */
	bool offered : 1; /* usable as last told by settled() */
	bool settled : 1; /* ready once, or failed once */
	bool succeeded : 1; /* some lease has got a child's result */
	bool stopping : 1; /* by program_stop(), _abandon() or _retire() */
	bool retiring : 1; /* by program_retire() */
	bool yields : 1; /* others may take the place of its last task */
	bool balancing : 1; /* balance() is under way */
	bool unbalanced : 1; /* and must look again */
};

/* Borrowed while the program lives, but for the name. */
struct program_settings {
	const char *name;
	struct category *category; /* whose settings its children have */
	const struct handler_source *source; /* NULL: C modules */
	struct handler_table *handlers; /* its own are those of that source;
					   of modules: those that name the
					   category */
	const struct category_list *categories; /* all that its own name */
	struct lease_table *leases;
	const struct child_env *env;
	bool inherit; /* what environment = auto means */
	unsigned max_running; /* leases at once, over all programs; 0: no
				 limit */
	struct poison *poison; /* of the whole worker; NULL: no such limit */
	struct start_gate *gate; /* of the whole worker; NULL: none */
	const struct program_ops *ops;
	void *arg;
};

/* NULL and why. Its handlers in the table are marked as its own. */
struct program *program_new(const struct program_settings *, struct why *why);
/* Takes the child that has described it, and what that has offered; NULL: it
 * is dead already. Called before program_start(). */
void program_adopt(struct program *, struct child *, struct offer *);
/* Takes the same handlers of another table, categories of the same names, and
 * the settings that a running program can change. */
void program_move(struct program *, const struct program_settings *);
/* Starts the children that it always has; further ones follow by themselves.
 * One that has none until there are tasks is settled at once. */
void program_start(struct program *);
/* Runs a queued lease as soon as a child is free, which is started for it if
 * need be. */
void program_submit(struct program *, struct lease *);
/*
 * Places for more leases: children that are idle or starting or could be
 * started, as far as the categories have room. Counted in two passes over all
 * programs, with what is left of each category at first in its "left": what
 * waits takes its places first.
 */
void program_place_waiting(struct program *, struct places *);
/* only: NULL, or the one category that more leases may be of. */
void program_place_more(
    struct program *, const struct category *only, struct places *);
/* True when its skills can be offered. */
bool program_is_offered(const struct program *);
/* True when its speaker has said that this type is not to come just now. */
bool program_is_full(const struct program *, const char *type);
/* What its speaker has said of the machine of late; NULL: nothing. */
const struct used *program_used(const struct program *);
/* True when it takes commands of that name. */
bool program_takes_command(const struct program *, const char *name);
/* Gives its speaker one, the payload of a command frame. -1 and why. */
int program_command(
    struct program *, const char *payload, size_t len, struct why *why);
/* Compares what is with what should be: called by itself after every change of
 * its own, and by the owner when a task of another program has ended, for
 * which leases may have waited here, or when a category was paused. */
void program_balance(struct program *);
/* Ends a lease that nobody wants any more: one that waits at once, for one
 * that runs the handler is told, and its child is killed when it does not
 * listen. False when the lease is not here. */
bool program_cancel(struct program *, struct lease *);
/* Asks the tasks that run to stop: the worker is about to. */
void program_say_farewell(struct program *);
/* The first of the leases that wait in a lane, which is then the caller's;
 * NULL: none does. */
struct lease *program_take_queued(struct program *, struct lane *);
/* The lowest id of the leases that wait here; UINT64_MAX: none does. */
uint64_t program_first_queued(const struct program *);
/* Gives back what is queued by returned(), now and later; otherwise as
 * program_stop(). */
void program_retire(struct program *);
/* Ends the children as they become idle; says emptied when none is left. */
void program_stop(struct program *);
/* Hands every lease back as interrupted; whatever its children do about them
 * does not count any more. */
void program_abandon(struct program *);
/* After program_abandon(): kills the children. */
void program_kill(struct program *);
/* Frees it and kills what is left of it; NULL is fine. */
void program_free(struct program *);

#endif
