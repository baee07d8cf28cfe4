/* SPDX-License-Identifier: ISC */
/*
 * category_recycle.c: children that leave while nothing is wrong: used up, or
 * not needed. They are told to, and their places count as free from then on,
 * so that what takes a place need not wait for the old child to be gone.
 *
 * Each child draws once by how much its own limits are below the configured
 * ones, up to a tenth: children that were started together do not leave
 * together. While starts fail nobody is recycled: an old child is better than
 * none.
 */
#include <bsd/stdlib.h>

#include "supervisor/base/clock.h"
#include "supervisor/children/category_parts.h"
#include "supervisor/children/footprint.h"
#include "supervisor/children/memory.h"
#include "supervisor/conf.h"

#define JITTER_MAX 1000u /* of ten thousand: a tenth */

static const char AGE[] = "recycled_age";

void
category_draw(struct child *c)
{
	c->jitter = arc4random_uniform(JITTER_MAX + 1);
}

/* The child's own limit; 0 stays 0. */
static int64_t
limit_of(const struct child *c, int64_t limit)
{
	return (limit - limit / 10000 * c->jitter -
	    limit % 10000 * c->jitter / 10000);
}

void
category_dismiss(struct category *cat, struct child *c, const char *reason)
{
	if (c->state != CHILD_IDLE && c->state != CHILD_STARTING)
		return;
	c->leaving = reason;
	child_stop(c);
	TAILQ_REMOVE(&cat->children, c, entry); /* idle ones come first */
	TAILQ_INSERT_TAIL(&cat->children, c, entry);
}

/* Memory of the child; where a launcher stands above it, of both and of what
 * else is there. */
static bool
has_grown(const struct child *c, int64_t limit)
{
	struct footprint_family family;

	if (!c->launched)
		return (memory_is_above(c->pid, limit));
	footprint_family(&family, "/proc", c->pid);
	/* The cheap one first, which is never less than the other. */
	return (footprint_sum(&family, "/proc", footprint_rss) > limit &&
	    footprint_sum(&family, "/proc", footprint_pss) > limit);
}

void
category_check_used(struct category *cat, struct child *c)
{
	const struct conf_category *conf = cat->conf;

	if (!child_is_free(c) || cat->stopping || cat->backoff.failures > 0)
		return;
	if (conf->max_tasks_per_child > 0 &&
	    c->tasks >= limit_of(c, conf->max_tasks_per_child))
		category_dismiss(cat, c, "recycled_tasks");
	else if (conf->max_memory_per_child > 0 &&
	    has_grown(c, limit_of(c, conf->max_memory_per_child)))
		category_dismiss(cat, c, "recycled_memory");
}

/* How many more may leave for their age: what has left and what takes its
 * place is to be a quarter of the pool at most, or one child. */
static unsigned
may_age(const struct category *cat)
{
	unsigned all = 0, away = 0, quarter;
	const struct child *c;

	TAILQ_FOREACH(c, &cat->children, entry) {
		if (c->state == CHILD_ENDING)
			continue;
		all++;
		if (c->state == CHILD_STARTING || c->leaving == AGE)
			away++;
	}
	quarter = all / 4 > 0 ? all / 4 : 1;
	return (quarter > away ? quarter - away : 0);
}

static void
dismiss_old(struct category *cat, struct pool_counts *counts, int64_t now_ms)
{
	struct child *c, *next;
	unsigned n;

	if (cat->conf->max_child_age_ms == 0 || cat->backoff.failures > 0)
		return;
	n = may_age(cat);
	TAILQ_FOREACH_SAFE(c, &cat->children, entry, next) {
		if (n == 0 || category_no_idle_behind(c))
			break;
		if (c->state != CHILD_IDLE ||
		    now_ms - c->born_ms <
			limit_of(c, cat->conf->max_child_age_ms))
			continue;
		category_dismiss(cat, c, AGE);
		counts->idle--;
		n--;
	}
}

/* The idle child that was used longest ago. */
static struct child *
last_idle(const struct category *cat)
{
	struct child *c, *last = NULL;

	TAILQ_FOREACH(c, &cat->children, entry) {
		if (category_no_idle_behind(c))
			break;
		if (c->state == CHILD_IDLE)
			last = c;
	}
	return (last);
}

void
category_recycle(struct category *cat, struct pool_counts *n, int64_t now_ms)
{
	struct child *c;
	unsigned surplus;

	dismiss_old(cat, n, now_ms);
	surplus = pool_to_stop(&cat->pool, n, now_ms);
	while (surplus-- > 0 && (c = last_idle(cat)) != NULL) {
		category_dismiss(cat, c, "idle");
		n->idle--;
		/* It was ready, all that time: whatever failed before. */
		backoff_reset(&cat->backoff);
	}
}

int64_t
category_recycle_ms(const struct category *cat, int64_t now_ms)
{
	const struct child *c;
	int64_t at, due = INT64_MAX;

	if (cat->conf->max_child_age_ms == 0 || cat->backoff.failures > 0)
		return (due);
	TAILQ_FOREACH(c, &cat->children, entry) {
		if (category_no_idle_behind(c))
			break;
		if (c->state != CHILD_IDLE)
			continue;
		at = c->born_ms + limit_of(c, cat->conf->max_child_age_ms);
		/* One that is too old already waits for others to be ready. */
		if (at > now_ms && at < due)
			due = at;
	}
	return (due);
}
