/* SPDX-License-Identifier: ISC */
/*
 * category.c: the policy of a pool. Wanted and present are compared in one
 * place, balance(), which is called after every change. A lease is only given
 * to a child that has said ready. Two rules for a death (Dovecot's and
 * Postfix's): before the pool has ever succeeded it means that the handler is
 * broken, and the next start waits; in a healthy pool it is the task's doing,
 * and the child is replaced at once.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>
#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/children/category.h"
#include "supervisor/conf.h"
#include "supervisor/handler.h"
#include "supervisor/lease.h"

#define RETRY_FIRST_MS    ((int64_t)100)
#define RETRY_MAX_MS      ((int64_t)30 * 1000)
#define STABLE_MS         ((int64_t)10 * 1000) /* a life that clears old failures */
#define WITHDRAW_AFTER_MS ((int64_t)5 * 60 * 1000)
#define REQUEUES_MAX      2

static void balance(struct category *);
static struct log_context
context(const struct category *cat)
{
	return ((struct log_context){ .category = cat->name });
}

static unsigned
children_in(const struct category *cat, unsigned states)
{
	const struct child *c;
	unsigned n = 0;

	TAILQ_FOREACH(c, &cat->children, entry)
		if (states & (1u << c->state))
			n++;
	return (n);
}

#define STARTING (1u << CHILD_STARTING)
#define IDLE     (1u << CHILD_IDLE)
#define BUSY     (1u << CHILD_BUSY)

int
category_places(const struct category *cat)
{
	unsigned free_children;

	if (cat->stopping || !cat->was_ready)
		return (-(int)cat->queued);
	free_children = children_in(cat, IDLE | STARTING);
	return ((int)free_children - (int)cat->queued);
}

bool
category_is_offered(const struct category *cat)
{
	return (cat->was_ready);
}

/* Tells when it is known, or has changed, whether the category can run. */
static void
settle(struct category *cat)
{
	if (cat->settled && cat->offered == cat->was_ready)
		return;
	cat->settled = true;
	cat->offered = cat->was_ready;
	cat->ops->settled(cat, cat->arg);
}

static void
finish(struct category *cat, struct lease *l, struct result *result)
{
	cat->ops->finished(l, result, cat->arg);
	result_fini(result);
}

static void
enqueue(struct category *cat, struct lease *l)
{
	TAILQ_INSERT_TAIL(&cat->queue, l, entry);
	cat->queued++;
}

static struct lease *
dequeue(struct category *cat)
{
	struct lease *l = TAILQ_FIRST(&cat->queue);

	if (l != NULL) {
		TAILQ_REMOVE(&cat->queue, l, entry);
		cat->queued--;
	}
	return (l);
}

/* Nobody will run what waits here. */
static void
give_queue_back(struct category *cat)
{
	struct result r;
	struct lease *l;

	while ((l = dequeue(cat)) != NULL) {
		r = result_failure(CODE_TRANSIENT,
		    "no child of category \"%s\" could be started: %s",
		    cat->name, cat->failure);
		finish(cat, l, &r);
	}
}

/* True when no child has been ready yet, or none for so long that what waits
 * is better given back. */
static bool
is_broken(const struct category *cat, int64_t now_ms)
{
	if (!cat->was_ready)
		return (true);
	if (children_in(cat, IDLE | BUSY) > 0)
		return (false);
	return (now_ms - cat->ready_ms >= WITHDRAW_AFTER_MS);
}

/* A start came to nothing, for that reason: wait before the next. Children
 * that fail together count as one failure. */
static void
start_failed(struct category *cat, const char *reason)
{
	const struct log_context ctx = context(cat);
	const int64_t now_ms = clock_now_ms();
	struct timeval tv;
	int64_t delay;

	(void)strlcpy(cat->failure, reason, sizeof(cat->failure));
	if (now_ms >= cat->not_before_ms) {
		delay = backoff_next_ms(&cat->backoff);
		log_line(LOG_LEVEL_ERR, &ctx,
		    "cannot start child of \"%s\": %s; trying again in "
		    "%lld ms",
		    cat->name, reason, (long long)delay);
		cat->not_before_ms = now_ms + delay;
		tv = clock_timeval(delay);
		if (event_add(&cat->retry, &tv) == -1)
			log_line(LOG_LEVEL_ERR, &ctx, "cannot set a timer");
	}
	if (is_broken(cat, now_ms)) {
		cat->was_ready = false;
		give_queue_back(cat);
		settle(cat);
	}
}

static void
on_ready(struct child *c, const struct offer *offer, void *arg)
{
	struct category *cat = arg;

	(void)c;
	(void)offer;
	cat->was_ready = true;
	cat->ready_ms = clock_now_ms();
	cat->failure[0] = '\0';
	settle(cat);
	balance(cat);
	cat->ops->room(cat->arg);
}

static void
on_finished(struct child *c, struct lease *l, struct result *result, void *arg)
{
	struct category *cat = arg;

	(void)c;
	cat->succeeded = true;
	backoff_reset(&cat->backoff);
	cat->ops->finished(l, result, cat->arg);
	balance(cat);
	cat->ops->room(cat->arg);
}

/* The result of a task whose child died over it. */
static struct result
death_result(const struct category *cat, const struct death *death)
{
	struct result r;

	r = result_failure(death_code(death->cause),
	    "child %d of category \"%s\" %s", (int)death->pid, cat->name,
	    death->text);
	death_put_details(death, &r.details);
	if (bytes_failed(&r.details))
		bytes_fini(&r.details);
	return (r);
}

static void
lease_lost(struct category *cat, struct child *c, const struct death *death)
{
	struct lease *l = c->lease;
	const struct log_context ctx = lease_context(l);
	struct result r;

	c->lease = NULL;
	if (!c->lease_started && !cat->stopping && l->requeues < REQUEUES_MAX) {
		l->requeues++;
		log_line(LOG_LEVEL_WARN, &ctx,
		    "child %d %s before the handler began; queued again",
		    (int)death->pid, death->text);
		lease_set_queued(cat->leases, l);
		TAILQ_INSERT_HEAD(&cat->queue, l, entry);
		cat->queued++;
		return;
	}
	r = death_result(cat, death);
	finish(cat, l, &r);
}

/* What a death means for the next start. */
static void
judge(struct category *cat, const struct child *c, bool leased,
    const struct death *death)
{
	const struct log_context ctx = {
		.category = cat->name,
		.pid = death->pid,
	};
	bool stable;

	if (cat->stopping) {
		log_line(LOG_LEVEL_DEBUG, &ctx, "child %s", death->text);
		return;
	}
	stable = clock_now_ms() - c->born_ms >= STABLE_MS;
	if (stable)
		backoff_reset(&cat->backoff);
	if (c->was_ready)
		cat->ready_ms = clock_now_ms();
	if (!c->was_ready || (!leased && !stable))
		start_failed(cat, death->text);
	else if (!cat->succeeded && leased)
		start_failed(cat, "its first task ended it");
	else
		log_line(LOG_LEVEL_WARN, &ctx, "child %s; starting another",
		    death->text);
}

static void
interrupt(struct category *cat, struct lease *l)
{
	struct result r = result_failure(CODE_TRANSIENT,
	    "interrupted: the worker was stopped before the task ended");

	finish(cat, l, &r);
}

/* The last child is gone, and none will follow. */
static void
emptied(struct category *cat)
{
	struct lease *l;

	while ((l = dequeue(cat)) != NULL)
		interrupt(cat, l);
	cat->ops->emptied(cat, cat->arg);
}

static void
on_gone(struct child *c, const struct death *death, void *arg)
{
	struct category *cat = arg;
	const bool leased = c->lease != NULL;

	TAILQ_REMOVE(&cat->children, c, entry);
	if (leased)
		lease_lost(cat, c, death);
	judge(cat, c, leased, death);
	child_free(c);
	balance(cat);
	if (!cat->stopping)
		cat->ops->room(cat->arg);
	else if (TAILQ_EMPTY(&cat->children))
		emptied(cat);
}

static const struct child_ops child_ops = {
	.ready = on_ready,
	.finished = on_finished,
	.gone = on_gone,
};

/* Starts one more child; false when that failed. */
static bool
start_one(struct category *cat)
{
	struct child *c;
	struct why why;

	c = child_new(
	    &(struct child_start){
		.env = cat->env,
		.category = cat->name,
		.argv = cat->program.argv,
		.envp = cat->program.envp,
		.timeout_ms = cat->conf->start_timeout_ms,
		.ops = &child_ops,
		.arg = cat,
	    },
	    &why);
	if (c == NULL) {
		start_failed(cat, why.text);
		return (false);
	}
	TAILQ_INSERT_TAIL(&cat->children, c, entry);
	return (true);
}

static void
start_missing(struct category *cat)
{
	unsigned present, starting;

	if (cat->stopping || clock_now_ms() < cat->not_before_ms)
		return;
	present = children_in(cat, STARTING | IDLE | BUSY);
	starting = children_in(cat, STARTING);
	for (; present < cat->wanted; present++, starting++) {
		/* After a failure one child shows whether it works again. */
		if (cat->backoff.failures > 0 && starting > 0)
			return;
		if (!start_one(cat))
			return;
	}
}

static void
dispatch(struct category *cat)
{
	struct child *c, *next;
	const struct task_limits limits = { 0 };
	struct result r;
	struct lease *l;
	struct why why;

	TAILQ_FOREACH_SAFE(c, &cat->children, entry, next) {
		while (child_is_free(c) && cat->queued > 0) {
			l = dequeue(cat);
			if (child_run(c, l, &limits, &why) == 0) {
				lease_set_running(cat->leases, l);
				continue;
			}
			r = result_failure(CODE_TRANSIENT, "%s", why.text);
			finish(cat, l, &r);
		}
	}
}

static void
stop_idle(struct category *cat)
{
	struct child *c;

	TAILQ_FOREACH(c, &cat->children, entry)
		child_stop(c); /* a busy one is left to finish */
}

static void
balance(struct category *cat)
{
	if (cat->queued > 0)
		dispatch(cat);
	if (cat->stopping)
		stop_idle(cat);
	else
		start_missing(cat);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct category *cat = arg;

	(void)fd;
	(void)what;
	cat->not_before_ms = 0;
	balance(cat);
}

struct category *
category_new(const struct category_settings *set, struct why *why)
{
	struct category *cat;
	unsigned min;

	if ((cat = calloc(1, sizeof(*cat))) == NULL) {
		why_errno(why, "category %s", set->name);
		return (NULL);
	}
	TAILQ_INIT(&cat->children);
	TAILQ_INIT(&cat->queue);
	cat->ops = set->ops;
	cat->arg = set->arg;
	cat->conf = set->conf;
	cat->env = set->env;
	cat->handlers = set->handlers;
	cat->leases = set->leases;
	conf_category_sizes(set->conf, &min, &cat->wanted);
	cat->backoff.first_ms = RETRY_FIRST_MS;
	cat->backoff.max_ms = RETRY_MAX_MS;
	if (program_init(&cat->program, set->name, set->conf, set->handlers,
		set->env, set->inherit, why) == -1) {
		free(cat);
		return (NULL);
	}
	if ((cat->name = strdup(set->name)) == NULL ||
	    evtimer_assign(&cat->retry, set->env->base, on_retry, cat) == -1) {
		why_errno(why, "category %s", set->name);
		category_free(cat);
		return (NULL);
	}
	return (cat);
}

void
category_start(struct category *cat)
{
	balance(cat);
}

void
category_submit(struct category *cat, struct lease *l)
{
	enqueue(cat, l);
	if (!cat->was_ready && cat->settled)
		give_queue_back(cat);
	else
		dispatch(cat);
}

void
category_stop(struct category *cat)
{
	cat->stopping = true;
	(void)event_del(&cat->retry);
	balance(cat);
	if (TAILQ_EMPTY(&cat->children))
		emptied(cat);
}

void
category_abandon(struct category *cat)
{
	struct child *c;
	struct lease *l;

	cat->stopping = true;
	(void)event_del(&cat->retry);
	while ((l = dequeue(cat)) != NULL)
		interrupt(cat, l);
	TAILQ_FOREACH(c, &cat->children, entry) {
		l = c->lease;
		c->lease = NULL;
		if (l != NULL)
			interrupt(cat, l);
		child_kill(c, DEATH_INTERRUPTED,
		    "was running when the worker was stopped");
	}
	if (TAILQ_EMPTY(&cat->children))
		emptied(cat);
}

void
category_free(struct category *cat)
{
	struct child *c;

	if (cat == NULL)
		return;
	while ((c = TAILQ_FIRST(&cat->children)) != NULL) {
		TAILQ_REMOVE(&cat->children, c, entry);
		child_kill(c, DEATH_STOP, "outlived the supervisor");
		child_free(c);
	}
	if (event_initialized(&cat->retry))
		(void)event_del(&cat->retry);
	program_fini(&cat->program);
	free(cat->name);
	free(cat);
}
