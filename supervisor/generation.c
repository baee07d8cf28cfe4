/* SPDX-License-Identifier: ISC */
/*
 * generation.c: categories are compared whole: what is configured, which
 * handlers they have, and what their children would be started with. Those
 * that are the same go from one generation to the next with their children
 * and all they are doing.
 */
#include <stdlib.h>
#include <string.h>

#include "supervisor/children/category.h"
#include "supervisor/children/discover.h"
#include "supervisor/conf.h"
#include "supervisor/conf_problem.h"
#include "supervisor/generation.h"

static void
on_described(struct discovery *d, void *arg)
{
	struct generation *g = arg;

	(void)d;
	g->described(g, g->arg);
}

struct generation *
generation_new(unsigned number, const struct conf *conf,
    const struct child_env *env, generation_described described, void *arg,
    struct why *why)
{
	struct generation *g;

	if ((g = calloc(1, sizeof(*g))) == NULL) {
		why_errno(why, "generation");
		return (NULL);
	}
	g->number = number;
	g->conf = conf;
	g->described = described;
	g->arg = arg;
	TAILQ_INIT(&g->categories);
	handler_table_init(&g->handlers);
	g->discovery = discovery_new(env, conf, on_described, g, why);
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
	if (rc == 0 && g->handlers.count == 0) {
		conf_problem_add(problems,
		    "no handlers: name a module in the configuration "
		    "(module NAME { file = FILE.so }) or on the command line");
		rc = -1;
	}
	discovery_free(g->discovery);
	g->discovery = NULL;
	return (rc);
}

struct category *
generation_category(const struct generation *g, const char *name)
{
	struct category *cat;

	TAILQ_FOREACH(cat, &g->categories, entry)
		if (strcmp(cat->name, name) == 0)
			return (cat);
	return (NULL);
}

struct category *
generation_category_of(const struct generation *g, const char *type)
{
	const struct handler *h = handler_find(&g->handlers, type);

	return (h != NULL ? generation_category(g, h->category) : NULL);
}

int
generation_make_categories(struct generation *g,
    const struct category_settings *common, struct why *why)
{
	struct category_settings set = *common;
	struct handler *h = NULL;
	struct category *cat;

	set.handlers = &g->handlers;
	set.inherit = conf_inherits(g->conf);
	while ((h = handler_next(&g->handlers, h)) != NULL) {
		if (generation_category(g, h->category) != NULL)
			continue;
		set.name = h->category;
		set.conf = conf_category_or_default(g->conf, h->category);
		if ((cat = category_new(&set, why)) == NULL)
			return (-1);
		TAILQ_INSERT_TAIL(&g->categories, cat, entry);
	}
	return (0);
}

/* The next handler of that category, or NULL. */
static struct handler *
next_of(const struct handler_table *t, struct handler *h, const char *category)
{
	while ((h = handler_next(t, h)) != NULL)
		if (strcmp(h->category, category) == 0)
			break;
	return (h);
}

static bool
same_handlers(const struct category *a, const struct category *b)
{
	struct handler *left = NULL, *right = NULL;

	for (;;) {
		left = next_of(a->handlers, left, a->name);
		right = next_of(b->handlers, right, b->name);
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

static bool
is_same(const struct category *a, const struct category *b)
{
	return (conf_category_equal(a->conf, b->conf) && same_handlers(a, b) &&
	    same_texts(a->program.argv, b->program.argv) &&
	    same_texts(a->program.envp, b->program.envp));
}

void
generation_leave_out_same(struct generation *g, const struct generation *old)
{
	struct category *cat, *next, *other;

	TAILQ_FOREACH_SAFE(cat, &g->categories, entry, next) {
		other = generation_category(old, cat->name);
		if (other == NULL || !is_same(cat, other))
			continue;
		TAILQ_REMOVE(&g->categories, cat, entry);
		category_free(cat);
	}
}

void
generation_take_same(struct generation *g, struct generation *old)
{
	struct handler *h = NULL;
	struct category *cat, *other;

	TAILQ_FOREACH(cat, &g->categories, entry)
		if ((other = generation_category(old, cat->name)) != NULL)
			cat->paused = other->paused;
	while ((h = handler_next(&g->handlers, h)) != NULL) {
		if (generation_category(g, h->category) != NULL)
			continue;
		cat = generation_category(old, h->category);
		TAILQ_REMOVE(&old->categories, cat, entry);
		TAILQ_INSERT_TAIL(&g->categories, cat, entry);
		/* Equal to what it had, and this one will stay. */
		cat->conf = conf_category_or_default(g->conf, h->category);
		cat->handlers = &g->handlers;
		program_move(&cat->program, cat->name, cat->handlers);
		cat->max_running =
		    (unsigned)g->conf->worker.max_concurrent_tasks;
	}
}

void
generation_start(struct generation *g)
{
	struct category *cat;

	/* When the last one is settled at once, those that are taken over may
	 * come in behind it. */
	TAILQ_FOREACH(cat, &g->categories, entry)
		if (!cat->settled)
			category_start(cat);
}

bool
generation_is_settled(const struct generation *g)
{
	const struct category *cat;

	TAILQ_FOREACH(cat, &g->categories, entry)
		if (!cat->settled)
			return (false);
	return (true);
}

void
generation_free(struct generation *g)
{
	struct category *cat;

	if (g == NULL)
		return;
	discovery_free(g->discovery);
	while ((cat = TAILQ_FIRST(&g->categories)) != NULL) {
		TAILQ_REMOVE(&g->categories, cat, entry);
		category_free(cat);
	}
	handler_table_fini(&g->handlers);
	conf_free(g->owned);
	free(g);
}
