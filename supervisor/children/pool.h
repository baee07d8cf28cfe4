/* SPDX-License-Identifier: ISC */
/*
 * pool.h: how many children a program has: numbers and a time go in, a
 * decision comes out. It knows no children and sets no timers. Embedded in
 * its program.
 *
 * Growing follows the demand, in rounds of 1, 2, 4 ... 32 new children while
 * there is more demand than children; what is below the minimum is started
 * at once. Shrinking follows the low-water mark of idle children (Dovecot's
 * rule): those that were idle all through the last idle_timeout were not
 * needed, however the load went up and down in the meantime.
 */
#ifndef AVTOWORKER_POOL_H
#define AVTOWORKER_POOL_H

#include <stdint.h>

#define POOL_ROUND_MAX 32 /* children that one round starts at most */
#define POOL_ROUND_MS  ((int64_t)50) /* from one round to the next */

struct pool_counts {
	unsigned starting, idle, busy; /* children; others do not count */
	unsigned room; /* for leases, in the busy ones */
	unsigned waiting; /* children that the leases would fill which could
			     run if there was one */
};

struct pool {
	unsigned min;
	unsigned max;
	int64_t idle_timeout_ms;
	unsigned round; /* children that the next round starts */
	int64_t round_ms; /* when that may be; 0: at once */
	unsigned low_water; /* least idle children since then: */
	int64_t since_ms; /* 0: nothing is above the minimum */
};

void pool_init(
    struct pool *, unsigned min, unsigned max, int64_t idle_timeout_ms);
/* Children to be had now: from min to max, as many as there are tasks. */
unsigned pool_wanted(const struct pool *, const struct pool_counts *);
/* How many to start now. When that is fewer than are wanted, pool_due_ms()
 * says when to ask again. A child that is starting is as good as an idle one. */
unsigned pool_to_start(
    struct pool *, const struct pool_counts *, int64_t now_ms);
/* Starts have been failing, or nothing may be started: the next round is a
 * small one. */
void pool_reset_rounds(struct pool *);
/* How many idle children to stop now. To be asked after every change, for it
 * is what sees the low-water mark. */
unsigned pool_to_stop(
    struct pool *, const struct pool_counts *, int64_t now_ms);
/* When to ask again though nothing has changed; INT64_MAX: never. */
int64_t pool_due_ms(const struct pool *);

#endif
