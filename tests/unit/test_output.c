/* SPDX-License-Identifier: ISC */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "child/bytes.h"
#include "supervisor/children/output.h"
#include "tests/test.h"

struct ends {
	struct event_base *base;
	struct output output;
	int peer;
	unsigned lines;
	struct bytes text; /* every line in | | */
};

static void
on_line(const char *text, void *arg)
{
	struct ends *e = arg;

	e->lines++;
	bytes_puts(&e->text, "|");
	bytes_puts(&e->text, text);
	bytes_puts(&e->text, "|");
}

static void
open_ends(struct ends *e)
{
	int fds[2];

	*e = (struct ends){ 0 };
	ASSERT((e->base = event_base_new()) != NULL);
	ASSERT_INT(pipe2(fds, O_CLOEXEC), 0);
	ASSERT_INT(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	ASSERT_INT(output_open(&e->output, e->base, fds[0], on_line, e), 0);
	e->peer = fds[1];
}

static void
close_ends(struct ends *e)
{
	output_close(&e->output);
	output_close(&e->output); /* twice is once */
	output_drain(&e->output);
	if (e->peer != -1)
		(void)close(e->peer);
	bytes_fini(&e->text);
	event_base_free(e->base);
}

static void
say(const struct ends *e, const char *text, size_t len)
{
	ASSERT_INT(write(e->peer, text, len), len);
}

static void
turn(struct ends *e)
{
	ASSERT(event_base_loop(e->base, EVLOOP_NONBLOCK) != -1);
}

#define CHECK(e, want) \
	ASSERT_MEM((e)->text.p, (e)->text.len, want, strlen(want))

static void
splits_lines(void)
{
	struct ends e;

	open_ends(&e);
	say(&e, "one\ntw", 6);
	turn(&e);
	CHECK(&e, "|one|");
	say(&e, "o\n\n\nthree\nfour", 14);
	turn(&e);
	CHECK(&e, "|one||two||three|");
	output_close(&e.output);
	CHECK(&e, "|one||two||three||four|");
	close_ends(&e);
}

static void
leaves_out_nuls(void)
{
	struct ends e;

	open_ends(&e);
	say(&e, "a\0b\n\0\n", 6);
	turn(&e);
	CHECK(&e, "|ab|");
	close_ends(&e);
}

static void
check_long(size_t len, unsigned lines, size_t last)
{
	struct ends e;
	char *text = malloc(len + 1);

	ASSERT(text != NULL);
	memset(text, 'x', len);
	text[len] = '\n';
	open_ends(&e);
	say(&e, text, len + 1);
	turn(&e);
	ASSERT_INT(e.lines, lines);
	ASSERT_INT(e.text.len, len + 2 * (size_t)lines);
	ASSERT(e.text.p[e.text.len - last - 2] == '|');
	free(text);
	close_ends(&e);
}

static void
cuts_long_lines(void)
{
	check_long(OUTPUT_LINE_MAX - 1, 1, OUTPUT_LINE_MAX - 1);
	check_long(OUTPUT_LINE_MAX, 1, OUTPUT_LINE_MAX);
	check_long(OUTPUT_LINE_MAX + 1, 2, 1);
	check_long(3 * OUTPUT_LINE_MAX, 3, OUTPUT_LINE_MAX);
}

static void
drains_what_is_there(void)
{
	struct ends e;

	open_ends(&e);
	output_drain(&e.output); /* nothing: does not wait */
	say(&e, "one\nun", 6);
	output_drain(&e.output);
	CHECK(&e, "|one||un|"); /* an unfinished line, too */
	output_drain(&e.output);
	CHECK(&e, "|one||un|");
	say(&e, "finished", 8);
	(void)close(e.peer);
	e.peer = -1;
	output_drain(&e.output);
	output_drain(&e.output);
	CHECK(&e, "|one||un||finished|");
	close_ends(&e);
}

/* Its standard output is closed, and the loop does not spin on that. */
static void
rests_after_the_end(void)
{
	struct ends e;

	open_ends(&e);
	(void)close(e.peer);
	e.peer = -1;
	turn(&e);
	ASSERT(!event_pending(&e.output.readable, EV_READ, NULL));
	close_ends(&e);
}

static const struct test tests[] = {
	{ "lines come whole, empty ones not at all", splits_lines },
	{ "NULs are left out", leaves_out_nuls },
	{ "long lines are cut", cuts_long_lines },
	{ "what is there is read without waiting", drains_what_is_there },
	{ "an end of file is taken once", rests_after_the_end },
};
TEST_MAIN(tests)
