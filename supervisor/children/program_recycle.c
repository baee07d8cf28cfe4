/* SPDX-License-Identifier: ISC */
/*
 * program_recycle.c: children that leave while nothing is wrong: used up, not
 * needed, or by their own wish. They are told to, and their places count as
 * free from then on, so that what takes a place need not wait for the old child
 * to be gone. One that has several tasks at once would hardly ever be idle: it
 * gets no more, and keeps its place until the last has ended, for that may take
 * as long as tasks do, and the pool is to be no larger meanwhile.
 *
 * Each child draws once by how much its own limits are below the configured
 * ones, up to a tenth: children that were started together do not leave
 * together. While starts fail nobody is recycled: an old child is better than
 * none.
 */
#include <bsd/stdlib.h>

#include "supervisor/base/clock.h"
#include "supervisor/children/program_parts.h"
#include "supervisor/children/footprint.h"
#include "supervisor/children/memory.h"
#include "supervisor/conf.h"

#define JITTER_MAX 1000u /* of ten thousand: a tenth */

static const char AGE[] = "recycled_age";

void
program_draw(struct child *c)
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

bool
program_was_dismissed(const struct child *c)
{
	return (c->leaving != NULL && c->last == CHILD_STOPPING);
}

unsigned
program_room_of(const struct program *p, const struct child *c)
{
	const int64_t had = c->tasks + c->running_len;
	int64_t room = program_tasks_per_child(p), left;

	if (!child_is_open(c) || c->leaving != NULL || c->held.leaving)
		return (0);
	room -= c->running_len;
	if (p->conf->max_tasks_per_child > 0 && p->backoff.failures == 0) {
		left = limit_of(c, p->conf->max_tasks_per_child) - had;
		room = left < room ? left : room;
	}
	return (room > 0 ? (unsigned)room : 0);
}

void
program_dismiss(struct program *p, struct child *c, const char *reason)
{
	if (c->state == CHILD_BUSY)
		c->leaving = reason;
	if (c->state != CHILD_IDLE && c->state != CHILD_STARTING)
		return;
	c->leaving = reason;
	child_stop(c);
	TAILQ_REMOVE(&p->children, c, entry); /* idle ones come first */
	TAILQ_INSERT_TAIL(&p->children, c, entry);
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

/* Why a child that has ended a task is not to get any more; or NULL. */
static const char *
used_up(const struct program *p, const struct child *c)
{
	const struct conf_category *conf = p->conf;

	if (c->held.leaving)
		return ("left");
	if (p->backoff.failures > 0)
		return (NULL);
	if (c->leaving != NULL)
		return (c->leaving); /* since it was busy */
	if (conf->max_tasks_per_child > 0 &&
	    c->tasks >= limit_of(c, conf->max_tasks_per_child))
		return ("recycled_tasks");
	if (conf->max_memory_per_child > 0 &&
	    has_grown(c, limit_of(c, conf->max_memory_per_child)))
		return ("recycled_memory");
	return (NULL);
}

void
program_check_used(struct program *p, struct child *c)
{
	if (p->stopping || !child_is_open(c) ||
	    (c->state == CHILD_BUSY && program_tasks_per_child(p) == 1))
		return;
	c->leaving = used_up(p, c);
	if (c->leaving != NULL)
		program_dismiss(p, c, c->leaving);
}

/* How many more may leave for their age: what has left and what takes its
 * place is to be a quarter of the pool at most, or one child. */
static unsigned
may_age(const struct program *p)
{
	unsigned all = 0, away = 0, quarter;
	const struct child *c;

	TAILQ_FOREACH(c, &p->children, entry) {
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
dismiss_old(struct program *p, struct pool_counts *counts, int64_t now_ms)
{
	/* A busy one is idle soon. */
	const bool one_each = program_tasks_per_child(p) == 1;
	struct child *c, *next;
	unsigned n;

	if (p->conf->max_child_age_ms == 0 || p->backoff.failures > 0)
		return;
	n = may_age(p);
	TAILQ_FOREACH_SAFE(c, &p->children, entry, next) {
		if (n == 0 || (one_each && program_no_idle_behind(c)))
			break;
		if (!child_is_open(c) || c->leaving != NULL ||
		    now_ms - c->born_ms <
			limit_of(c, p->conf->max_child_age_ms))
			continue;
		counts->idle -= c->state == CHILD_IDLE;
		program_dismiss(p, c, AGE);
		n--;
	}
}

/* The idle child that was used longest ago. */
static struct child *
last_idle(const struct program *p)
{
	struct child *c, *last = NULL;

	TAILQ_FOREACH(c, &p->children, entry) {
		if (program_no_idle_behind(c))
			break;
		if (c->state == CHILD_IDLE)
			last = c;
	}
	return (last);
}

void
program_recycle(struct program *p, struct pool_counts *n, int64_t now_ms)
{
	struct child *c;
	unsigned surplus;

	dismiss_old(p, n, now_ms);
	surplus = pool_to_stop(&p->pool, n, now_ms);
	while (surplus-- > 0 && (c = last_idle(p)) != NULL) {
		program_dismiss(p, c, "idle");
		n->idle--;
		/* It was ready, all that time: whatever failed before. */
		backoff_reset(&p->backoff);
	}
}

int64_t
program_recycle_ms(const struct program *p, int64_t now_ms)
{
	const struct child *c;
	int64_t at, due = INT64_MAX;

	if (p->conf->max_child_age_ms == 0 || p->backoff.failures > 0)
		return (due);
	TAILQ_FOREACH(c, &p->children, entry) {
		if (program_no_idle_behind(c))
			break;
		if (c->state != CHILD_IDLE)
			continue;
		at = c->born_ms + limit_of(c, p->conf->max_child_age_ms);
		/* One that is too old already waits for others to be ready. */
		if (at > now_ms && at < due)
			due = at;
	}
	return (due);
}
