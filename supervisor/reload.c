/* SPDX-License-Identifier: ISC */
/*
 * reload.c: SIGHUP. The configuration and the files it names are read again
 * into a new generation beside the one that serves; the programs that have
 * changed start their children; only when all of them work are the two
 * swapped. Whatever fails on the way is said, and nothing has changed.
 */
#include <string.h>

#include "supervisor/base/log.h"
#include "supervisor/children/memory.h"
#include "supervisor/children/poison.h"
#include "supervisor/conf.h"
#include "supervisor/conf_keys.h"
#include "supervisor/edges/daemon.h"
#include "supervisor/edges/notify.h"
#include "supervisor/orchestrator/orchestrator.h"
#include "supervisor/run.h"

static void
say_problems(const struct conf_problems *problems)
{
	const struct conf_problem *p;

	TAILQ_FOREACH(p, &problems->list, entry)
		log_err("reload: %s", p->text);
}

/* Who waits for the start is told of its end, not of this one. */
static void
ended(const struct supervisor *s)
{
	if (s->ready_told)
		notify_ready(s->notify);
}

/* The new generation may be at work up the stack, so it is freed later. */
static void
refuse(struct supervisor *s, const char *reason)
{
	struct generation *g = s->next;
	struct program *p, *next;

	log_err("reload: %s; nothing has changed", reason);
	s->next = NULL;
	g->number = 0;
	TAILQ_INSERT_TAIL(&s->old, g, entry);
	TAILQ_FOREACH_SAFE(p, &g->programs, entry, next)
		program_retire(p);
	run_clean_soon(s);
	ended(s);
}

static void
say_restart_key(const char *key, void *arg)
{
	(void)arg;
	log_warn("reload: %s has changed; that takes effect when the worker "
		 "is started again",
	    key);
}

static void
apply_log(const struct supervisor *s)
{
	const struct conf_log *log = &s->now->conf->log;
	struct why why;

	if (log_open(
		daemon_log_destination(s->options->is_daemon, log->destination),
		log->level, log->format, &why) == -1)
		log_err("reload: %s; the log stays where it was", why.text);
}

/* Old programs hand on what waits for them, and end as they become idle. */
static void
retire(struct supervisor *s, struct generation *old)
{
	struct program *p, *next;

	TAILQ_INSERT_TAIL(&s->old, old, entry);
	generation_give_up_failing(old);
	TAILQ_FOREACH_SAFE(p, &old->programs, entry, next)
		program_retire(p);
	run_clean_soon(s);
}

static void
swap(struct supervisor *s)
{
	const struct program_settings common = run_program_settings(s);
	struct generation *old = s->now;

	generation_take_same(s->next, old, &common);
	s->now = s->next;
	s->next = NULL;
	conf_restart_keys(s->boot, s->now->conf, say_restart_key, NULL);
	apply_log(s);
	poison_set_max(
	    s->poison, (unsigned)s->now->conf->worker.max_deaths_per_task);
	retire(s, old);
	memory_announce(s->memory, s->now->conf);
	log_info("reload: done, generation %u serves", s->now->number);
	run_offer(s);
	run_program_ops.room(s); /* more may run at once than before */
	ended(s);
}

void
reload_progress(struct supervisor *s)
{
	const struct program *p;

	if (s->next == NULL || s->next->discovery != NULL ||
	    !generation_is_settled(s->next))
		return;
	TAILQ_FOREACH(p, &s->next->programs, entry)
		if (!program_is_offered(p)) {
			refuse(s, "a category does not start");
			return;
		}
	swap(s);
}

/* Whether some script says that of a key; value: and no other value. */
static bool
is_told(const struct conf_tolds *tolds, const struct conf_told *t, bool value)
{
	size_t i;

	for (i = 0; i < tolds->len; i++)
		if (tolds->list[i].key == t->key &&
		    strcmp(tolds->list[i].from, t->from) == 0 &&
		    (!value || strcmp(tolds->list[i].value, t->value) == 0))
			return (true);
	return (false);
}

static void
say_told(const struct conf_told *t)
{
	log_warn("reload: %s says something else of %s.%s than at the start; "
		 "that takes effect when the worker is started again",
	    t->from, t->key->section, t->key->name);
}

/* Scripts are not asked about themselves again while the worker runs. */
static void
compare_told(const struct supervisor *s, const struct generation *g)
{
	struct conf_tolds now = { 0 };
	struct why why;
	size_t i;

	if (generation_told(g, &now, &why) == -1)
		log_warn("reload: %s", why.text);
	for (i = 0; i < now.len; i++)
		if (!is_told(&s->told, &now.list[i], true))
			say_told(&now.list[i]);
	for (i = 0; i < s->told.len; i++)
		if (!is_told(&now, &s->told.list[i], false))
			say_told(&s->told.list[i]);
	conf_told_fini(&now);
}

static void
on_described(struct generation *g, void *arg)
{
	struct supervisor *s = arg;
	const struct program_settings common = run_program_settings(s);
	struct conf_problems problems;
	struct why why;
	int rc;

	if (g != s->next)
		return; /* it was given up in the same turn of the loop */
	conf_problems_init(&problems);
	if ((rc = generation_resolve(g, &problems)) == -1)
		say_problems(&problems);
	conf_problems_fini(&problems);
	if (rc == -1) {
		refuse(s, "the handlers are not usable");
		return;
	}
	compare_told(s, g);
	if (generation_make_programs(g, &common, &why) == -1) {
		refuse(s, why.text);
		return;
	}
	generation_leave_out_same(g, s->now);
	generation_start(g);
	reload_progress(s); /* nothing may have changed at all */
}

static void
on_changed(void *arg)
{
	view_show_soon(arg);
}

static const struct generation_ops generation_ops = {
	.described = on_described,
	.changed = on_changed,
};

static struct conf *
read_again(struct supervisor *s)
{
	struct conf_source source = *s->options->source;
	struct conf_problems problems;
	struct conf *conf;

	source.previous = s->boot;
	source.told = &s->told;
	conf_problems_init(&problems);
	if ((conf = conf_new(&source, &problems)) == NULL)
		say_problems(&problems);
	conf_problems_fini(&problems);
	return (conf);
}

void
reload_begin(struct supervisor *s)
{
	struct conf *conf;
	struct why why;

	if (s->state == RUN_STARTING) {
		s->reload_asked = true;
		return;
	}
	if (s->state != RUN_RUNNING) {
		log_warn("reload: not while the worker is %s",
		    run_state_name(s->state));
		return;
	}
	/* One that takes its time may be the mistake that the next corrects. */
	if (s->next != NULL)
		refuse(s, "given up for the next one");
	log_info("reload: reading the configuration again");
	if (s->ready_told)
		notify_reloading(s->notify);
	if ((conf = read_again(s)) == NULL) {
		log_err("reload: the configuration is not usable; nothing has "
			"changed");
		ended(s);
		return;
	}
	s->next = generation_new(s->now->number + 1, conf, &s->env,
	    DISCOVER_ALL, &generation_ops, s, &why);
	if (s->next == NULL) {
		log_err("reload: %s; nothing has changed", why.text);
		conf_free(conf);
		ended(s);
		return;
	}
	s->next->owned = conf;
}

void
reload_abandon(struct supervisor *s)
{
	if (s->next != NULL)
		refuse(s, "the worker is being stopped");
}
