/* SPDX-License-Identifier: ISC */
/* view.c: the state of things as figures and texts, for metrics and control. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/base/title.h"
#include "supervisor/children/figures.h"
#include "supervisor/children/memory.h"
#include "supervisor/conf.h"
#include "supervisor/edges/notify.h"
#include "supervisor/instance.h"
#include "supervisor/orchestrator/orchestrator.h"
#include "supervisor/orchestrator/outbox.h"
#include "supervisor/run.h"

#define INTERPRETERS_MAX 32 /* that are tried for the figures of scripts */

struct count {
	size_t orchestrators;
	size_t categories;
	size_t children;
	size_t failing;
};

static void
count(const struct generation *g, struct count *n)
{
	const struct category *cat;
	const struct program *p;
	const struct child *c;

	TAILQ_FOREACH(cat, &g->categories, entry)
		n->categories++;
	TAILQ_FOREACH(p, &g->programs, entry)
		TAILQ_FOREACH(c, &p->children, entry)
			n->children++;
}

static void
show_child(const struct child *c, struct child_view *v)
{
	const struct child_task *first = TAILQ_FIRST(&c->running);

	*v = (struct child_view){
		.category = c->category,
		.pid = c->pid,
		.state = child_state_name(c->state),
		.born_ms = c->born_ms,
		.since_ms = c->since_ms,
		.tasks = c->tasks,
		.running = c->running_len,
	};
	if (first != NULL) {
		v->task_type = first->lease->task.type;
		v->task_id = first->lease->task.task_id;
		v->job_id = first->lease->task.job_id;
	}
}

static void
count_child(const struct child *c, struct category_view *v)
{
	switch (c->state) {
	case CHILD_STARTING:
		v->starting++;
		break;
	case CHILD_IDLE:
		v->idle++;
		break;
	case CHILD_BUSY:
		v->busy++;
		break;
	case CHILD_STOPPING:
	case CHILD_ENDING:
	case CHILD_NSTATES:
		v->leaving++;
		break;
	}
}

/* What a program adds to the figures of the category that its children are
 * of. */
static void
add_children(const struct program *p, struct category_view *v)
{
	const struct child *c;

	v->min_children += p->pool.min;
	v->max_children += p->pool.max;
	if (v->failure[0] == '\0')
		v->failure = p->failure;
	if (p->not_before_ms > clock_now_ms() &&
	    (v->retry_ms == 0 || p->not_before_ms < v->retry_ms))
		v->retry_ms = p->not_before_ms;
	TAILQ_FOREACH(c, &p->children, entry)
		count_child(c, v);
}

static void
show_category(const struct category *cat, const struct generation *g,
    bool retiring, struct category_view *v)
{
	const struct program *p;
	size_t i;

	*v = (struct category_view){
		.name = cat->name,
		.paused = cat->paused,
		.retiring = retiring,
		.failure = "",
	};
	TAILQ_FOREACH(p, &g->programs, entry) {
		if (p->category == cat)
			add_children(p, v);
		for (i = 0; i < p->lanes_len; i++) {
			if (p->lanes[i].category != cat)
				continue;
			v->queued += p->lanes[i].queued;
			if (!retiring && program_is_offered(p))
				v->offered = true;
		}
	}
}

/* A generation that only finishes shows the categories in which it still does
 * anything. */
static bool
is_shown(const struct supervisor *s, const struct generation *g,
    const struct category *cat)
{
	const struct program *p;

	if (g == s->now)
		return (true);
	TAILQ_FOREACH(p, &g->programs, entry)
		if (p->category == cat)
			return (true);
	return (false);
}

static void
show_generation(
    struct supervisor *s, const struct generation *g, struct count *n)
{
	const struct category *cat;
	const struct program *p;
	const struct child *c;

	TAILQ_FOREACH(cat, &g->categories, entry)
		if (is_shown(s, g, cat))
			show_category(cat, g, g != s->now,
			    &s->view_categories[n->categories++]);
	TAILQ_FOREACH(p, &g->programs, entry)
		TAILQ_FOREACH(c, &p->children, entry)
			show_child(c, &s->view_children[n->children++]);
}

static void
show_orchestrators(struct supervisor *s)
{
	struct orchestrator_facts facts;
	size_t i;

	for (i = 0; orchestrator_facts(s->orchestrator, i, &facts); i++)
		s->view_orchestrators[i] = (struct orchestrator_view){
			.name = facts.name,
			.url = facts.url,
			.worker_id = facts.worker_id,
			.dialect = facts.dialect,
			.registered = facts.registered,
			.websocket = facts.websocket,
			.polls = facts.polls,
			.undelivered = facts.undelivered,
		};
}

/* Room for that many; -1 when memory is short. */
static int
make_room(struct supervisor *s, const struct count *n)
{
	struct orchestrator_view *orchestrators;
	struct category_view *categories;
	struct child_view *children;
	struct failing_view *failing;

	orchestrators = reallocarray(s->view_orchestrators,
	    n->orchestrators + 1, sizeof(*orchestrators));
	if (orchestrators == NULL)
		return (-1);
	s->view_orchestrators = orchestrators;
	categories = reallocarray(
	    s->view_categories, n->categories + 1, sizeof(*categories));
	if (categories == NULL)
		return (-1);
	s->view_categories = categories;
	children =
	    reallocarray(s->view_children, n->children + 1, sizeof(*children));
	if (children == NULL)
		return (-1);
	s->view_children = children;
	failing =
	    reallocarray(s->view_failing, n->failing + 1, sizeof(*failing));
	if (failing == NULL)
		return (-1);
	s->view_failing = failing;
	return (0);
}

static void
count_failing(const struct discovery_failing *f, void *arg)
{
	size_t *n = arg;

	(void)f;
	(*n)++;
}

static void
show_failing(const struct discovery_failing *f, void *arg)
{
	struct failing_view **next = arg;

	*(*next)++ = (struct failing_view){
		.name = f->from,
		.failure = f->reason,
		.retry_ms = f->retry_ms,
	};
}

static const struct view *
look(void *arg)
{
	struct supervisor *s = arg;
	const struct orchestrator *o = s->orchestrator;
	struct orchestrator_facts facts;
	struct generation *g;
	struct failing_view *next;
	struct count n = { 0 };

	/* Scripts may have still to say which orchestrator it is. */
	while (o != NULL && orchestrator_facts(o, n.orchestrators, &facts))
		n.orchestrators++;
	count(s->now, &n);
	TAILQ_FOREACH(g, &s->old, entry)
		count(g, &n);
	generation_each_failing(s->now, count_failing, &n.failing);
	if (make_room(s, &n) == -1)
		return (NULL);
	next = s->view_failing;
	generation_each_failing(s->now, show_failing, &next);
	if (o != NULL)
		show_orchestrators(s);
	n.categories = n.children = 0;
	show_generation(s, s->now, &n);
	TAILQ_FOREACH(g, &s->old, entry)
		show_generation(s, g, &n);
	s->view = (struct view){
		.version = PACKAGE_VERSION,
		.worker_id = s->worker_id,
		.state = run_state_name(s->state),
		.pid = getpid(),
		.started_ms = s->started_ms,
		.generation = s->now->number,
		.name = s->options->instance->name,
		.paused = s->paused != 0,
		.short_of_memory = memory_is_short(s->memory,
		    s->now->conf->worker.min_free_memory, clock_now_ms()),
		.registered = o != NULL && orchestrator_registered(o),
		.queued = s->leases.count[LEASE_QUEUED],
		.running = s->leases.count[LEASE_RUNNING],
		.finished = s->leases.count[LEASE_FINISHED],
		.undelivered = o != NULL ? orchestrator_undelivered(o) : 0,
		.journal = s->outbox != NULL ? outbox_state(s->outbox) : "off",
		.journal_fails =
		    s->outbox != NULL && !outbox_can_take(s->outbox),
		.dead_letters =
		    s->outbox != NULL ? outbox_letters_count(s->outbox) : 0,
		.polls = o != NULL ? orchestrator_polls(o) : 0,
		.last_turn_ms = clock_now_ms(),
		.orchestrators = s->view_orchestrators,
		.orchestrators_len = n.orchestrators,
		.categories = s->view_categories,
		.categories_len = n.categories,
		.children = s->view_children,
		.children_len = n.children,
		.failing = s->view_failing,
		.failing_len = n.failing,
		.stats = s->stats,
	};
	memcpy(s->view.received, s->leases.received, sizeof(s->view.received));
	memcpy(s->view.ended, s->leases.ended, sizeof(s->view.ended));
	return (&s->view);
}

static bool
set_paused(struct supervisor *s, const char *name, bool paused)
{
	struct category *cat = category_find(&s->now->categories, name);
	struct program *p;

	if (cat == NULL)
		return (false);
	if (cat->paused != paused)
		log_info("by order: category %s is %s", name,
		    paused ? "paused" : "resumed");
	if (!paused || s->state == RUN_STARTING || s->state == RUN_RUNNING)
		cat->paused = paused;
	TAILQ_FOREACH(p, &s->now->programs, entry)
		program_balance(p);
	if (s->state == RUN_RUNNING)
		orchestrator_kick(s->orchestrator);
	return (true);
}

static bool
pause_leasing(const char *category, void *arg)
{
	if (category != NULL)
		return (set_paused(arg, category, true));
	run_pause(arg, PAUSED_BY_ORDER);
	return (true);
}

static bool
resume_leasing(const char *category, void *arg)
{
	if (category != NULL)
		return (set_paused(arg, category, false));
	run_resume(arg, PAUSED_BY_ORDER);
	return (true);
}

static void
show_result(const struct lease *l, struct result_view *v)
{
	struct orchestrator_facts facts;

	*v = (struct result_view){
		.id = l->id,
		.task_id = l->task.task_id,
		.job_id = l->task.job_id,
		.task_type = l->task.type,
		.status = l->result.status,
		.code = l->result.code,
		.finished_ms = l->record.finished_ms,
		.after_ms = l->deliver_after_ms,
		.refusals = l->delivery.failures,
		.on_disk = l->record.on_disk,
	};
	if (orchestrator_facts(l->origin, 0, &facts))
		v->url = facts.url;
}

static void
each_result(
    void (*fn)(const struct result_view *, void *to), void *to, void *arg)
{
	struct supervisor *s = arg;
	struct result_view v;
	struct lease *l;

	for (l = lease_first(&s->leases); l != NULL; l = lease_next(l))
		if (l->state == LEASE_FINISHED) {
			show_result(l, &v);
			fn(&v, to);
		}
}

static void
order_letters(enum letters_order order, int64_t id,
    const struct letters_asker *asker, void *arg)
{
	struct supervisor *s = arg;

	outbox_letters(s->outbox, order, id, asker);
}

static void
order_drain(void *arg)
{
	run_stop(arg, "by order");
}

static void
order_reload(void *arg)
{
	reload_begin(arg);
}

/* What an operator should know first. */
static const char *
trouble(const struct view *v)
{
	size_t i;

	if (strcmp(v->state, "running") != 0)
		return ("");
	if (v->paused)
		return (", paused");
	if (v->journal_fails)
		return (", the journal fails");
	if (v->short_of_memory)
		return (", short of memory");
	for (i = 0; i < v->categories_len; i++)
		if (!v->categories[i].retiring && !v->categories[i].offered)
			return (", a category does not start");
	if (v->failing_len > 0)
		return (", a program does not start");
	return (v->registered ? "" : ", not registered");
}

void
view_on_show(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	const struct view *v = look(s);

	(void)fd;
	(void)what;
	if (v == NULL)
		return;
	title_set("%s%s%s, %u of %u busy, %u queued%s",
	    v->name != NULL ? v->name : "", v->name != NULL ? ": " : "",
	    v->state, v->running,
	    (unsigned)s->now->conf->worker.max_concurrent_tasks, v->queued,
	    trouble(v));
	notify_status(s->notify,
	    "%s, %u of %u busy, %u queued, %u to deliver%s", v->state,
	    v->running, (unsigned)s->now->conf->worker.max_concurrent_tasks,
	    v->queued, v->undelivered, trouble(v));
}

void
view_show_soon(struct supervisor *s)
{
	const struct timeval tv = { 1, 0 };

	if (!evtimer_pending(&s->show, NULL) && event_add(&s->show, &tv) == -1)
		log_err("cannot set a timer for the title");
}

/* What scripts count. */
static void
ask_figures(
    void (*done)(const char *text, size_t len, void *to), void *to, void *arg)
{
	struct supervisor *s = arg;
	const struct handler_source *source;
	char *interpreters[INTERPRETERS_MAX + 1];
	size_t n = 0;

	if (s->figures == NULL || s->now == NULL) {
		done("", 0, to);
		return;
	}
	TAILQ_FOREACH(source, &s->now->handlers.sources, entry)
		if (source->kind == SOURCE_PYTHON && n < INTERPRETERS_MAX)
			interpreters[n++] = source->words[0];
	interpreters[n] = NULL;
	figures_ask(s->figures, interpreters, done, to);
}

const struct view_ops run_view_ops = {
	.look = look,
	.pause = pause_leasing,
	.resume = resume_leasing,
	.results = each_result,
	.letters = order_letters,
	.figures = ask_figures,
	.drain = order_drain,
	.reload = order_reload,
};

void
view_fini(struct supervisor *s)
{
	free(s->view_orchestrators);
	free(s->view_categories);
	free(s->view_children);
	free(s->view_failing);
}
