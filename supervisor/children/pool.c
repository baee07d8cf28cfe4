/* SPDX-License-Identifier: ISC */
/*
 * pool.c: the sizes of a pool. A round that starts all that is missing ends
 * the demand, so single leases, one after the other, each get their child at
 * once; only a heap of them is worked off in rounds.
 */
#include <stdbool.h>

#include "supervisor/children/pool.h"

static unsigned
smaller(unsigned a, unsigned b)
{
	return (a < b ? a : b);
}

static unsigned
present(const struct pool_counts *n)
{
	return (n->starting + n->idle + n->busy);
}

void
pool_reset_rounds(struct pool *p)
{
	p->round = 1;
	p->round_ms = 0;
}

void
pool_init(struct pool *p, unsigned min, unsigned max, int64_t idle_timeout_ms)
{
	*p = (struct pool){
		.min = min,
		.max = max,
		.idle_timeout_ms = idle_timeout_ms,
	};
	pool_reset_rounds(p);
}

unsigned
pool_wanted(const struct pool *p, const struct pool_counts *n)
{
	const unsigned room = p->max > n->busy ? p->max - n->busy : 0;
	const unsigned tasks = n->busy + smaller(n->waiting, room);

	return (tasks > p->min ? tasks : p->min);
}

/* More than the minimum is missing: the next step of the ramp, when its time
 * has come, or when nothing is on its way for what waits. */
static unsigned
next_round(struct pool *p, unsigned missing, bool on_the_way, int64_t now_ms)
{
	unsigned n;

	if (now_ms < p->round_ms && on_the_way)
		return (0);
	n = smaller(missing, p->round);
	if (n == missing)
		pool_reset_rounds(p);
	else {
		p->round = smaller(p->round * 2, POOL_ROUND_MAX);
		p->round_ms = now_ms + POOL_ROUND_MS;
	}
	return (n);
}

unsigned
pool_to_start(struct pool *p, const struct pool_counts *n, int64_t now_ms)
{
	const unsigned wanted = pool_wanted(p, n), have = present(n);

	if (have >= wanted) {
		pool_reset_rounds(p);
		return (0);
	}
	if (have >= p->min)
		return (next_round(p, wanted - have, n->starting > 0, now_ms));
	/* The minimum waits for nothing; but not more in one go than the loop
	 * can well stand. */
	if (p->min - have > POOL_ROUND_MAX) {
		p->round_ms = now_ms;
		return (POOL_ROUND_MAX);
	}
	p->round_ms = wanted > p->min ? now_ms : 0;
	return (p->min - have);
}

unsigned
pool_to_stop(struct pool *p, const struct pool_counts *n, int64_t now_ms)
{
	const unsigned have = present(n);
	unsigned surplus;

	if (have <= p->min) {
		p->since_ms = 0;
		return (0);
	}
	if (p->since_ms == 0) {
		p->since_ms = now_ms;
		p->low_water = n->idle;
	}
	p->low_water = smaller(p->low_water, n->idle);
	if (now_ms - p->since_ms < p->idle_timeout_ms)
		return (0);
	surplus = smaller(p->low_water, have - p->min);
	p->since_ms = have - surplus > p->min ? now_ms : 0;
	p->low_water = n->idle - surplus;
	return (surplus);
}

int64_t
pool_due_ms(const struct pool *p)
{
	int64_t due = INT64_MAX;

	if (p->round_ms != 0)
		due = p->round_ms;
	if (p->since_ms != 0 && p->since_ms + p->idle_timeout_ms < due)
		due = p->since_ms + p->idle_timeout_ms;
	return (due);
}
