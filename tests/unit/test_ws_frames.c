/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child/bytes.h"
#include "supervisor/orchestrator/ws_frames.h"
#include "tests/test.h"

/* First bytes of frames. */
#define FIN    0x80u
#define CONT   0x00u
#define TEXT   0x01u
#define BINARY 0x02u
#define CLOSE  0x08u
#define PING   0x09u
#define PONG   0x0au
#define MASKED 0x80u

struct seen {
	struct bytes text; /* messages, each followed by | */
	unsigned messages;
	uint64_t pong;
};

static void
on_message(const char *text, size_t len, void *arg)
{
	struct seen *seen = arg;

	seen->messages++;
	bytes_append(&seen->text, text, len);
	bytes_puts(&seen->text, "|");
}

static void
on_pong(uint64_t number, void *arg)
{
	((struct seen *)arg)->pong = number;
}

static const struct ws_frames_ops ops = {
	.message = on_message,
	.pong = on_pong,
};

static struct ws_frames *
begin(struct seen *seen)
{
	struct ws_frames *f;
	struct why why;

	*seen = (struct seen){ .messages = 0 };
	ASSERT((f = ws_frames_new(&ops, seen, &why)) != NULL);
	return (f);
}

/* A frame of the server's, or with a mask of zeros one that is none. */
static void
put(struct bytes *out, unsigned first, unsigned mask, const void *payload,
    size_t len)
{
	unsigned char head[10] = { (unsigned char)first };
	size_t n = 2, i;

	if (len < 126)
		head[1] = (unsigned char)len;
	else if (len < 65536) {
		head[1] = 126;
		head[2] = (unsigned char)(len >> 8);
		head[3] = (unsigned char)len;
		n = 4;
	} else {
		head[1] = 127;
		for (i = 0; i < 8; i++)
			head[2 + i] = (unsigned char)(len >> (56 - 8 * i));
		n = 10;
	}
	head[1] |= (unsigned char)mask;
	bytes_append(out, head, n);
	if (mask != 0)
		bytes_append(out, "\0\0\0\0", 4);
	bytes_append(out, payload, len);
}

static void
put_text(struct bytes *out, unsigned first, const char *text)
{
	put(out, first, 0, text, strlen(text));
}

static int
feed(struct ws_frames *f, const struct bytes *in, size_t piece, struct why *why)
{
	size_t at, n;
	int rc = 0;

	for (at = 0; at < in->len && rc == 0; at += n) {
		n = in->len - at < piece ? in->len - at : piece;
		rc = ws_frames_feed(f, in->p + at, n, why);
	}
	return (rc);
}

/* The first frame that we have to say: its first byte, and its payload without
 * the mask. It is masked, as a client's must be. */
static unsigned
said(struct ws_frames *f, char *payload, size_t size, size_t *len)
{
	struct bytes *out = ws_frames_output(f);
	const unsigned char *p = (const unsigned char *)out->p;
	size_t i;

	ASSERT(out->len >= 6);
	ASSERT(p[1] & MASKED);
	*len = p[1] & 0x7fu;
	ASSERT(*len < 126 && *len < size && out->len >= 6 + *len);
	for (i = 0; i < *len; i++)
		payload[i] = (char)(p[6 + i] ^ p[2 + i % 4]);
	payload[*len] = '\0';
	return (p[0]);
}

/* The code of the close frame that we say; 0: it has none. */
static unsigned
said_close(struct ws_frames *f)
{
	char payload[128];
	size_t len;

	ASSERT_INT(said(f, payload, sizeof(payload), &len), FIN | CLOSE);
	if (len == 0)
		return (0);
	ASSERT(len >= 2);
	return ((unsigned)(unsigned char)payload[0] << 8 |
	    (unsigned char)payload[1]);
}

/* Messages, whole and in parts, with a ping and a pong in between, and a binary
 * one that is for nobody. */
static void
reads_messages_in_any_pieces(void)
{
	const uint64_t number = 77;
	struct bytes in = { 0 };
	char payload[128];
	struct ws_frames *f;
	struct seen seen;
	struct why why;
	size_t piece, len;

	put_text(&in, FIN | TEXT, "{\"a\":1}");
	put_text(&in, TEXT, "\xd1");
	put_text(&in, FIN | PING, "there?");
	put_text(&in, CONT, "");
	put(&in, FIN | PONG, 0, &number, sizeof(number));
	put_text(&in, FIN | PONG, "what?");
	put_text(&in, FIN | CONT, "\x91!");
	put_text(&in, FIN | BINARY, "\xff\xfe");
	put_text(&in, FIN | TEXT, "");
	for (piece = 1; piece <= in.len; piece++) {
		f = begin(&seen);
		ASSERT_INT(feed(f, &in, piece, &why), 0);
		ASSERT_MEM(
		    seen.text.p, seen.text.len, "{\"a\":1}|\xd1\x91!||", 13);
		ASSERT_INT(seen.pong, 77);
		ASSERT_INT(said(f, payload, sizeof(payload), &len), FIN | PONG);
		ASSERT_STR(payload, "there?");
		ASSERT_INT(ws_frames_closed(f), 0);
		bytes_fini(&seen.text);
		ws_frames_free(f);
	}
	bytes_fini(&in);
}

static void
takes_messages_up_to_the_limit(void)
{
	char *text = calloc(1, WS_MESSAGE_MAX + 1);
	struct bytes in = { 0 };
	struct ws_frames *f;
	struct seen seen;
	struct why why;

	ASSERT(text != NULL);
	memset(text, 'x', WS_MESSAGE_MAX + 1);
	put(&in, FIN | TEXT, 0, text, WS_MESSAGE_MAX);
	f = begin(&seen);
	ASSERT_INT(feed(f, &in, 1000, &why), 0);
	ASSERT_INT(seen.text.len, WS_MESSAGE_MAX + 1);
	bytes_fini(&seen.text);
	ws_frames_free(f);

	/* One more, at once and in parts. */
	in.len = 0;
	put(&in, FIN | TEXT, 0, text, WS_MESSAGE_MAX + 1);
	f = begin(&seen);
	ASSERT_INT(feed(f, &in, 1000, &why), -1);
	ASSERT(strstr(why.text, "longer than") != NULL);
	ASSERT_INT(said_close(f), 1009);
	ws_frames_free(f);
	in.len = 0;
	put(&in, TEXT, 0, text, 40000);
	put(&in, CONT, 0, text, 25536);
	put(&in, FIN | CONT, 0, text, 1);
	f = begin(&seen);
	ASSERT_INT(feed(f, &in, 1000, &why), -1);
	ASSERT_INT(said_close(f), 1009);
	ASSERT_INT(seen.messages, 0);
	ws_frames_free(f);
	bytes_fini(&in);
	free(text);
}

static void
refuses_what_breaks_the_rules(void)
{
	static const struct {
		unsigned first;
		unsigned mask;
		const char *payload;
		unsigned code;
	} rows[] = {
		{ FIN | TEXT, MASKED, "{}", 1002 },
		{ FIN | CONT, 0, "{}", 1002 }, /* of nothing */
		{ FIN | 0x03u, 0, "{}", 1002 }, /* no such opcode */
		{ FIN | 0x0bu, 0, "{}", 1002 },
		{ FIN | 0x40u | TEXT, 0, "{}", 1002 }, /* no extension */
		{ PING, 0, "in parts", 0 }, { FIN | TEXT, 0, "\xc0\x80", 1007 },
		{ FIN | TEXT, 0, "\xd1", 1007 },
		{ FIN | CLOSE, 0, "\x03\xed", 1002 }, /* 1005 */
	};
	struct bytes in;
	struct ws_frames *f;
	struct seen seen;
	struct why why;
	size_t i, piece;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (piece = 1; piece < 9; piece++) {
			in = (struct bytes){ 0 };
			put(&in, rows[i].first, rows[i].mask, rows[i].payload,
			    strlen(rows[i].payload));
			f = begin(&seen);
			ASSERT_INT(feed(f, &in, piece, &why), -1);

			ASSERT_INT(said_close(f), rows[i].code);
			ASSERT_INT(ws_frames_closed(f), 0);
			ASSERT_INT(ws_frames_text(f, "x", 1), -1);
			ASSERT_INT(seen.messages, 0);
			ws_frames_free(f);
			bytes_fini(&in);
		}
}

/* A ping may be as long as 125 bytes; a frame may say that it is huge. */
static void
believes_no_length(void)
{
	static const unsigned char huge[] = { FIN | TEXT, 127, 0x7f, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 'x' };
	static const unsigned char beyond[] = { FIN | TEXT, 127, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'x' };
	static const unsigned char ping[] = { FIN | PING, 126, 0, 126, 'x' };
	static const struct {
		const unsigned char *p;
		size_t len;
		unsigned code;
	} rows[] = {
		{ huge, sizeof(huge), 1009 },
		{ beyond, sizeof(beyond), 0 },
		{ ping, sizeof(ping), 0 },
	};
	struct ws_frames *f;
	struct seen seen;
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		f = begin(&seen);
		ASSERT_INT(ws_frames_feed(
			       f, (const char *)rows[i].p, rows[i].len, &why),
		    -1);
		ASSERT_INT(said_close(f), rows[i].code);
		ws_frames_free(f);
	}
}

static void
answers_a_close(void)
{
	struct bytes in = { 0 };
	struct ws_frames *f;
	struct seen seen;
	struct why why;

	put_text(&in, FIN | CLOSE, "\x03\xf0New one\x07");
	put_text(&in, FIN | TEXT, "{}");
	f = begin(&seen);
	ASSERT_INT(ws_frames_feed(f, in.p, in.len, &why), -1);
	ASSERT_STR(why.text, "it was closed with 1008: New one?");
	ASSERT_INT(ws_frames_closed(f), 1008);
	ASSERT_INT(said_close(f), 1008);
	ASSERT_INT(seen.messages, 0);
	ws_frames_free(f);
	bytes_fini(&in);
}

static void
speaks_as_a_client_must(void)
{
	struct bytes in = { 0 };
	char payload[128], other[128];
	struct ws_frames *f;
	struct seen seen;
	struct why why;
	uint64_t number;
	size_t len;

	f = begin(&seen);
	ASSERT_INT(ws_frames_text(f, "{\"a\":1}", 7), 0);
	ASSERT_INT(said(f, payload, sizeof(payload), &len), FIN | TEXT);
	ASSERT_STR(payload, "{\"a\":1}");
	memcpy(other, ws_frames_output(f)->p + 2, 4);
	ws_frames_output(f)->len = 0;
	ASSERT_INT(ws_frames_ping(f, 7), 0);
	ASSERT(memcmp(other, ws_frames_output(f)->p + 2, 4) != 0);
	ASSERT_INT(said(f, payload, sizeof(payload), &len), FIN | PING);
	ASSERT_INT(len, sizeof(number));
	memcpy(&number, payload, sizeof(number));
	ASSERT_INT(number, 7);
	ws_frames_output(f)->len = 0;
	ASSERT_INT(ws_frames_close(f, WS_GOING_AWAY), 0);
	ASSERT_INT(said_close(f), 1001);
	ASSERT_INT(ws_frames_text(f, "x", 1), -1);
	/* Until it is answered, what comes is heard. */
	put_text(&in, FIN | TEXT, "late");
	ASSERT_INT(ws_frames_feed(f, in.p, in.len, &why), 0);
	ASSERT_INT(seen.messages, 1);
	in.len = 0;
	put_text(&in, FIN | CLOSE, "\x03\xe9");
	ASSERT_INT(ws_frames_feed(f, in.p, in.len, &why), -1);
	ASSERT_INT(ws_frames_closed(f), 1001);
	bytes_fini(&seen.text);
	bytes_fini(&in);
	ws_frames_free(f);
}

static const struct test tests[] = {
	{ "reads messages in any pieces", reads_messages_in_any_pieces },
	{ "takes messages up to the limit", takes_messages_up_to_the_limit },
	{ "refuses what breaks the rules", refuses_what_breaks_the_rules },
	{ "believes no length", believes_no_length },
	{ "answers a close", answers_a_close },
	{ "speaks as a client must", speaks_as_a_client_must },
};

TEST_MAIN(tests)
