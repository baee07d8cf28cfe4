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
#include "supervisor/children/program.h"

struct category;
struct conf_category;
struct handler_table;
struct lease_table;

struct category_ops {
	/* A lease has its result; the result is the callee's to take. */
	void (*finished)(struct lease *, struct result *, void *arg);
	/* Whether it can be offered is known now, or has changed. */
	void (*settled)(struct category *, void *arg);
	/* It may have room for another lease. */
	void (*room)(void *arg);
	/* It was told to stop and its last child is gone. */
	void (*emptied)(struct category *, void *arg);
};

struct category {
	TAILQ_ENTRY(category) entry; /* of the owner's list */
	const struct category_ops *ops;
	void *arg;
	char *name;
	const struct conf_category *conf; /* borrowed */
	const struct child_env *env;
	const struct handler_table *handlers; /* borrowed */
	struct lease_table *leases; /* borrowed */
	struct program program; /* starts one child */
	TAILQ_HEAD(, child) children;
	TAILQ_HEAD(, lease) queue; /* no free child yet */
	unsigned wanted; /* children to keep */
	unsigned queued;
	struct backoff backoff; /* between starts that fail */
	struct event retry; /* the back-off is over */
	int64_t not_before_ms; /* no child is started earlier */
	char failure[256]; /* why the last start failed; or "" */
	int64_t ready_ms; /* when a child was last known to be ready */
	bool was_ready : 1; /* some child has been ready; withdrawn when none
			       has been for long */
	bool offered : 1; /* was_ready as last told by settled() */
	bool settled : 1; /* ready once, or failed once */
	bool succeeded : 1; /* some lease has got a child's result */
	bool stopping : 1;
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
	const struct category_ops *ops;
	void *arg;
};

/* NULL and why. */
struct category *category_new(const struct category_settings *, struct why *);
/* Starts its children; further ones follow by themselves. */
void category_start(struct category *);
/* Runs a queued lease as soon as a child is free. */
void category_submit(struct category *, struct lease *);
/* Leases it could take at once: idle and starting children less the queue;
 * negative when the queue is longer. */
int category_places(const struct category *);
/* True when its skills can be offered. */
bool category_is_offered(const struct category *);
/* Ends the children as they become idle; says emptied when none is left. */
void category_stop(struct category *);
/* Hands every lease back as interrupted, then kills the children. */
void category_abandon(struct category *);
/* Frees it and kills what is left of it; NULL is fine. */
void category_free(struct category *);

#endif
