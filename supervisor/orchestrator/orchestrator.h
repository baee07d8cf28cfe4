/* SPDX-License-Identifier: ISC */
/*
 * orchestrator.h: where tasks come from and results go: real orchestrators
 * (fleet.c, and remote.c for each of them) or a file of JSON lines (local.c).
 * The supervisor cannot tell the difference.
 */
#ifndef AVTOWORKER_ORCHESTRATOR_H
#define AVTOWORKER_ORCHESTRATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/lease.h"

struct declared;
struct jslice;
struct orchestrator;
struct task;
struct task_event;
struct task_fault;
struct used;

#define AT_WORK_MAX   1000 /* ids that a heartbeat tells */
#define HOT_CACHE_MAX 1000 /* names that one tells */

/* What is being done just now; borrowed, until something changes. */
struct at_work {
	const char *ids[AT_WORK_MAX]; /* of tasks and of their jobs */
	size_t ids_count;
	uint64_t newest; /* grows with every task that comes; 0: none */
	int64_t running; /* tasks that children have */
};

struct orchestrator_ops {
	/* A task came. Takes the task's content. fault: why it is not to be
	 * run but answered at once, or NULL. False when no lease is made of
	 * it (said in the log): nothing will be delivered for it. */
	bool (*leased)(struct orchestrator *, struct task *,
	    const struct task_fault *fault, void *arg);
	/* The lease's result was taken, or given up: it is done with. */
	void (*delivered)(struct orchestrator *, struct lease *,
	    enum lease_outcome, void *arg);
	/* How many more tasks may be asked for now: of a category, or of any
	 * with NULL. */
	unsigned (*places)(const char *category, void *arg);
	/* Registration, polls or deliveries changed, or the goodbye is said. */
	void (*changed)(struct orchestrator *, void *arg);
	/* Fills in the tasks of this orchestrator that are queued or running;
	 * it comes zeroed. */
	void (*at_work)(struct orchestrator *, struct at_work *, void *arg);
	/* True when a task of that type would find a child that is ready. */
	bool (*is_hot)(struct orchestrator *, const char *type, void *arg);
	/* Fills in what children hold in memory, each name once and allocated,
	 * at most max of them. Returns how many. May be NULL. */
	size_t (*hot_cache)(
	    struct orchestrator *, char **names, size_t max, void *arg);
	/* The orchestrator does not want that task any more, or any task of
	 * that job: the id may be of either, and of one that is over, or, if
	 * may_come, of one that has not come yet. May be NULL. */
	void (*cancelled)(
	    struct orchestrator *, const char *id, bool may_come, void *arg);
	/* True when tasks of that type are not to come just now, because their
	 * program says so. May be NULL. */
	bool (*is_full)(struct orchestrator *, const char *type, void *arg);
	/* Adds what programs have to say of the machine. May be NULL. */
	void (*used)(struct orchestrator *, struct used *, void *arg);
	/* It sends a command that is none of ours: the message, a JSON object
	 * that is borrowed. May be NULL. */
	void (*command)(struct orchestrator *, const char *name,
	    const struct jslice *message, void *arg);
};

/* A task type as it is offered. */
struct skill {
	const char *name; /* the task type */
	const char *category; /* that runs it */
	const char *type; /* kind of task, by which it may be asked for; or
			     NULL */
	const char *version;
	double cost; /* of a task, in whatever they count; negative: not told */
	const struct declared *declared; /* what else is known of it; version,
					    kind and cost are above */
	bool hot; /* some child is ready for it */
	bool full; /* it is not to be offered just now */
};

/* What is offered, borrowed during the call. Nothing at all is an offer, too:
 * it takes back the one before. */
struct offered {
	const struct skill *skills; /* sorted by name */
	size_t count;
	int64_t max_concurrent_tasks;
};

/* An orchestrator, as it is shown. Borrowed. */
struct orchestrator_facts {
	const char *name; /* of its block */
	const char *url;
	const char *worker_id; /* by which it knows us */
	const char *dialect; /* or NULL, while that is not known */
	bool registered;
	bool websocket; /* one is open */
	unsigned polls; /* that are out */
	unsigned undelivered; /* results */
};

/* What is NULL is never called, or does nothing. */
struct orchestrator_driver {
	void (*offer)(struct orchestrator *, const struct offered *);
	void (*kick)(struct orchestrator *);
	void (*touch)(struct orchestrator *);
	bool (*goodbye)(struct orchestrator *);
	void (*leased)(struct orchestrator *, struct lease *);
	void (*deliver)(struct orchestrator *, struct lease *);
	void (*event)(
	    struct orchestrator *, struct lease *, const struct task_event *);
	void (*drain)(struct orchestrator *);
	bool (*tried)(const struct orchestrator *);
	bool (*registered)(const struct orchestrator *);
	unsigned (*polls)(const struct orchestrator *);
	unsigned (*undelivered)(const struct orchestrator *);
	bool (*is_gone)(const struct orchestrator *);
	void (*abandon_polls)(struct orchestrator *);
	bool (*facts)(
	    const struct orchestrator *, size_t, struct orchestrator_facts *);
	void (*free)(struct orchestrator *);
};

/* First member of every implementation. */
struct orchestrator {
	const struct orchestrator_driver *driver;
	const struct orchestrator_ops *ops;
	void *arg; /* of the ops */
};

/* Says what can be run here; the first call begins everything. */
static inline void
orchestrator_offer(struct orchestrator *o, const struct offered *offered)
{
	o->driver->offer(o, offered);
}

/* There may be more places than before. */
static inline void
orchestrator_kick(struct orchestrator *o)
{
	o->driver->kick(o);
}

/* Tasks at work or children that are ready have changed: the orchestrator is
 * told soon if that matters to it. Cheap. */
static inline void
orchestrator_touch(struct orchestrator *o)
{
	if (o->driver->touch != NULL)
		o->driver->touch(o);
}

/* Nothing will be asked or delivered any more: says goodbye, if it is to be
 * said. True when it has been said, or after 2 s; changed() tells. */
static inline bool
orchestrator_goodbye(struct orchestrator *o)
{
	return (o->driver->goodbye == NULL || o->driver->goodbye(o));
}

/* A task that it has brought has become a lease. */
static inline void
orchestrator_leased(struct orchestrator *o, struct lease *l)
{
	if (o->driver->leased != NULL)
		o->driver->leased(o, l);
}

/* Delivers the result of a finished lease; borrows it until delivered(). */
static inline void
orchestrator_deliver(struct orchestrator *o, struct lease *l)
{
	o->driver->deliver(o, l);
}

/* Passes on what a handler tells of its lease; what cannot be told in time is
 * left out. The event is borrowed during the call. */
static inline void
orchestrator_event(
    struct orchestrator *o, struct lease *l, const struct task_event *event)
{
	if (o->driver->event != NULL)
		o->driver->event(o, l, event);
}

/* Asks for no more tasks; one that is on its way may still come. */
static inline void
orchestrator_drain(struct orchestrator *o)
{
	o->driver->drain(o);
}

/* True when it has been asked, with whatever outcome. */
static inline bool
orchestrator_tried(const struct orchestrator *o)
{
	return (o->driver->tried(o));
}

/* True when the other side knows us, and so may have tasks for us. */
static inline bool
orchestrator_registered(const struct orchestrator *o)
{
	return (o->driver->registered(o));
}

/* Polls that are out: each may still bring a task. */
static inline unsigned
orchestrator_polls(const struct orchestrator *o)
{
	return (o->driver->polls(o));
}

/* Results that are not taken yet. */
static inline unsigned
orchestrator_undelivered(const struct orchestrator *o)
{
	return (o->driver->undelivered(o));
}

/* After a drain: true when none of those that are still to get results has
 * answered for some seconds. */
static inline bool
orchestrator_is_gone(const struct orchestrator *o)
{
	return (o->driver->is_gone != NULL && o->driver->is_gone(o));
}

/* Ends the polls that are out, and says in the log what that may cost. */
static inline void
orchestrator_abandon_polls(struct orchestrator *o)
{
	o->driver->abandon_polls(o);
}

/* Fills in the facts of one of those that it stands for, from 0 on; false when
 * there are no more, or none in local mode. */
static inline bool
orchestrator_facts(
    const struct orchestrator *o, size_t i, struct orchestrator_facts *out)
{
	return (o->driver->facts != NULL && o->driver->facts(o, i, out));
}

static inline void
orchestrator_free(struct orchestrator *o)
{
	if (o != NULL)
		o->driver->free(o);
}

#endif
