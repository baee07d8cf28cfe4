/* SPDX-License-Identifier: ISC */
/* The supervisor's end of a socket pair; the test is the child. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "supervisor/children/frame_stream.h"
#include "tests/test.h"

#define FRAMES_MAX 1024

struct ends {
	struct event_base *base;
	struct frame_stream stream;
	int peer;
	struct frame_header headers[FRAMES_MAX];
	unsigned frames;
	struct bytes payloads; /* of all frames */
	char malformed[200];
	unsigned malformations;
};

static void
on_frame(const struct frame_header *h, const char *payload, void *arg)
{
	struct ends *e = arg;

	ASSERT(e->frames < FRAMES_MAX);
	e->headers[e->frames++] = *h;
	bytes_append(&e->payloads, payload, h->length);
}

static void
on_malformed(const char *text, void *arg)
{
	struct ends *e = arg;

	e->malformations++;
	(void)snprintf(e->malformed, sizeof(e->malformed), "%s", text);
}

static void
on_closed(void *arg)
{
	(void)arg; /* who closed what is told to the child's tests */
}

static const struct frame_stream_ops ops = {
	.frame = on_frame,
	.malformed = on_malformed,
	.closed = on_closed,
};

static void
open_ends(struct ends *e)
{
	int fds[2];

	*e = (struct ends){ .stream.fd = -1 };
	(void)signal(SIGPIPE, SIG_IGN); /* as signals_open() does */
	ASSERT((e->base = event_base_new()) != NULL);
	ASSERT_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ASSERT_INT(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	ASSERT_INT(frame_stream_open(&e->stream, e->base, fds[0], &ops, e), 0);
	e->peer = fds[1];
}

static void
close_ends(struct ends *e)
{
	frame_stream_close(&e->stream);
	frame_stream_close(&e->stream); /* twice is once */
	ASSERT_INT(e->stream.fd, -1);
	if (e->peer != -1)
		(void)close(e->peer);
	bytes_fini(&e->payloads);
	event_base_free(e->base);
}

static void
turn(struct ends *e)
{
	ASSERT(event_base_loop(e->base, EVLOOP_NONBLOCK) != -1);
}

static void
put_frame(struct bytes *out, unsigned type, uint64_t lease, const char *payload,
    size_t len)
{
	const struct frame_header h = {
		.length = (uint32_t)len,
		.type = (uint16_t)type,
		.lease = lease,
	};
	unsigned char header[CHANNEL_HEADER_SIZE];

	frame_encode(&h, header);
	bytes_append(out, header, sizeof(header));
	bytes_append(out, payload, len);
	ASSERT(!bytes_failed(out));
}

static void
write_all(const struct ends *e, const char *p, size_t len)
{
	ASSERT_INT(write(e->peer, p, len), len);
}

static void
takes_single_bytes(void)
{
	struct bytes b = { 0 };
	struct ends e;
	size_t i;

	open_ends(&e);
	put_frame(&b, FRAME_READY, 0, "{\"a\":1}", 7);
	put_frame(&b, FRAME_STARTED, 5, "", 0);
	put_frame(&b, FRAME_RESULT, UINT64_MAX, "x", 1);
	for (i = 0; i < b.len; i++) {
		ASSERT_INT(e.frames, i < 16 + 7 ? 0 : i < 23 + 16 ? 1 : 2);
		write_all(&e, b.p + i, 1);
		turn(&e);
	}
	ASSERT_INT(e.frames, 3);
	ASSERT_INT(e.headers[0].type, FRAME_READY);
	ASSERT_INT(e.headers[0].length, 7);
	ASSERT_INT(e.headers[1].lease, 5);
	ASSERT_INT(e.headers[1].length, 0);
	ASSERT(e.headers[2].lease == UINT64_MAX);
	ASSERT_MEM(e.payloads.p, e.payloads.len, "{\"a\":1}x", 8);
	ASSERT_INT(e.malformations, 0);
	bytes_fini(&b);
	close_ends(&e);
}

static void
takes_several_at_once(void)
{
	struct bytes b = { 0 };
	struct ends e;
	int i;

	open_ends(&e);
	for (i = 0; i < 500; i++)
		put_frame(&b, FRAME_LOG, (uint64_t)i, "{\"message\":\"\"}",
		    (size_t)(i % 15));
	write_all(&e, b.p, b.len);
	while (e.frames < 500)
		turn(&e);
	for (i = 0; i < 500; i++) {
		ASSERT_INT(e.headers[i].lease, i);
		ASSERT_INT(e.headers[i].length, i % 15);
	}
	bytes_fini(&b);
	close_ends(&e);
}

/* Payloads around the limit and the size of one read, in pieces. */
static void
takes_large_frames(void)
{
	static const size_t sizes[] = { 16383, 65536 - 16, 65536, 65537, 200000,
		CHANNEL_FROM_CHILD_MAX };
	struct bytes b = { 0 };
	struct ends e;
	size_t i, n, at;
	char *payload;

	open_ends(&e);
	ASSERT((payload = malloc(CHANNEL_FROM_CHILD_MAX)) != NULL);
	for (n = 0; n < CHANNEL_FROM_CHILD_MAX; n++)
		payload[n] = (char)(n * 7 + n / 251);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		put_frame(&b, FRAME_RESULT, i, payload, sizes[i]);
		for (at = 0; at < b.len; at += n) {
			n = b.len - at < 50001 ? b.len - at : 50001;
			write_all(&e, b.p + at, n);
			turn(&e);
		}
		while (e.frames <= i)
			turn(&e);
		ASSERT_MEM(e.payloads.p, e.payloads.len, payload, sizes[i]);
		bytes_fini(&e.payloads);
		bytes_fini(&b);
	}
	free(payload);
	close_ends(&e);
}

static void
check_malformed(const struct frame_header *h, const char *want)
{
	unsigned char header[CHANNEL_HEADER_SIZE];
	struct bytes b = { 0 };
	struct ends e;

	open_ends(&e);
	put_frame(&b, FRAME_STARTED, 1, "", 0);
	frame_encode(h, header);
	bytes_append(&b, header, sizeof(header));
	put_frame(&b, FRAME_STARTED, 2, "", 0);
	write_all(&e, b.p, b.len);
	turn(&e);
	ASSERT_INT(e.frames, 1);
	ASSERT_INT(e.malformations, 1);
	ASSERT_STR(e.malformed, want);
	/* Nothing is read after it. */
	write_all(&e, b.p, 16);
	turn(&e);
	frame_stream_drain(&e.stream);
	ASSERT_INT(e.frames, 1);
	ASSERT_INT(e.malformations, 1);
	bytes_fini(&b);
	close_ends(&e);
}

static void
refuses_what_breaks_the_protocol(void)
{
	const struct frame_header oversized = {
		.type = FRAME_RESULT,
		.length = CHANNEL_FROM_CHILD_MAX + 1,
	};
	const struct frame_header huge = {
		.type = FRAME_LOG,
		.length = UINT32_MAX,
	};
	const struct frame_header unknown = { .type = 99 };
	const struct frame_header flagged = { .type = FRAME_LOG, .flags = 1 };

	check_malformed(&oversized, "a frame with a payload above the limit");
	check_malformed(&huge, "a frame with a payload above the limit");
	check_malformed(&unknown, "a frame of unknown type");
	check_malformed(
	    &flagged, "a frame with flags, which this version has none of");
}

/* Reads len bytes at the peer while the loop writes them. */
static char *
read_all(struct ends *e, size_t len)
{
	char *p = malloc(len);
	size_t got = 0;
	ssize_t n;

	ASSERT(p != NULL);
	ASSERT_INT(fcntl(e->peer, F_SETFL, O_NONBLOCK), 0);
	while (got < len) {
		turn(e);
		if ((n = read(e->peer, p + got, len - got)) > 0)
			got += (size_t)n;
		else
			ASSERT_INT(n, -1);
	}
	ASSERT_INT(read(e->peer, p, 1), -1); /* and no more */
	return (p);
}

static void
check_sent(const char *p, enum frame_type type, uint64_t lease,
    const char *payload, size_t len)
{
	struct bytes want = { 0 };

	put_frame(&want, type, lease, payload, len);
	ASSERT_MEM(p, want.len, want.p, want.len);
	bytes_fini(&want);
}

static void
keeps_what_a_full_socket_refuses(void)
{
	const size_t len = CHANNEL_TO_CHILD_MAX;
	char *payload, *got;
	struct ends e;
	size_t i;

	open_ends(&e);
	ASSERT((payload = malloc(len)) != NULL);
	for (i = 0; i < len; i++)
		payload[i] = (char)(i * 11 + i / 253);
	ASSERT_INT(
	    frame_stream_send(&e.stream, FRAME_TASK, 7, payload, len), 0);
	ASSERT(evbuffer_get_length(e.stream.out) > 0);
	ASSERT_INT(frame_stream_send(&e.stream, FRAME_STOP, 0, "{}", 2), 0);
	got = read_all(&e, 16 + len + 16 + 2);
	check_sent(got, FRAME_TASK, 7, payload, len);
	check_sent(got + 16 + len, FRAME_STOP, 0, "{}", 2);
	ASSERT_INT(evbuffer_get_length(e.stream.out), 0);
	/* Then it goes straight again, and nothing spins on the loop. */
	ASSERT(!event_pending(&e.stream.writable, EV_WRITE, NULL));
	ASSERT_INT(frame_stream_send(&e.stream, FRAME_STOP, 0, "{}", 2), 0);
	ASSERT_INT(read(e.peer, got, 100), 18);
	free(got);
	free(payload);
	close_ends(&e);
}

/* Fills the socket to every degree, so that frames are cut everywhere. */
static void
cuts_a_frame_anywhere(void)
{
	const int small = 4608;
	unsigned sent, i;
	struct ends e;
	char *got;

	open_ends(&e);
	ASSERT_INT(setsockopt(e.stream.fd, SOL_SOCKET, SO_SNDBUF, &small,
		       sizeof(small)),
	    0);
	for (sent = 0; sent < 3000; sent++)
		ASSERT_INT(frame_stream_send(
			       &e.stream, FRAME_CANCEL, sent, "{\"a\":1}", 7),
		    0);
	ASSERT(evbuffer_get_length(e.stream.out) > 0);
	got = read_all(&e, 3000 * 23);
	for (i = 1; i < sent; i++) /* the first byte is read over */
		check_sent(got + i * 23, FRAME_CANCEL, i, "{\"a\":1}", 7);
	free(got);
	close_ends(&e);
}

static void
reads_what_the_dead_have_left(void)
{
	struct bytes b = { 0 };
	struct ends e;

	open_ends(&e);
	put_frame(&b, FRAME_STARTED, 1, "", 0);
	put_frame(&b, FRAME_RESULT, 1, "{\"status\":\"success\"}", 20);
	bytes_append(&b, "half", 4);
	write_all(&e, b.p, b.len);
	(void)close(e.peer);
	e.peer = -1;
	/* A write that fails says nothing about what can be read. */
	ASSERT_INT(frame_stream_send(&e.stream, FRAME_STOP, 0, "{}", 2), 0);
	ASSERT(e.stream.unwritable);
	ASSERT_INT(frame_stream_send(&e.stream, FRAME_STOP, 0, "{}", 2), 0);
	ASSERT_INT(e.frames, 0);
	frame_stream_drain(&e.stream);
	ASSERT_INT(e.frames, 2);
	ASSERT_MEM(
	    e.payloads.p, e.payloads.len, "{\"status\":\"success\"}", 20);
	ASSERT_INT(e.malformations, 0);
	ASSERT(e.stream.unreadable);
	frame_stream_drain(&e.stream);
	turn(&e);
	ASSERT_INT(e.frames, 2);
	bytes_fini(&b);
	close_ends(&e);
}

/* A grandchild may hold the other end open. */
static void
does_not_wait_for_an_end(void)
{
	struct bytes b = { 0 };
	struct ends e;

	open_ends(&e);
	put_frame(&b, FRAME_STARTED, 1, "", 0);
	write_all(&e, b.p, b.len);
	frame_stream_drain(&e.stream);
	ASSERT_INT(e.frames, 1);
	ASSERT(!e.stream.unreadable);
	bytes_fini(&b);
	close_ends(&e);
}

static void
gives_up_a_backlog_for_the_dead(void)
{
	const size_t len = CHANNEL_TO_CHILD_MAX;
	char *payload;
	struct ends e;

	open_ends(&e);
	ASSERT((payload = calloc(1, len)) != NULL);
	ASSERT_INT(
	    frame_stream_send(&e.stream, FRAME_TASK, 7, payload, len), 0);
	(void)close(e.peer);
	e.peer = -1;
	while (!e.stream.unwritable)
		turn(&e);
	ASSERT_INT(evbuffer_get_length(e.stream.out), 0);
	ASSERT_INT(e.malformations, 0);
	free(payload);
	close_ends(&e);
}

static const struct test tests[] = {
	{ "frames come in single bytes", takes_single_bytes },
	{ "many frames come in one write", takes_several_at_once },
	{ "frames of up to 1 MiB come in pieces", takes_large_frames },
	{ "a frame that breaks the protocol is the last",
	    refuses_what_breaks_the_protocol },
	{ "what a full socket does not take is kept",
	    keeps_what_a_full_socket_refuses },
	{ "a full socket may cut a frame anywhere", cuts_a_frame_anywhere },
	{ "what a dead peer has sent is read", reads_what_the_dead_have_left },
	{ "draining does not wait for the end of file",
	    does_not_wait_for_an_end },
	{ "what a dead peer cannot read is given up",
	    gives_up_a_backlog_for_the_dead },
};
TEST_MAIN(tests)
