/* SPDX-License-Identifier: ISC */
/*
 * heartbeat.c: tells the orchestrator that we live, on a timer that nothing
 * else touches, and soon after something has changed that it acts on. Every
 * other regular one is empty: that is the only kind to which RXON admits that
 * it has forgotten us (contract, S5).
 */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/conf.h"
#include "supervisor/orchestrator/remote.h"

#define RETRY_FIRST_MS ((int64_t)1000)
/* Early ones count for the rate limit, too (S8): no more than regular ones on
 * the average, but so many at once. */
#define EARLY_BURST    20
#define IN_FLIGHT_MAX  3 /* of an orchestrator that does not answer */
#define GOODBYE_MS     ((int64_t)2000)
#define DELAY_MAX_MS   ((int64_t)60 * 1000)
#define USAGE_GB       0.1 /* less would not be seen */

enum beat_kind {
	BEAT_REGULAR,
	BEAT_EARLY,
	BEAT_LAST
};

static void
set_due(struct remote *r, int64_t due_ms)
{
	const struct timeval tv = clock_timeval(due_ms - clock_now_ms());

	r->heartbeat.due_ms = due_ms;
	if (event_add(&r->heartbeat.timer, &tv) == -1)
		log_err("cannot set a timer for the heartbeat");
}

static void
set_soon(struct remote *r, int64_t delay_ms)
{
	const struct timeval tv = clock_timeval(delay_ms);

	if (event_add(&r->heartbeat.soon, &tv) == -1)
		log_err("cannot set a timer for the heartbeat");
}

/*
 * Replies.
 */

static void
forgotten(struct remote *r)
{
	/* It would take us for one who stays. */
	if (r->heartbeat.parting != PARTING_NOT)
		return;
	/* Another one was told so before; a registration is under way. */
	if (!r->registration.registered)
		return;
	log_warn("%s does not know %s any more; registering again",
	    r->conf->url, r->facts.id);
	r->registration.registered = false;
	r->base.ops->changed(&r->base, r->base.arg);
	registration_begin(r);
}

static void
on_cancel(const char *id, void *arg)
{
	struct remote *r = arg;

	/* Only what a heartbeat has named is named back: it has come. */
	log_debug("%s cancels %s", r->conf->url, id);
	if (r->base.ops->cancelled != NULL)
		r->base.ops->cancelled(&r->base, id, false, r->base.arg);
}

/* The skills whole, under another hash; or a registration, when that has not
 * helped. Nothing to tell is nothing to ask for. */
static void
begin_sync(struct remote *r)
{
	struct heartbeat *h = &r->heartbeat;

	if (r->facts.skills_count == 0 || h->parting != PARTING_NOT)
		return;
	if (h->sync_sent) {
		h->sync_sent = false;
		log_debug("%s asks for our skills again; registering again",
		    r->conf->url);
		registration_begin(r);
		return;
	}
	r->facts.syncs++;
	h->sync = true;
	heartbeat_touch(r);
}

static void
obey(struct remote *r, const struct http_reply *reply)
{
	struct heartbeat *h = &r->heartbeat;
	struct beat_wishes wishes = { .cancel = on_cancel, .arg = r };

	if (r->dialect->wishes == NULL)
		return;
	r->dialect->wishes(reply->body, reply->body_len, &wishes);
	if (wishes.delay_ms > DELAY_MAX_MS)
		wishes.delay_ms = DELAY_MAX_MS;
	if (wishes.delay_ms > 0 && h->parting == PARTING_NOT)
		set_due(
		    r, h->sent_ms + r->heartbeat_interval_ms + wishes.delay_ms);
	if (wishes.sync)
		begin_sync(r);
}

/* The next one is due as ever, or sooner: by the back-off. */
static void
failed(struct remote *r, enum verdict verdict, const struct http_reply *reply,
    const struct why *why)
{
	struct heartbeat *h = &r->heartbeat;
	const int64_t now_ms = clock_now_ms();
	const int64_t wanted =
	    reply->status != 0 ? http_reply_retry_after_ms(reply) : -1;
	int64_t delay = backoff_next_ms(&h->backoff);

	if (now_ms + delay > h->due_ms && h->due_ms > now_ms)
		delay = h->due_ms - now_ms;
	if (delay < wanted)
		delay = wanted;
	if (verdict == VERDICT_LIMITED && delay < REMOTE_SILENCE_MS)
		delay = REMOTE_SILENCE_MS;
	if (verdict == VERDICT_LIMITED || wanted > 0)
		h->silent_until_ms = now_ms + delay;
	remote_complain(r, "heartbeat failed", why, delay);
	set_due(r, now_ms + delay);
}

static void
beat_free(struct beat *b)
{
	TAILQ_REMOVE(&b->remote->heartbeat.out, b, entry);
	b->remote->heartbeat.in_flight--;
	free(b);
}

static void
said_goodbye(struct remote *r, enum verdict verdict, const struct why *why)
{
	r->heartbeat.parting = PARTING_DONE;
	if (verdict != VERDICT_DONE)
		log_warn("cannot tell %s that the worker stops: %s",
		    r->conf->url, why->text);
	r->base.ops->changed(&r->base, r->base.arg);
}

static void
on_beat(const struct http_reply *reply, void *arg)
{
	struct beat *b = arg;
	struct remote *r = b->remote;
	const bool old = b->old;
	const bool failing = r->heartbeat.backoff.failures > 0;
	enum verdict verdict;
	struct why why;

	beat_free(b);
	verdict = remote_judge_object(r, reply, &why);
	if (r->heartbeat.parting == PARTING_SAYING) {
		said_goodbye(r, verdict, &why);
		return;
	}
	if (reply->status == 200 &&
	    dialect_is_unknown(reply->body, reply->body_len))
		verdict = VERDICT_UNKNOWN;
	else if (verdict == VERDICT_REFUSED && reply->status == 404)
		verdict = VERDICT_UNKNOWN;
	if (verdict == VERDICT_DONE || verdict == VERDICT_UNKNOWN)
		backoff_reset(&r->heartbeat.backoff);
	if (verdict == VERDICT_DONE)
		obey(r, reply);
	else if (verdict == VERDICT_UNKNOWN) {
		if (!old) /* else it may well know us by now */
			forgotten(r);
	} else
		failed(r, verdict, reply, &why);
	if (verdict == VERDICT_DONE && failing)
		remote_resume(r);
}

/*
 * What is said.
 */

static void
free_names(char **names, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

static bool
same_names(char **a, const char *const *b, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (strcmp(a[i], b[i]) != 0)
			return (false);
	return (true);
}

static int
compare_names(const void *a, const void *b)
{
	return (strcmp(*(char *const *)a, *(char *const *)b));
}

/* Looks at what children hold; true when that has changed. */
static bool
mark_cache(struct remote *r)
{
	size_t count;
	char **names;

	if (r->base.ops->hot_cache == NULL || !r->dialect->tells_cache ||
	    (names = calloc(HOT_CACHE_MAX, sizeof(*names))) == NULL)
		return (false);
	count =
	    r->base.ops->hot_cache(&r->base, names, HOT_CACHE_MAX, r->base.arg);
	qsort(names, count, sizeof(*names), compare_names);
	if (count == r->facts.hot_cache_count &&
	    same_names(names, r->facts.hot_cache, count)) {
		free_names(names, count);
		return (false);
	}
	free_names(r->hot_cache, r->facts.hot_cache_count);
	r->hot_cache = names;
	r->facts.hot_cache = (const char *const *)names;
	r->facts.hot_cache_count = count;
	return (true);
}

/* Where only what is free is offered: not this one, just now. */
static bool
is_full(struct remote *r, const struct skill *skill)
{
	const struct orchestrator_ops *ops = r->base.ops;

	return (r->conf->offer == CONF_OFFER_FREE &&
	    (ops->places(skill->category, r->base.arg) == 0 ||
		(ops->is_full != NULL &&
		    ops->is_full(&r->base, skill->name, r->base.arg))));
}

/* Nothing of what is offered could be run at once. */
static bool
is_all_full(const struct remote *r)
{
	size_t i;

	for (i = 0; i < r->facts.skills_count; i++)
		if (!r->skills[i].full)
			return (false);
	return (r->facts.skills_count > 0);
}

bool
heartbeat_mark_hot(struct remote *r)
{
	bool hot, full, changed = mark_cache(r);
	size_t i;

	for (i = 0; i < r->facts.skills_count; i++) {
		hot = r->base.ops->is_hot(
		    &r->base, r->skills[i].name, r->base.arg);
		full = is_full(r, &r->skills[i]);
		changed = changed || hot != r->skills[i].hot ||
		    full != r->skills[i].full;
		r->skills[i].hot = hot;
		r->skills[i].full = full;
	}
	return (changed);
}

static double
distance(double a, double b)
{
	return (a > b ? a - b : b - a);
}

/* What is in use now: as programs say it, and else as we see it. */
static void
look(struct remote *r, struct usage_sample *now, struct used *used)
{
	usage_look(&r->heartbeat.usage, now);
	if (r->base.ops->used != NULL)
		r->base.ops->used(&r->base, used, r->base.arg);
	if (used->cpu_percent > 0)
		now->cpu_percent = used->cpu_percent;
	if (used->memory_gb > 0)
		now->memory_gb = used->memory_gb;
}

/* Usage is told when it has changed by more than the dead band, or not for
 * long. */
static void
put_usage(struct remote *r, struct beat_facts *beat)
{
	struct heartbeat *h = &r->heartbeat;
	const int64_t now_ms = clock_now_ms();
	struct used used = { 0 };
	struct usage_sample now;
	double band = h->told_memory * h->usage_deadband / 100;

	if (band < USAGE_GB)
		band = USAGE_GB;
	look(r, &now, &used);
	if (h->usage_told && now_ms - h->usage_ms < h->usage_interval_ms &&
	    distance(now.cpu_percent, h->told_cpu) <= h->usage_deadband &&
	    distance(now.memory_gb, h->told_memory) <= band &&
	    !used_devices_differ(&used, &h->told_used, h->usage_deadband)) {
		used_fini(&used);
		return;
	}
	used_fini(&h->told_used);
	h->told_used = used;
	beat->devices = &h->told_used;
	h->usage_told = true;
	h->usage_ms = now_ms;
	beat->has_usage = true;
	beat->cpu_percent = h->told_cpu = now.cpu_percent;
	beat->memory_gb = h->told_memory = now.memory_gb;
}

static const char *
status_of(const struct remote *r)
{
	switch (r->heartbeat.parting) {
	case PARTING_NOT:
		return (is_all_full(r) ? BEAT_BUSY : BEAT_IDLE);
	case PARTING_BEGUN:
		return (BEAT_DRAINING);
	case PARTING_SAYING:
	case PARTING_DONE:
		return (BEAT_OFFLINE);
	}
	return (BEAT_IDLE);
}

/* A full one: what is true just now, and is then known to have been told. */
static int
put_full(struct remote *r, struct bytes *body, struct why *why)
{
	struct heartbeat *h = &r->heartbeat;
	struct at_work work = { .ids_count = 0 };
	struct beat_facts beat = {
		.status = status_of(r),
		.sync = h->sync,
	};

	r->base.ops->at_work(&r->base, &work, r->base.arg);
	beat.ids = work.ids;
	beat.ids_count = work.ids_count;
	beat.running = work.running;
	beat.websocket = websocket_is_open(r);
	beat.tells_websocket = beat.websocket != h->websocket_told;
	(void)heartbeat_mark_hot(r);
	if (r->dialect->forgets)
		put_usage(r, &beat);
	if (r->dialect->heartbeat(&r->facts, &beat, body, why) == -1)
		return (-1);
	h->told_newest = work.newest;
	h->told_running = work.running;
	h->websocket_told = beat.websocket;
	h->sync_sent = h->sync;
	h->sync = false;
	return (0);
}

static int
send_beat(struct remote *r, enum beat_kind kind, struct why *why)
{
	struct heartbeat *h = &r->heartbeat;
	const int64_t timeout = r->conf->request_timeout_ms;
	const bool empty = kind == BEAT_REGULAR && h->empty_next && !h->sync;
	struct bytes body = { 0 };
	struct beat *b;

	if ((b = calloc(1, sizeof(*b))) == NULL) {
		why_errno(why, "heartbeat");
		return (-1);
	}
	b->remote = r;
	if (empty || put_full(r, &body, why) == 0)
		b->call = remote_request(r, HTTP_PATCH, r->url_worker, &body,
		    kind == BEAT_LAST && timeout > GOODBYE_MS ? GOODBYE_MS :
								timeout,
		    on_beat, b, why);
	bytes_fini(&body);
	if (b->call == NULL) {
		free(b);
		return (-1);
	}
	TAILQ_INSERT_TAIL(&h->out, b, entry);
	h->in_flight++;
	h->sent_ms = clock_now_ms();
	if (kind == BEAT_REGULAR)
		h->empty_next = !h->empty_next;
	return (0);
}

static void
beat(struct remote *r, enum beat_kind kind)
{
	struct heartbeat *h = &r->heartbeat;
	const int64_t interval = r->heartbeat_interval_ms;
	const int64_t now_ms = clock_now_ms();
	int64_t pause_ms;
	struct why why;

	/* From when it was due, so that small delays do not add up. */
	if (kind == BEAT_REGULAR && h->due_ms <= now_ms &&
	    now_ms - h->due_ms < interval)
		set_due(r, h->due_ms + interval);
	else
		set_due(r, now_ms + interval);
	if (!r->registration.registered || h->in_flight >= IN_FLIGHT_MAX)
		return;
	if ((pause_ms = manners_pause_ms(r, RATE_HEARTBEAT)) > 0) {
		h->silent_until_ms = now_ms + pause_ms;
		set_due(r, now_ms + pause_ms);
		return;
	}
	if (send_beat(r, kind, &why) == -1)
		remote_complain(
		    r, "heartbeat failed", &why, h->due_ms - now_ms);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	beat(arg, BEAT_REGULAR);
}

/*
 * Early ones.
 */

/* None, some, or all that may run. */
static int
load_level(const struct remote *r, int64_t running)
{
	if (running <= 0)
		return (0);
	return (running < r->facts.max_concurrent_tasks ? 1 : 2);
}

/* Something that the orchestrator acts on differs from what it was told: tasks
 * that it may have cancelled before they came; which skills are hot; how much
 * room there is. */
static bool
has_changed(struct remote *r)
{
	const struct heartbeat *h = &r->heartbeat;
	struct at_work work = { .ids_count = 0 };

	if (h->sync || heartbeat_mark_hot(r) ||
	    websocket_is_open(r) != h->websocket_told)
		return (true);
	r->base.ops->at_work(&r->base, &work, r->base.arg);
	if (r->dialect->tells_tasks && work.newest > h->told_newest)
		return (true);
	return (r->dialect->tells_load &&
	    load_level(r, work.running) != load_level(r, h->told_running));
}

/* Takes what an early one costs; false when there is not enough left. */
static bool
spend_credit(struct remote *r, int64_t now_ms)
{
	struct heartbeat *h = &r->heartbeat;
	const int64_t interval = r->heartbeat_interval_ms;

	h->credit_ms += now_ms - h->credit_at_ms;
	if (h->credit_ms > EARLY_BURST * interval)
		h->credit_ms = EARLY_BURST * interval;
	h->credit_at_ms = now_ms;
	if (h->credit_ms < interval)
		return (false);
	h->credit_ms -= interval;
	return (true);
}

static void
on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct remote *r = arg;
	struct heartbeat *h = &r->heartbeat;
	const int64_t now_ms = clock_now_ms();

	(void)fd;
	(void)what;
	if (!r->registration.registered || h->parting >= PARTING_SAYING ||
	    now_ms < h->silent_until_ms)
		return; /* a later one tells */
	if (now_ms - h->sent_ms < h->cooldown_ms) {
		set_soon(r, h->sent_ms + h->cooldown_ms - now_ms);
		return;
	}
	if (has_changed(r) && spend_credit(r, now_ms))
		beat(r, BEAT_EARLY);
}

void
heartbeat_touch(struct remote *r)
{
	if (r->registration.registered &&
	    !evtimer_pending(&r->heartbeat.soon, NULL))
		set_soon(r, r->heartbeat.debounce_ms);
}

/*
 * Beginning and end.
 */

void
heartbeat_start(struct remote *r)
{
	struct heartbeat *h = &r->heartbeat;
	struct beat *b;

	TAILQ_FOREACH(b, &h->out, entry)
		b->old = true;
	/* A registration tells nothing of tasks, and resets the rest. */
	h->told_newest = 0;
	h->told_running = 0;
	h->usage_told = false;
	h->websocket_told = false;
	h->sync = h->sync_sent = false;
	if (!h->started) {
		h->started = true;
		h->empty_next = true;
		h->credit_ms = EARLY_BURST * r->heartbeat_interval_ms;
		h->credit_at_ms = clock_now_ms();
		set_due(r, clock_now_ms() + r->heartbeat_interval_ms);
	}
	if (h->parting == PARTING_BEGUN)
		beat(r, BEAT_EARLY); /* it has just called us idle */
	else
		heartbeat_touch(r);
}

void
heartbeat_part(struct remote *r)
{
	if (r->conf->stop_status != CONF_STOP_OFFLINE ||
	    r->heartbeat.parting != PARTING_NOT)
		return;
	r->heartbeat.parting = PARTING_BEGUN;
	if (r->registration.registered)
		beat(r, BEAT_EARLY);
}

static void
stop_beating(struct remote *r)
{
	struct beat *b;

	if (event_initialized(&r->heartbeat.timer))
		(void)event_del(&r->heartbeat.timer);
	if (event_initialized(&r->heartbeat.soon))
		(void)event_del(&r->heartbeat.soon);
	while ((b = TAILQ_FIRST(&r->heartbeat.out)) != NULL) {
		http_cancel(b->call);
		beat_free(b);
	}
}

bool
heartbeat_goodbye(struct remote *r)
{
	struct heartbeat *h = &r->heartbeat;
	struct why why;

	if (h->parting != PARTING_BEGUN)
		return (h->parting != PARTING_SAYING);
	h->parting = PARTING_DONE;
	stop_beating(r);
	registration_stop(r); /* it would call us idle */
	if (!r->registration.registered)
		return (true);
	h->parting = PARTING_SAYING;
	if (send_beat(r, BEAT_LAST, &why) == 0)
		return (false);
	h->parting = PARTING_DONE;
	log_warn(
	    "cannot tell %s that the worker stops: %s", r->conf->url, why.text);
	return (true);
}

int
heartbeat_init(struct remote *r)
{
	struct heartbeat *h = &r->heartbeat;

	TAILQ_INIT(&h->out);
	h->backoff.first_ms = RETRY_FIRST_MS;
	h->backoff.max_ms = r->heartbeat_interval_ms;
	usage_init(&h->usage, "/proc", "/sys/fs/cgroup");
	r->facts.cores = usage_cores(&h->usage);
	r->facts.memory_gb = usage_memory_gb(&h->usage);
	if (evtimer_assign(&h->timer, r->loop, on_timer, r) == -1)
		return (-1);
	return (evtimer_assign(&h->soon, r->loop, on_soon, r));
}

void
heartbeat_fini(struct remote *r)
{
	stop_beating(r);
	used_fini(&r->heartbeat.told_used);
	free_names(r->hot_cache, r->facts.hot_cache_count);
}
