/* SPDX-License-Identifier: ISC */
/*
 * supervisor.c: the way of a lease between the two halves: leased() ->
 * category -> on_finished() -> deliver -> delivered(). Every lease that comes
 * in goes out with exactly one result.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "child/bytes.h"
#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/children/memory.h"
#include "supervisor/conf.h"
#include "supervisor/edges/daemon.h"
#include "supervisor/edges/notify.h"
#include "supervisor/orchestrator/orchestrator.h"
#include "supervisor/orchestrator/outbox.h"
#include "supervisor/run.h"
#include "supervisor/stats.h"
#include "supervisor/task_event.h"

#define LOOK_AGAIN_MS   ((int64_t)1000)
#define UNDELIVERED_MAX 1000 /* results in memory that stop the polls */
#define TEXT_MAX        1000 /* bytes, when a result tells of more than one */

static const struct {
	const char *name;
	unsigned next; /* bit per state */
} states[] = {
#define S(state)             (1u << RUN_##state)
#define X(state, name, next) { name, next },
	RUN_STATES(X)
#undef X
};

void
run_set_state(struct supervisor *s, enum run_state to)
{
	assert(states[s->state].next & (1u << to));
	log_debug("%s -> %s", states[s->state].name, states[to].name);
	s->state = to;
}

const char *
run_state_name(enum run_state state)
{
	return (states[state].name);
}

void
run_end(struct supervisor *s, int status)
{
	run_set_state(s, RUN_ENDED);
	s->exit_status = status;
	/* Not loopexit(), which fails without memory: this is the end. */
	(void)event_base_loopbreak(s->loop);
}

unsigned
run_unfinished(const struct supervisor *s)
{
	return (s->leases.count[LEASE_QUEUED] + s->leases.count[LEASE_RUNNING]);
}

/*
 * From the orchestrator's side.
 */

/* Leases that may wait for a child. */
static unsigned
max_queued(const struct supervisor *s)
{
	const struct conf_worker *worker = &s->now->conf->worker;

	return (
	    (unsigned)(worker->max_queued > 0 ? worker->max_queued :
						worker->max_concurrent_tasks));
}

/* Nobody tells when there is memory again, so we look. */
static bool
has_memory(struct supervisor *s)
{
	const struct timeval tv = clock_timeval(LOOK_AGAIN_MS);

	if (!memory_is_short(s->memory, s->now->conf->worker.min_free_memory,
		clock_now_ms()))
		return (true);
	if (!evtimer_pending(&s->look_again, NULL) &&
	    event_add(&s->look_again, &tv) == -1)
		log_err("cannot set a timer to look at the memory");
	return (false);
}

void
run_on_look_again(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	if (s->state == RUN_RUNNING)
		orchestrator_kick(s->orchestrator);
	else
		run_progress(s);
}

static bool
may_lease(struct supervisor *s)
{
	return (s->state == RUN_RUNNING && s->paused == 0 &&
	    orchestrator_undelivered(s->orchestrator) < UNDELIVERED_MAX &&
	    (s->outbox == NULL || outbox_can_take(s->outbox)) &&
	    s->leases.count[LEASE_QUEUED] < max_queued(s) && has_memory(s));
}

/* What is offered may be nothing: then nobody is asked. */
static bool
is_offering(const struct supervisor *s)
{
	const struct program *p;

	TAILQ_FOREACH(p, &s->now->programs, entry)
		if (program_is_offered(p))
			return (true);
	return (false);
}

static unsigned
places_of(const struct supervisor *s, const struct category *only)
{
	return (
	    generation_places(s->now, only, s->leases.count[LEASE_RUNNING]));
}

static unsigned
places(const char *category, void *arg)
{
	struct supervisor *s = arg;
	const struct category *cat;

	if (!may_lease(s))
		return (0);
	if (category != NULL) {
		cat = category_find(&s->now->categories, category);
		return (cat != NULL ? places_of(s, cat) : 0);
	}
	if (!is_offering(s) && s->options->local_path != NULL)
		return (1); /* each fails at once, and so the run ends */
	return (places_of(s, NULL));
}

/* What the configuration says of the handler of a lease; or NULL. */
static const struct conf_handler *
block_of(const struct supervisor *s, const struct lease *l)
{
	return (l->task.type != NULL ?
		conf_handler(s->now->conf, l->task.type) :
		NULL);
}

static void
finish(struct supervisor *s, struct lease *l, struct result *result)
{
	const struct log_context ctx = lease_context(l);
	const char *type = l->task.type != NULL ? l->task.type : "task";
	const int64_t took_ms = clock_now_ms() - l->leased_ms;
	const struct conf_handler *block;
	const char *status;

	if (l->cancelled) {
		/* A success would bring a cancelled job back to life (S12). */
		result_fini(result);
		*result = result_cancelled();
	}
	if ((block = block_of(s, l)) != NULL)
		result_finalise(result, block->final_codes);
	lease_finish(&s->leases, l, result);
	status = l->result.status != NULL ? l->result.status : "failure";
	view_show_soon(s);
	orchestrator_touch(l->origin);
	stats_task(s->stats, type, status, took_ms);
	if (l->result.code == NULL)
		log_line(LOG_LEVEL_DEBUG, &ctx, "%s: %s in %lld ms", type,
		    status, (long long)took_ms);
	else
		log_line(strcmp(l->result.code, CODE_SECURITY) == 0 ?
			LOG_LEVEL_WARN :
			LOG_LEVEL_INFO,
		    &ctx, "%s: %s, %s: %s", type, status, l->result.code,
		    l->result.message != NULL ? l->result.message : "");
	orchestrator_deliver(l->origin, l);
}

static void
fail(struct supervisor *s, struct lease *l, const char *code, const char *text)
{
	struct result r = result_failure(code, "%s", text);

	finish(s, l, &r);
	result_fini(&r);
}

/* Programs that do not start, as far as there is room for their reasons. */
static void
add_failing(const struct discovery_failing *f, void *arg)
{
	struct bytes *text = arg;

	if (text->len < TEXT_MAX)
		bytes_printf(text,
		    "; %s, which may have it, does not start: %s", f->from,
		    f->reason);
}

/* For who has mistyped it. */
static void
add_known(const struct handler_table *handlers, struct bytes *text)
{
	struct handler *h = NULL;

	while ((h = handler_next(handlers, h)) != NULL && text->len < TEXT_MAX)
		bytes_printf(text, "%s %s",
		    h == handler_next(handlers, NULL) ? "; there are:" : ",",
		    h->type);
	if (h != NULL)
		bytes_puts(text, ", ...");
}

/* Transient sends it back to be given to another worker; an idle worker may be
 * handed what it never offered (S13). */
static void
fail_unknown(struct supervisor *s, struct lease *l)
{
	struct bytes text = { 0 };

	bytes_printf(
	    &text, "this worker has no handler of type \"%s\"", l->task.type);
	if (s->options->local_path != NULL)
		add_known(&s->now->handlers, &text);
	generation_each_failing(s->now, add_failing, &text);
	bytes_append(&text, "", 1);
	fail(s, l, CODE_TRANSIENT,
	    bytes_failed(&text) ? "this worker has no handler of that type" :
				  text.p);
	bytes_fini(&text);
}

void
run_place(struct supervisor *s, struct lease *l)
{
	const struct handler *h = handler_find(&s->now->handlers, l->task.type);

	orchestrator_touch(l->origin);
	if (h == NULL)
		fail_unknown(s, l);
	else if (s->state == RUN_ABORTING || s->state == RUN_STOPPING ||
	    (s->state == RUN_DRAINING &&
		category_find(&s->now->categories, h->category)->paused))
		fail(s, l, CODE_TRANSIENT,
		    "interrupted: the worker is being stopped");
	else
		program_submit(h->program, l);
}

/* Before it came. */
static void
finish_cancelled(struct supervisor *s, struct lease *l)
{
	const struct log_context ctx = lease_context(l);
	struct result r = result_cancelled();

	log_line(LOG_LEVEL_INFO, &ctx,
	    "cancelled by the orchestrator before it came");
	finish(s, l, &r);
	result_fini(&r);
}

static bool
leased(struct orchestrator *o, struct task *task,
    const struct task_fault *fault, void *arg)
{
	struct supervisor *s = arg;
	const struct log_context ctx = {
		.task_id = task->task_id,
		.job_id = task->job_id,
	};
	struct lease *l;

	if (log_enabled(LOG_LEVEL_DEBUG))
		log_line(LOG_LEVEL_DEBUG, &ctx, "leased a task of type %s",
		    task->type != NULL ? task->type : "(none)");
	if ((l = lease_find_task(&s->leases, task->task_id)) != NULL) {
		log_line(LOG_LEVEL_WARN, &ctx,
		    "a task comes again: it is %s already, and has one result",
		    lease_state_name(l->state));
		task_fini(task);
		return (false);
	}
	l = lease_new(&s->leases, task, o, clock_now_ms());
	if (l == NULL) {
		log_err("a task is not taken: no memory");
		return (false);
	}
	orchestrator_leased(o, l);
	view_show_soon(s);
	if (cancels_has(&s->cancels, o, &l->task, clock_now_ms()))
		finish_cancelled(s, l);
	else if (fault != NULL)
		fail(s, l, fault->code, fault->text);
	else
		run_place(s, l);
	return (true);
}

static void
cancel(struct supervisor *s, struct lease *l)
{
	const struct log_context ctx = lease_context(l);
	struct program *p, *next;
	struct generation *g;

	if (l->cancelled || l->state == LEASE_FINISHED)
		return;
	log_line(LOG_LEVEL_INFO, &ctx, "cancelled by the orchestrator");
	l->cancelled = true;
	TAILQ_FOREACH_SAFE(p, &s->now->programs, entry, next)
		if (program_cancel(p, l))
			return;
	TAILQ_FOREACH(g, &s->old, entry)
		TAILQ_FOREACH_SAFE(p, &g->programs, entry, next)
			if (program_cancel(p, l))
				return;
}

/* The id of a task, or of a job, which orchestrators mean as well (S12). */
static void
cancelled(struct orchestrator *o, const char *id, bool may_come, void *arg)
{
	struct supervisor *s = arg;
	struct lease *l, *next;
	bool found = false;

	for (l = lease_first(&s->leases); l != NULL; l = next) {
		next = lease_next(l);
		if (l->origin == o &&
		    (strcmp(l->task.task_id, id) == 0 ||
			strcmp(l->task.job_id, id) == 0)) {
			found = true;
			cancel(s, l);
		}
	}
	if (may_come && !found)
		cancels_note(&s->cancels, o, id, clock_now_ms());
}

static void
delivered(struct orchestrator *o, struct lease *l, enum lease_outcome outcome,
    void *arg)
{
	struct supervisor *s = arg;

	(void)o;
	lease_end(&s->leases, l, outcome);
	if (s->state != RUN_RUNNING)
		run_progress(s);
	else
		orchestrator_kick(s->orchestrator);
}

/* Tells whoever started us, once, that the worker serves as well as it can. */
static void
check_ready(struct supervisor *s)
{
	if (s->ready_told || s->state != RUN_RUNNING ||
	    (is_offering(s) && !orchestrator_tried(s->orchestrator)))
		return;
	s->ready_told = true;
	notify_ready(s->notify);
	daemon_ready(s->options->daemon);
	log_echo(false);
}

static void
orchestrator_changed(struct orchestrator *o, void *arg)
{
	(void)o;
	check_ready(arg);
	view_show_soon(arg);
	run_progress(arg);
}

const struct orchestrator_ops run_orchestrator_ops = {
	.leased = leased,
	.delivered = delivered,
	.places = places,
	.cancelled = cancelled,
	.changed = orchestrator_changed,
	.at_work = run_at_work,
	.is_hot = run_is_hot,
	.hot_cache = run_hot_cache,
	.is_full = run_is_full,
	.used = run_used,
	.command = run_command,
};

/*
 * From the children's side.
 */

static void
on_event(struct lease *l, const struct task_event *event, void *arg)
{
	const struct log_context ctx = lease_context(l);

	(void)arg;
	log_line(LOG_LEVEL_DEBUG, &ctx, "%s: %.*s", event->type,
	    event->len > 200 ? 200 : (int)event->len, event->payload);
	orchestrator_event(l->origin, l, event);
}

static void
on_finished(struct lease *l, struct result *result, void *arg)
{
	finish(arg, l, result);
}

/* The program whose first lease has waited for longest, or NULL. */
static struct program *
longest_waiting(const struct supervisor *s)
{
	struct program *p, *first = NULL;

	TAILQ_FOREACH(p, &s->now->programs, entry)
		if (p->queued > 0 &&
		    (first == NULL ||
			program_first_queued(p) < program_first_queued(first)))
			first = p;
	return (first);
}

/* A task has ended: others may wait for no more than its place. */
static void
on_room(void *arg)
{
	struct supervisor *s = arg;
	struct program *p;

	orchestrator_touch(s->orchestrator);
	if ((p = longest_waiting(s)) != NULL) {
		program_balance(p);
		TAILQ_FOREACH(p, &s->now->programs, entry)
			if (p->queued > 0)
				program_balance(p);
	}
	if (s->state == RUN_RUNNING)
		orchestrator_kick(s->orchestrator);
}

/* Every program has been ready once, or has failed once: say what we can. */
static void
on_settled(struct program *changed, void *arg)
{
	struct supervisor *s = arg;

	if (s->next != NULL)
		reload_progress(s);
	if (!generation_has(s->now, changed) || !generation_is_settled(s->now))
		return;
	if (s->state == RUN_STARTING)
		run_set_state(s, RUN_RUNNING);
	if (s->state == RUN_RUNNING) {
		run_offer(s);
		check_ready(s);
	}
	if (s->reload_asked) {
		s->reload_asked = false;
		reload_begin(s);
	}
}

static void
on_returned(struct lease *l, void *arg)
{
	run_place(arg, l);
}

static void
on_child_ended(struct program *p, const char *reason, void *arg)
{
	struct supervisor *s = arg;

	stats_child_end(s->stats, p->category->name, reason);
	orchestrator_touch(s->orchestrator);
}

static void
on_emptied(struct program *p, void *arg)
{
	(void)p;
	run_clean_soon(arg);
	run_progress(arg);
}

static void
on_held(void *arg)
{
	struct supervisor *s = arg;

	orchestrator_touch(s->orchestrator);
}

const struct program_ops run_program_ops = {
	.finished = on_finished,
	.event = on_event,
	.held = on_held,
	.settled = on_settled,
	.room = on_room,
	.returned = on_returned,
	.child_ended = on_child_ended,
	.emptied = on_emptied,
};

struct program_settings
run_program_settings(struct supervisor *s)
{
	return ((struct program_settings){
	    .leases = &s->leases,
	    .env = &s->env,
	    /* Nothing is run again in local mode. */
	    .poison = s->options->local_path == NULL ? s->poison : NULL,
	    .gate = &s->gate,
	    .ops = &run_program_ops,
	    .arg = s,
	});
}
