/* SPDX-License-Identifier: ISC */
/*
 * What a WebSocket does as time goes by. The clock is ours, and so are the
 * connection, the upgrade, and whoever is told of what has come.
 */
#include <string.h>

#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/conf.h"
#include "supervisor/orchestrator/remote.h"
#include "supervisor/orchestrator/stream.h"
#include "supervisor/orchestrator/ws_handshake.h"
#include "supervisor/stats.h"
#include "tests/test.h"

#define S            ((int64_t)1000)
#define OPCODE_CLOSE 0x8
#define OPCODE_PING  0x9
#define HEAD_LEN     6 /* of a short frame with its mask */

static int64_t now_ms = 1000 * S;
static const struct stream_ops *ops; /* of the connection */
static void *ops_arg;
static unsigned connections, lost;
static bool connected;
static char sent[256]; /* the latest bytes */
static size_t sent_len;

int64_t
clock_now_ms(void)
{
	return (now_ms);
}

int64_t
clock_wall_ms(void)
{
	return (now_ms);
}

/* Timers never end by themselves. */
struct timeval
clock_timeval(int64_t ms)
{
	(void)ms;
	return ((struct timeval){ .tv_sec = 3600 });
}

struct stream *
stream_new(struct event_base *loop, const char *url, const struct tls *tls,
    const struct stream_ops *stream_ops, void *arg, struct why *why)
{
	(void)loop;
	(void)url;
	(void)tls;
	(void)why;
	ASSERT(!connected);
	connected = true;
	connections++;
	ops = stream_ops;
	ops_arg = arg;
	return ((struct stream *)(void *)&connected);
}

void
stream_free(struct stream *s)
{
	if (s != NULL)
		connected = false;
}

void
stream_put(struct stream *s, const char *p, size_t len)
{
	(void)s;
	ASSERT(len <= sizeof(sent));
	if (len > 0) /* our upgrade is empty */
		(void)memcpy(sent, p, len);
	sent_len = len;
}

size_t
stream_unsent(const struct stream *s)
{
	(void)s;
	return (0);
}

struct ws_handshake *
ws_handshake_new(struct why *why)
{
	(void)why;
	return ((struct ws_handshake *)(void *)&ops);
}

void
ws_handshake_free(struct ws_handshake *h)
{
	(void)h;
}

int
ws_handshake_put_request(const struct ws_handshake *h, const char *url,
    const struct bytes *headers, struct bytes *out, struct why *why)
{
	(void)h;
	(void)url;
	(void)headers;
	(void)out;
	(void)why;
	return (0);
}

/* Whatever comes is the upgrade. */
enum ws_answer
ws_handshake_feed(struct ws_handshake *h, const char *p, size_t len,
    size_t *used, struct why *why)
{
	(void)h;
	(void)p;
	(void)why;
	*used = len;
	return (WS_ANSWER_OPEN);
}

enum ws_answer
ws_handshake_end(struct ws_handshake *h, struct why *why)
{
	(void)h;
	(void)why;
	return (WS_ANSWER_MORE);
}

void
ws_handshake_reply(const struct ws_handshake *h, struct ws_reply *reply)
{
	(void)h;
	*reply = (struct ws_reply){ .body = "" };
}

void
http_headers_put(const struct http_headers *headers, struct bytes *out)
{
	(void)headers;
	(void)out;
}

enum verdict
remote_judge(struct remote *r, const struct http_reply *reply, struct why *why)
{
	(void)r;
	(void)reply;
	(void)why;
	return (VERDICT_DONE);
}

void
remote_redact_text(const struct remote *r, struct why *why)
{
	(void)r;
	(void)why;
}

int64_t
remote_delay_ms(enum verdict verdict, const struct http_reply *reply,
    struct backoff *backoff)
{
	(void)verdict;
	(void)reply;
	return (backoff_next_ms(backoff));
}

int64_t
manners_pause_ms(struct remote *r, enum rate_kind kind)
{
	(void)r;
	(void)kind;
	return (0);
}

void
manners_sent(struct remote *r, enum rate_kind kind)
{
	(void)r;
	(void)kind;
}

void
heartbeat_touch(struct remote *r)
{
	(void)r;
}

void
events_taken(struct remote *r, uint64_t number)
{
	(void)r;
	(void)number;
}

void
events_lost(struct remote *r)
{
	(void)r;
	lost++;
}

void
stats_message(struct stats *stats, const char *orchestrator, const char *way)
{
	(void)stats;
	(void)orchestrator;
	(void)way;
}

static char url[] = "http://orchestrator.example";
static const struct conf_orchestrator conf = { .url = url, .websocket = true };

static void
open_one(struct remote *r)
{
	ASSERT_INT(r->websocket.state, WEBSOCKET_CONNECTING);
	ops->connected(ops_arg);
	ops->received("x", 1, ops_arg);
	ASSERT(websocket_is_open(r));
	sent_len = 0;
}

static void
begin(struct remote *r, const struct dialect *dialect)
{
	*r = (struct remote){ .conf = &conf, .dialect = dialect };
	ASSERT((r->loop = event_base_new()) != NULL);
	ASSERT_INT(websocket_init(r), 0);
	websocket_begin(r);
	open_one(r);
}

static void
end(struct remote *r)
{
	websocket_fini(r);
	ASSERT(!connected);
	event_base_free(r->loop);
}

/* The timer's time has come. */
static void
pass(struct remote *r, int64_t ms)
{
	now_ms += ms;
	ASSERT(evtimer_pending(&r->websocket.timer, NULL));
	event_active(&r->websocket.timer, EV_TIMEOUT, 1);
	(void)event_base_loop(r->loop, EVLOOP_NONBLOCK);
}

/* What kind of frame was sent since the last look; -1: none. */
static int
said(void)
{
	const int opcode = sent_len > 0 ? sent[0] & 0xf : -1;

	sent_len = 0;
	return (opcode);
}

/* Answers the ping that was just sent. */
static void
pong(void)
{
	char frame[2 + sizeof(uint64_t)] = { (char)0x8a, sizeof(uint64_t) };
	size_t i;

	ASSERT_INT(sent_len, HEAD_LEN + sizeof(uint64_t));
	ASSERT_INT(said(), OPCODE_PING);
	for (i = 0; i < sizeof(uint64_t); i++)
		frame[2 + i] = (char)(sent[HEAD_LEN + i] ^ sent[2 + i % 4]);
	ops->received(frame, sizeof(frame), ops_arg);
}

static void
classic_is_closed_after_15_s_and_made_once_more(void)
{
	static const char normal[] = { (char)0x88, 2, 0x3, (char)0xe8 };
	struct remote r;

	begin(&r, &dialect_classic);
	pass(&r, 15 * S - 1);
	ASSERT(websocket_is_open(&r));
	ASSERT_INT(said(), -1);
	pass(&r, 1);
	ASSERT_INT(said(), OPCODE_CLOSE);
	ASSERT_INT(r.websocket.state, WEBSOCKET_CLOSING);
	ops->received(normal, sizeof(normal), ops_arg);
	ASSERT_INT(r.websocket.state, WEBSOCKET_WAITING);
	pass(&r, 0); /* without a back-off */
	ASSERT_INT(connections, 2);
	open_one(&r);
	pass(&r, 15 * S);
	ASSERT(websocket_is_open(&r));
	ASSERT_INT(said(), -1);
	end(&r);
}

static void
rxon_is_left_open(void)
{
	struct remote r;

	begin(&r, &dialect_rxon);
	pass(&r, 15 * S);
	ASSERT(websocket_is_open(&r));
	ASSERT_INT(said(), -1);
	end(&r);
}

static void
a_ping_that_is_not_answered_in_30_s_was_the_last(void)
{
	struct remote r;

	begin(&r, &dialect_rxon);
	pass(&r, 20 * S - 1);
	ASSERT_INT(said(), -1);
	pass(&r, 1);
	ASSERT_INT(said(), OPCODE_PING);
	pass(&r, 30 * S - 1);
	ASSERT(websocket_is_open(&r));
	ASSERT_INT(lost, 0);
	pass(&r, 1);
	ASSERT_INT(r.websocket.state, WEBSOCKET_WAITING);
	ASSERT(!connected);
	ASSERT_INT(lost, 1);
	pass(&r, 2 * S); /* the back-off */
	open_one(&r);
	end(&r);
}

static void
one_that_answers_is_asked_again(void)
{
	struct remote r;
	int i;

	begin(&r, &dialect_rxon);
	for (i = 0; i < 5; i++) {
		pass(&r, 20 * S);
		pong();
	}
	pass(&r, 20 * S - 1);
	ASSERT_INT(said(), -1);
	ASSERT(websocket_is_open(&r));
	ASSERT_INT(lost, 0);
	end(&r);
}

static void
a_pong_that_nobody_has_asked_for_means_nothing(void)
{
	static const char unasked[] = "\x8a\x08"
				      "12345678";
	struct remote r;

	begin(&r, &dialect_rxon);
	ops->received(unasked, sizeof(unasked) - 1, ops_arg);
	pass(&r, 20 * S);
	pong();
	pass(&r, 10 * S);
	ASSERT(websocket_is_open(&r));
	pass(&r, 10 * S);
	pong();
	ASSERT_INT(lost, 0);
	end(&r);
}

static const struct test tests[] = {
	{ "classic: it is closed after 15 s and made once more",
	    classic_is_closed_after_15_s_and_made_once_more },
	{ "rxon: it is left open", rxon_is_left_open },
	{ "a ping that is not answered in 30 s was the last",
	    a_ping_that_is_not_answered_in_30_s_was_the_last },
	{ "one that answers is asked again", one_that_answers_is_asked_again },
	{ "a pong that nobody has asked for means nothing",
	    a_pong_that_nobody_has_asked_for_means_nothing },
};

TEST_MAIN(tests)
