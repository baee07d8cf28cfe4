/* SPDX-License-Identifier: ISC */
/*
 * registration.c: makes ourselves known, and finds out first which dialect is
 * spoken when the configuration leaves it open: an empty heartbeat harms
 * nobody, and every reply of RXON names its version in a header. Tries for
 * ever, with a back-off of its own; begins again when the orchestrator has
 * forgotten us or the offer has changed.
 */
#include <string.h>

#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/conf.h"
#include "supervisor/orchestrator/remote.h"

#define RETRY_FIRST_MS ((int64_t)1000)
#define RETRY_MAX_MS   ((int64_t)60 * 1000)

static void
retry_later(struct remote *r, const struct why *why, int64_t delay_ms)
{
	const struct timeval tv = clock_timeval(delay_ms);

	remote_complain(r, "cannot register", why, delay_ms);
	if (event_add(&r->registration.retry, &tv) == -1)
		log_err("cannot set a timer for the registration");
	r->registration.tried = true;
	r->base.ops->changed(&r->base, r->base.arg);
}

static void
could_not_send(struct remote *r, const struct why *why)
{
	retry_later(r, why, backoff_next_ms(&r->registration.backoff));
}

static void
failed(struct remote *r, enum verdict verdict, const struct http_reply *reply,
    struct why *why)
{
	struct why text;

	if (verdict == VERDICT_DENIED) {
		text = *why;
		why_set(why, "%.160s; check %s", text.text,
		    r->conf->token_file != NULL ? "token_file" :
						  "WORKER_TOKEN");
	}
	retry_later(
	    r, why, remote_delay_ms(verdict, reply, &r->registration.backoff));
}

static void
on_registered(const struct http_reply *reply, void *arg)
{
	struct remote *r = arg;
	struct registration *reg = &r->registration;
	enum verdict verdict;
	struct why why;

	reg->call = NULL;
	if (reg->stale) {
		registration_begin(r);
		return;
	}
	verdict = remote_judge_object(r, reply, &why);
	if (verdict != VERDICT_DONE) {
		failed(r, verdict, reply, &why);
		return;
	}
	backoff_reset(&reg->backoff);
	reg->registered = reg->tried = true;
	log_info("registered at %s as %s (%s), offering %zu task type%s",
	    r->conf->url, r->facts.id, r->dialect->name, r->facts.types_count,
	    r->facts.types_count == 1 ? "" : "s");
	heartbeat_start(r);
	polling_kick(r);
	posting_kick(r);
	r->base.ops->changed(&r->base, r->base.arg);
}

static void
send_registration(struct remote *r)
{
	struct bytes body = { 0 };
	struct why why;

	if (r->dialect->registration(&r->facts, &body, &why) == 0)
		r->registration.call =
		    remote_request(r, HTTP_POST, r->url_register, &body,
			r->conf->request_timeout_ms, on_registered, r, &why);
	bytes_fini(&body);
	if (r->registration.call == NULL)
		could_not_send(r, &why);
}

/* An answer to an empty heartbeat that only an orchestrator would give. */
static bool
is_orchestrators(enum verdict verdict, const struct http_reply *reply)
{
	return ((verdict == VERDICT_DONE || verdict == VERDICT_REFUSED ||
		    verdict == VERDICT_DENIED) &&
	    reply->body_len > 0 &&
	    (reply->body[0] == '{' ||
		dialect_is_unknown(reply->body, reply->body_len)));
}

static void
on_probed(const struct http_reply *reply, void *arg)
{
	struct remote *r = arg;
	enum verdict verdict;
	struct why why;

	r->registration.call = NULL;
	verdict = remote_judge(r, reply, &why);
	if (reply->status != 0 && http_reply_header(reply, HEADER_RXON) != NULL)
		r->dialect = &dialect_rxon;
	else if (is_orchestrators(verdict, reply))
		r->dialect = &dialect_classic;
	else {
		if (verdict == VERDICT_DONE)
			why_set(&why, "the reply is not an orchestrator's");
		failed(r, verdict, reply, &why);
		return;
	}
	if (verdict == VERDICT_DENIED)
		failed(r, verdict, reply, &why);
	else
		send_registration(r);
}

static void
probe(struct remote *r)
{
	struct why why;

	r->registration.call = remote_request(r, HTTP_PATCH, r->url_worker,
	    NULL, r->conf->request_timeout_ms, on_probed, r, &why);
	if (r->registration.call == NULL)
		could_not_send(r, &why);
}

static const struct dialect *
configured(const struct remote *r)
{
	switch (r->conf->protocol) {
	case CONF_CLASSIC:
		return (&dialect_classic);
	case CONF_RXON:
		return (&dialect_rxon);
	case CONF_AUTO:
		break;
	}
	return (NULL);
}

void
registration_begin(struct remote *r)
{
	struct registration *reg = &r->registration;
	const struct dialect *dialect = configured(r);

	if (reg->call != NULL) {
		reg->stale = true;
		return;
	}
	reg->stale = false;
	(void)event_del(&reg->retry);
	if (dialect == NULL) {
		/* What was spoken before is kept for results meanwhile. */
		probe(r);
		return;
	}
	r->dialect = dialect;
	send_registration(r);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	registration_begin(arg);
}

int
registration_init(struct remote *r)
{
	r->registration.backoff.first_ms = RETRY_FIRST_MS;
	r->registration.backoff.max_ms = RETRY_MAX_MS;
	return (evtimer_assign(&r->registration.retry, r->loop, on_retry, r));
}

void
registration_fini(struct remote *r)
{
	if (r->registration.call != NULL)
		http_cancel(r->registration.call);
	if (event_initialized(&r->registration.retry))
		(void)event_del(&r->registration.retry);
}
