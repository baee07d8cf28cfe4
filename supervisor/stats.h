/* SPDX-License-Identifier: ISC */
/* stats.h: what has been counted since the start: tasks, ends of children,
 * requests. Bounded: names beyond STATS_NAMES_MAX are counted as "other". */
#ifndef AVTOWORKER_STATS_H
#define AVTOWORKER_STATS_H

#include <stdint.h>

#define STATS_NAMES_MAX 1000

struct stats;

/* NULL when memory is short. */
struct stats *stats_new(void);
void stats_free(struct stats *);

/* A lease has its result; ms since it came. */
void stats_task(
    struct stats *, const char *type, const char *status, int64_t ms);
/* A child has ended, for that reason (a death cause, or why it was replaced). */
void stats_child_end(struct stats *, const char *category, const char *reason);
/* A request has been answered, or not. */
void stats_request(
    struct stats *, const char *endpoint, const char *outcome, int64_t ms);

#endif
