/* SPDX-License-Identifier: ISC */
/*
 * registration.c: makes ourselves known, and finds out first which dialect is
 * spoken when the configuration leaves it open: an empty heartbeat harms
 * nobody, and every reply of RXON names its version in a header. Tries for
 * ever, with a back-off of its own; begins again when the orchestrator has
 * forgotten us or the offer has changed, and now and then where it may forget
 * us without a word.
 */
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>
#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/base/reserve.h"
#include "supervisor/conf.h"
#include "supervisor/declared.h"
#include "supervisor/orchestrator/fleet.h"
#include "supervisor/orchestrator/remote.h"

/* Well above the minute after which a rate limit forgets (S8). */
#define RENEW_MS     ((int64_t)4 * 60 * 1000)
#define RENEW_JITTER (60 * 1000)

static void
retry_later(struct remote *r, const struct why *why, int64_t delay_ms)
{
	const struct timeval tv = clock_timeval(delay_ms);

	remote_complain(r, "cannot register", why, delay_ms);
	r->registration.renewing = false;
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
renew_later(struct remote *r)
{
	const struct timeval tv =
	    clock_timeval(RENEW_MS + arc4random_uniform(RENEW_JITTER));

	r->registration.renewing = true;
	if (event_add(&r->registration.retry, &tv) == -1)
		log_err("cannot set a timer for the registration");
}

static void
tell_registered(const struct remote *r)
{
	log_line(r->registration.renewing ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
	    NULL, "registered at %s as %s (%s), offering %zu task type%s",
	    r->conf->url, r->facts.id, r->dialect->name, r->facts.skills_count,
	    r->facts.skills_count == 1 ? "" : "s");
}

static void send_registration(struct remote *);

/* What handlers declare must not keep all of us away: without it, if that has
 * not been left out already, the message is another one. */
static bool
make_brief(struct remote *r, const struct why *why)
{
	if (r->facts.brief)
		return (false);
	log_warn("what handlers declare cannot be told to %s: %s; it is left "
		 "out",
	    r->conf->url, why->text);
	r->facts.brief = true;
	return (true);
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
		if (dialect_is_too_deep(
			reply->status, reply->body, reply->body_len) &&
		    make_brief(r, &why))
			send_registration(r);
		else
			failed(r, verdict, reply, &why);
		return;
	}
	backoff_reset(&reg->backoff);
	reg->registered = reg->tried = true;
	tell_registered(r);
	if (!reg->renewing)
		remote_resume(r);
	reg->renewing = false;
	if (r->dialect->forgets)
		renew_later(r);
	heartbeat_start(r);
	websocket_begin(r);
	fleet_kick(r->fleet);
	posting_kick(r);
	r->base.ops->changed(&r->base, r->base.arg);
}

/* -1 and why when there is no message that the orchestrator would take. */
static int
make_message(struct remote *r, struct bytes *body, struct why *why)
{
	if (r->dialect->registration(&r->facts, body, why) == -1)
		return (-1);
	if (body->len <= MESSAGE_MAX_BYTES)
		return (0);
	why_set(why, "%zu bytes are more than an orchestrator takes (%u)",
	    body->len, MESSAGE_MAX_BYTES);
	bytes_fini(body);
	return (-1);
}

static void
send_registration(struct remote *r)
{
	struct bytes body = { 0 };
	struct why why;
	bool made;

	(void)heartbeat_mark_hot(r);
	made = make_message(r, &body, &why) == 0;
	if (!made && make_brief(r, &why)) {
		bytes_fini(&body);
		made = make_message(r, &body, &why) == 0;
	}
	if (made)
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

/* True when rate limits want a silence first, after which it is tried. */
static bool
must_wait(struct remote *r)
{
	const int64_t pause_ms = manners_pause_ms(r, RATE_REGISTER);
	const struct timeval tv = clock_timeval(pause_ms);

	if (pause_ms == 0)
		return (false);
	if (event_add(&r->registration.retry, &tv) == -1)
		log_err("cannot set a timer for the registration");
	return (true);
}

static void
begin(struct remote *r)
{
	struct registration *reg = &r->registration;
	const struct dialect *dialect = configured(r);

	if (r->heartbeat.parting != PARTING_NOT)
		return; /* it would take us for one who stays */
	if (reg->call != NULL) {
		reg->stale = true;
		return;
	}
	reg->stale = false;
	(void)event_del(&reg->retry);
	if (must_wait(r))
		return;
	if (reg->renewing && r->dialect != NULL) {
		send_registration(r);
		return;
	}
	if (dialect == NULL) {
		/* What was spoken before is kept for results meanwhile. */
		probe(r);
		return;
	}
	r->dialect = dialect;
	send_registration(r);
}

void
registration_begin(struct remote *r)
{
	r->registration.renewing = false;
	begin(r);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	begin(arg);
}

/*
 * What is offered.
 */

static void
free_declared(struct declared *d)
{
	if (d != NULL)
		declared_fini(d);
	free(d);
}

/* A copy; NULL when memory is short. */
static struct declared *
copy_declared(const struct declared *from)
{
	static const struct declared nothing;
	struct declared *d;

	if ((d = reserve_malloc(sizeof(*d))) == NULL)
		return (NULL);
	if (declared_copy(from != NULL ? from : &nothing, d) == 0)
		return (d);
	free(d);
	return (NULL);
}

static void
free_skills(struct skill *skills, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		free((char *)skills[i].name);
		free((char *)skills[i].category);
		free((char *)skills[i].type);
		free((char *)skills[i].version);
		free_declared((struct declared *)skills[i].declared);
	}
	free(skills);
}

/* A copy; true also when there is nothing to copy. */
static bool
copied(const char **to, const char *from)
{
	*to = from != NULL ? reserve_strdup(from) : NULL;
	return ((*to == NULL) == (from == NULL));
}

static struct skill *
copy_skills(const struct skill *from, size_t count)
{
	struct skill *skills;
	size_t i;

	/* From the reserve: an offer that is not made is not made again until
	 * something changes. */
	if ((skills = reserve_calloc(count + 1, sizeof(*skills))) == NULL)
		return (NULL);
	for (i = 0; i < count; i++) {
		skills[i].cost = from[i].cost;
		if (!copied(&skills[i].name, from[i].name) ||
		    !copied(&skills[i].category, from[i].category) ||
		    !copied(&skills[i].type, from[i].type) ||
		    !copied(&skills[i].version, from[i].version) ||
		    (skills[i].declared = copy_declared(from[i].declared)) ==
			NULL) {
			free_skills(skills, i + 1);
			return (NULL);
		}
	}
	return (skills);
}

int
registration_offer(
    struct remote *r, const struct offered *offered, struct why *why)
{
	struct skill *skills;

	skills = copy_skills(offered->skills, offered->count);
	if (skills == NULL) {
		why_set(why, "no memory for the offer");
		return (-1);
	}
	free_skills(r->skills, r->facts.skills_count);
	r->skills = skills;
	r->facts.skills = skills;
	r->facts.skills_count = offered->count;
	r->facts.brief = false;
	r->facts.max_concurrent_tasks = offered->max_concurrent_tasks;
	registration_begin(r);
	return (0);
}

void
registration_stop(struct remote *r)
{
	if (r->registration.call != NULL)
		http_cancel(r->registration.call);
	r->registration.call = NULL;
	(void)event_del(&r->registration.retry);
}

int
registration_init(struct remote *r)
{
	r->registration.backoff = (struct backoff){
		.first_ms = r->conf->registration_backoff_initial_ms,
		.max_ms = r->conf->registration_backoff_max_ms,
	};
	return (evtimer_assign(&r->registration.retry, r->loop, on_retry, r));
}

void
registration_fini(struct remote *r)
{
	if (r->registration.call != NULL)
		http_cancel(r->registration.call);
	if (event_initialized(&r->registration.retry))
		(void)event_del(&r->registration.retry);
	free_skills(r->skills, r->facts.skills_count);
}
