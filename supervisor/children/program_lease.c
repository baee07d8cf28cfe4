/* SPDX-License-Identifier: ISC */
/*
 * program_lease.c: the leases of a program: those that wait for a child,
 * who gets which, and the results that no child gives. A lease is only given
 * to a child that has said ready; to the one that was used last, so that those
 * which are not needed stay idle and are seen to be. Where children take
 * several at once, an idle one comes before one more in a busy one: a child
 * that dies takes all its tasks with it, and what computes has a core to itself.
 * Only when all are full another child is started, for that is what several
 * tasks at once are to save.
 */
#include <limits.h>
#include <string.h>

#include "supervisor/children/program_parts.h"
#include "supervisor/children/poison.h"
#include "supervisor/conf.h"
#include "supervisor/handler.h"
#include "supervisor/lease.h"

#define REQUEUES_MAX 2

/* Running leases that may be added over all programs. */
static unsigned
room_for_all(const struct program *p)
{
	const unsigned running = p->leases->count[LEASE_RUNNING];

	if (p->max_running == 0)
		return (UINT_MAX);
	return (p->max_running > running ? p->max_running - running : 0);
}

unsigned
program_may_run(const struct program *p)
{
	const unsigned most = room_for_all(p);
	unsigned room, n = 0;
	size_t i;

	for (i = 0; i < p->lanes_len; i++) {
		room = category_room(p->lanes[i].category);
		n += room < p->lanes[i].queued ? room : p->lanes[i].queued;
	}
	return (n < most ? n : most);
}

static void
count_in(struct program *p, struct lane *lane, const struct lease *l)
{
	lane->queued++;
	p->queued++;
	if (l->deadline_ms != 0 && l->deadline_ms < p->expires_ms)
		p->expires_ms = l->deadline_ms;
}

void
program_enqueue(struct program *p, struct lease *l)
{
	struct lane *lane = program_lane(p, l);

	TAILQ_INSERT_TAIL(&lane->queue, l, entry);
	count_in(p, lane, l);
}

/* Takes it out of its lane's queue. */
static void
unqueue(struct program *p, struct lane *lane, struct lease *l)
{
	TAILQ_REMOVE(&lane->queue, l, entry);
	lane->queued--;
	p->queued--;
}

struct lease *
program_dequeue_lane(struct program *p, struct lane *lane)
{
	struct lease *l = TAILQ_FIRST(&lane->queue);

	if (l != NULL)
		unqueue(p, lane, l);
	return (l);
}

/* The lane whose first lease came before those of the others; with_room: of
 * those whose category has room. NULL: none. */
static struct lane *
first_lane(const struct program *p, bool with_room)
{
	struct lane *lane, *first = NULL;
	size_t i;

	for (i = 0; i < p->lanes_len; i++) {
		lane = &p->lanes[i];
		if (TAILQ_EMPTY(&lane->queue) ||
		    (with_room && category_room(lane->category) == 0))
			continue;
		if (first == NULL ||
		    TAILQ_FIRST(&lane->queue)->id <
			TAILQ_FIRST(&first->queue)->id)
			first = lane;
	}
	return (first);
}

struct lease *
program_dequeue(struct program *p)
{
	struct lane *lane = first_lane(p, false);

	return (lane != NULL ? program_dequeue_lane(p, lane) : NULL);
}

uint64_t
program_first_queued(const struct program *p)
{
	const struct lane *lane = first_lane(p, false);

	return (lane != NULL ? TAILQ_FIRST(&lane->queue)->id : UINT64_MAX);
}

static void
enter_running(struct program *p, struct lane *lane, struct lease *l)
{
	lease_set_running(p->leases, l);
	lane->running++;
	lane->category->running++;
}

void
program_leave_running(struct program *p, const struct lease *l)
{
	struct lane *lane = program_lane(p, l);

	lane->running--;
	lane->category->running--;
}

/* Ends a lease of the queue; takes the result's content. */
static void
finish(struct program *p, struct lease *l, struct result *result)
{
	p->ops->finished(l, result, p->arg);
	result_fini(result);
}

void
program_interrupt(struct program *p, struct lease *l)
{
	struct result r = result_failure(CODE_TRANSIENT,
	    "interrupted: the worker was stopped before the task ended");

	finish(p, l, &r);
}

bool
program_cancel(struct program *p, struct lease *l)
{
	struct lane *lane = program_lane(p, l);
	struct lease *queued;
	struct child_task *t;
	struct result r;
	struct child *c;

	TAILQ_FOREACH(queued, &lane->queue, entry)
		if (queued == l)
			break;
	if (queued != NULL) {
		unqueue(p, lane, l);
		r = result_cancelled();
		finish(p, l, &r);
		return (true);
	}
	TAILQ_FOREACH(c, &p->children, entry)
		if ((t = child_task_find(c, l->id)) != NULL) {
			child_cancel(
			    c, t, CANCEL_CANCEL, p->conf->cancel_grace_ms);
			return (true);
		}
	return (false);
}

void
program_give_queue_back(struct program *p)
{
	struct result r;
	struct lease *l;

	while ((l = program_dequeue(p)) != NULL) {
		r = result_failure(CODE_TRANSIENT,
		    "handler \"%s\": no child of category \"%s\" could be "
		    "started: %s",
		    l->task.type, p->category->name, p->failure);
		finish(p, l, &r);
	}
}

/* Moves what is past its deadline to due, and finds the next deadline. */
static void
expire_lane(struct program *p, struct lane *lane, int64_t now_ms,
    struct program_queue *due)
{
	struct lease *l, *next;

	TAILQ_FOREACH_SAFE(l, &lane->queue, entry, next) {
		if (l->deadline_ms == 0)
			continue;
		if (now_ms >= l->deadline_ms) {
			unqueue(p, lane, l);
			TAILQ_INSERT_TAIL(due, l, entry);
		} else if (l->deadline_ms < p->expires_ms)
			p->expires_ms = l->deadline_ms;
	}
}

void
program_expire(struct program *p, int64_t now_ms)
{
	struct program_queue due;
	struct lease *l;
	struct result r;
	size_t i;

	if (now_ms < p->expires_ms)
		return;
	TAILQ_INIT(&due);
	p->expires_ms = INT64_MAX;
	for (i = 0; i < p->lanes_len; i++)
		expire_lane(p, &p->lanes[i], now_ms, &due);
	/* Apart, for what is finished may bring new leases. */
	while ((l = TAILQ_FIRST(&due)) != NULL) {
		TAILQ_REMOVE(&due, l, entry);
		r = result_failure(CODE_TIMEOUT,
		    "its deadline passed before a child was free");
		finish(p, l, &r);
	}
}

static int64_t
own_or(int64_t own, int64_t otherwise)
{
	return (own > 0 ? own : otherwise);
}

static struct task_limits
limits_of(const struct program *p, const struct lease *l)
{
	const struct handler *h = handler_find(p->handlers, l->task.type);
	const struct conf_category *conf = program_lane(p, l)->category->conf;

	return ((struct task_limits){
	    .soft_ms = own_or(h != NULL ? h->soft_time_limit_ms : 0,
		conf->soft_time_limit_ms),
	    .hard_ms =
		own_or(h != NULL ? h->time_limit_ms : 0, conf->time_limit_ms),
	    .grace_ms = conf->cancel_grace_ms,
	    .slow_ms = conf->slow_after_ms,
	    .deadline_ms = l->deadline_ms,
	    .output_max = conf->output_limit,
	});
}

/* The busy child with most room; NULL: none has any. */
static struct child *
roomiest_child(const struct program *p)
{
	struct child *c, *best = NULL;
	unsigned room, most = 0;

	if (program_tasks_per_child(p) == 1)
		return (NULL);
	TAILQ_FOREACH(c, &p->children, entry)
		if ((room = program_room_of(p, c)) > most) {
			most = room;
			best = c;
		}
	return (best);
}

/* The idle child that was used last; or else a busy one. */
static struct child *
free_child(const struct program *p)
{
	struct child *c;

	TAILQ_FOREACH(c, &p->children, entry) {
		if (child_is_free(c))
			return (c);
		if (program_no_idle_behind(c))
			break;
	}
	return (roomiest_child(p));
}

void
program_dispatch(struct program *p)
{
	struct task_limits limits;
	struct lane *lane;
	struct child *c;
	struct result r;
	struct lease *l;
	struct why why;

	while (!p->yields && room_for_all(p) > 0 &&
	    (lane = first_lane(p, true)) != NULL &&
	    (c = free_child(p)) != NULL) {
		l = program_dequeue_lane(p, lane);
		limits = limits_of(p, l);
		if (child_run(c, l, &limits, &why) == 0) {
			enter_running(p, lane, l);
			TAILQ_REMOVE(&p->children, c, entry);
			TAILQ_INSERT_TAIL(&p->children, c, entry);
			continue;
		}
		r = result_failure(CODE_TRANSIENT, "%s", why.text);
		finish(p, l, &r);
	}
}

/* The result of a task whose child died over it. */
static struct result
death_result(
    struct program *p, const struct lease *l, const struct death *death)
{
	char all[256];
	struct result r;

	if (death->cause == DEATH_CANCELLED)
		return (result_cancelled());
	if (p->poison != NULL && poison_counts(death->cause) &&
	    poison_add(p->poison, l->task.job_id, l->task.type, death, all,
		sizeof(all)))
		r = result_failure(CODE_PERMANENT,
		    "handler \"%s\": %s; the last, child %d of category "
		    "\"%s\", %s",
		    l->task.type, all, (int)death->pid, p->category->name,
		    death->text);
	else
		r = result_failure(death_code(death->cause),
		    "handler \"%s\": child %d of category \"%s\" %s",
		    l->task.type, (int)death->pid, p->category->name,
		    death->text);
	if (death->tail[0] != '\0')
		r.tail = strdup(death->tail);
	death_put_details(death, &r.details);
	if (bytes_failed(&r.details))
		bytes_fini(&r.details);
	return (r);
}

/* Whether another child may have it: this one died, and not by us or not for
 * it, before the handler began. */
static bool
may_run_again(const struct program *p, const struct lease *l, bool started,
    const struct death *death)
{
	if (started || l->requeues >= REQUEUES_MAX)
		return (false);
	if (p->stopping && !(p->retiring && p->ops->returned != NULL))
		return (false);
	return (
	    poison_counts(death->cause) || death->cause == DEATH_OTHER_TASK);
}

void
program_lose(
    struct program *p, struct lease *l, bool started, const struct death *death)
{
	struct lane *lane = program_lane(p, l);
	const struct log_context ctx = lease_context(l);
	struct result r;

	program_leave_running(p, l);
	if (!may_run_again(p, l, started, death)) {
		r = death_result(p, l, death);
		finish(p, l, &r);
		return;
	}
	l->requeues++;
	log_line(LOG_LEVEL_WARN, &ctx,
	    "child %d %s before the handler began; queued again",
	    (int)death->pid, death->text);
	lease_set_queued(p->leases, l);
	if (p->retiring) {
		p->ops->returned(l, p->arg);
		return;
	}
	TAILQ_INSERT_HEAD(&lane->queue, l, entry);
	count_in(p, lane, l);
}
