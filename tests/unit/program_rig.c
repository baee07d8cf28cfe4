/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>

#include "supervisor/base/clock.h"
#include "tests/must.h"
#include "tests/unit/program_rig.h"

/* What the program says. */

static void
on_finished(struct lease *l, struct result *result, void *arg)
{
	struct rig *r = arg;

	must(r->ndone < RIG_LEASES_MAX);
	lease_finish(&r->leases, l, result);
	r->done[r->ndone++] = l;
}

static void
on_settled(struct program *program, void *arg)
{
	struct rig *r = arg;

	(void)program;
	r->settled++;
}

static void
on_room(void *arg)
{
	struct rig *r = arg;

	r->room++;
}

static void
on_returned(struct lease *l, void *arg)
{
	struct rig *r = arg;

	r->returned = l;
}

static void
on_child_ended(struct program *program, const char *reason, void *arg)
{
	struct rig *r = arg;

	(void)program;
	(void)strlcat(r->reasons, reason, sizeof(r->reasons));
	(void)strlcat(r->reasons, " ", sizeof(r->reasons));
}

static void
on_emptied(struct program *program, void *arg)
{
	struct rig *r = arg;

	(void)program;
	r->emptied++;
}

static const struct program_ops ops = {
	.finished = on_finished,
	.settled = on_settled,
	.room = on_room,
	.returned = on_returned,
	.child_ended = on_child_ended,
	.emptied = on_emptied,
};

/* What it stands on. */

void
rig_init(struct rig *r, struct child_env env)
{
	*r = (struct rig){ .env = env, .ops = ops };
	r->env.reaper = &r->reaper;
	reaper_init(&r->reaper);
	handler_table_init(&r->handlers);
	lease_table_init(&r->leases);
	start_gate_init(&r->gate, 1);
	TAILQ_INIT(&r->categories);
}

struct handler_source *
rig_add_source(struct rig *r, const char *category)
{
	struct handler_source *source;
	char **words;

	must((words = calloc(2, sizeof(*words))) != NULL);
	must((words[0] = strdup("/t")) != NULL);
	source = handler_source_add(
	    &r->handlers, SOURCE_CHANNEL, "t", category, words);
	must(source != NULL);
	return (source);
}

void
rig_add_handler(struct rig *r, const char *type, const char *category,
    struct handler_source *source)
{
	struct handler *h = handler_add(&r->handlers, type, category, "/t");

	must(h != NULL);
	h->source = source;
}

void
rig_add_category(struct rig *r, const char *name)
{
	struct category *category = category_new(name, &r->conf);

	must(category != NULL);
	TAILQ_INSERT_TAIL(&r->categories, category, entry);
	r->category = TAILQ_FIRST(&r->categories);
}

void
rig_open(struct rig *r, const struct program_settings *given)
{
	struct program_settings settings = *given;
	struct why why;

	settings.category = r->category;
	settings.source = TAILQ_FIRST(&r->handlers.sources);
	settings.categories = &r->categories;
	settings.handlers = &r->handlers;
	settings.leases = &r->leases;
	settings.env = &r->env;
	settings.poison = r->poison;
	settings.ops = &r->ops;
	settings.arg = r;
	must((r->program = program_new(&settings, &why)) != NULL);
}

void
rig_describe(struct rig *r, const char *ready)
{
	struct offer offer = { 0 };
	struct why why;

	must(offer_read(ready, strlen(ready), &offer, &why) == 0);
	program_adopt(r->program, NULL, &offer);
}

void
rig_close(struct rig *r)
{
	struct category *category;

	program_free(r->program);
	while ((category = TAILQ_FIRST(&r->categories)) != NULL) {
		TAILQ_REMOVE(&r->categories, category, entry);
		category_free(category);
	}
	poison_free(r->poison);
	lease_table_fini(&r->leases);
	handler_table_fini(&r->handlers);
}

/* What it has to do. */

struct lease *
rig_lease(struct rig *r, const char *type, const char *task_id,
    const char *job_id, const char *params)
{
	struct task task = {
		.task_id = strdup(task_id),
		.job_id = strdup(job_id),
		.type = strdup(type),
	};
	struct lease *l;

	must(r->count < RIG_LEASES_MAX);
	must(task.task_id != NULL && task.job_id != NULL && task.type != NULL);
	bytes_puts(&task.params, params);
	must(!bytes_failed(&task.params));
	l = lease_new(&r->leases, &task, NULL, clock_now_ms());
	must(l != NULL);
	r->lease[r->count++] = l;
	return (l);
}

struct places
rig_places(struct rig *r, const struct category *only)
{
	struct places places = { 0 };
	struct category *category;

	TAILQ_FOREACH(category, &r->categories, entry)
		category->left = category_room(category);
	program_place_waiting(r->program, &places);
	program_place_more(r->program, only, &places);
	return (places);
}
