/* SPDX-License-Identifier: ISC */
/*
 * poll.c: long polls. While there is a place, one is parked; while they bring
 * tasks, more are out, up to the places; they fade as they come back empty.
 * A poll that is out is never dropped while the worker lives: the server
 * would hand its next task to nobody (contract, S7).
 */
#include <stdlib.h>

#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/conf.h"
#include "supervisor/lease.h"
#include "supervisor/orchestrator/fleet.h"
#include "supervisor/orchestrator/remote.h"
#include "supervisor/orchestrator/task_read.h"

#define REFUSALS_MAX 3
#define REFUSED_MS   ((int64_t)60 * 1000)

/* No poll before that; a longer silence already agreed on stays. */
static void
wait_until(struct remote *r, int64_t delay_ms)
{
	const int64_t until_ms = clock_now_ms() + delay_ms;
	const struct timeval tv = clock_timeval(delay_ms);

	if (until_ms <= r->polling.not_before_ms)
		return;
	r->polling.not_before_ms = until_ms;
	r->polling.unheard = false;
	if (event_add(&r->polling.timer, &tv) == -1)
		log_err("cannot set a timer for polls");
}

static void
poll_free(struct poll *p)
{
	TAILQ_REMOVE(&p->remote->polling.out, p, entry);
	p->remote->polling.in_flight--;
	free(p);
}

static void
failed(struct remote *r, enum verdict verdict, const struct http_reply *reply,
    const struct why *why)
{
	const int64_t now_ms = clock_now_ms();
	int64_t delay;

	r->polling.wanted = 1;
	r->polling.failing = true;
	if (now_ms < r->polling.not_before_ms && verdict != VERDICT_LIMITED)
		return; /* of several at once, one is enough to complain */
	delay = remote_delay_ms(verdict, reply, &r->polling.backoff);
	remote_complain(r, "poll failed", why, delay);
	wait_until(r, delay);
	r->polling.unheard = reply->status == 0;
}

/* It brought nothing new. A cache on the way may answer with the same for ever:
 * it is not asked again at once. */
static void
hold_back(struct remote *r)
{
	r->polling.wanted = 1;
	if (clock_now_ms() >= r->polling.not_before_ms)
		wait_until(r, backoff_next_ms(&r->polling.backoff));
}

/* Orchestrators give a task another id when they give it out again. One that
 * comes with the same has its one result already: it is not run twice. */
static bool
came_before(struct remote *r, struct task *task)
{
	const struct log_context ctx = {
		.task_id = task->task_id,
		.job_id = task->job_id,
	};

	if (!outbox_has_ended(r->outbox, &r->posting.client, task->task_id))
		return (false);
	log_line(LOG_LEVEL_WARN, &ctx,
	    "%s gives out a task whose result it has had; it is left out",
	    r->conf->url);
	task_fini(task);
	return (true);
}

/* Makes a lease of it; false when there is none. */
static bool
take(struct remote *r, const struct http_reply *reply, struct task *task,
    enum task_reading reading, struct why *why)
{
	struct task_fault fault;

	if (came_before(r, task))
		return (false);
	if (reading == TASK_READ && remote_verify(r, reply, why) == -1)
		reading = TASK_FORBIDDEN;
	fault = (struct task_fault){
		.code = reading == TASK_FORBIDDEN ? CODE_SECURITY :
		    reading == TASK_NO_MEMORY     ? CODE_TRANSIENT :
						    CODE_INVALID_INPUT,
		.text = why->text,
	};
	return (r->base.ops->leased(
	    &r->base, task, reading == TASK_READ ? NULL : &fault, r->base.arg));
}

static void
brought_task(struct remote *r, const struct http_reply *reply)
{
	/* All that were wanted were out. */
	const bool more = r->polling.in_flight + 1 >= r->polling.wanted;
	enum task_reading reading = TASK_LOST;
	struct why why, lost;
	struct task task;

	if (reply->body_len == 0)
		why_set(&lost, "the reply is empty");
	else if ((reading = task_read(
		      reply->body, reply->body_len, &task, &why)) == TASK_LOST)
		why_set(&lost, "what it brought is lost: %.200s", why.text);
	if (reading == TASK_LOST) {
		/* Nothing to answer to, and perhaps no orchestrator at all. */
		failed(r, VERDICT_LATER, reply, &lost);
		return;
	}
	r->polling.failing = false;
	if (!take(r, reply, &task, reading, &why)) {
		hold_back(r);
		return;
	}
	backoff_reset(&r->polling.backoff);
	if (more)
		r->polling.wanted++;
}

static void
brought_nothing(struct remote *r, const struct http_reply *reply)
{
	backoff_reset(&r->polling.backoff);
	r->polling.failing = false;
	if (r->polling.wanted > 1)
		r->polling.wanted--;
	/* A server that does not let polls wait is not to be hammered. */
	if (reply->took_ms < r->poll_interval_ms)
		wait_until(r, r->poll_interval_ms);
}

static void
on_polled(const struct http_reply *reply, void *arg)
{
	struct poll *p = arg;
	struct remote *r = p->remote;
	enum verdict verdict;
	struct why why;

	poll_free(p);
	verdict = remote_judge(r, reply, &why);
	if (verdict != VERDICT_DONE)
		failed(r, verdict, reply, &why);
	else if (reply->status == 204)
		brought_nothing(r, reply);
	else
		brought_task(r, reply);
	fleet_kick(r->fleet);
	if (r->polling.draining)
		r->base.ops->changed(&r->base, r->base.arg);
}

void
polling_start(struct remote *r)
{
	const int64_t pause_ms = manners_pause_ms(r, RATE_POLL);
	struct poll *p;
	struct why why;
	int64_t delay;

	if (pause_ms > 0) {
		wait_until(r, pause_ms);
		return;
	}
	if ((p = calloc(1, sizeof(*p))) == NULL)
		why_errno(&why, "poll");
	else {
		p->remote = r;
		p->call = remote_request(r, HTTP_GET, r->url_poll, NULL,
		    r->conf->poll_timeout_ms, on_polled, p, &why);
	}
	if (p == NULL || p->call == NULL) {
		free(p);
		delay = backoff_next_ms(&r->polling.backoff);
		remote_complain(r, "cannot poll", &why, delay);
		wait_until(r, delay);
		return;
	}
	TAILQ_INSERT_TAIL(&r->polling.out, p, entry);
	r->polling.in_flight++;
}

bool
polling_wants_more(const struct remote *r)
{
	const struct polling *polling = &r->polling;

	return (!polling->draining && r->registration.registered &&
	    polling->in_flight < polling->wanted &&
	    clock_now_ms() >= polling->not_before_ms);
}

bool
polling_is_flowing(const struct remote *r)
{
	return (r->polling.wanted > 1);
}

bool
polling_answers(const struct remote *r)
{
	return (r->registration.registered && !r->polling.failing);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct remote *r = arg;

	(void)fd;
	(void)what;
	/* The loop's clock may be a little ahead of ours. */
	r->polling.not_before_ms = 0;
	fleet_kick(r->fleet);
}

void
polling_resume(struct remote *r)
{
	struct polling *polling = &r->polling;

	if (!polling->unheard)
		return;
	polling->unheard = false;
	backoff_reset(&polling->backoff);
	polling->not_before_ms = 0;
	(void)event_del(&polling->timer);
	fleet_kick(r->fleet);
}

void
polling_abandon(struct remote *r)
{
	struct polling *polling = &r->polling;
	struct poll *p;

	polling->draining = true;
	if (polling->in_flight > 0)
		log_warn("giving up %u poll%s at %s: a task that it gives out "
			 "within the next 30 s is lost until it times out",
		    polling->in_flight, polling->in_flight == 1 ? "" : "s",
		    r->conf->url);
	while ((p = TAILQ_FIRST(&polling->out)) != NULL) {
		http_cancel(p->call);
		poll_free(p);
	}
}

void
polling_result_taken(struct remote *r)
{
	r->polling.refusals = 0;
}

void
polling_result_refused(struct remote *r)
{
	if (++r->polling.refusals < REFUSALS_MAX)
		return;
	log_err("%s has refused %u results in a row; asking for no more tasks "
		"for %lld s: check that it is a working orchestrator and that "
		"protocol is right",
	    r->conf->url, r->polling.refusals, (long long)(REFUSED_MS / 1000));
	r->polling.wanted = 1;
	wait_until(r, REFUSED_MS);
}

int
polling_init(struct remote *r)
{
	TAILQ_INIT(&r->polling.out);
	r->polling.wanted = 1;
	r->polling.backoff = (struct backoff){
		.first_ms = r->conf->poll_backoff_initial_ms,
		.max_ms = r->conf->poll_backoff_max_ms,
		.factor_milli = r->conf->poll_backoff_factor_milli,
	};
	return (evtimer_assign(&r->polling.timer, r->loop, on_timer, r));
}

void
polling_fini(struct remote *r)
{
	struct poll *p;

	if (event_initialized(&r->polling.timer))
		(void)event_del(&r->polling.timer);
	while ((p = TAILQ_FIRST(&r->polling.out)) != NULL) {
		http_cancel(p->call);
		poll_free(p);
	}
}
