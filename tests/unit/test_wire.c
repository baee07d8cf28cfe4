/* SPDX-License-Identifier: ISC */
/* The child's end of the channel, and a look ahead while a task runs. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child/wire.h"
#include "tests/test.h"

struct ends {
	struct wire wire;
	int peer;
};

static void
open_ends(struct ends *e)
{
	int fds[2];

	ASSERT_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	wire_init(&e->wire, fds[0]);
	e->peer = fds[1];
}

static void
close_ends(struct ends *e)
{
	(void)close(e->wire.fd);
	(void)close(e->peer);
	wire_fini(&e->wire);
}

/* Puts a frame behind what is in buf; returns the new length. */
static size_t
put(char *buf, size_t at, enum frame_type type, uint64_t lease,
    const char *payload)
{
	const struct frame_header h = {
		.length = (uint32_t)strlen(payload),
		.type = (uint16_t)type,
		.lease = lease,
	};

	frame_encode(&h, (unsigned char *)buf + at);
	memcpy(buf + at + CHANNEL_HEADER_SIZE, payload, h.length);
	return (at + CHANNEL_HEADER_SIZE + h.length);
}

static void
say(const struct ends *e, const char *buf, size_t len)
{
	ASSERT_INT(write(e->peer, buf, len), len);
}

static void
check_read(struct ends *e, enum frame_type type, const char *payload)
{
	struct frame_header h;
	struct bytes why = { 0 };
	const char *p;

	ASSERT_INT(wire_read(&e->wire, &h, &p, &why), WIRE_FRAME);
	ASSERT_INT(h.type, type);
	ASSERT_MEM(p, h.length, payload, strlen(payload));
}

/* The next cancel frame, or "" when there is none now. */
static const char *
cancel(struct ends *e)
{
	static char text[WIRE_CANCEL_MAX + 1];
	struct frame_header h = { 0 };

	text[0] = '\0';
	if (wire_take_cancel(&e->wire, &h, text)) {
		ASSERT_INT(h.lease, 7);
		text[h.length] = '\0';
	}
	return (text);
}

static void
looks_without_waiting(void)
{
	struct ends e;
	char buf[256];
	size_t len, i;

	open_ends(&e);
	ASSERT_STR(cancel(&e), "");
	len = put(buf, 0, FRAME_CANCEL, 7, "{\"reason\":\"cancel\"}");
	for (i = 0; i < len; i++) { /* byte by byte: only when it is whole */
		ASSERT_STR(cancel(&e), "");
		say(&e, buf + i, 1);
	}
	ASSERT_STR(cancel(&e), "{\"reason\":\"cancel\"}");
	ASSERT_STR(cancel(&e), "");
	close_ends(&e);
}

/* However much of them came with the task's own read. */
static void
takes_what_is_buffered(void)
{
	struct ends e;
	char buf[256];
	size_t task, len, cut;

	task = put(buf, 0, FRAME_TASK, 7, "{\"task\":1}");
	len = put(buf, task, FRAME_CANCEL, 7, "{\"n\":1}");
	len = put(buf, len, FRAME_CANCEL, 7, "{\"n\":2}");
	for (cut = task; cut <= len; cut++) {
		open_ends(&e);
		say(&e, buf, cut);
		check_read(&e, FRAME_TASK, "{\"task\":1}");
		if (cut < len)
			say(&e, buf + cut, len - cut);
		ASSERT_STR(cancel(&e), "{\"n\":1}");
		ASSERT_STR(cancel(&e), "{\"n\":2}");
		ASSERT_STR(cancel(&e), "");
		/* And the order of what follows is kept. */
		say(&e, buf, task);
		check_read(&e, FRAME_TASK, "{\"task\":1}");
		close_ends(&e);
	}
}

static void
leaves_the_rest_alone(void)
{
	struct ends e;
	char buf[1024], large[WIRE_CANCEL_MAX + 2];
	size_t len;

	open_ends(&e);
	len = put(buf, 0, FRAME_STOP, 0, "{}");
	len = put(buf, len, FRAME_CANCEL, 7, "{\"n\":1}");
	say(&e, buf, len);
	ASSERT_STR(cancel(&e), "");
	check_read(&e, FRAME_STOP, "{}");
	ASSERT_STR(cancel(&e), "{\"n\":1}");
	/* A cancel frame of a size that ours never has. */
	memset(large, ' ', sizeof(large));
	large[0] = '{';
	large[sizeof(large) - 2] = '}';
	large[sizeof(large) - 1] = '\0';
	say(&e, buf, put(buf, 0, FRAME_CANCEL, 7, large));
	ASSERT_STR(cancel(&e), "");
	check_read(&e, FRAME_CANCEL, large);
	/* No frame at all. */
	memset(buf, 0xff, 64);
	say(&e, buf, 64);
	ASSERT_STR(cancel(&e), "");
	(void)shutdown(e.peer, SHUT_WR);
	ASSERT_STR(cancel(&e), "");
	close_ends(&e);
}

static const struct test tests[] = {
	{ "a look ahead does not wait", looks_without_waiting },
	{ "a cancel frame is found wherever it is", takes_what_is_buffered },
	{ "everything else stays, in its order", leaves_the_rest_alone },
};
TEST_MAIN(tests)
