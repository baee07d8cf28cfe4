/* SPDX-License-Identifier: ISC */
/*
 * discover.h: finds out which handlers there are. Files of C modules are
 * described by runs of avtoworker-child --describe: the supervisor itself
 * never loads handler code. Scripts and channel programs are described by
 * their first child, which then serves; those that do not start may be tried
 * again beside the others.
 */
#ifndef AVTOWORKER_DISCOVER_H
#define AVTOWORKER_DISCOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/base/why.h"

struct child;
struct child_env;
struct conf;
struct conf_problems;
struct discovery;
struct handler_source;
struct handler_table;
struct offer;
struct start_gate;

/* What is done about scripts and channel programs. */
enum discovery_mode {
	DISCOVER_FILES, /* none is started: they are looked at, and scripts
			   compiled */
	DISCOVER_ALL, /* each must start */
	DISCOVER_SOME, /* those that do not may be tried again; but some
			  handler must be there */
};

/* Called once, from the loop, when everything has answered or died. */
typedef void (*discovery_done)(struct discovery *, void *arg);

/* Starts the run over all that the configuration (borrowed until it is freed)
 * names. NULL and why. */
struct discovery *discovery_new(const struct child_env *, const struct conf *,
    enum discovery_mode, discovery_done, void *arg, struct why *);
/* After done: true when what failed may work another time: a program was there
 * but did not start. */
bool discovery_may_pass(const struct discovery *);
/* After done: true when some handlers are not known, because nothing was
 * started. */
bool discovery_is_partial(const struct discovery *);
/* After done: fills the table by the rules of module and handler blocks.
 * -1 when anything is wrong; every problem is then added to the list. */
int discovery_resolve(
    struct discovery *, struct handler_table *, struct conf_problems *);
/* After done: calls found() for each script and channel program that was
 * started: "python NAME", and what it offers. */
void discovery_each_offer(const struct discovery *,
    void (*found)(const char *from, const struct offer *, void *arg),
    void *arg);
/* After discovery_resolve(): the first child of a script or channel program, and
 * what it offers, which are then the caller's; NULL when it is dead. */
struct child *discovery_take(
    struct discovery *, const struct handler_source *, struct offer *);

/* One that does not start. */
struct discovery_failing {
	const char *from; /* "python NAME"; the discovery's */
	const char *reason; /* the same */
	int64_t retry_ms; /* when it is tried again; 0: it is being tried, or
			     waits for its turn */
};

/* After done: calls found() for each script and channel program that has not
 * started, though it is there. */
void discovery_each_failing(const struct discovery *,
    void (*found)(const struct discovery_failing *, void *arg), void *arg);
/* True when there is one. */
bool discovery_is_failing(const struct discovery *);

/* All borrowed until the discovery is freed. */
struct discovery_again {
	struct handler_table *table; /* that discovery_resolve() has filled */
	struct start_gate *gate; /* of the whole worker */
	/* One of them has started, and its handlers are in the table: takes
	 * it by discovery_take(), and may even free the discovery. -1 and
	 * why: then it cannot be used. */
	int (*joined)(struct discovery *, const struct handler_source *,
	    void *arg, struct why *);
	/* One of them has failed again. */
	void (*changed)(void *arg);
	void *arg;
};

/* After discovery_resolve(), with DISCOVER_SOME: says which do not start, and
 * tries each of them again until it does. */
void discovery_try_again(struct discovery *, const struct discovery_again *);

/* Kills what still runs; NULL is fine. */
void discovery_free(struct discovery *);

#endif
