/* SPDX-License-Identifier: ISC */
/*
 * websocket.c: the WebSocket to an orchestrator: its commands come in, what
 * handlers tell goes out. It is begun when we are registered and lives until
 * all is done, so that tasks can be cancelled during a stop as well; when it
 * breaks it is made again, on a clock of its own. Everything works without it.
 * The server says nothing while there is nothing to say, so we ping: to see
 * whether it is there, and to know when it has read what came before.
 */
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>
#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/conf.h"
#include "supervisor/orchestrator/command_read.h"
#include "supervisor/orchestrator/remote.h"
#include "supervisor/orchestrator/stream.h"
#include "supervisor/orchestrator/ws_frames.h"
#include "supervisor/orchestrator/ws_handshake.h"
#include "supervisor/stats.h"

#define RETRY_FIRST_MS ((int64_t)1000)
#define RETRY_MAX_MS   ((int64_t)2 * 60 * 1000)
#define STABLE_MS      ((int64_t)60 * 1000) /* it is worth a quick retry then */
#define RARELY_MS      ((int64_t)10 * 60 * 1000) /* a server without it */
#define ASKING_MS      ((int64_t)10 * 1000)
#define CLOSING_MS     ((int64_t)2 * 1000)
#define PING_MS        ((int64_t)20 * 1000) /* of silence */
/* A server that ends another connection of ours first may take 10 s. */
#define PONG_MS        ((int64_t)30 * 1000)
#define SETTLE_MS      ((int64_t)15 * 1000)
#define UNSENT_MAX     ((size_t)128 * 1024) /* bytes that it does not read */

static void
set_timer(struct remote *r, int64_t delay_ms)
{
	const struct timeval tv = clock_timeval(delay_ms);

	if (event_add(&r->websocket.timer, &tv) == -1)
		log_err("cannot set a timer for the WebSocket");
}

static void
set_state(struct websocket *w, enum websocket_state state)
{
	w->state = state;
	w->since_ms = clock_now_ms();
	(void)event_del(&w->timer);
}

bool
websocket_is_open(const struct remote *r)
{
	return (r->websocket.state == WEBSOCKET_OPEN);
}

/*
 * The end of a connection, and the next one.
 */

static void
drop(struct remote *r)
{
	struct websocket *w = &r->websocket;

	stream_free(w->stream);
	ws_handshake_free(w->handshake);
	ws_frames_free(w->frames);
	w->stream = NULL;
	w->handshake = NULL;
	w->frames = NULL;
}

static void
wait(struct remote *r, int64_t delay_ms)
{
	set_state(&r->websocket, WEBSOCKET_WAITING);
	set_timer(r, delay_ms);
}

/* Says so once; until there is one again the rest is for the curious. */
static void
tell_failure(struct remote *r, bool quiet, const char *text, int64_t delay_ms)
{
	struct websocket *w = &r->websocket;

	log_line(quiet || w->complained ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
	    NULL, "no WebSocket to %s: %s; trying again in %lld.%lld s",
	    r->conf->url, text, (long long)(delay_ms / 1000),
	    (long long)(delay_ms % 1000 / 100));
	w->complained = w->complained || !quiet;
}

/* The reply says that there is no such thing. */
static bool
has_none(long status)
{
	switch (status) {
	case 0:
	case 401:
	case 403:
	case 408:
	case 429:
		return (false);
	case 501:
		return (true);
	default:
		return (status < 500);
	}
}

/* RXON has a rate limit for WebSockets as well, but says so with a 500. */
static bool
is_limit(const struct http_reply *reply)
{
	static const char text[] = "Too Many Requests";

	return (reply->status == 500 &&
	    memmem(reply->body, reply->body_len, text, sizeof(text) - 1) !=
		NULL);
}

/* There was none: because of an answer, or without one. */
static void
failed(struct remote *r, struct http_reply *reply)
{
	struct websocket *w = &r->websocket;
	const bool none = has_none(reply->status);
	enum verdict verdict;
	struct why why;
	int64_t delay;

	reply->kind = rate_kind_names[RATE_WEBSOCKET];
	reply->took_ms = clock_now_ms() - w->begun_ms;
	if (is_limit(reply))
		reply->status = 429;
	verdict = remote_judge(r, reply, &why);
	if (verdict == VERDICT_DONE) /* a page that answers to any path */
		why_set(&why, "HTTP %ld and no upgrade", reply->status);
	delay = remote_delay_ms(verdict, reply, &w->backoff);
	if (none)
		delay = RARELY_MS / 2 +
		    (int64_t)arc4random_uniform((uint32_t)(RARELY_MS / 2));
	drop(r);
	wait(r, delay);
	tell_failure(r, none, why.text, delay);
}

static void
failed_without_reply(struct remote *r, const char *error, bool timed_out)
{
	failed(r,
	    &(struct http_reply){
		.body = "", .error = error, .timed_out = timed_out });
}

/* One that was open is no more. seen: the orchestrator knows that. Not to be
 * called from within the frames. */
static void
over(struct remote *r, const char *text, bool seen)
{
	struct websocket *w = &r->websocket;
	const bool again = w->reopening && seen;
	int64_t delay = 0;

	drop(r);
	w->suspect = !seen; /* it may take the next for a second one */
	w->reopening = false;
	if (w->leaving) {
		set_state(w, WEBSOCKET_OFF);
		r->base.ops->changed(&r->base, r->base.arg);
		return;
	}
	if (!again) {
		if (clock_now_ms() - w->opened_ms >= STABLE_MS)
			backoff_reset(&w->backoff);
		delay = backoff_next_ms(&w->backoff);
		tell_failure(r, false, text, delay);
	}
	wait(r, delay);
	events_lost(r);
	heartbeat_touch(r);
}

/* The last words are said; the other side is to close the connection, or to
 * answer them. */
static void
begin_closing(struct remote *r, const struct why *why)
{
	struct websocket *w = &r->websocket;

	w->why = *why;
	set_state(w, WEBSOCKET_CLOSING);
	set_timer(r, CLOSING_MS);
}

/* Has sent what the frames have to say. */
static void
put_output(struct remote *r)
{
	struct websocket *w = &r->websocket;
	struct bytes out = bytes_take(ws_frames_output(w->frames));

	if (out.len > 0)
		stream_put(w->stream, out.p, out.len);
	bytes_fini(&out);
}

static void
close_with(struct remote *r, unsigned code, const char *text)
{
	struct websocket *w = &r->websocket;
	struct why why;

	why_set(&why, "%s", text);
	begin_closing(r, &why);
	if (ws_frames_close(w->frames, code) == 0)
		put_output(r);
	else
		set_timer(r, 0); /* the frames may be what has called us */
}

/*
 * What is said.
 */

static void
cancel(struct remote *r, const struct command *command)
{
	const bool whole = command->task_id[0] == '\0';
	const char *id = whole ? command->job_id : command->task_id;

	log_debug("%s cancels %s", r->conf->url, id);
	if (r->base.ops->cancelled != NULL)
		r->base.ops->cancelled(&r->base, id, true, r->base.arg);
}

static void
on_message(const char *text, size_t len, void *arg)
{
	struct remote *r = arg;
	struct command command;
	struct why why;

	stats_message(r->stats, r->conf->name, "in");
	switch (command_read(text, len, &command, &why)) {
	case COMMAND_CANCEL:
		cancel(r, &command);
		break;
	case COMMAND_OTHER:
		log_debug(
		    "%s sends the command \"%s\"", r->conf->url, command.name);
		if (r->base.ops->command != NULL)
			r->base.ops->command(&r->base, command.name,
			    &command.message, r->base.arg);
		break;
	case COMMAND_NONE:
		log_debug("%s sends %s", r->conf->url, why.text);
		break;
	}
}

static void
on_pong(uint64_t number, void *arg)
{
	struct remote *r = arg;
	struct websocket *w = &r->websocket;

	/* Some servers send pongs that nobody has asked for. */
	if (w->pinged_ms != 0)
		w->pinged_ms = number == w->pings ? 0 : clock_now_ms();
	events_taken(r, number);
}

static const struct ws_frames_ops frames_ops = {
	.message = on_message,
	.pong = on_pong,
};

/* Sends a ping and returns its number; 0: it cannot. */
static uint64_t
ping(struct remote *r)
{
	struct websocket *w = &r->websocket;

	if (ws_frames_ping(w->frames, w->pings + 1) == -1)
		return (0);
	w->pings++;
	if (w->pinged_ms == 0)
		w->pinged_ms = clock_now_ms();
	put_output(r);
	return (w->pings);
}

/* Whom classic takes for our second one it closes, and then, by a fault, loses
 * the new one: no commands come over that until it is made again (S22). */
static bool
may_be_lost(const struct remote *r)
{
	return (r->websocket.suspect && r->dialect == &dialect_classic);
}

/* Looks after one that is open: is it alive, and known? */
static void
look_after(struct remote *r)
{
	struct websocket *w = &r->websocket;
	const int64_t now_ms = clock_now_ms();
	int64_t due_ms;

	if (w->pinged_ms != 0 && now_ms - w->pinged_ms >= PONG_MS) {
		over(r, "it does not answer", false);
		return;
	}
	if (may_be_lost(r) && now_ms - w->since_ms >= SETTLE_MS) {
		w->reopening = true;
		close_with(r, WS_NORMAL, "it is made again");
		return;
	}
	if (w->pinged_ms == 0 && now_ms - w->heard_ms >= PING_MS &&
	    ping(r) == 0) {
		over(r, "no memory for a ping", false);
		return;
	}
	due_ms =
	    w->pinged_ms != 0 ? w->pinged_ms + PONG_MS : w->heard_ms + PING_MS;
	if (may_be_lost(r) && w->since_ms + SETTLE_MS < due_ms)
		due_ms = w->since_ms + SETTLE_MS;
	/* One more: the loop's clock may be a little ahead of ours. */
	set_timer(r, due_ms - now_ms + 1);
}

uint64_t
websocket_tell(struct remote *r, const struct bytes *text)
{
	struct websocket *w = &r->websocket;
	uint64_t number;

	if (w->state != WEBSOCKET_OPEN || stream_unsent(w->stream) > 0 ||
	    ws_frames_text(w->frames, text->p, text->len) == -1 ||
	    (number = ping(r)) == 0)
		return (0);
	stats_message(r->stats, r->conf->name, "out");
	return (number);
}

/*
 * Its beginning.
 */

static void
opened(struct remote *r)
{
	struct websocket *w = &r->websocket;
	struct http_reply reply = {
		.kind = rate_kind_names[RATE_WEBSOCKET],
		.status = 200, /* as good as */
		.body = "",
		.took_ms = clock_now_ms() - w->begun_ms,
	};
	struct why why;

	if ((w->frames = ws_frames_new(&frames_ops, r, &why)) == NULL) {
		failed_without_reply(r, why.text, false);
		return;
	}
	(void)remote_judge(r, &reply, &why);
	set_state(w, WEBSOCKET_OPEN);
	w->opened_ms = w->heard_ms = w->since_ms;
	w->pinged_ms = 0;
	w->closed = false;
	w->complained = false;
	log_info("WebSocket to %s is open", r->conf->url);
	look_after(r);
	heartbeat_touch(r);
}

static void
answered(struct remote *r)
{
	struct ws_reply answer;
	struct http_reply reply;

	ws_handshake_reply(r->websocket.handshake, &answer);
	reply = (struct http_reply){
		.status = answer.status,
		.body = answer.body,
		.body_len = answer.body_len,
		.date = answer.date,
		.retry_after = answer.retry_after,
	};
	failed(r, &reply);
}

static void
judge(struct remote *r, enum ws_answer answer, const struct why *why)
{
	switch (answer) {
	case WS_ANSWER_MORE:
		break;
	case WS_ANSWER_OPEN:
		opened(r);
		break;
	case WS_ANSWER_OTHER:
		answered(r);
		break;
	case WS_ANSWER_BROKEN:
		failed_without_reply(r, why->text, false);
		break;
	}
}

static void
feed(struct remote *r, const char *p, size_t len)
{
	struct websocket *w = &r->websocket;
	struct why why;
	int rc;

	w->heard_ms = clock_now_ms();
	rc = ws_frames_feed(w->frames, p, len, &why);
	put_output(r);
	if (rc == -1) {
		remote_redact_text(r, &why);
		w->closed = ws_frames_closed(w->frames) != 0;
		if (w->state == WEBSOCKET_CLOSING)
			over(r, w->why.text, w->closed);
		else
			begin_closing(r, &why);
	} else if (stream_unsent(w->stream) > UNSENT_MAX)
		over(r, "it does not read what it asks for", false);
}

static void
on_received(const char *p, size_t len, void *arg)
{
	struct remote *r = arg;
	struct websocket *w = &r->websocket;
	enum ws_answer answer;
	size_t used = 0;
	struct why why;

	if (w->state == WEBSOCKET_ASKING) {
		answer = ws_handshake_feed(w->handshake, p, len, &used, &why);
		judge(r, answer, &why);
	}
	if (used < len && w->frames != NULL)
		feed(r, p + used, len - used);
}

static void
on_ended(const char *error, void *arg)
{
	struct remote *r = arg;
	struct websocket *w = &r->websocket;
	enum ws_answer answer;
	struct why why;

	if (w->frames != NULL) {
		if (w->state != WEBSOCKET_CLOSING)
			why_set(&w->why, "%s",
			    error != NULL ? error : "it was cut off");
		over(r, w->why.text, error == NULL || w->closed);
	} else if (error != NULL)
		failed_without_reply(r, error, false);
	else {
		answer = ws_handshake_end(w->handshake, &why);
		judge(r, answer, &why);
	}
}

static void
wipe(struct bytes *secret)
{
	if (secret->p != NULL)
		explicit_bzero(secret->p, secret->size);
	bytes_fini(secret);
}

static void
on_connected(void *arg)
{
	struct remote *r = arg;
	struct websocket *w = &r->websocket;
	struct bytes request = { 0 }, headers = { 0 };
	struct why why;

	http_headers_put(r->headers, &headers);
	if (ws_handshake_put_request(w->handshake, r->url_websocket, &headers,
		&request, &why) == 0) {
		stream_put(w->stream, request.p, request.len);
		set_state(w, WEBSOCKET_ASKING);
		set_timer(r, ASKING_MS);
	} else
		failed_without_reply(r, why.text, false);
	wipe(&headers);
	wipe(&request);
}

static const struct stream_ops stream_ops = {
	.connected = on_connected,
	.received = on_received,
	.ended = on_ended,
};

static void
connect_now(struct remote *r)
{
	struct websocket *w = &r->websocket;
	int64_t pause_ms;
	struct why why;

	if ((pause_ms = manners_pause_ms(r, RATE_WEBSOCKET)) > 0) {
		wait(r, pause_ms);
		return;
	}
	manners_sent(r, RATE_WEBSOCKET);
	set_state(w, WEBSOCKET_CONNECTING);
	w->begun_ms = w->since_ms;
	if ((w->handshake = ws_handshake_new(&why)) == NULL ||
	    (w->stream = stream_new(r->loop, r->url_websocket, &r->tls,
		 &stream_ops, r, &why)) == NULL)
		failed_without_reply(r, why.text, false);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct remote *r = arg;
	struct websocket *w = &r->websocket;

	(void)fd;
	(void)what;
	switch (w->state) {
	case WEBSOCKET_OFF:
	case WEBSOCKET_CONNECTING: /* libcurl has a limit for that */
		break;
	case WEBSOCKET_WAITING:
		connect_now(r);
		break;
	case WEBSOCKET_ASKING:
		failed_without_reply(r, "it does not answer", true);
		break;
	case WEBSOCKET_OPEN:
		look_after(r);
		break;
	case WEBSOCKET_CLOSING:
		over(r, w->why.text, w->closed);
		break;
	}
}

void
websocket_begin(struct remote *r)
{
	struct websocket *w = &r->websocket;

	if (r->conf->websocket && !w->leaving && w->state == WEBSOCKET_OFF)
		connect_now(r);
}

bool
websocket_goodbye(struct remote *r)
{
	struct websocket *w = &r->websocket;

	if (w->leaving)
		return (w->state == WEBSOCKET_OFF);
	w->leaving = true;
	if (w->state == WEBSOCKET_OPEN) {
		close_with(r, WS_GOING_AWAY, "the worker stops");
		return (false);
	}
	if (w->state == WEBSOCKET_CLOSING)
		return (false);
	drop(r);
	set_state(w, WEBSOCKET_OFF);
	return (true);
}

int
websocket_init(struct remote *r)
{
	struct websocket *w = &r->websocket;

	w->backoff.first_ms = RETRY_FIRST_MS;
	w->backoff.max_ms = RETRY_MAX_MS;
	/* Who was here before us may have gone without a word. */
	w->suspect = true;
	return (evtimer_assign(&w->timer, r->loop, on_timer, r));
}

void
websocket_fini(struct remote *r)
{
	drop(r);
	if (event_initialized(&r->websocket.timer))
		(void)event_del(&r->websocket.timer);
}
