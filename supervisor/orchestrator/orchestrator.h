/* SPDX-License-Identifier: ISC */
/*
 * orchestrator.h: where tasks come from and results go: a real orchestrator
 * (remote.c) or a file of JSON lines (local.c). The supervisor cannot tell
 * the difference.
 */
#ifndef AVTOWORKER_ORCHESTRATOR_H
#define AVTOWORKER_ORCHESTRATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lease;
struct orchestrator;
struct task;
struct task_event;

struct orchestrator_ops {
	/* A task came. Takes the task's content. problem: why it cannot be
	 * run (it is then to be answered with INVALID_INPUT_ERROR), or NULL.
	 * False when no lease is made of it (said in the log): nothing will
	 * be delivered for it. */
	bool (*leased)(struct orchestrator *, struct task *,
	    const char *problem, void *arg);
	/* The lease's result was taken, or given up: it is done with. */
	void (*delivered)(struct orchestrator *, struct lease *, void *arg);
	/* How many more tasks may be asked for now. */
	unsigned (*places)(void *arg);
	/* Registration, polls or deliveries changed. */
	void (*changed)(struct orchestrator *, void *arg);
};

/* What is offered: task types, borrowed during the call. */
struct offered {
	const char *const *types; /* sorted */
	size_t count;
	int64_t max_concurrent_tasks;
};

struct orchestrator_driver {
	void (*offer)(struct orchestrator *, const struct offered *);
	void (*kick)(struct orchestrator *);
	void (*deliver)(struct orchestrator *, struct lease *);
	void (*event)(
	    struct orchestrator *, struct lease *, const struct task_event *);
	void (*drain)(struct orchestrator *);
	bool (*tried)(const struct orchestrator *);
	bool (*registered)(const struct orchestrator *);
	unsigned (*polls)(const struct orchestrator *);
	unsigned (*undelivered)(const struct orchestrator *);
	void (*abandon_polls)(struct orchestrator *);
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

/* Ends the polls that are out, and says in the log what that may cost. */
static inline void
orchestrator_abandon_polls(struct orchestrator *o)
{
	o->driver->abandon_polls(o);
}

static inline void
orchestrator_free(struct orchestrator *o)
{
	if (o != NULL)
		o->driver->free(o);
}

#endif
