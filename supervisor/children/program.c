/* SPDX-License-Identifier: ISC */
/*
 * program.c: the life of a program, from its first child to its last. What
 * should be and what is are compared in one place, balance(), which is called
 * after every change and by one timer; whatever is due at some time is found
 * there, so no event has to be waited for that may not come. The decisions
 * themselves stand in pool.c and in program_lease.c, program_start.c and
 * program_recycle.c.
 */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/children/program_parts.h"
#include "supervisor/children/poison.h"
#include "supervisor/conf.h"
#include "supervisor/handler.h"
#include "supervisor/lease.h"

#define RETRY_FIRST_MS ((int64_t)100)
#define RETRY_MAX_MS   ((int64_t)30 * 1000)

unsigned
program_tasks_per_child(const struct program *p)
{
	/* Others have no way to tell two apart. */
	return (
	    handler_source_stays(p->source) && p->conf->tasks_per_child > 1 ?
		(unsigned)p->conf->tasks_per_child :
		1);
}

/* Another child is of use only when those that are busy are full. */
static unsigned
count_waiting(const struct program *p, const struct pool_counts *n)
{
	const unsigned each = program_tasks_per_child(p);
	const unsigned leases = program_may_run(p);

	return (leases > n->room ? (leases - n->room - 1) / each + 1 : 0);
}

struct pool_counts
program_counts(const struct program *p)
{
	struct pool_counts n = { 0 };
	const struct child *c;

	TAILQ_FOREACH(c, &p->children, entry) {
		n.starting += c->state == CHILD_STARTING;
		n.idle += c->state == CHILD_IDLE;
		n.busy += c->state == CHILD_BUSY;
		if (c->state == CHILD_BUSY)
			n.room += program_room_of(p, c);
	}
	n.waiting = count_waiting(p, &n);
	return (n);
}

bool
program_is_offered(const struct program *p)
{
	return (p->usable);
}

static int64_t
earlier(int64_t a, int64_t b)
{
	return (a < b ? a : b);
}

/* When there is something to do though nothing has changed. */
static int64_t
due_ms(const struct program *p, int64_t now_ms)
{
	int64_t due = p->queued > 0 ? p->expires_ms : INT64_MAX;

	if (p->stopping)
		return (due);
	due = earlier(due, pool_due_ms(&p->pool));
	due = earlier(due, program_review_ms(p));
	due = earlier(due, program_recycle_ms(p, now_ms));
	due = earlier(due, program_spoken_ms(p));
	if (now_ms < p->not_before_ms)
		due = earlier(due, p->not_before_ms);
	return (due);
}

static void
set_timer(struct program *p, int64_t now_ms)
{
	const int64_t due = due_ms(p, now_ms);
	const struct timeval tv = clock_timeval(due - now_ms);
	const struct log_context ctx = program_context(p);

	if (due == p->timer_ms)
		return;
	p->timer_ms = due;
	if (due == INT64_MAX)
		(void)event_del(&p->timer);
	else if (event_add(&p->timer, &tv) == -1) {
		p->timer_ms = INT64_MAX;
		log_line(LOG_LEVEL_ERR, &ctx, "cannot set a timer");
	}
}

static void
stop_idle(struct program *p)
{
	struct child *c, *next;

	TAILQ_FOREACH_SAFE(c, &p->children, entry, next)
		if (c->state != CHILD_BUSY) /* it may yet take a lease */
			program_dismiss(p, c, "stopped");
}

static void
balance_once(struct program *p)
{
	const int64_t now_ms = clock_now_ms();
	struct pool_counts n;

	program_expire(p, now_ms);
	program_dispatch(p);
	if (p->stopping)
		stop_idle(p);
	else {
		n = program_counts(p);
		program_review(p, &n, now_ms);
		program_recycle(p, &n, now_ms);
		n.waiting = count_waiting(p, &n); /* not what was withdrawn */
		program_start_missing(p, &n, now_ms);
		program_choose_speaker(p);
		if (program_forget_spoken(p, now_ms))
			p->ops->room(p->arg);
	}
	set_timer(p, now_ms);
}

/* What it calls may call it again: then once more, but not inside itself. */
static void
balance(struct program *p)
{
	p->unbalanced = true;
	if (p->balancing)
		return;
	p->balancing = true;
	while (p->unbalanced) {
		p->unbalanced = false;
		balance_once(p);
	}
	p->balancing = false;
}

void
program_balance(struct program *p)
{
	balance(p);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct program *p = arg;
	const bool over =
	    p->not_before_ms != 0 && clock_now_ms() >= p->not_before_ms;

	(void)fd;
	(void)what;
	p->timer_ms = INT64_MAX;
	if (over)
		p->not_before_ms = 0;
	balance(p);
	if (over && !p->stopping)
		p->ops->room(p->arg); /* a start may be tried again */
}

static void
on_gate(void *arg)
{
	balance(arg);
}

static void
leave_gate(struct program *p)
{
	if (p->gate != NULL)
		start_gate_leave(p->gate, &p->ticket);
}

/* The last child is gone, and none will follow. The program may be gone as
 * well afterwards. */
static void
emptied(struct program *p)
{
	struct lease *l;

	while ((l = program_dequeue(p)) != NULL)
		program_interrupt(p, l);
	p->ops->emptied(p, p->arg);
}

/* True when other programs may wait for no more than the place of that running
 * lease. */
static bool
is_crowded(const struct program *p, const struct lease *l)
{
	return ((p->max_running > 0 &&
		    p->leases->count[LEASE_RUNNING] >= p->max_running) ||
	    category_room(program_lane(p, l)->category) == 0);
}

/* A place has become free: the others first, if they wait for it. */
static void
share(struct program *p, bool crowded)
{
	p->yields = crowded;
	p->ops->room(p->arg);
	p->yields = false;
	balance(p);
}

/* A child offers what its program was made with, no more and no less. */
static bool
is_expected(const struct program *p, const struct offer *offer)
{
	struct handler *h;
	size_t i, count = 0;

	if (handler_source_stays(p->source))
		return (offer_equal(&p->offer, offer));
	for (i = 0; i < offer->count; i++) {
		h = handler_find(p->handlers, offer->handlers[i].type);
		if (h == NULL || h->program != p)
			return (false);
	}
	for (h = NULL; (h = handler_next(p->handlers, h)) != NULL;)
		if (h->program == p)
			count++;
	return (offer->count == count);
}

static void
on_ready(struct child *c, const struct offer *offer, void *arg)
{
	struct program *p = arg;

	if (!is_expected(p, offer)) {
		c->was_ready = false; /* its start has failed */
		child_kill(c, DEATH_START,
		    handler_source_stays(p->source) ?
			"offers other task types than the first child did" :
			"offers other task types than were found in its "
			"files");
		return;
	}
	TAILQ_REMOVE(&p->children, c, entry);
	TAILQ_INSERT_HEAD(&p->children, c, entry);
	p->was_ready = true;
	p->usable = true;
	p->failure[0] = '\0';
	leave_gate(p);
	program_settle(p);
	balance(p);
	p->ops->room(p->arg);
}

static void
on_finished(struct child *c, struct lease *l, struct result *result, void *arg)
{
	struct program *p = arg;
	const bool crowded = is_crowded(p, l);

	program_leave_running(p, l);
	p->succeeded = true;
	backoff_reset(&p->backoff);
	if (p->poison != NULL)
		poison_clear(p->poison, l->task.job_id, l->task.type);
	if (c->state == CHILD_IDLE) {
		TAILQ_REMOVE(&p->children, c, entry);
		TAILQ_INSERT_HEAD(&p->children, c, entry);
	}
	p->yields = crowded;
	p->ops->finished(l, result, p->arg);
	program_check_used(p, c);
	share(p, crowded);
}

static void
on_event(
    struct child *c, struct lease *l, const struct task_event *event, void *arg)
{
	const struct program *p = arg;

	(void)c;
	if (p->ops->event != NULL)
		p->ops->event(l, event, p->arg);
}

static const char *
reason_of(const struct child *c, const struct death *death)
{
	if (program_was_dismissed(c) && death->cause != DEATH_STOP)
		return (c->leaving);
	return (death_cause_name(death->cause));
}

static void
on_lost(struct child *c, struct lease *l, bool started,
    const struct death *death, void *arg)
{
	struct program *p = arg;

	(void)c;
	p->yields = p->yields || is_crowded(p, l); /* until it is gone */
	program_lose(p, l, started, death);
}

static void
on_gone(struct child *c, const struct death *death, void *arg)
{
	struct program *p = arg;

	TAILQ_REMOVE(&p->children, c, entry);
	if (p->ops->child_ended != NULL)
		p->ops->child_ended(p, reason_of(c, death), p->arg);
	program_judge(p, c, death);
	if (!c->was_ready)
		leave_gate(p);
	if (c == p->speaker)
		p->speaker = NULL;
	child_free(c);
	share(p, p->yields);
	if (p->stopping && TAILQ_EMPTY(&p->children))
		emptied(p);
}

static void
on_held(struct child *c, void *arg)
{
	struct program *p = arg;
	bool more;

	program_check_used(p, c);
	more = program_hear(p, c);
	if (p->ops->held != NULL)
		p->ops->held(p->arg);
	balance(p);
	if (more)
		p->ops->room(p->arg);
}

const struct child_ops program_child_ops = {
	.ready = on_ready,
	.finished = on_finished,
	.event = on_event,
	.held = on_held,
	.lost = on_lost,
	.gone = on_gone,
};

/* What the settings say, and nothing that can fail. */
static void
take_settings(struct program *p, const struct program_settings *set)
{
	p->ops = set->ops;
	p->arg = set->arg;
	p->category = set->category;
	p->source = set->source;
	p->conf = set->category->conf;
	p->env = set->env;
	p->handlers = set->handlers;
	p->leases = set->leases;
	p->poison = set->poison;
	p->gate = set->gate;
	p->max_running = set->max_running;
	p->inherit = set->inherit;
}

struct command_settings
program_command_settings(const struct program *p)
{
	return ((struct command_settings){
	    .category = p->category->name,
	    .conf = p->conf,
	    .source = p->source,
	    .handlers = p->handlers,
	    .program = p,
	    .env = p->env,
	    .inherit = p->inherit,
	});
}

struct program *
program_new(const struct program_settings *set, struct why *why)
{
	struct command_settings command_set;
	struct program *p;

	if ((p = calloc(1, sizeof(*p))) == NULL) {
		why_errno(why, "program %s", set->name);
		return (NULL);
	}
	TAILQ_INIT(&p->children);
	p->ticket.open = on_gate;
	p->ticket.arg = p;
	p->backoff.first_ms = RETRY_FIRST_MS;
	p->backoff.max_ms = RETRY_MAX_MS;
	p->timer_ms = p->expires_ms = INT64_MAX;
	take_settings(p, set);
	if ((p->name = strdup(set->name)) == NULL ||
	    program_make_lanes(p, set->categories) == -1 ||
	    evtimer_assign(&p->timer, set->env->base, on_timer, p) == -1) {
		why_errno(why, "program %s", set->name);
		goto fail;
	}
	program_set_size(p);
	command_set = program_command_settings(p);
	if (command_init(&p->command, &command_set, why) == -1)
		goto fail;
	return (p);

fail:
	program_free(p);
	return (NULL);
}

void
program_move(struct program *p, const struct program_settings *set)
{
	struct child *c;

	take_settings(p, set);
	program_move_lanes(p, set->categories);
	TAILQ_FOREACH(c, &p->children, entry)
		c->category = p->category->name; /* the old one goes */
	program_set_size(p);
	command_move(&p->command, p, p->handlers);
}

void
program_adopt(struct program *p, struct child *c, struct offer *offer)
{
	p->offer = *offer;
	*offer = (struct offer){ 0 };
	p->was_ready = p->usable = true;
	if (c == NULL)
		return;
	child_adopt(c, p->category->name, &program_child_ops, p);
	program_draw(c);
	TAILQ_INSERT_HEAD(&p->children, c, entry);
}

void
program_start(struct program *p)
{
	const struct log_context ctx = program_context(p);

	if (p->conf->tasks_per_child > program_tasks_per_child(p))
		log_line(LOG_LEVEL_WARN, &ctx,
		    "tasks_per_child of \"%s\" is not for C modules and "
		    "executables: children of \"%s\" have one task at a time",
		    p->category->name, p->name);
	/* On trust: only a task will show whether a child starts. */
	if (p->pool.min == 0)
		p->usable = true;
	if (p->usable)
		program_settle(p);
	balance(p);
}

void
program_submit(struct program *p, struct lease *l)
{
	if (p->stopping && TAILQ_EMPTY(&p->children)) {
		program_interrupt(p, l);
		return;
	}
	program_enqueue(p, l);
	if (!p->usable && p->settled)
		program_give_queue_back(p);
	else
		balance(p);
}

void
program_say_farewell(struct program *p)
{
	struct child *c, *next;

	TAILQ_FOREACH_SAFE(c, &p->children, entry, next)
		child_cancel_all(c, CANCEL_DRAIN, p->conf->cancel_grace_ms);
}

struct lease *
program_take_queued(struct program *p, struct lane *lane)
{
	return (program_dequeue_lane(p, lane));
}

void
program_retire(struct program *p)
{
	struct program_queue queue;
	struct lease *l;

	p->stopping = p->retiring = true;
	TAILQ_INIT(&queue); /* should any come back */
	while ((l = program_dequeue(p)) != NULL)
		TAILQ_INSERT_TAIL(&queue, l, entry);
	while ((l = TAILQ_FIRST(&queue)) != NULL) {
		TAILQ_REMOVE(&queue, l, entry);
		if (p->ops->returned != NULL)
			p->ops->returned(l, p->arg);
		else
			program_interrupt(p, l);
	}
	program_stop(p);
}

void
program_stop(struct program *p)
{
	p->stopping = true;
	leave_gate(p);
	balance(p);
	if (TAILQ_EMPTY(&p->children))
		emptied(p);
}

void
program_abandon(struct program *p)
{
	struct child *c;
	struct lease *l;

	p->stopping = true;
	leave_gate(p);
	while ((l = program_dequeue(p)) != NULL)
		program_interrupt(p, l);
	TAILQ_FOREACH(c, &p->children, entry) {
		while ((l = child_take(c)) != NULL) {
			program_leave_running(p, l);
			program_interrupt(p, l);
		}
		child_let_go(c);
	}
}

void
program_kill(struct program *p)
{
	struct child *c;

	TAILQ_FOREACH(c, &p->children, entry)
		child_kill(c, DEATH_INTERRUPTED,
		    "was running when the worker was stopped");
	balance(p);
	if (TAILQ_EMPTY(&p->children))
		emptied(p);
}

void
program_free(struct program *p)
{
	struct child *c;

	if (p == NULL)
		return;
	p->stopping = true;
	leave_gate(p);
	while ((c = TAILQ_FIRST(&p->children)) != NULL) {
		TAILQ_REMOVE(&p->children, c, entry);
		child_kill(c, DEATH_STOP, "outlived the supervisor");
		child_free(c);
	}
	if (event_initialized(&p->timer))
		(void)event_del(&p->timer);
	command_fini(&p->command);
	offer_fini(&p->offer);
	program_spoken_fini(p);
	free(p->lanes);
	free(p->name);
	free(p);
}
