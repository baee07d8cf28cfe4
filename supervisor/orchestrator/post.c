/* SPDX-License-Identifier: ISC */
/*
 * post.c: results on their way. A result stays until the orchestrator has
 * taken it or refused it for good, or until its time is over; anything else is
 * tried again, oldest first, one at a time until one gets through. One that is
 * answered with an error, or that alone is not answered, waits on a clock of its
 * own, so that it holds nobody back. A message is made and signed for each
 * attempt: signatures expire and may be used once. What outlives the supervisor
 * is the outbox's business.
 */
#include <errno.h>
#include <stdlib.h>

#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/conf.h"
#include "supervisor/lease.h"
#include "supervisor/orchestrator/remote.h"

#define HURRY_MS      ((int64_t)500)
#define GONE_MS       ((int64_t)5000) /* without an answer, in a hurry */
#define IN_FLIGHT_MAX 32
#define READY_MAX     128 /* results that are ready before their turn */

/* Sets the timer to when something may be sent again, or is given up. What
 * could be sent now waits for something that kicks: a place, its events, or
 * the outbox. */
static void
set_timer(struct remote *r)
{
	const int64_t now_ms = clock_now_ms();
	int64_t due_ms, next_ms = INT64_MAX;
	const struct lease *l;
	struct timeval tv;

	TAILQ_FOREACH(l, &r->posting.waiting, entry) {
		due_ms = l->deliver_after_ms > r->posting.not_before_ms ?
		    l->deliver_after_ms :
		    r->posting.not_before_ms;
		if (due_ms > now_ms && due_ms < next_ms)
			next_ms = due_ms;
		if (outbox_expires_ms(l) < next_ms)
			next_ms = outbox_expires_ms(l);
	}
	if (next_ms == INT64_MAX)
		return;
	/* One more: the loop's clock may be a little ahead of ours. */
	tv = clock_timeval(next_ms - now_ms + 1);
	if (event_add(&r->posting.timer, &tv) == -1)
		log_err("cannot set a timer for results");
}

/* Nothing is sent before that; a longer silence already agreed on stays. */
static void
wait_until(struct remote *r, int64_t delay_ms)
{
	const int64_t until_ms = clock_now_ms() + delay_ms;

	if (until_ms <= r->posting.not_before_ms)
		return;
	r->posting.not_before_ms = until_ms;
	r->posting.unheard = false;
}

/* Back to where it came from: the oldest stay in front. */
static void
put_back(struct remote *r, struct lease *l)
{
	struct lease *other;

	r->posting.waiting_count++;
	TAILQ_FOREACH(other, &r->posting.waiting, entry)
		if (other->id > l->id) {
			TAILQ_INSERT_BEFORE(other, l, entry);
			return;
		}
	TAILQ_INSERT_TAIL(&r->posting.waiting, l, entry);
}

/* There is no time for long ones at a stop. */
static int64_t
hurried(const struct remote *r, int64_t delay_ms)
{
	return (r->posting.hurry && delay_ms > HURRY_MS ? HURRY_MS : delay_ms);
}

/* It lets the others pass. */
static void
postpone(struct remote *r, struct lease *l)
{
	l->delivery.first_ms = r->posting.backoff.first_ms;
	l->delivery.max_ms = r->posting.backoff.max_ms;
	l->deliver_after_ms =
	    clock_now_ms() + hurried(r, backoff_next_ms(&l->delivery));
	TAILQ_INSERT_TAIL(&r->posting.waiting, l, entry);
	r->posting.waiting_count++;
}

/* It will not be delivered. */
static void
give_up(struct remote *r, struct lease *l, const char *reason)
{
	outbox_gave_up(r->outbox, &r->posting.client, l, reason);
	r->base.ops->delivered(&r->base, l, LEASE_DEAD, r->base.arg);
}

static void
refused(struct remote *r, struct lease *l, const struct why *why)
{
	struct why reason;

	why_set(&reason, "the result was refused for good: %s", why->text);
	give_up(r, l, reason.text);
	polling_result_refused(r);
}

/* A result that no orchestrator would take becomes a failure that says so. */
static void
replace(struct lease *l, const char *code, const struct why *why)
{
	const struct log_context ctx = lease_context(l);

	log_line(LOG_LEVEL_WARN, &ctx,
	    "the result of %s cannot be sent: %s; reporting %s", l->task.type,
	    why->text, code);
	result_fini(&l->result);
	bytes_fini(&l->task.metadata); /* it would go with the next one */
	l->result = result_failure(code,
	    "the result of handler %s cannot be "
	    "sent: %s",
	    l->task.type, why->text);
}

/* True when it holds what may be nested, unlike a failure of our own. */
static bool
may_be_deep(const struct lease *l)
{
	const struct result *result = &l->result;

	return (result->data.len > 0 || result->details.len > 0 ||
	    result->metadata.len > 0 || result->data_metadata.len > 0 ||
	    l->task.metadata.len > 0);
}

/* It would be refused whenever it is sent. */
static void
too_deep(struct remote *r, struct lease *l, const struct why *why)
{
	struct why reason;

	why_set(&reason, "it is nested too deeply for the orchestrator (%s)",
	    why->text);
	replace(l, CODE_CONTRACT, &reason);
	put_back(r, l);
}

/* A 200: taken, or ignored for a reason that asking again does not change. */
static void
taken(struct remote *r, struct lease *l, const struct http_reply *reply,
    struct why *why)
{
	const struct log_context ctx = lease_context(l);
	enum lease_outcome outcome = LEASE_ACCEPTED;

	polling_result_taken(r);
	backoff_reset(&r->posting.backoff);
	if (r->dialect->taken(reply->body, reply->body_len, why) ==
	    VERDICT_REFUSED) {
		remote_redact(r, reply, why);
		log_line(LOG_LEVEL_WARN, &ctx, "%s ignores the result: %s",
		    r->conf->url, why->text);
		outcome = LEASE_IGNORED;
	}
	outbox_delivered(r->outbox, &r->posting.client, l,
	    outcome == LEASE_IGNORED ? why->text : lease_outcome_name(outcome));
	r->base.ops->delivered(&r->base, l, outcome, r->base.arg);
}

/* True when the orchestrator may have acted on it all the same: it does before
 * it answers, and a proxy's answer says nothing of what has become of it. */
static bool
may_be_taken(const struct http_reply *reply)
{
	return (reply->status == 0 ?
		reply->sent :
		reply->status >= 500 && reply->status != 503);
}

/* Nothing goes for a while. What was got ready for it is known not to have been
 * sent, and is not to look as if it had. */
static void
unprepare(struct remote *r)
{
	struct lease *l;

	TAILQ_FOREACH(l, &r->posting.waiting, entry)
		outbox_not_sent(r->outbox, l);
}

/* True when it may be for what is in it that it fails: something on the way may
 * dislike that, and answer with an error (403, too) or cut the connection while
 * everything else is answered. Where copies do harm, no other is put in doubt
 * to find that out. */
static bool
may_be_to_blame(const struct remote *r, enum verdict verdict,
    const struct http_reply *reply)
{
	if (reply->status != 0)
		return (verdict != VERDICT_LIMITED);
	return (!may_be_taken(reply) && r->heard_ms > r->posting.silent_ms);
}

static void
failed(struct remote *r, struct lease *l, enum verdict verdict,
    const struct http_reply *reply, const struct why *why)
{
	int64_t delay;

	if (may_be_taken(reply))
		outbox_in_doubt(l);
	else
		outbox_not_sent(r->outbox, l);
	if (r->posting.backoff.failures == 0)
		unprepare(r);
	if (may_be_to_blame(r, verdict, reply))
		postpone(r, l);
	else
		put_back(r, l);
	if (clock_now_ms() < r->posting.not_before_ms &&
	    verdict != VERDICT_LIMITED)
		return; /* of several at once, one is enough to complain */
	delay = remote_delay_ms(verdict, reply, &r->posting.backoff);
	if (verdict != VERDICT_LIMITED)
		delay = hurried(r, delay);
	remote_complain(r, "cannot deliver results", why, delay);
	wait_until(r, delay);
	r->posting.unheard = reply->status == 0;
}

static void
on_posted(const struct http_reply *reply, void *arg)
{
	struct post *p = arg;
	struct remote *r = p->remote;
	struct lease *l = p->lease;
	enum verdict verdict;
	struct why why;

	TAILQ_REMOVE(&r->posting.out, p, entry);
	r->posting.in_flight--;
	free(p);
	if (reply->status != 0)
		r->posting.silent_ms = 0;
	else if (r->posting.silent_ms == 0)
		r->posting.silent_ms = clock_now_ms();

	verdict = remote_judge_object(r, reply, &why);
	if (verdict == VERDICT_DONE)
		taken(r, l, reply, &why);
	else if (verdict == VERDICT_REFUSED)
		refused(r, l, &why);
	else if (may_be_deep(l) &&
	    dialect_is_too_deep(reply->status, reply->body, reply->body_len))
		too_deep(r, l, &why);
	else
		failed(r, l, verdict, reply, &why);
	posting_kick(r);
}

static int
make_message(
    struct remote *r, struct lease *l, struct bytes *body, struct why *why)
{
	errno = 0;
	if (r->dialect->result(&r->facts, l, body, why) == -1) {
		if (bytes_failed(body) || errno == ENOMEM)
			return (-1); /* no fault of the result's */
		replace(l, CODE_CONTRACT, why);
	} else if (body->len > MESSAGE_MAX_BYTES) {
		why_set(why,
		    "%zu bytes are more than an orchestrator takes (%u)",
		    body->len, MESSAGE_MAX_BYTES);
		replace(l, CODE_PERMANENT, why);
	} else
		return (0);
	bytes_fini(body);
	return (r->dialect->result(&r->facts, l, body, why));
}

static int
post_start(struct remote *r, struct lease *l)
{
	struct bytes body = { 0 };
	struct post *p;
	struct why why;
	int64_t delay;

	if ((p = calloc(1, sizeof(*p))) == NULL)
		why_errno(&why, "result");
	else if (make_message(r, l, &body, &why) == 0) {
		p->remote = r;
		p->lease = l;
		p->call = remote_request(r, HTTP_POST, r->url_result, &body,
		    r->conf->request_timeout_ms, on_posted, p, &why);
	}
	bytes_fini(&body);
	if (p == NULL || p->call == NULL) {
		free(p);
		delay = backoff_next_ms(&r->posting.backoff);
		remote_complain(r, "cannot deliver results", &why, delay);
		outbox_not_sent(r->outbox, l);
		wait_until(r, delay);
		return (-1);
	}
	TAILQ_INSERT_TAIL(&r->posting.out, p, entry);
	r->posting.in_flight++;
	return (0);
}

/* How many more may be on their way. */
static unsigned
room(const struct posting *posting)
{
	const unsigned most =
	    posting->backoff.failures > 0 ? 1u : IN_FLIGHT_MAX;

	return (posting->in_flight < most ? most - posting->in_flight : 0);
}

/* The oldest result that may be sent now. What the outbox is not ready for
 * takes up room: it is about to go. */
static struct lease *
next_due(struct remote *r, int64_t now_ms)
{
	unsigned left = room(&r->posting);
	struct lease *l;

	TAILQ_FOREACH(l, &r->posting.waiting, entry) {
		if (left == 0)
			return (NULL);
		/* One whose time is over may be met before its timer. */
		if (l->deliver_after_ms > now_ms ||
		    outbox_expires_ms(l) <= now_ms ||
		    !events_end(r, l, r->posting.hurry))
			continue;
		if (outbox_prepare(r->outbox, l, r->dialect->acts_on_copies))
			return (l);
		left--;
	}
	return (NULL);
}

/* What has waited for too long. */
static void
expire(struct remote *r)
{
	const int64_t now_ms = clock_now_ms();
	struct lease *l, *next;

	TAILQ_FOREACH_SAFE(l, &r->posting.waiting, entry, next) {
		if (outbox_expires_ms(l) > now_ms)
			continue;
		TAILQ_REMOVE(&r->posting.waiting, l, entry);
		r->posting.waiting_count--;
		give_up(r, l, outbox_expiry(l));
	}
}

void
posting_kick(struct remote *r)
{
	struct posting *posting = &r->posting;
	const int64_t now_ms = clock_now_ms();
	struct lease *l;
	int64_t pause_ms;

	while (r->dialect != NULL && now_ms >= posting->not_before_ms &&
	    (l = next_due(r, now_ms)) != NULL) {
		/* At a stop there is no time for a silence: better try. */
		if (!posting->hurry &&
		    (pause_ms = manners_pause_ms(r, RATE_RESULT)) > 0) {
			wait_until(r, pause_ms);
			break;
		}
		TAILQ_REMOVE(&posting->waiting, l, entry);
		posting->waiting_count--;
		if (post_start(r, l) == -1)
			put_back(r, l);
	}
	if (posting->waiting_count > 0)
		set_timer(r);
}

void
posting_resume(struct remote *r)
{
	struct posting *posting = &r->posting;

	if (!posting->unheard)
		return;
	posting->unheard = false;
	posting->not_before_ms = 0;
	/* Still one at a time, until one gets through. */
	posting->backoff.failures = 1;
	posting_kick(r);
}

void
posting_hurry(struct remote *r)
{
	struct lease *l;

	if (!r->posting.hurry)
		r->posting.silent_ms = r->dialect == NULL ? clock_now_ms() : 0;
	r->posting.hurry = true;
	r->posting.not_before_ms = 0;
	TAILQ_FOREACH(l, &r->posting.waiting, entry)
		l->deliver_after_ms = 0;
	posting_kick(r);
}

bool
posting_is_unheard(const struct remote *r)
{
	const struct posting *posting = &r->posting;

	return (posting->hurry && posting->silent_ms != 0 &&
	    clock_now_ms() - posting->silent_ms >= GONE_MS);
}

/* What is sent last is kept on disk alone, when there is too much. */
static void
spill(struct remote *r)
{
	struct lease *l;

	TAILQ_FOREACH_REVERSE(l, &r->posting.waiting, lease_list, entry)
	{
		if (!outbox_is_full(r->outbox))
			break;
		outbox_spill(r->outbox, l);
	}
}

/* What is going to be sent soon is got ready with the very commit that has its
 * result: it need not wait for one of its own when its turn comes. */
static void
prepare(struct remote *r, struct lease *l)
{
	if (r->dialect != NULL && r->posting.backoff.failures == 0 &&
	    r->posting.waiting_count < READY_MAX)
		(void)outbox_prepare(r->outbox, l, r->dialect->acts_on_copies);
}

void
posting_add(struct remote *r, struct lease *l)
{
	prepare(r, l);
	TAILQ_INSERT_TAIL(&r->posting.waiting, l, entry);
	r->posting.waiting_count++;
	posting_kick(r);
	spill(r);
}

/* They come by the thousand, oldest first; one kick follows them all. */
static void
on_restored(struct lease *l, void *arg)
{
	struct remote *r = arg;
	const struct lease *last = TAILQ_LAST(&r->posting.waiting, lease_list);

	if (last == NULL || last->id > l->id) {
		put_back(r, l);
		return;
	}
	TAILQ_INSERT_TAIL(&r->posting.waiting, l, entry);
	r->posting.waiting_count++;
}

static void
on_kick(void *arg)
{
	posting_kick(arg);
	spill(arg);
}

void
posting_join(struct remote *r)
{
	r->posting.client = (struct outbox_client){
		.url = r->conf->url,
		.worker_id = r->facts.id,
		.origin = &r->base,
		.deliver = on_restored,
		.kick = on_kick,
		.arg = r,
	};
	r->posting.joined = true;
	outbox_join(r->outbox, &r->posting.client);
	posting_kick(r);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	expire(arg);
	posting_kick(arg);
}

int
posting_init(struct remote *r)
{
	TAILQ_INIT(&r->posting.waiting);
	TAILQ_INIT(&r->posting.out);
	r->posting.backoff = (struct backoff){
		.first_ms = r->conf->result_backoff_initial_ms,
		.max_ms = r->conf->result_backoff_max_ms,
	};
	return (evtimer_assign(&r->posting.timer, r->loop, on_timer, r));
}

void
posting_fini(struct remote *r)
{
	struct post *p;

	if (event_initialized(&r->posting.timer))
		(void)event_del(&r->posting.timer);
	if (r->posting.joined)
		outbox_leave(r->outbox, &r->posting.client);
	unprepare(r);
	while ((p = TAILQ_FIRST(&r->posting.out)) != NULL) {
		TAILQ_REMOVE(&r->posting.out, p, entry);
		if (!http_is_sent(p->call))
			outbox_not_sent(r->outbox, p->lease);
		http_cancel(p->call);
		free(p);
	}
}
