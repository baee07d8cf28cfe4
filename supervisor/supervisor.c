/* SPDX-License-Identifier: ISC */
/*
 * supervisor.c: the run of a worker, from finding out what its handlers are to
 * the last delivered result, and the way of a lease between the two halves:
 * leased() -> category -> finished() -> deliver -> delivered(). Every lease
 * that comes in goes out with exactly one result. What the run waits for is
 * compared with what is there in one function, progress(), called after every
 * change.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/children/category.h"
#include "supervisor/children/discover.h"
#include "supervisor/children/environment.h"
#include "supervisor/conf.h"
#include "supervisor/edges/signals.h"
#include "supervisor/handler.h"
#include "supervisor/identity.h"
#include "supervisor/lease.h"
#include "supervisor/orchestrator/http.h"
#include "supervisor/orchestrator/local.h"
#include "supervisor/orchestrator/remote.h"
#include "supervisor/supervisor.h"

#define DUPLICATE_TERM_MS ((int64_t)2000) /* platforms send two */
#define UNDELIVERED_MAX   1000 /* results in memory that stop the polls */
#define LAST_DELIVERY_MS  ((int64_t)3000) /* after leases are handed back */

/* state, name, states that may follow */
#define RUN_STATES(X) \
	X(STARTING, "starting", \
	    S(RUNNING) | S(STOPPING) | S(ABORTING) | S(ENDED)) \
	X(RUNNING, "running", S(DRAINING) | S(ABORTING)) \
	X(DRAINING, "draining", S(STOPPING) | S(ABORTING)) \
	X(STOPPING, "stopping", S(ENDED) | S(ABORTING)) \
	X(ABORTING, "aborting", S(ENDED)) \
	X(ENDED, "ended", 0)

enum run_state {
#define X(state, name, next) RUN_##state,
	RUN_STATES(X)
#undef X
};

static const struct {
	const char *name;
	unsigned next; /* bit per state */
} states[] = {
#define S(state)             (1u << RUN_##state)
#define X(state, name, next) { name, next },
	RUN_STATES(X)
#undef X
};

struct supervisor {
	const struct conf *conf;
	const struct supervisor_options *options;
	struct event_base *loop;
	struct signals signals;
	struct event deadline; /* of draining, then of the last delivery */
	struct reaper reaper;
	struct child_env env;
	char **clean; /* environments of children */
	char **inherited;
	struct discovery *discovery;
	struct handler_table handlers;
	TAILQ_HEAD(, category) categories;
	struct lease_table leases;
	char *worker_id;
	struct http *http;
	struct orchestrator *orchestrator;
	int64_t stop_asked_ms; /* when the first stop signal came */
	enum run_state state;
	int exit_status;
};

static void progress(struct supervisor *);

static void
set_state(struct supervisor *s, enum run_state to)
{
	assert(states[s->state].next & (1u << to));
	log_debug("%s -> %s", states[s->state].name, states[to].name);
	s->state = to;
}

static void
end(struct supervisor *s, int status)
{
	set_state(s, RUN_ENDED);
	s->exit_status = status;
	(void)event_base_loopexit(s->loop, NULL);
}

/* Leases that are not finished. */
static unsigned
unfinished(const struct supervisor *s)
{
	return (s->leases.count[LEASE_QUEUED] + s->leases.count[LEASE_RUNNING]);
}

static struct category *
category_named(struct supervisor *s, const char *name)
{
	struct category *cat;

	TAILQ_FOREACH(cat, &s->categories, entry)
		if (strcmp(cat->name, name) == 0)
			return (cat);
	return (NULL);
}

/*
 * From the orchestrator's side.
 */

static unsigned
places(void *arg)
{
	const struct supervisor *s = arg;
	const struct category *cat;
	int64_t free_children = 0, room;
	bool offered = false;

	if (s->state != RUN_RUNNING ||
	    orchestrator_undelivered(s->orchestrator) >= UNDELIVERED_MAX)
		return (0);
	TAILQ_FOREACH(cat, &s->categories, entry) {
		free_children += category_places(cat);
		offered = offered || category_is_offered(cat);
	}
	if (!offered && s->options->local_path != NULL)
		return (1); /* each fails at once, and so the run ends */
	room = s->conf->worker.max_concurrent_tasks - unfinished(s);
	if (free_children < room)
		room = free_children;
	return (room > 0 ? (unsigned)room : 0);
}

static void
finish(struct supervisor *s, struct lease *l, struct result *result)
{
	const struct log_context ctx = lease_context(l);
	const char *type = l->task.type != NULL ? l->task.type : "task";

	lease_finish(&s->leases, l, result);
	if (l->result.code == NULL)
		log_line(LOG_LEVEL_DEBUG, &ctx, "%s: %s in %lld ms", type,
		    l->result.status,
		    (long long)(clock_now_ms() - l->leased_ms));
	else
		log_line(LOG_LEVEL_INFO, &ctx, "%s: %s, %s: %s", type,
		    l->result.status, l->result.code,
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

/* A lease that nobody has yet. */
static void
place(struct supervisor *s, struct lease *l)
{
	const struct handler *h = handler_find(&s->handlers, l->task.type);

	if (h == NULL)
		/* Transient sends it back to be given to another worker; an
		 * idle worker may be handed what it never offered (S13). */
		fail(s, l, CODE_TRANSIENT,
		    "this worker has no handler of that type");
	else if (s->state == RUN_ABORTING || s->state == RUN_STOPPING)
		fail(s, l, CODE_TRANSIENT,
		    "interrupted: the worker is being stopped");
	else
		category_submit(category_named(s, h->category), l);
}

static bool
leased(
    struct orchestrator *o, struct task *task, const char *problem, void *arg)
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
	l = lease_new(&s->leases, task, o, clock_now_ms());
	if (l == NULL) {
		log_err("a task is not taken: %s",
		    errno == EEXIST ? "its task_id is being worked on already" :
				      "no memory");
		return (false);
	}
	if (problem != NULL)
		fail(s, l, CODE_INVALID_INPUT, problem);
	else
		place(s, l);
	return (true);
}

static void
delivered(struct orchestrator *o, struct lease *l, void *arg)
{
	struct supervisor *s = arg;

	lease_free(&s->leases, l);
	if (s->state != RUN_RUNNING)
		progress(s);
	else
		orchestrator_kick(o);
}

static void
orchestrator_changed(struct orchestrator *o, void *arg)
{
	(void)o;
	progress(arg);
}

static const struct orchestrator_ops orchestrator_ops = {
	.leased = leased,
	.delivered = delivered,
	.places = places,
	.changed = orchestrator_changed,
};

/*
 * From the children's side.
 */

static void
on_finished(struct lease *l, struct result *result, void *arg)
{
	finish(arg, l, result);
}

static void
on_room(void *arg)
{
	struct supervisor *s = arg;

	if (s->state == RUN_RUNNING)
		orchestrator_kick(s->orchestrator);
}

static void
make_offer(struct supervisor *s)
{
	const char **types;
	struct offered offered = { 0 };
	struct handler *h = NULL;

	types = calloc(s->handlers.count + 1, sizeof(*types));
	if (types == NULL) {
		log_err("no memory for the offer");
		return;
	}
	while ((h = handler_next(&s->handlers, h)) != NULL)
		if (category_is_offered(category_named(s, h->category)))
			types[offered.count++] = h->type;
	offered.types = types;
	if (offered.count > 0 || s->options->local_path != NULL)
		orchestrator_offer(s->orchestrator, &offered);
	else
		log_warn("nothing to offer: no category has a child that "
			 "starts; not registering until one does");
	free(types);
}

/* Every category has been ready once, or has failed once: say what we can. */
static void
on_settled(struct category *changed, void *arg)
{
	struct supervisor *s = arg;
	struct category *cat;

	(void)changed;
	TAILQ_FOREACH(cat, &s->categories, entry)
		if (!cat->settled)
			return;
	if (s->state == RUN_STARTING)
		set_state(s, RUN_RUNNING);
	if (s->state == RUN_RUNNING)
		make_offer(s);
}

static void
on_emptied(struct category *cat, void *arg)
{
	(void)cat;
	progress(arg);
}

static const struct category_ops category_ops = {
	.finished = on_finished,
	.settled = on_settled,
	.room = on_room,
	.emptied = on_emptied,
};

/*
 * The run.
 */

static void
set_deadline(struct supervisor *s, int64_t ms)
{
	const struct timeval tv = clock_timeval(ms);

	if (event_add(&s->deadline, &tv) == -1)
		log_err("cannot set the deadline of the stop");
}

/* Nothing is left to be run: let the children go. */
static void
stop_children(struct supervisor *s)
{
	struct category *cat;

	set_state(s, RUN_STOPPING);
	TAILQ_FOREACH(cat, &s->categories, entry)
		category_stop(cat);
	progress(s);
}

static bool
children_left(const struct supervisor *s)
{
	const struct category *cat;

	TAILQ_FOREACH(cat, &s->categories, entry)
		if (!TAILQ_EMPTY(&cat->children))
			return (true);
	return (false);
}

static void
drain(struct supervisor *s, const char *cause)
{
	const unsigned tasks = unfinished(s);
	const unsigned polls = orchestrator_polls(s->orchestrator);

	if (s->options->local_path == NULL || tasks > 0)
		log_info("%s: draining: %u task%s to finish, %u poll%s parked; "
			 "at most %lld s, a second SIGINT stops now",
		    cause, tasks, tasks == 1 ? "" : "s", polls,
		    polls == 1 ? "" : "s",
		    (long long)(s->conf->worker.shutdown_timeout_ms / 1000));
	orchestrator_drain(s->orchestrator);
	set_deadline(s, s->conf->worker.shutdown_timeout_ms);
	if (s->state == RUN_STARTING) {
		stop_children(s);
		return;
	}
	set_state(s, RUN_DRAINING);
	progress(s);
}

/* Leases first, then the children: better a task run twice than one lost. */
static void
abort_run(struct supervisor *s, const char *cause)
{
	struct category *cat;

	log_warn("%s: handing back %u task%s", cause, unfinished(s),
	    unfinished(s) == 1 ? "" : "s");
	set_state(s, RUN_ABORTING);
	orchestrator_drain(s->orchestrator);
	orchestrator_abandon_polls(s->orchestrator);
	set_deadline(s, LAST_DELIVERY_MS);
	TAILQ_FOREACH(cat, &s->categories, entry)
		category_abandon(cat);
	progress(s);
}

static void
report_losses(const struct supervisor *s)
{
	const unsigned n = orchestrator_undelivered(s->orchestrator);

	if (n > 0)
		log_err("%u result%s could not be delivered in time and %s "
			"lost",
		    n, n == 1 ? "" : "s", n == 1 ? "is" : "are");
}

static int
final_status(const struct supervisor *s)
{
	if (s->options->local_path != NULL)
		return (local_failed(s->orchestrator) > 0 ? 1 : EX_OK);
	return (orchestrator_undelivered(s->orchestrator) > 0 ? EX_TEMPFAIL :
								EX_OK);
}

static void
progress(struct supervisor *s)
{
	const bool delivered_all =
	    orchestrator_undelivered(s->orchestrator) == 0;

	switch (s->state) {
	case RUN_RUNNING:
		if (s->options->local_path != NULL &&
		    local_is_done(s->orchestrator))
			drain(s, "all tasks are done");
		break;
	case RUN_DRAINING:
		if (unfinished(s) == 0 && delivered_all &&
		    orchestrator_polls(s->orchestrator) == 0)
			stop_children(s);
		break;
	case RUN_STOPPING:
	case RUN_ABORTING:
		if (!children_left(s) && unfinished(s) == 0 && delivered_all)
			end(s, final_status(s));
		break;
	case RUN_STARTING:
	case RUN_ENDED:
		break;
	}
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	if (s->state == RUN_ENDED)
		return; /* in the same turn of the loop */
	if (s->state == RUN_ABORTING) {
		report_losses(s);
		end(s, final_status(s));
	} else
		abort_run(s, "shutdown_timeout is over");
}

static void
on_stop_signal(int number, void *arg)
{
	struct supervisor *s = arg;
	const int64_t now_ms = clock_now_ms();

	if (s->state == RUN_ABORTING || s->state == RUN_ENDED)
		return;
	if (s->discovery != NULL) {
		end(s, EX_OK); /* nothing has begun yet */
		return;
	}
	if (s->state == RUN_STARTING || s->state == RUN_RUNNING) {
		s->stop_asked_ms = now_ms;
		drain(s, strsignal(number));
	} else if (number != SIGTERM ||
	    now_ms - s->stop_asked_ms >= DUPLICATE_TERM_MS)
		abort_run(s, strsignal(number));
}

static void
on_child_signal(int number, void *arg)
{
	struct supervisor *s = arg;

	(void)number;
	reaper_run(&s->reaper);
}

static void
on_reopen_signal(int number, void *arg)
{
	struct why why;

	(void)number;
	(void)arg;
	if (log_reopen(&why) == -1)
		log_err("%s; writing on to the old one", why.text);
}

static void
on_reload_signal(int number, void *arg)
{
	(void)number;
	(void)arg;
	log_warn("SIGHUP: this version reads its configuration at start only; "
		 "restart it instead");
}

static const struct signal_row signal_rows[] = {
	{ SIGTERM, on_stop_signal },
	{ SIGINT, on_stop_signal },
	{ SIGQUIT, on_stop_signal },
	{ SIGCHLD, on_child_signal },
	{ SIGUSR1, on_reopen_signal },
	{ SIGHUP, on_reload_signal },
};

/*
 * The start.
 */

static int
make_categories(struct supervisor *s, struct why *why)
{
	struct category *cat;
	struct handler *h = NULL;

	while ((h = handler_next(&s->handlers, h)) != NULL) {
		if (category_named(s, h->category) != NULL)
			continue;
		cat = category_new(
		    &(struct category_settings){
			.name = h->category,
			.conf = conf_category_or_default(s->conf, h->category),
			.handlers = &s->handlers,
			.leases = &s->leases,
			.env = &s->env,
			.inherit = conf_inherits(s->conf),
			.ops = &category_ops,
			.arg = s,
		    },
		    why);
		if (cat == NULL)
			return (-1);
		TAILQ_INSERT_TAIL(&s->categories, cat, entry);
	}
	return (0);
}

static void
start_categories(struct supervisor *s)
{
	struct category *cat;

	TAILQ_FOREACH(cat, &s->categories, entry) {
		log_info("category %s: %u child%s", cat->name, cat->wanted,
		    cat->wanted == 1 ? "" : "ren");
		category_start(cat);
	}
}

static int
resolve(struct supervisor *s)
{
	struct conf_problems problems;
	const struct conf_problem *p;
	int rc;

	conf_problems_init(&problems);
	rc = discovery_resolve(s->discovery, &s->handlers, &problems);
	TAILQ_FOREACH(p, &problems.list, entry)
		log_err("%s", p->text);
	if (rc == 0 && s->handlers.count == 0) {
		log_err("no handlers: name a module in the configuration "
			"(module NAME { file = FILE.so }) or on the command "
			"line");
		rc = -1;
	}
	conf_problems_fini(&problems);
	return (rc);
}

static void
on_discovered(struct discovery *d, void *arg)
{
	struct supervisor *s = arg;
	struct why why;

	if (s->state == RUN_ENDED)
		return;
	if (resolve(s) == -1) {
		end(s, EX_CONFIG);
		return;
	}
	discovery_free(d);
	s->discovery = NULL;
	if (s->options->check_only)
		end(s, EX_OK);
	else if (make_categories(s, &why) == -1) {
		log_err("%s", why.text);
		end(s, EX_OSERR);
	} else
		start_categories(s);
}

static int
open_loop(struct supervisor *s, struct why *why)
{
	struct event_config *config;

	if ((config = event_config_new()) != NULL) {
		/* libcurl adds and removes its sockets around every request;
		 * the change list folds that away. */
		(void)event_config_set_flag(config,
		    EVENT_BASE_FLAG_NOLOCK |
			EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
		s->loop = event_base_new_with_config(config);
		event_config_free(config);
	}
	if (s->loop == NULL ||
	    evtimer_assign(&s->deadline, s->loop, on_deadline, s) == -1) {
		why_set(why, "cannot make the event loop");
		return (-1);
	}
	return (signals_open(&s->signals, s->loop, signal_rows,
	    sizeof(signal_rows) / sizeof(signal_rows[0]), s, why));
}

static int
open_children_side(struct supervisor *s, struct why *why)
{
	s->clean = environment_clean(s->options->environment);
	s->inherited = environment_inherited(s->options->environment);
	if (s->clean == NULL || s->inherited == NULL) {
		why_errno(why, "environment");
		return (-1);
	}
	conf_wipe_environment(s->options->environment);
	s->env = (struct child_env){
		.base = s->loop,
		.reaper = &s->reaper,
		.program = s->options->child_program,
		.clean = s->clean,
		.inherited = s->inherited,
	};
	return (0);
}

static int
open_orchestrator_side(struct supervisor *s, struct why *why)
{
	struct remote_settings settings;

	if (s->options->local_path != NULL)
		s->orchestrator = local_new(
		    s->loop, s->options->local_path, &orchestrator_ops, s, why);
	else {
		s->worker_id = s->conf->worker.id != NULL ?
		    strdup(s->conf->worker.id) :
		    identity_worker_id(s->conf->worker.state_dir, why);
		if (s->worker_id == NULL ||
		    (s->http = http_new(s->loop, why)) == NULL)
			return (-1);
		settings = (struct remote_settings){
			.conf = TAILQ_FIRST(&s->conf->orchestrators),
			.worker = &s->conf->worker,
			.worker_id = s->worker_id,
			.loop = s->loop,
			.http = s->http,
		};
		s->orchestrator =
		    remote_new(&settings, &orchestrator_ops, s, why);
	}
	return (s->orchestrator != NULL ? 0 : -1);
}

static void
close_all(struct supervisor *s)
{
	struct category *cat;

	discovery_free(s->discovery);
	while ((cat = TAILQ_FIRST(&s->categories)) != NULL) {
		TAILQ_REMOVE(&s->categories, cat, entry);
		category_free(cat);
	}
	orchestrator_free(s->orchestrator);
	http_free(s->http);
	lease_table_fini(&s->leases);
	handler_table_fini(&s->handlers);
	environment_free(s->clean);
	environment_free(s->inherited);
	free(s->worker_id);
	signals_close(&s->signals);
	if (s->loop != NULL) {
		(void)event_del(&s->deadline);
		event_base_free(s->loop);
	}
}

int
supervisor_run(const struct conf *conf, const struct supervisor_options *opt)
{
	struct supervisor s = {
		.conf = conf,
		.options = opt,
		.signals.fd = -1,
		.exit_status = EX_SOFTWARE,
	};
	struct why why;

	TAILQ_INIT(&s.categories);
	handler_table_init(&s.handlers);
	lease_table_init(&s.leases);
	reaper_init(&s.reaper);
	if (open_loop(&s, &why) == -1 || open_children_side(&s, &why) == -1) {
		log_err("%s", why.text);
		s.exit_status = EX_OSERR;
	} else if (!opt->check_only && open_orchestrator_side(&s, &why) == -1) {
		log_err("%s", why.text);
		s.exit_status = EX_CONFIG;
	} else if ((s.discovery = discovery_new(
			&s.env, conf, on_discovered, &s, &why)) == NULL) {
		log_err("%s", why.text);
		s.exit_status = EX_OSERR;
	} else if (event_base_dispatch(s.loop) == -1)
		log_err("the event loop failed");
	close_all(&s);
	return (s.exit_status);
}
