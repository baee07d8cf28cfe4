/* SPDX-License-Identifier: ISC */
/*
 * generation.c: programs are compared whole: what is configured, which
 * handlers they have, and what their children would be started with. Those
 * that are the same go from one generation to the next with their children
 * and all they are doing.
 */
#include <stdlib.h>
#include <string.h>

#include "supervisor/base/log.h"
#include "supervisor/children/discover.h"
#include "supervisor/children/offer.h"
#include "supervisor/children/program.h"
#include "supervisor/conf.h"
#include "supervisor/conf_problem.h"
#include "supervisor/conf_told.h"
#include "supervisor/generation.h"
#include "supervisor/places.h"

static void
on_described(struct discovery *d, void *arg)
{
	struct generation *g = arg;

	(void)d;
	g->ops->described(g, g->arg);
}

struct generation *
generation_new(unsigned number, const struct conf *conf,
    const struct child_env *env, enum discovery_mode mode,
    const struct generation_ops *ops, void *arg, struct why *why)
{
	struct generation *g;

	if ((g = calloc(1, sizeof(*g))) == NULL) {
		why_errno(why, "generation");
		return (NULL);
	}
	g->number = number;
	g->conf = conf;
	g->ops = ops;
	g->arg = arg;
	TAILQ_INIT(&g->categories);
	TAILQ_INIT(&g->programs);
	handler_table_init(&g->handlers);
	g->discovery = discovery_new(env, conf, mode, on_described, g, why);
	if (g->discovery == NULL) {
		generation_free(g);
		return (NULL);
	}
	return (g);
}

int
generation_resolve(struct generation *g, struct conf_problems *problems)
{
	int rc;

	rc = discovery_resolve(g->discovery, &g->handlers, problems);
	if (rc == 0 && g->handlers.count == 0 &&
	    !discovery_is_partial(g->discovery)) {
		conf_problem_add(problems,
		    "no handlers: name a module, a script or an executable in "
		    "the configuration or on the command line");
		rc = -1;
	}
	return (rc);
}

bool
generation_has(const struct generation *g, const struct program *program)
{
	const struct program *p;

	TAILQ_FOREACH(p, &g->programs, entry)
		if (p == program)
			return (true);
	return (false);
}

struct program *
generation_program_of(const struct generation *g, const char *type)
{
	const struct handler *h = handler_find(&g->handlers, type);

	return (h != NULL ? h->program : NULL);
}

/* Fills in what the program of that handler is made with. */
static void
set_of(
    struct program_settings *set, struct generation *g, const struct handler *h)
{
	set->category = category_find(&g->categories,
	    handler_source_stays(h->source) ? h->source->category :
					      h->category);
	set->source = h->source;
	set->name = h->source != NULL ? h->source->name : h->category;
	set->handlers = &g->handlers;
	set->categories = &g->categories;
	set->max_running = (unsigned)g->conf->worker.max_concurrent_tasks;
	set->inherit = conf_inherits(g->conf);
}

static int
make_category(struct generation *g, const char *name, struct why *why)
{
	struct category *cat;

	if (category_find(&g->categories, name) != NULL)
		return (0);
	cat = category_new(name, conf_category_or_default(g->conf, name));
	if (cat == NULL) {
		why_errno(why, "category %s", name);
		return (-1);
	}
	TAILQ_INSERT_TAIL(&g->categories, cat, entry);
	return (0);
}

/* Of all handlers, and of the children of all programs. */
static int
make_categories(struct generation *g, struct why *why)
{
	const struct handler_source *s;
	struct handler *h = NULL;

	while ((h = handler_next(&g->handlers, h)) != NULL)
		if (make_category(g, h->category, why) == -1)
			return (-1);
	TAILQ_FOREACH(s, &g->handlers.sources, entry)
		if (handler_source_stays(s) &&
		    make_category(g, s->category, why) == -1)
			return (-1);
	return (0);
}

/* A limit that a script brings counts where the configuration has none, and
 * the least of several. */
static void
take_limits(const char *from, const struct offer *offer, void *arg)
{
	const struct generation *g = arg;
	const struct offer_limit *l;
	struct category *cat;
	unsigned own;

	for (l = offer->limits; l < offer->limits + offer->limits_len; l++) {
		cat = category_find(&g->categories, l->category);
		if (cat == NULL) {
			log_warn("%s: it limits category %s, which no handler "
				 "has",
			    from, l->category);
			continue;
		}
		own = conf_category_limit(cat->conf);
		if (own == 0 && (cat->limit == 0 || l->tasks < cat->limit))
			cat->limit = l->tasks;
		else if (own != 0 && own != l->tasks)
			log_info("%s: its limit of category %s, %u, is "
				 "overruled by the configuration's, %u",
			    from, cat->name, l->tasks, own);
	}
}

struct telling {
	struct conf_tolds *tolds;
	struct why *why;
	int rc;
};

static void
take_worker(const char *from, const struct offer *offer, void *arg)
{
	struct telling *t = arg;

	if (t->rc == 0 && offer->worker != NULL)
		t->rc = conf_told_read(t->tolds, from, offer->worker, t->why);
}

int
generation_told(
    const struct generation *g, struct conf_tolds *tolds, struct why *why)
{
	struct telling telling = { tolds, why, 0 };

	discovery_each_offer(g->discovery, take_worker, &telling);
	return (telling.rc);
}

static int
make_program(struct generation *g, struct discovery *d, const struct handler *h,
    struct why *why)
{
	struct program_settings set = g->common;
	struct offer offer = { 0 };
	struct program *p;
	struct child *c;

	set_of(&set, g, h);
	if ((p = program_new(&set, why)) == NULL)
		return (-1);
	TAILQ_INSERT_TAIL(&g->programs, p, entry);
	if (handler_source_stays(p->source)) {
		c = discovery_take(d, p->source, &offer);
		program_adopt(p, c, &offer);
	}
	return (0);
}

int
generation_make_programs(struct generation *g,
    const struct program_settings *common, struct why *why)
{
	struct handler *h = NULL;

	g->common = *common;
	if (make_categories(g, why) == -1)
		return (-1);
	discovery_each_offer(g->discovery, take_limits, g);
	while ((h = handler_next(&g->handlers, h)) != NULL)
		/* Unless one that has been made runs it. */
		if (h->program == NULL &&
		    make_program(g, g->discovery, h, why) == -1)
			return (-1);
	if (discovery_is_failing(g->discovery))
		g->again = g->discovery;
	else
		discovery_free(g->discovery);
	g->discovery = NULL;
	return (0);
}

/* What it has told of the worker, the orchestrator was told without it. */
static void
say_late(const char *from, const struct offer *offer, void *arg)
{
	(void)arg;
	if (offer->worker != NULL)
		log_info("%s: what it says of the worker itself counts when "
			 "the worker is started again",
		    from);
}

static int
on_joined(struct discovery *d, const struct handler_source *source, void *arg,
    struct why *why)
{
	struct generation *g = arg;
	struct handler *h = NULL;

	if (make_categories(g, why) == -1)
		return (-1);
	discovery_each_offer(d, take_limits, g);
	discovery_each_offer(d, say_late, NULL);
	do
		h = handler_next(&g->handlers, h);
	while (h->source != source);
	if (make_program(g, d, h, why) == -1)
		return (-1);
	g->ops->changed(g->arg);
	program_start(h->program);
	return (0);
}

static void
on_changed(void *arg)
{
	struct generation *g = arg;

	g->ops->changed(g->arg);
}

/* The next handler of that program, or NULL. */
static struct handler *
next_of(const struct program *p, struct handler *h)
{
	while ((h = handler_next(p->handlers, h)) != NULL)
		if (h->program == p)
			break;
	return (h);
}

static bool
same_handlers(const struct program *a, const struct program *b)
{
	struct handler *left = NULL, *right = NULL;

	for (;;) {
		left = next_of(a, left);
		right = next_of(b, right);
		if (left == NULL || right == NULL)
			return (left == right);
		if (!handler_equal(left, right))
			return (false);
	}
}

static bool
same_texts(char *const *a, char *const *b)
{
	for (; *a != NULL && *b != NULL; a++, b++)
		if (strcmp(*a, *b) != 0)
			return (false);
	return (*a == *b);
}

/* Children keep what they have read of such a file. */
static bool
same_set_files(const struct bytes *a, const struct bytes *b)
{
	return (a->len == b->len &&
	    (a->len == 0 || memcmp(a->p, b->p, a->len) == 0));
}

/* What a script imports may have changed with nothing to tell: it is started
 * anew. */
static bool
is_same(const struct program *a, const struct program *b)
{
	return (!handler_source_stays(a->source) &&
	    handler_source_equal(a->source, b->source) &&
	    strcmp(a->category->name, b->category->name) == 0 &&
	    conf_category_equal(a->conf, b->conf) && same_handlers(a, b) &&
	    same_texts(a->command.argv, b->command.argv) &&
	    same_texts(a->command.envp, b->command.envp) &&
	    same_set_files(&a->command.set_files, &b->command.set_files));
}

/* The same program in a generation, or NULL. */
static struct program *
find_same(const struct generation *g, const struct program *p)
{
	struct program *other;

	TAILQ_FOREACH(other, &g->programs, entry)
		if (is_same(other, p))
			return (other);
	return (NULL);
}

void
generation_leave_out_same(struct generation *g, const struct generation *old)
{
	struct handler *h = NULL;
	struct program *p, *next;

	TAILQ_FOREACH_SAFE(p, &g->programs, entry, next) {
		if (find_same(old, p) == NULL)
			continue;
		for (h = NULL; (h = next_of(p, h)) != NULL;)
			h->program = NULL; /* until it is taken over */
		TAILQ_REMOVE(&g->programs, p, entry);
		program_free(p);
	}
}

/* Takes over the program that has run such a handler. */
static void
take(struct generation *g, struct generation *old,
    const struct program_settings *common, const struct handler *h)
{
	struct program *p = generation_program_of(old, h->type);
	struct program_settings set = *common;

	set_of(&set, g, h);
	set.category = category_find(&g->categories, p->category->name);
	TAILQ_REMOVE(&old->programs, p, entry);
	TAILQ_INSERT_TAIL(&g->programs, p, entry);
	program_move(p, &set);
}

void
generation_take_same(struct generation *g, struct generation *old,
    const struct program_settings *common)
{
	struct category *cat, *other;
	struct handler *h = NULL;

	TAILQ_FOREACH(cat, &g->categories, entry)
		if ((other = category_find(&old->categories, cat->name)) !=
		    NULL)
			cat->paused = other->paused;
	while ((h = handler_next(&g->handlers, h)) != NULL)
		if (h->program == NULL)
			take(g, old, common, h);
}

void
generation_start(struct generation *g)
{
	const struct discovery_again again = {
		.table = &g->handlers,
		.gate = g->common.gate,
		.joined = on_joined,
		.changed = on_changed,
		.arg = g,
	};
	struct program *p;

	/* When the last one is settled at once, those that are taken over may
	 * come in behind it. */
	TAILQ_FOREACH(p, &g->programs, entry)
		if (!p->settled)
			program_start(p);
	if (g->again != NULL)
		discovery_try_again(g->again, &again);
}

void
generation_each_failing(const struct generation *g,
    void (*found)(const struct discovery_failing *, void *arg), void *arg)
{
	const struct discovery *d = g->again != NULL ? g->again : g->discovery;

	if (d != NULL)
		discovery_each_failing(d, found, arg);
}

void
generation_give_up_failing(struct generation *g)
{
	discovery_free(g->again);
	g->again = NULL;
}

bool
generation_is_settled(const struct generation *g)
{
	const struct program *p;

	TAILQ_FOREACH(p, &g->programs, entry)
		if (!p->settled)
			return (false);
	return (true);
}

unsigned
generation_places(
    const struct generation *g, const struct category *only, unsigned running)
{
	struct places places = { .taken = running };
	struct category *cat;
	struct program *p;

	TAILQ_FOREACH(cat, &g->categories, entry)
		cat->left = category_room(cat);
	TAILQ_FOREACH(p, &g->programs, entry)
		program_place_waiting(p, &places);
	TAILQ_FOREACH(p, &g->programs, entry)
		program_place_more(p, only, &places);
	return (places_left(&places, g->conf->worker.max_concurrent_tasks));
}

void
generation_free(struct generation *g)
{
	struct category *cat;
	struct program *p;

	if (g == NULL)
		return;
	discovery_free(g->discovery);
	discovery_free(g->again);
	while ((p = TAILQ_FIRST(&g->programs)) != NULL) {
		TAILQ_REMOVE(&g->programs, p, entry);
		program_free(p);
	}
	while ((cat = TAILQ_FIRST(&g->categories)) != NULL) {
		TAILQ_REMOVE(&g->categories, cat, entry);
		category_free(cat);
	}
	handler_table_fini(&g->handlers);
	conf_free(g->owned);
	free(g);
}
