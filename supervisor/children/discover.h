/* SPDX-License-Identifier: ISC */
/*
 * discover.h: finds out which handlers the configured files hold, by running
 * avtoworker-child --describe on each: the supervisor itself never loads
 * handler code.
 */
#ifndef AVTOWORKER_DISCOVER_H
#define AVTOWORKER_DISCOVER_H

#include "supervisor/base/why.h"

struct child_env;
struct conf;
struct conf_problems;
struct discovery;
struct handler_table;

/* Called once, from the loop, when every file has answered or died. */
typedef void (*discovery_done)(struct discovery *, void *arg);

/* Starts the run over every file of the configuration (borrowed until it is
 * freed). NULL and why. */
struct discovery *discovery_new(const struct child_env *, const struct conf *,
    discovery_done, void *arg, struct why *);
/* After done: fills the table by the rules of module and handler blocks.
 * -1 when anything is wrong; every problem is then added to the list. */
int discovery_resolve(
    struct discovery *, struct handler_table *, struct conf_problems *);
/* Kills what still runs; NULL is fine. */
void discovery_free(struct discovery *);

#endif
