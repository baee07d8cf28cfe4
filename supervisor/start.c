/* SPDX-License-Identifier: ISC */
/*
 * start.c: opens everything, finds out what the handlers are, starts the
 * children, runs the loop, and closes everything. What happens in between is
 * in supervisor.c.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/base/nofile.h"
#include "supervisor/base/text.h"
#include "supervisor/base/words.h"
#include "supervisor/children/discover.h"
#include "supervisor/children/environment.h"
#include "supervisor/children/figures.h"
#include "supervisor/children/memory.h"
#include "supervisor/children/poison.h"
#include "supervisor/children/workspace.h"
#include "supervisor/conf.h"
#include "supervisor/conf_keys.h"
#include "supervisor/edges/control.h"
#include "supervisor/edges/metrics.h"
#include "supervisor/edges/notify.h"
#include "supervisor/identity.h"
#include "supervisor/instance.h"
#include "supervisor/orchestrator/fleet.h"
#include "supervisor/orchestrator/http.h"
#include "supervisor/orchestrator/local.h"
#include "supervisor/orchestrator/outbox.h"
#include "supervisor/run.h"
#include "supervisor/stats.h"

/* A start may take that long before a service manager should wonder: handlers
 * are described, first children started, and one registration is tried. */
#define DESCRIBE_MS ((int64_t)70 * 1000)
#define REGISTER_MS ((int64_t)40 * 1000)

static int
resolve(struct generation *g)
{
	struct conf_problems problems;
	const struct conf_problem *p;
	int rc;

	conf_problems_init(&problems);
	rc = generation_resolve(g, &problems);
	TAILQ_FOREACH(p, &problems.list, entry)
		log_err("%s", p->text);
	conf_problems_fini(&problems);
	return (rc);
}

/* How many children there will be, and of what. */
static void
announce(const struct program *p)
{
	const unsigned min = p->pool.min, max = p->pool.max;
	const bool is_module = p->source == NULL;
	const char *copies = "";
	char count[64];

	if (min == max)
		(void)snprintf(count, sizeof(count), "%u child%s", max,
		    max == 1 ? "" : "ren");
	else
		(void)snprintf(
		    count, sizeof(count), "%u to %u children", min, max);
	if (max > 1 && handler_source_stays(p->source))
		copies = "; each is a copy of its set-up";
	log_info("category %s: %s%s%s%s", p->category->name, count,
	    is_module ? "" : " of ", is_module ? "" : p->name, copies);
}

static void
start_programs(struct supervisor *s, struct generation *g)
{
	int64_t longest_ms = 0;
	struct program *p;

	TAILQ_FOREACH(p, &g->programs, entry) {
		if (p->conf->start_timeout_ms > longest_ms)
			longest_ms = p->conf->start_timeout_ms;
		announce(p);
	}
	notify_extend(s->notify, longest_ms + REGISTER_MS);
	generation_start(g);
}

static int
open_orchestrator_side(struct supervisor *s, struct why *why)
{
	struct fleet_settings settings;

	if (s->options->local_path != NULL)
		s->orchestrator = local_new(s->loop, s->options->local_path,
		    &run_orchestrator_ops, s, why);
	else {
		s->worker_id = s->boot->worker.id != NULL ?
		    strdup(s->boot->worker.id) :
		    identity_worker_id(s->options->instance->state_dir, why);
		if (s->worker_id == NULL ||
		    (s->http = http_new(s->loop, why)) == NULL)
			return (-1);
		settings = (struct fleet_settings){
			.conf = s->boot,
			.worker_id = s->worker_id,
			.loop = s->loop,
			.http = s->http,
			.outbox = s->outbox,
			.stats = s->stats,
		};
		s->orchestrator =
		    fleet_new(&settings, &run_orchestrator_ops, s, why);
	}
	return (s->orchestrator != NULL ? 0 : -1);
}

/* Builds the configuration anew with what scripts have said of the worker. -1
 * when it cannot be used; said in the log. */
static int
complete_conf(struct supervisor *s, struct generation *g)
{
	struct conf_source source = *s->options->source;
	struct conf_problems problems;
	const struct conf_problem *p;
	const struct conf_told *t;
	size_t i;

	source.previous = s->boot;
	source.told = &s->told;
	source.awaits_scripts = false;
	conf_problems_init(&problems);
	s->completed = conf_new(&source, &problems);
	TAILQ_FOREACH(p, &problems.list, entry)
		log_err("%s", p->text);
	conf_problems_fini(&problems);
	if (s->completed == NULL)
		return (-1);
	for (i = 0; i < s->told.len; i++) {
		t = &s->told.list[i];
		if (t->winner != NULL)
			log_info("%s: its %s.%s is overruled (%s)", t->from,
			    t->key->section, t->key->name, t->winner);
	}
	s->boot = g->conf = s->completed;
	return (0);
}

/* What only scripts can say is known now, so the rest can be opened. EX_OK, or
 * the exit status, said in the log. */
static int
complete(struct supervisor *s, struct generation *g)
{
	struct why why;

	if (generation_told(g, &s->told, &why) == -1) {
		log_err("%s", why.text);
		return (EX_CONFIG);
	}
	if (conf_has_scripts(s->boot) && !discovery_is_partial(g->discovery) &&
	    complete_conf(s, g) == -1)
		return (EX_CONFIG);
	if (!s->options->check_only && open_orchestrator_side(s, &why) == -1) {
		log_err("%s", why.text);
		return (EX_CONFIG);
	}
	return (EX_OK);
}

static void
say_failing(const struct discovery_failing *f, void *arg)
{
	(void)arg;
	log_err("%s does not start: %s", f->from, f->reason);
}

static void
on_changed(void *arg)
{
	view_show_soon(arg);
}

static void
on_described(struct generation *g, void *arg)
{
	struct supervisor *s = arg;
	const struct program_settings common = run_program_settings(s);
	struct why why;
	int status;

	if (s->state == RUN_ENDED)
		return;
	if (resolve(g) == -1)
		run_end(s,
		    discovery_may_pass(g->discovery) ? EX_TEMPFAIL : EX_CONFIG);
	else if ((status = complete(s, g)) != EX_OK) {
		/* Just those may have been to say it. */
		generation_each_failing(g, say_failing, NULL);
		run_end(
		    s, discovery_may_pass(g->discovery) ? EX_TEMPFAIL : status);
	} else if (generation_make_programs(g, &common, &why) == -1) {
		/* Mostly something that the configuration names. */
		log_err("%s", why.text);
		run_end(s, EX_CONFIG);
	} else if (s->options->check_only)
		run_end(s, EX_OK);
	else
		start_programs(s, g);
}

static const struct generation_ops generation_ops = {
	.described = on_described,
	.changed = on_changed,
};

/* Generations of which nothing is left. Not done where the last child goes,
 * because its program is still at work there. */
static void
on_cleaning(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	struct generation *g, *next;
	struct program *p, *after;

	(void)fd;
	(void)what;
	TAILQ_FOREACH_SAFE(g, &s->old, entry, next) {
		TAILQ_FOREACH_SAFE(p, &g->programs, entry, after)
			if (TAILQ_EMPTY(&p->children)) {
				TAILQ_REMOVE(&g->programs, p, entry);
				program_free(p);
			}
		if (!TAILQ_EMPTY(&g->programs))
			continue;
		if (g->number != 0)
			log_info("generation %u is gone", g->number);
		TAILQ_REMOVE(&s->old, g, entry);
		generation_free(g);
	}
}

void
run_clean_soon(struct supervisor *s)
{
	event_active(&s->cleaning, EV_TIMEOUT, 0);
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
	    evtimer_assign(&s->deadline, s->loop, run_on_deadline, s) == -1 ||
	    evtimer_assign(&s->farewell, s->loop, run_on_farewell, s) == -1 ||
	    evtimer_assign(&s->cleaning, s->loop, on_cleaning, s) == -1 ||
	    evtimer_assign(&s->look_again, s->loop, run_on_look_again, s) ==
		-1 ||
	    evtimer_assign(&s->show, s->loop, view_on_show, s) == -1) {
		why_set(why, "cannot make the event loop");
		return (-1);
	}
	return (signals_open(&s->signals, s->loop, run_signal_rows,
	    run_signal_rows_len, s, why));
}

/* What children share. */
static int
open_children_side(struct supervisor *s, struct why *why)
{
	rlim_t nofile = 0;

	s->clean = environment_clean(s->options->environment);
	s->inherited = environment_inherited(s->options->environment);
	if (s->clean == NULL || s->inherited == NULL) {
		why_errno(why, "environment");
		return (-1);
	}
	conf_wipe_environment(s->options->environment);
	if (reaper_attach(&s->reaper, s->loop, why) == -1 ||
	    orphans_init(&s->orphans, &s->reaper, why) == -1)
		return (-1);
	if (!s->options->check_only) {
		s->memory = memory_new(s->loop, NULL, why);
		if (s->memory == NULL)
			return (-1);
		memory_announce(s->memory, s->boot);
	}
	if (nofile_raise(&nofile, why) == -1)
		log_warn("%s; the number of children is limited", why->text);
	start_gate_init(&s->gate, 0);
	s->poison = poison_new((unsigned)s->boot->worker.max_deaths_per_task);
	if (s->poison == NULL) {
		why_errno(why, "deaths of tasks");
		return (-1);
	}
	s->env = (struct child_env){
		.base = s->loop,
		.reaper = &s->reaper,
		.program = s->options->child_program,
		.python = s->options->python,
		.nofile = nofile,
		.memory = s->memory,
		.clean = s->clean,
		.inherited = s->inherited,
	};
	return (0);
}

/* Where tasks may have files. */
static int
open_workspaces(struct supervisor *s, struct why *why)
{
	const char *given = s->boot->worker.task_files_dir;
	const char *temporary = getenv("TMPDIR");
	char *directory;

	if (given != NULL)
		directory = strdup(given);
	else if (s->options->local_path == NULL)
		directory =
		    text_format("%s/tasks", s->options->instance->state_dir);
	else
		directory = strdup(temporary != NULL && temporary[0] == '/' ?
			temporary :
			"/tmp");
	if (directory == NULL) {
		why_errno(why, "workspaces");
		return (-1);
	}
	s->workspaces = workspaces_new(
	    &(struct workspaces_settings){
		.directory = directory,
		.program = s->options->child_program,
		.environment = s->clean,
		.reaper = &s->reaper,
	    },
	    why);
	free(directory);
	s->env.workspaces = s->workspaces;
	return (s->workspaces != NULL ? 0 : -1);
}

/* Where scripts count, if anybody can ask for it. */
static int
open_figures(struct supervisor *s, struct why *why)
{
	char *directory;

	if (s->metrics == NULL || metrics_address(s->metrics) == NULL)
		return (0);
	/* With a dot, which no worker's name begins with: those have their
	 * state directories beside it, and it is emptied. */
	directory = text_format("%s/.figures", s->options->instance->state_dir);
	if (directory == NULL) {
		why_errno(why, "figures of scripts");
		return (-1);
	}
	s->figures = figures_new(
	    &(struct figures_settings){
		.directory = directory,
		.python = s->options->python,
		.environment = s->inherited,
		.reaper = &s->reaper,
		.loop = s->loop,
	    },
	    why);
	free(directory);
	if (s->figures == NULL)
		return (-1);
	s->env.figures = figures_directory(s->figures);
	return (0);
}

/* What the outside is told and asks by; not in local mode. */
static int
open_edges(struct supervisor *s, struct why *why)
{
	if (notify_new(s->loop, s->options->environment, s->options->is_daemon,
		&s->notify, why) == -1)
		log_warn("%s; going on without", why->text);
	if (s->options->local_path != NULL || s->options->check_only)
		return (0);
	if (s->boot->metrics.enabled &&
	    (s->metrics = metrics_new(
		 s->loop, &s->boot->metrics, &run_view_ops, s, why)) == NULL)
		return (-1);
	s->control = control_new(
	    s->loop, s->options->instance->state_dir, &run_view_ops, s, why);
	if (s->control == NULL)
		log_warn("%s; going on without avtoworkerctl", why->text);
	return (0);
}

/* Tasks may be taken again, or not any more. */
static void
on_outbox_changed(void *arg)
{
	struct supervisor *s = arg;

	view_show_soon(s);
	if (s->state == RUN_RUNNING)
		orchestrator_kick(s->orchestrator);
}

/* What is left of the last run. EX_OK, or the exit status and why. */
static int
open_outbox(struct supervisor *s, struct why *why)
{
	int status = EX_OK;

	if (s->options->local_path != NULL || s->options->check_only)
		return (EX_OK);
	s->outbox = outbox_open(
	    &(struct outbox_settings){
		.conf = &s->boot->worker,
		.state_dir = s->options->instance->state_dir,
		.leases = &s->leases,
		.loop = s->loop,
		.changed = on_outbox_changed,
		.arg = s,
	    },
	    &status, why);
	return (s->outbox != NULL ? EX_OK : status);
}

static void
close_all(struct supervisor *s)
{
	struct generation *g;

	generation_free(s->next);
	generation_free(s->now);
	while ((g = TAILQ_FIRST(&s->old)) != NULL) {
		TAILQ_REMOVE(&s->old, g, entry);
		generation_free(g);
	}
	metrics_free(s->metrics);
	figures_free(s->figures);
	control_free(s->control);
	notify_free(s->notify);
	orchestrator_free(s->orchestrator);
	http_free(s->http);
	if (!outbox_close(s->outbox)) {
		log_err("the journal could not be written to its end: results "
			"that were delivered may be sent again, others are "
			"lost");
		if (s->exit_status == EX_OK)
			s->exit_status = EX_TEMPFAIL;
	}
	/* Results are safe by now, however long it takes. */
	orphans_fini(&s->orphans);
	workspaces_free(s->workspaces);
	lease_table_fini(&s->leases);
	words_free(s->clean);
	words_free(s->inherited);
	free(s->worker_id);
	stats_free(s->stats);
	poison_free(s->poison);
	memory_free(s->memory);
	view_fini(s);
	conf_free(s->completed);
	conf_told_fini(&s->told);
	signals_close(&s->signals);
	reaper_fini(&s->reaper);
	if (s->loop != NULL) {
		(void)event_del(&s->deadline);
		(void)event_del(&s->farewell);
		(void)event_del(&s->cleaning);
		(void)event_del(&s->look_again);
		(void)event_del(&s->show);
		event_base_free(s->loop);
	}
}

/* A worker that has some handlers serves while others do not start. */
static enum discovery_mode
how_to_discover(const struct supervisor_options *opt)
{
	if (!opt->check_only)
		return (DISCOVER_SOME);
	return (opt->check_starts ? DISCOVER_ALL : DISCOVER_FILES);
}

/* Everything but the handlers; the exit status when that fails. */
static int
open_all(struct supervisor *s, struct why *why)
{
	int status;

	if ((s->stats = stats_new()) == NULL) {
		why_errno(why, "figures");
		return (EX_OSERR);
	}
	if (open_loop(s, why) == -1)
		return (EX_OSERR);
	/* First the edges: what is between us and the service manager is taken
	 * from the environment before children get theirs. */
	if (open_edges(s, why) == -1)
		return (EX_CONFIG);
	if (open_children_side(s, why) == -1)
		return (EX_OSERR);
	if ((status = open_outbox(s, why)) != EX_OK)
		return (status);
	if (!s->options->check_only &&
	    (open_workspaces(s, why) == -1 || open_figures(s, why) == -1))
		return (EX_CONFIG);
	notify_extend(s->notify, DESCRIBE_MS);
	s->now = generation_new(1, s->boot, &s->env,
	    how_to_discover(s->options), &generation_ops, s, why);
	return (s->now != NULL ? EX_OK : EX_OSERR);
}

/* Who it is that writes this log. */
static void
say_hello(const struct supervisor *s)
{
	const char *file = s->options->source->file;

	if (s->options->local_path != NULL || s->options->check_only)
		return;
	log_info("avtoworkerd %s, PID %d, configuration %s, state directory %s",
	    PACKAGE_VERSION, (int)getpid(), file != NULL ? file : "(none)",
	    s->options->instance->state_dir);
}

int
supervisor_run(const struct conf *conf, const struct supervisor_options *opt)
{
	struct supervisor s = {
		.boot = conf,
		.options = opt,
		.signals.fd = -1,
		.started_ms = clock_now_ms(),
		.exit_status = EX_SOFTWARE,
	};
	struct why why;
	int status;

	TAILQ_INIT(&s.old);
	lease_table_init(&s.leases);
	cancels_init(&s.cancels);
	reaper_init(&s.reaper);
	say_hello(&s);
	if ((status = open_all(&s, &why)) != EX_OK) {
		log_err("%s", why.text);
		s.exit_status = status;
	} else if (event_base_dispatch(s.loop) == -1)
		log_err("the event loop failed");
	close_all(&s);
	return (s.exit_status);
}
