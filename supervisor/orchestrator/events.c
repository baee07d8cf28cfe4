/* SPDX-License-Identifier: ISC */
/*
 * events.c: what handlers tell while their tasks run, one at a time and in the
 * order in which it came: over the WebSocket while there is one, else as a
 * request, where the dialect has one. Only the latest progress of a task is
 * kept, and none is sent more often than once a second: the orchestrator counts
 * these requests (S8). What a task has told goes out before its result or not
 * at all, so the result waits until it has been read. Nothing here is tried
 * twice, and after a failure nothing is sent for a while: results do not wait
 * for what may never get through.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/conf.h"
#include "supervisor/lease.h"
#include "supervisor/orchestrator/remote.h"
#include "supervisor/task_event.h"

#define WAITING_MAX  100 /* events; more are left out */
#define PROGRESS_MS  ((int64_t)1000)
#define TIMEOUT_MS   ((int64_t)5000) /* a result waits that long for one */
#define RETRY_AT_MS  ((int64_t)10000)
#define RETRY_MAX_MS ((int64_t)60000)
#define COMPLAIN_MS  ((int64_t)1000) /* no more often */

/* One that waits or is on its way. */
struct told {
	TAILQ_ENTRY(told) entry;
	const struct lease *lease; /* borrowed: events_end() comes before */
	char *type;
	struct bytes payload;
};

static void send_next(struct remote *);

static bool
is_progress(const struct told *t)
{
	return (strcmp(t->type, TASK_EVENT_PROGRESS) == 0);
}

static void
told_free(struct told *t)
{
	if (t == NULL)
		return;
	free(t->type);
	bytes_fini(&t->payload);
	free(t);
}

static void
leave_out(struct telling *e, struct told *t)
{
	TAILQ_REMOVE(&e->waiting, t, entry);
	e->waiting_count--;
	told_free(t);
}

static void
leave_out_all(struct telling *e)
{
	struct told *t;

	while ((t = TAILQ_FIRST(&e->waiting)) != NULL)
		leave_out(e, t);
}

/* A later progress takes the place of one that still waits. */
static struct told *
waiting_progress(struct telling *e, const struct lease *l)
{
	struct told *t;

	TAILQ_FOREACH(t, &e->waiting, entry)
		if (t->lease == l && is_progress(t))
			return (t);
	return (NULL);
}

static struct told *
told_new(const struct lease *l, const char *type)
{
	struct told *t;

	if ((t = calloc(1, sizeof(*t))) == NULL)
		return (NULL);
	t->lease = l;
	if ((t->type = strdup(type)) == NULL) {
		free(t);
		return (NULL);
	}
	return (t);
}

void
events_add(
    struct remote *r, const struct lease *l, const struct task_event *event)
{
	struct telling *e = &r->telling;
	struct told *t = NULL;

	if (r->dialect == NULL ||
	    !(r->dialect->posts_events || websocket_is_open(r)) ||
	    clock_now_ms() < e->not_before_ms)
		return;
	if (strcmp(event->type, TASK_EVENT_PROGRESS) == 0)
		t = waiting_progress(e, l);
	if (t == NULL) {
		if (e->waiting_count >= WAITING_MAX ||
		    (t = told_new(l, event->type)) == NULL)
			return;
		TAILQ_INSERT_TAIL(&e->waiting, t, entry);
		e->waiting_count++;
	}
	bytes_fini(&t->payload);
	bytes_append(&t->payload, event->payload, event->len);
	if (bytes_failed(&t->payload))
		leave_out(e, t);
	send_next(r);
}

/* What is out has had its time, or is not needed any more. */
static void
let_go(struct remote *r)
{
	struct telling *e = &r->telling;

	(void)event_del(&e->timer);
	told_free(e->out);
	e->out = NULL;
	e->number = 0;
	send_next(r);
	posting_kick(r); /* results may have waited for it */
}

void
events_taken(struct remote *r, uint64_t number)
{
	if (r->telling.number == number)
		let_go(r);
}

void
events_lost(struct remote *r)
{
	if (r->telling.number != 0)
		let_go(r);
}

/* Of one that nobody will have. A handler may tell many of them. */
static void
complain(struct remote *r, const char *what, const struct why *why)
{
	struct telling *e = &r->telling;
	const int64_t now_ms = clock_now_ms();
	char before[64] = "";

	e->lost++;
	if (now_ms < e->complain_after_ms)
		return;
	if (e->lost > 1)
		(void)snprintf(before, sizeof(before),
		    " (and %u before it, since the last such line)",
		    e->lost - 1);
	log_warn(
	    "%s: an event %s: %s%s", r->conf->url, what, why->text, before);
	e->lost = 0;
	e->complain_after_ms = now_ms + COMPLAIN_MS;
}

static void
on_answered(const struct http_reply *reply, void *arg)
{
	struct remote *r = arg;
	struct telling *e = &r->telling;
	enum verdict verdict;
	struct why why;

	e->call = NULL;
	verdict = remote_judge(r, reply, &why);
	/* Of this job; it says nothing of the others' events. */
	if (dialect_is_not_ours(reply->status, reply->body, reply->body_len))
		verdict = VERDICT_REFUSED;
	/* Another dialect may have been found meanwhile. */
	if (verdict == VERDICT_DONE && r->dialect->event_taken != NULL) {
		verdict =
		    r->dialect->event_taken(reply->body, reply->body_len, &why);
		remote_redact(r, reply, &why);
	}
	if (verdict == VERDICT_DONE || verdict == VERDICT_REFUSED) {
		backoff_reset(&e->backoff);
		if (verdict == VERDICT_REFUSED)
			complain(r, "was refused", &why);
	} else {
		const int64_t delay =
		    remote_delay_ms(verdict, reply, &e->backoff);

		remote_complain(r, "cannot tell an event", &why, delay);
		e->not_before_ms = clock_now_ms() + delay;
		leave_out_all(e);
	}
	let_go(r);
}

/* Milliseconds until the first of those that wait may go; 0: now. */
static int64_t
wait_ms(const struct telling *e)
{
	const struct told *t = TAILQ_FIRST(&e->waiting);
	const int64_t now_ms = clock_now_ms();

	if (!is_progress(t) || now_ms >= e->progress_after_ms)
		return (0);
	return (e->progress_after_ms - now_ms);
}

/* Over the WebSocket; what has not been read by then is let go. */
static bool
tell(struct remote *r, const struct bytes *text)
{
	const struct timeval tv = clock_timeval(TIMEOUT_MS);

	if (event_add(&r->telling.timer, &tv) == -1)
		return (false);
	r->telling.number = websocket_tell(r, text);
	return (r->telling.number != 0);
}

/* As a request. */
static bool
post(struct remote *r, struct bytes *body, struct why *why)
{
	if (!r->dialect->posts_events) {
		why_set(why, "the WebSocket does not take it");
		return (false);
	}
	r->telling.call = remote_request(
	    r, HTTP_POST, r->url_event, body, TIMEOUT_MS, on_answered, r, why);
	return (r->telling.call != NULL);
}

static void
send_one(struct remote *r, struct told *t)
{
	struct telling *e = &r->telling;
	struct bytes body = { 0 };
	struct why why;

	TAILQ_REMOVE(&e->waiting, t, entry);
	e->waiting_count--;
	if (is_progress(t))
		e->progress_after_ms = clock_now_ms() + PROGRESS_MS;
	if (r->dialect->event(
		&r->facts, t->lease, t->type, &t->payload, &body, &why) == 0 &&
	    (tell(r, &body) || post(r, &body, &why)))
		e->out = t;
	else {
		complain(r, "is not told", &why);
		told_free(t);
		posting_kick(r);
	}
	bytes_fini(&body);
}

static void
send_next(struct remote *r)
{
	struct telling *e = &r->telling;
	struct timeval tv;
	int64_t wait;

	while (e->out == NULL && !TAILQ_EMPTY(&e->waiting)) {
		if (!websocket_is_open(r) &&
		    (!r->dialect->posts_events ||
			manners_pause_ms(r, RATE_EVENT) > 0)) {
			leave_out_all(e); /* old news by then */
			posting_kick(r);
			return;
		}
		if ((wait = wait_ms(e)) > 0) {
			tv = clock_timeval(wait);
			if (event_add(&e->timer, &tv) == -1)
				leave_out_all(e);
			return;
		}
		send_one(r, TAILQ_FIRST(&e->waiting));
	}
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct remote *r = arg;

	(void)fd;
	(void)what;
	if (r->telling.number != 0) {
		log_debug("%s has not read an event in time", r->conf->url);
		let_go(r);
		return;
	}
	send_next(r);
	posting_kick(r);
}

bool
events_end(struct remote *r, const struct lease *l, bool hurry)
{
	struct telling *e = &r->telling;
	struct told *t, *next;
	bool over = hurry || e->out == NULL || e->out->lease != l;

	TAILQ_FOREACH_SAFE(t, &e->waiting, entry, next) {
		if (t->lease != l)
			continue;
		/* After progress the result says more. */
		if (hurry || is_progress(t))
			leave_out(e, t);
		else
			over = false;
	}
	return (over);
}

int
events_init(struct remote *r)
{
	struct telling *e = &r->telling;

	TAILQ_INIT(&e->waiting);
	e->backoff.first_ms = RETRY_AT_MS;
	e->backoff.max_ms = RETRY_MAX_MS;
	return (evtimer_assign(&e->timer, r->loop, on_timer, r));
}

void
events_fini(struct remote *r)
{
	struct telling *e = &r->telling;

	if (e->call != NULL)
		http_cancel(e->call);
	told_free(e->out);
	leave_out_all(e);
	if (event_initialized(&e->timer))
		(void)event_del(&e->timer);
}
