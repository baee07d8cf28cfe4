/* SPDX-License-Identifier: ISC */
/*
 * discover.h: finds out which handlers there are. Files of C modules are
 * described by runs of avtoworker-child --describe: the supervisor itself
 * never loads handler code. Scripts and channel programs are described by
 * their first child, which then serves.
 */
#ifndef AVTOWORKER_DISCOVER_H
#define AVTOWORKER_DISCOVER_H

#include <stdbool.h>

#include "supervisor/base/why.h"

struct child;
struct child_env;
struct conf;
struct conf_problems;
struct discovery;
struct handler_source;
struct handler_table;
struct offer;

/* Called once, from the loop, when everything has answered or died. */
typedef void (*discovery_done)(struct discovery *, void *arg);

/* Starts the run over all that the configuration (borrowed until it is freed)
 * names. starts: scripts and channel programs are started; else it is only
 * looked whether they are there. NULL and why. */
struct discovery *discovery_new(const struct child_env *, const struct conf *,
    bool starts, discovery_done, void *arg, struct why *);
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
/* Kills what still runs; NULL is fine. */
void discovery_free(struct discovery *);

#endif
