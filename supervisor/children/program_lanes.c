/* SPDX-License-Identifier: ISC */
/*
 * program_lanes.c: what a program has of its categories: which handlers are
 * its own, a lane for each category that these name, how many children are of
 * use, and how many more leases it has places for.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/base/clock.h"
#include "supervisor/children/program_parts.h"
#include "supervisor/conf.h"
#include "supervisor/handler.h"
#include "supervisor/lease.h"
#include "supervisor/places.h"

/* The lane of that category, or NULL. */
static struct lane *
find_lane(const struct program *p, const char *category)
{
	size_t i;

	for (i = 0; i < p->lanes_len; i++)
		if (strcmp(p->lanes[i].category->name, category) == 0)
			return (&p->lanes[i]);
	return (NULL);
}

struct lane *
program_lane(const struct program *p, const struct lease *l)
{
	const struct handler *h = handler_find(p->handlers, l->task.type);
	struct lane *lane = h != NULL ? find_lane(p, h->category) : NULL;

	return (lane != NULL ? lane : &p->lanes[0]);
}

static bool
is_own(const struct program *p, const struct handler *h)
{
	if (!handler_source_equal(p->source, h->source))
		return (false);
	return (
	    p->source != NULL || strcmp(h->category, p->category->name) == 0);
}

/* Marks its handlers, and counts them. */
static size_t
claim(struct program *p)
{
	struct handler *h = NULL;
	size_t n = 0;

	while ((h = handler_next(p->handlers, h)) != NULL)
		if (is_own(p, h)) {
			h->program = p;
			n++;
		}
	return (n);
}

int
program_make_lanes(struct program *p, const struct category_list *categories)
{
	const size_t handlers = claim(p);
	struct handler *h = NULL;
	struct lane *lane;

	p->lanes = calloc(handlers + 1, sizeof(*p->lanes));
	if (p->lanes == NULL)
		return (-1);
	while ((h = handler_next(p->handlers, h)) != NULL) {
		if (h->program != p || find_lane(p, h->category) != NULL)
			continue;
		lane = &p->lanes[p->lanes_len++];
		lane->category = category_find(categories, h->category);
		TAILQ_INIT(&lane->queue);
	}
	return (0);
}

void
program_move_lanes(struct program *p, const struct category_list *categories)
{
	struct lane *lane;
	size_t i;

	(void)claim(p);
	for (i = 0; i < p->lanes_len; i++) {
		lane = &p->lanes[i];
		lane->category =
		    category_find(categories, lane->category->name);
		lane->category->running += lane->running;
	}
}

/* Tasks that its categories let run at once; 0: no limit. */
static unsigned
most_tasks(const struct program *p)
{
	unsigned tasks = 0;
	size_t i;

	for (i = 0; i < p->lanes_len; i++) {
		if (p->lanes[i].category->limit == 0)
			return (0);
		tasks += p->lanes[i].category->limit;
	}
	return (tasks);
}

/* Most children, when the category does not say. A script mostly waits for
 * others; C modules and executables mostly compute. */
static unsigned
usual_children(const struct program *p)
{
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);
	const unsigned each = program_tasks_per_child(p);
	const unsigned tasks = most_tasks(p);

	if (tasks > 0)
		return ((tasks - 1) / each + 1);
	if (handler_source_stays(p->source) && p->max_running > 0)
		return ((p->max_running - 1) / each + 1);
	return (cores > 0 ? (unsigned)cores : 1);
}

void
program_set_size(struct program *p)
{
	unsigned min, max;

	conf_category_sizes(p->conf, usual_children(p), &min, &max);
	pool_init(&p->pool, min, max, p->conf->idle_timeout_ms);
}

/* Leases that it could take at once, if their categories have room. */
static unsigned
places_of(const struct program *p)
{
	const struct pool_counts n = program_counts(p);
	unsigned present = n.starting + n.idle + n.busy;
	unsigned children = p->pool.max;

	if (p->stopping || !p->usable)
		return (0);
	if (p->backoff.failures > 0) {
		/* What could be started is on trial, and one at a time. */
		if (present == 0 && clock_now_ms() >= p->not_before_ms)
			present = 1;
		children = present < children ? present : children;
	}
	if (children < n.busy)
		children = n.busy;
	return ((children - n.busy) * program_tasks_per_child(p) + n.room);
}

static unsigned
least(unsigned a, unsigned b)
{
	return (a < b ? a : b);
}

/* So many of the places are given away. */
static void
take_places(struct program *p, struct category *cat, unsigned n)
{
	p->spare -= n;
	cat->left -= n;
}

void
program_place_waiting(struct program *p, struct places *places)
{
	struct lane *lane;
	unsigned n;
	size_t i;

	p->spare = places_of(p);
	for (i = 0; i < p->lanes_len; i++) {
		lane = &p->lanes[i];
		n = least(lane->queued, least(p->spare, lane->category->left));
		take_places(p, lane->category, n);
		places_add(places, 0, n);
	}
}

void
program_place_more(
    struct program *p, const struct category *only, struct places *places)
{
	struct lane *lane;
	unsigned n;
	size_t i;

	for (i = 0; i < p->lanes_len; i++) {
		lane = &p->lanes[i];
		if (lane->full || (only != NULL && lane->category != only))
			continue;
		n = least(p->spare, lane->category->left);
		take_places(p, lane->category, n);
		places_add(places, (int)n, 0);
	}
}
