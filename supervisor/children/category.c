/* SPDX-License-Identifier: ISC */
/*
 * category.c: the life of a pool, from its first child to its last. What
 * should be and what is are compared in one place, balance(), which is called
 * after every change and by one timer; whatever is due at some time is found
 * there, so no event has to be waited for that may not come. The decisions
 * themselves stand in pool.c and in category_lease.c, category_start.c and
 * category_recycle.c.
 */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/children/category_parts.h"
#include "supervisor/children/offer.h"
#include "supervisor/children/poison.h"
#include "supervisor/conf.h"
#include "supervisor/handler.h"
#include "supervisor/lease.h"

#define RETRY_FIRST_MS ((int64_t)100)
#define RETRY_MAX_MS   ((int64_t)30 * 1000)

struct pool_counts
category_counts(const struct category *cat)
{
	struct pool_counts n = { 0 };
	const struct child *c;

	TAILQ_FOREACH(c, &cat->children, entry) {
		n.starting += c->state == CHILD_STARTING;
		n.idle += c->state == CHILD_IDLE;
		n.busy += c->state == CHILD_BUSY;
	}
	n.waiting = category_may_run(cat);
	return (n);
}

int
category_places(const struct category *cat)
{
	const struct pool_counts n = category_counts(cat);
	unsigned present = n.starting + n.idle + n.busy;
	unsigned children = cat->pool.max;

	if (cat->paused)
		return (0);
	if (cat->stopping || !cat->usable)
		return (-(int)cat->queued);
	if (cat->backoff.failures > 0) {
		/* What could be started is on trial, and one at a time. */
		if (present == 0 && clock_now_ms() >= cat->not_before_ms)
			present = 1;
		children = present < children ? present : children;
	}
	return ((int)children - (int)n.busy - (int)cat->queued);
}

bool
category_is_offered(const struct category *cat)
{
	return (cat->usable);
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return (a < b ? a : b);
}

/* When there is something to do though nothing has changed. */
static int64_t
due_ms(const struct category *cat, int64_t now_ms)
{
	int64_t due = cat->queued > 0 ? cat->expires_ms : INT64_MAX;

	if (cat->stopping)
		return (due);
	due = earlier(due, pool_due_ms(&cat->pool));
	due = earlier(due, category_review_ms(cat));
	due = earlier(due, category_recycle_ms(cat, now_ms));
	if (now_ms < cat->not_before_ms)
		due = earlier(due, cat->not_before_ms);
	return (due);
}

static void
set_timer(struct category *cat, int64_t now_ms)
{
	const int64_t due = due_ms(cat, now_ms);
	const struct timeval tv = clock_timeval(due - now_ms);
	const struct log_context ctx = category_context(cat);

	if (due == cat->timer_ms)
		return;
	cat->timer_ms = due;
	if (due == INT64_MAX)
		(void)event_del(&cat->timer);
	else if (event_add(&cat->timer, &tv) == -1) {
		cat->timer_ms = INT64_MAX;
		log_line(LOG_LEVEL_ERR, &ctx, "cannot set a timer");
	}
}

static void
stop_idle(struct category *cat)
{
	struct child *c, *next;

	TAILQ_FOREACH_SAFE(c, &cat->children, entry, next)
		category_dismiss(cat, c, "stopped"); /* not a busy one */
}

static void
balance_once(struct category *cat)
{
	const int64_t now_ms = clock_now_ms();
	struct pool_counts n;

	category_expire(cat, now_ms);
	category_dispatch(cat);
	if (cat->stopping)
		stop_idle(cat);
	else {
		n = category_counts(cat);
		category_review(cat, &n, now_ms);
		category_recycle(cat, &n, now_ms);
		n.waiting = category_may_run(cat); /* not what was withdrawn */
		category_start_missing(cat, &n, now_ms);
	}
	set_timer(cat, now_ms);
}

/* What it calls may call it again: then once more, but not inside itself. */
static void
balance(struct category *cat)
{
	cat->unbalanced = true;
	if (cat->balancing)
		return;
	cat->balancing = true;
	while (cat->unbalanced) {
		cat->unbalanced = false;
		balance_once(cat);
	}
	cat->balancing = false;
}

void
category_balance(struct category *cat)
{
	balance(cat);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct category *cat = arg;
	const bool over =
	    cat->not_before_ms != 0 && clock_now_ms() >= cat->not_before_ms;

	(void)fd;
	(void)what;
	cat->timer_ms = INT64_MAX;
	if (over)
		cat->not_before_ms = 0;
	balance(cat);
	if (over && !cat->stopping)
		cat->ops->room(cat->arg); /* a start may be tried again */
}

static void
on_gate(void *arg)
{
	balance(arg);
}

static void
leave_gate(struct category *cat)
{
	if (cat->gate != NULL)
		start_gate_leave(cat->gate, &cat->ticket);
}

/* The last child is gone, and none will follow. The category may be gone as
 * well afterwards. */
static void
emptied(struct category *cat)
{
	struct lease *l;

	while ((l = category_dequeue(cat)) != NULL)
		category_interrupt(cat, l);
	cat->ops->emptied(cat, cat->arg);
}

/* True when other categories may wait for no more than a running place. */
static bool
is_crowded(const struct category *cat)
{
	return (cat->max_running > 0 &&
	    cat->leases->count[LEASE_RUNNING] >= cat->max_running);
}

/* A place has become free: the others first, if they wait for it. */
static void
share(struct category *cat, bool crowded)
{
	cat->yields = crowded;
	cat->ops->room(cat->arg);
	cat->yields = false;
	balance(cat);
}

/* A child offers what its category was made with, no more and no less. */
static bool
is_expected(const struct category *cat, const struct offer *offer)
{
	struct handler *h;
	size_t i, count = 0;

	for (i = 0; i < offer->count; i++) {
		h = handler_find(cat->handlers, offer->handlers[i].type);
		if (h == NULL || strcmp(h->category, cat->name) != 0)
			return (false);
	}
	for (h = NULL; (h = handler_next(cat->handlers, h)) != NULL;)
		if (strcmp(h->category, cat->name) == 0)
			count++;
	return (offer->count == count);
}

static void
on_ready(struct child *c, const struct offer *offer, void *arg)
{
	struct category *cat = arg;

	if (!is_expected(cat, offer)) {
		c->was_ready = false; /* its start has failed */
		child_kill(c, DEATH_START,
		    "offers other task types than were found in its files");
		return;
	}
	TAILQ_REMOVE(&cat->children, c, entry);
	TAILQ_INSERT_HEAD(&cat->children, c, entry);
	cat->was_ready = true;
	cat->usable = true;
	cat->failure[0] = '\0';
	leave_gate(cat);
	category_settle(cat);
	balance(cat);
	cat->ops->room(cat->arg);
}

static void
on_finished(struct child *c, struct lease *l, struct result *result, void *arg)
{
	struct category *cat = arg;
	const bool crowded = is_crowded(cat);

	cat->succeeded = true;
	backoff_reset(&cat->backoff);
	if (cat->poison != NULL)
		poison_clear(cat->poison, l->task.job_id, l->task.type);
	if (c->state == CHILD_IDLE) {
		TAILQ_REMOVE(&cat->children, c, entry);
		TAILQ_INSERT_HEAD(&cat->children, c, entry);
	}
	cat->yields = crowded;
	cat->ops->finished(l, result, cat->arg);
	category_check_used(cat, c);
	share(cat, crowded);
}

static void
on_event(
    struct child *c, struct lease *l, const struct task_event *event, void *arg)
{
	const struct category *cat = arg;

	(void)c;
	if (cat->ops->event != NULL)
		cat->ops->event(l, event, cat->arg);
}

static const char *
reason_of(const struct child *c, const struct death *death)
{
	if (c->leaving != NULL && death->cause != DEATH_STOP)
		return (c->leaving);
	return (death_cause_name(death->cause));
}

static void
on_gone(struct child *c, const struct death *death, void *arg)
{
	struct category *cat = arg;
	const bool leased = c->lease != NULL, crowded = is_crowded(cat);

	TAILQ_REMOVE(&cat->children, c, entry);
	cat->yields = crowded;
	if (leased)
		category_lose(cat, c, death);
	if (cat->ops->child_ended != NULL)
		cat->ops->child_ended(cat, reason_of(c, death), cat->arg);
	category_judge(cat, c, leased, death);
	if (!c->was_ready)
		leave_gate(cat);
	child_free(c);
	share(cat, crowded && leased);
	if (cat->stopping && TAILQ_EMPTY(&cat->children))
		emptied(cat);
}

const struct child_ops category_child_ops = {
	.ready = on_ready,
	.finished = on_finished,
	.event = on_event,
	.gone = on_gone,
};

/* What the settings say, and nothing that can fail. */
static void
take_settings(struct category *cat, const struct category_settings *set)
{
	unsigned min, max;

	TAILQ_INIT(&cat->children);
	TAILQ_INIT(&cat->queue);
	cat->ops = set->ops;
	cat->arg = set->arg;
	cat->conf = set->conf;
	cat->env = set->env;
	cat->handlers = set->handlers;
	cat->leases = set->leases;
	cat->poison = set->poison;
	cat->gate = set->gate;
	cat->max_running = set->max_running;
	conf_category_sizes(set->conf, &min, &max);
	pool_init(&cat->pool, min, max, set->conf->idle_timeout_ms);
	cat->ticket.open = on_gate;
	cat->ticket.arg = cat;
	cat->backoff.first_ms = RETRY_FIRST_MS;
	cat->backoff.max_ms = RETRY_MAX_MS;
	cat->timer_ms = cat->expires_ms = INT64_MAX;
}

struct category *
category_new(const struct category_settings *set, struct why *why)
{
	struct category *cat;

	if ((cat = calloc(1, sizeof(*cat))) == NULL) {
		why_errno(why, "category %s", set->name);
		return (NULL);
	}
	take_settings(cat, set);
	if (program_init(&cat->program, set->name, set->conf, set->handlers,
		set->env, set->inherit, why) == -1) {
		free(cat);
		return (NULL);
	}
	if ((cat->name = strdup(set->name)) == NULL ||
	    evtimer_assign(&cat->timer, set->env->base, on_timer, cat) == -1) {
		why_errno(why, "category %s", set->name);
		category_free(cat);
		return (NULL);
	}
	return (cat);
}

void
category_start(struct category *cat)
{
	if (cat->pool.min == 0) {
		/* On trust: only a task will show whether a child starts. */
		cat->usable = true;
		category_settle(cat);
	}
	balance(cat);
}

void
category_submit(struct category *cat, struct lease *l)
{
	if (cat->stopping && TAILQ_EMPTY(&cat->children)) {
		category_interrupt(cat, l);
		return;
	}
	category_enqueue(cat, l);
	if (!cat->usable && cat->settled)
		category_give_queue_back(cat);
	else
		balance(cat);
}

void
category_pause(struct category *cat)
{
	cat->paused = true;
	balance(cat);
}

void
category_resume(struct category *cat)
{
	cat->paused = false;
	balance(cat);
	if (!cat->stopping)
		cat->ops->room(cat->arg);
}

void
category_say_farewell(struct category *cat)
{
	struct child *c, *next;

	TAILQ_FOREACH_SAFE(c, &cat->children, entry, next)
		if (c->state == CHILD_BUSY)
			child_cancel(
			    c, CANCEL_DRAIN, cat->conf->cancel_grace_ms);
}

struct lease *
category_take_queued(struct category *cat)
{
	return (category_dequeue(cat));
}

void
category_retire(struct category *cat)
{
	struct category_queue queue;
	struct lease *l;

	cat->stopping = cat->retiring = true;
	TAILQ_INIT(&queue); /* should any come back */
	TAILQ_CONCAT(&queue, &cat->queue, entry);
	cat->queued = 0;
	while ((l = TAILQ_FIRST(&queue)) != NULL) {
		TAILQ_REMOVE(&queue, l, entry);
		if (cat->ops->returned != NULL)
			cat->ops->returned(l, cat->arg);
		else
			category_interrupt(cat, l);
	}
	category_stop(cat);
}

void
category_stop(struct category *cat)
{
	cat->stopping = true;
	leave_gate(cat);
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
	leave_gate(cat);
	while ((l = category_dequeue(cat)) != NULL)
		category_interrupt(cat, l);
	TAILQ_FOREACH(c, &cat->children, entry) {
		l = c->lease;
		c->lease = NULL;
		if (l != NULL)
			category_interrupt(cat, l);
		child_kill(c, DEATH_INTERRUPTED,
		    "was running when the worker was stopped");
	}
	balance(cat);
	if (TAILQ_EMPTY(&cat->children))
		emptied(cat);
}

void
category_free(struct category *cat)
{
	struct child *c;

	if (cat == NULL)
		return;
	cat->stopping = true;
	leave_gate(cat);
	while ((c = TAILQ_FIRST(&cat->children)) != NULL) {
		TAILQ_REMOVE(&cat->children, c, entry);
		child_kill(c, DEATH_STOP, "outlived the supervisor");
		child_free(c);
	}
	if (event_initialized(&cat->timer))
		(void)event_del(&cat->timer);
	program_fini(&cat->program);
	free(cat->name);
	free(cat);
}
