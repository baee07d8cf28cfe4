/* SPDX-License-Identifier: ISC */
/*
 * category_lease.c: the leases of a category: those that wait for a child,
 * who gets which, and the results that no child gives. A lease is only given
 * to a child that has said ready; to the one that was used last, so that those
 * which are not needed stay idle and are seen to be.
 */
#include <string.h>

#include "supervisor/children/category_parts.h"
#include "supervisor/children/poison.h"
#include "supervisor/conf.h"
#include "supervisor/handler.h"
#include "supervisor/lease.h"

#define REQUEUES_MAX 2

unsigned
category_may_run(const struct category *cat)
{
	const unsigned running = cat->leases->count[LEASE_RUNNING];
	unsigned room;

	if (cat->paused)
		return (0);
	if (cat->max_running == 0)
		return (cat->queued);
	room = cat->max_running > running ? cat->max_running - running : 0;
	return (room < cat->queued ? room : cat->queued);
}

static void
count_in(struct category *cat, const struct lease *l)
{
	cat->queued++;
	if (l->deadline_ms != 0 && l->deadline_ms < cat->expires_ms)
		cat->expires_ms = l->deadline_ms;
}

void
category_enqueue(struct category *cat, struct lease *l)
{
	TAILQ_INSERT_TAIL(&cat->queue, l, entry);
	count_in(cat, l);
}

struct lease *
category_dequeue(struct category *cat)
{
	struct lease *l = TAILQ_FIRST(&cat->queue);

	if (l != NULL) {
		TAILQ_REMOVE(&cat->queue, l, entry);
		cat->queued--;
	}
	return (l);
}

void
category_finish(struct category *cat, struct lease *l, struct result *result)
{
	cat->ops->finished(l, result, cat->arg);
	result_fini(result);
}

void
category_interrupt(struct category *cat, struct lease *l)
{
	struct result r = result_failure(CODE_TRANSIENT,
	    "interrupted: the worker was stopped before the task ended");

	category_finish(cat, l, &r);
}

bool
category_cancel(struct category *cat, struct lease *l)
{
	struct lease *queued;
	struct result r;
	struct child *c;

	TAILQ_FOREACH(queued, &cat->queue, entry)
		if (queued == l)
			break;
	if (queued != NULL) {
		TAILQ_REMOVE(&cat->queue, l, entry);
		cat->queued--;
		r = result_cancelled();
		category_finish(cat, l, &r);
		return (true);
	}
	TAILQ_FOREACH(c, &cat->children, entry)
		if (c->lease == l) {
			child_cancel(
			    c, CANCEL_CANCEL, cat->conf->cancel_grace_ms);
			return (true);
		}
	return (false);
}

void
category_give_queue_back(struct category *cat)
{
	struct result r;
	struct lease *l;

	while ((l = category_dequeue(cat)) != NULL) {
		r = result_failure(CODE_TRANSIENT,
		    "no child of category \"%s\" could be started: %s",
		    cat->name, cat->failure);
		category_finish(cat, l, &r);
	}
}

void
category_expire(struct category *cat, int64_t now_ms)
{
	struct category_queue due;
	struct lease *l, *next;
	struct result r;

	if (now_ms < cat->expires_ms)
		return;
	TAILQ_INIT(&due);
	cat->expires_ms = INT64_MAX;
	TAILQ_FOREACH_SAFE(l, &cat->queue, entry, next) {
		if (l->deadline_ms == 0)
			continue;
		if (now_ms >= l->deadline_ms) {
			TAILQ_REMOVE(&cat->queue, l, entry);
			cat->queued--;
			TAILQ_INSERT_TAIL(&due, l, entry);
		} else if (l->deadline_ms < cat->expires_ms)
			cat->expires_ms = l->deadline_ms;
	}
	/* Apart, for what is finished may bring new leases. */
	while ((l = TAILQ_FIRST(&due)) != NULL) {
		TAILQ_REMOVE(&due, l, entry);
		r = result_failure(CODE_TIMEOUT,
		    "its deadline passed before a child was free");
		category_finish(cat, l, &r);
	}
}

static int64_t
own_or(int64_t own, int64_t otherwise)
{
	return (own > 0 ? own : otherwise);
}

static struct task_limits
limits_of(const struct category *cat, const struct lease *l)
{
	const struct handler *h = handler_find(cat->handlers, l->task.type);

	return ((struct task_limits){
	    .soft_ms = own_or(h != NULL ? h->soft_time_limit_ms : 0,
		cat->conf->soft_time_limit_ms),
	    .hard_ms = own_or(
		h != NULL ? h->time_limit_ms : 0, cat->conf->time_limit_ms),
	    .grace_ms = cat->conf->cancel_grace_ms,
	    .slow_ms = cat->conf->slow_after_ms,
	    .deadline_ms = l->deadline_ms,
	    .output_max = cat->conf->output_limit,
	});
}

/* The idle child that was used last. */
static struct child *
free_child(const struct category *cat)
{
	struct child *c;

	TAILQ_FOREACH(c, &cat->children, entry) {
		if (child_is_free(c))
			return (c);
		if (category_no_idle_behind(c))
			break;
	}
	return (NULL);
}

void
category_dispatch(struct category *cat)
{
	struct task_limits limits;
	struct child *c;
	struct result r;
	struct lease *l;
	struct why why;

	while (!cat->yields && category_may_run(cat) > 0 &&
	    (c = free_child(cat)) != NULL) {
		l = category_dequeue(cat);
		limits = limits_of(cat, l);
		if (child_run(c, l, &limits, &why) == 0) {
			lease_set_running(cat->leases, l);
			TAILQ_REMOVE(&cat->children, c, entry);
			TAILQ_INSERT_TAIL(&cat->children, c, entry);
			continue;
		}
		r = result_failure(CODE_TRANSIENT, "%s", why.text);
		category_finish(cat, l, &r);
	}
}

/* The result of a task whose child died over it. */
static struct result
death_result(
    struct category *cat, const struct lease *l, const struct death *death)
{
	char all[256];
	struct result r;

	if (death->cause == DEATH_CANCELLED)
		return (result_cancelled());
	if (cat->poison != NULL && poison_counts(death->cause) &&
	    poison_add(cat->poison, l->task.job_id, l->task.type, death->cause,
		all, sizeof(all)))
		r = result_failure(CODE_PERMANENT,
		    "%s; the last, child %d of category \"%s\", %s", all,
		    (int)death->pid, cat->name, death->text);
	else
		r = result_failure(death_code(death->cause),
		    "child %d of category \"%s\" %s", (int)death->pid,
		    cat->name, death->text);
	if (death->tail[0] != '\0')
		r.tail = strdup(death->tail);
	death_put_details(death, &r.details);
	if (bytes_failed(&r.details))
		bytes_fini(&r.details);
	return (r);
}

/* Whether another child may have it: this one died, and not by us, before the
 * handler began. */
static bool
may_run_again(const struct category *cat, const struct child *c,
    const struct lease *l, const struct death *death)
{
	if (c->lease_started || l->requeues >= REQUEUES_MAX)
		return (false);
	if (cat->stopping && !(cat->retiring && cat->ops->returned != NULL))
		return (false);
	return (poison_counts(death->cause));
}

void
category_lose(struct category *cat, struct child *c, const struct death *death)
{
	struct lease *l = c->lease;
	const struct log_context ctx = lease_context(l);
	struct result r;

	c->lease = NULL;
	if (!may_run_again(cat, c, l, death)) {
		r = death_result(cat, l, death);
		category_finish(cat, l, &r);
		return;
	}
	l->requeues++;
	log_line(LOG_LEVEL_WARN, &ctx,
	    "child %d %s before the handler began; queued again",
	    (int)death->pid, death->text);
	lease_set_queued(cat->leases, l);
	if (cat->retiring) {
		cat->ops->returned(l, cat->arg);
		return;
	}
	TAILQ_INSERT_HEAD(&cat->queue, l, entry);
	count_in(cat, l);
}
