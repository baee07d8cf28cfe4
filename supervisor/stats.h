/* SPDX-License-Identifier: ISC */
/* stats.h: what has been counted since the start: tasks, ends of children,
 * requests. Bounded: names beyond STATS_NAMES_MAX are counted as "other". */
#ifndef AVTOWORKER_STATS_H
#define AVTOWORKER_STATS_H

#include <stdint.h>

#define STATS_NAMES_MAX 1000 /* first names of a kind */
#define STATS_WORDS_MAX 32 /* second names of each first */
#define STATS_TEXT_MAX  128 /* bytes of a name; longer ones are cut */
#define STATS_BUCKETS   16

/* kind, its first and its second name */
enum stats_kind {
	STATS_TASKS, /* task type, status */
	STATS_CHILD_ENDS, /* category, reason */
	STATS_REQUESTS, /* endpoint, outcome */
	STATS_PAUSES, /* endpoint, "" */
	STATS_SKEWS, /* orchestrator, ""; a level, not a count */
	STATS_MESSAGES, /* orchestrator, direction */
	STATS_NKINDS,
};

/* How long things took. */
struct stats_times {
	uint64_t counts[STATS_BUCKETS + 1]; /* each alone, not summed up; the
					       last is beyond all bounds */
	uint64_t count;
	uint64_t sum_ms;
};

/* One line of the books, borrowed for the call. */
struct stats_entry {
	const char *first;
	const char *second; /* NULL in stats_each_first() */
	uint64_t count;
	int64_t level; /* of what is no count */
	const struct stats_times *times; /* NULL: this kind has none here */
};

struct stats;

/* Upper bounds of the buckets, inclusive, in ms, rising. */
extern const int64_t stats_bounds_ms[STATS_BUCKETS];

/* NULL when memory is short. */
struct stats *stats_new(void);
/* NULL is fine, here and where things are counted. */
void stats_free(struct stats *);

/* A lease has its result; ms since it came. */
void stats_task(
    struct stats *, const char *type, const char *status, int64_t ms);
/* A child has ended, for that reason (a death cause, or why it was replaced). */
void stats_child_end(struct stats *, const char *category, const char *reason);
/* A request has been answered, or not. */
void stats_request(
    struct stats *, const char *endpoint, const char *outcome, int64_t ms);

/* Requests are held back for so many ms, for the sake of rate limits. */
void stats_pause(struct stats *, const char *endpoint, int64_t ms);
/* A message has gone over the WebSocket: "in" or "out". */
void stats_message(
    struct stats *, const char *orchestrator, const char *direction);
/* How far that orchestrator's clock is ahead of ours. */
void stats_skew(struct stats *, const char *orchestrator, int64_t ms);

/* Every pair of names in order, with times if they are kept by pair
 * (requests). */
void stats_each(const struct stats *, enum stats_kind,
    void (*)(const struct stats_entry *, void *arg), void *arg);
/* Every first name in order, with times if they are kept so (tasks). */
void stats_each_first(const struct stats *, enum stats_kind,
    void (*)(const struct stats_entry *, void *arg), void *arg);

#endif
