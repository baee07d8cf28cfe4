/* SPDX-License-Identifier: ISC */
/*
 * heartbeat.c: tells the orchestrator that we live, on a timer that nothing
 * else touches. Every other one is empty: that is the only kind to which RXON
 * admits that it has forgotten us (contract, S5).
 */
#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/conf.h"
#include "supervisor/orchestrator/remote.h"

static void
set_timer(struct remote *r, int64_t ms)
{
	const struct timeval tv = clock_timeval(ms);

	if (event_add(&r->heartbeat.timer, &tv) == -1)
		log_err("cannot set a timer for the heartbeat");
}

static void
forgotten(struct remote *r)
{
	log_warn("%s does not know %s any more; registering again",
	    r->conf->url, r->facts.id);
	r->registration.registered = false;
	r->base.ops->changed(&r->base, r->base.arg);
	registration_begin(r);
}

static void
on_beat(const struct http_reply *reply, void *arg)
{
	struct remote *r = arg;
	enum verdict verdict;
	struct why why;
	int64_t wait;

	r->heartbeat.call = NULL;
	verdict = remote_judge_object(r, reply, &why);
	if (reply->status == 200 &&
	    dialect_is_unknown(reply->body, reply->body_len))
		verdict = VERDICT_UNKNOWN;
	else if (verdict == VERDICT_REFUSED && reply->status == 404)
		verdict = VERDICT_UNKNOWN;
	if (verdict == VERDICT_DONE)
		return;
	if (verdict == VERDICT_UNKNOWN) {
		forgotten(r);
		return;
	}
	wait = reply->status != 0 ? http_reply_retry_after_ms(reply) : -1;
	if (wait < r->heartbeat_interval_ms)
		wait = r->heartbeat_interval_ms;
	if (verdict == VERDICT_LIMITED && wait < REMOTE_SILENCE_MS)
		wait = REMOTE_SILENCE_MS;
	remote_complain(r, "heartbeat failed", &why, wait);
	set_timer(r, wait);
}

static void
beat(struct remote *r)
{
	struct heartbeat *h = &r->heartbeat;
	struct bytes body = { 0 };
	struct why why;

	set_timer(r, r->heartbeat_interval_ms);
	if (h->call != NULL || !r->registration.registered)
		return;
	if (h->empty_next || r->dialect->heartbeat(&r->facts, &body, &why) == 0)
		h->call = remote_request(r, HTTP_PATCH, r->url_worker, &body,
		    r->conf->request_timeout_ms, on_beat, r, &why);
	bytes_fini(&body);
	h->empty_next = !h->empty_next;
	if (h->call == NULL)
		remote_complain(
		    r, "heartbeat failed", &why, r->heartbeat_interval_ms);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	beat(arg);
}

void
heartbeat_start(struct remote *r)
{
	r->heartbeat.empty_next = true;
	set_timer(r, r->heartbeat_interval_ms);
}

int
heartbeat_init(struct remote *r)
{
	return (evtimer_assign(&r->heartbeat.timer, r->loop, on_timer, r));
}

void
heartbeat_fini(struct remote *r)
{
	if (r->heartbeat.call != NULL)
		http_cancel(r->heartbeat.call);
	if (event_initialized(&r->heartbeat.timer))
		(void)event_del(&r->heartbeat.timer);
}
