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
	struct bytes text; /* every line in | |, every note in < > */
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
on_note(const char *text, void *arg)
{
	struct ends *e = arg;

	bytes_printf(&e->text, "<%s>", text);
}

static const struct output_ops ops = { .line = on_line, .note = on_note };

static void
open_ends(struct ends *e)
{
	int fds[2];

	*e = (struct ends){ 0 };
	ASSERT((e->base = event_base_new()) != NULL);
	ASSERT_INT(pipe2(fds, O_CLOEXEC), 0);
	ASSERT_INT(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	ASSERT_INT(output_open(&e->output, e->base, fds[0], &ops, e), 0);
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
keeps_a_traceback_together(void)
{
	static const char text[] = "one\nFatal Python error: Aborted\n\n"
				   "Thread 0x1:\n  File \"a\", line 1\n";
	char *lines = NULL;
	struct ends e;
	size_t i;

	open_ends(&e);
	for (i = 0; i < sizeof(text) - 1; i++)
		say(&e, text + i, 1);
	turn(&e);
	output_drain(&e.output);
	CHECK(&e,
	    "|one||Fatal Python error: Aborted\n\nThread 0x1:\n  File "
	    "\"a\", line 1|");
	say(&e, "two\nthree\n", 10);
	turn(&e);
	ASSERT_INT(e.lines, 4);
	/* One that is too long is several. */
	ASSERT((lines = malloc(OUTPUT_LINE_MAX)) != NULL);
	memset(lines, '\n', OUTPUT_LINE_MAX);
	say(&e, "Fatal Python error: x\n", 22);
	say(&e, lines, OUTPUT_LINE_MAX);
	say(&e, "end\n", 4);
	output_drain(&e.output);
	ASSERT_INT(e.lines, 6);
	free(lines);
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

static void
caps_a_section(void)
{
	struct ends e;

	open_ends(&e);
	output_section(&e.output, 10);
	say(&e, "1234\n6789\n", 10);
	turn(&e);
	CHECK(&e, "|1234||6789|"); /* just so many */
	say(&e, "b\nlong", 6);
	say(&e, "er\nthan", 7);
	turn(&e);
	CHECK(&e, "|1234||6789|<output beyond 10 bytes is dropped>");
	output_drain(&e.output);
	CHECK(&e, "|1234||6789|<output beyond 10 bytes is dropped>");
	bytes_fini(&e.text);
	output_section(&e.output, 20);
	CHECK(&e, "<13 bytes of output were dropped>");
	bytes_fini(&e.text);
	say(&e, "the next\nunfini", 15);
	turn(&e);
	output_section(&e.output, 0); /* ends the line; no limit from now */
	say(&e, "shed, and 20 bytes more\n", 24);
	turn(&e);
	CHECK(&e, "|the next||unfini||shed, and 20 bytes more|");
	close_ends(&e);
}

/* A line is given out whole or not at all, and so is the rest of it. */
static void
caps_an_endless_line(void)
{
	char text[OUTPUT_LINE_MAX];
	struct ends e;
	int i;

	memset(text, 'x', sizeof(text));
	open_ends(&e);
	output_section(&e.output, 2 * OUTPUT_LINE_MAX + 100);
	for (i = 0; i < 10; i++) {
		say(&e, text, sizeof(text));
		turn(&e);
	}
	ASSERT_INT(e.lines, 2);
	ASSERT_INT(e.output.dropped, 8 * OUTPUT_LINE_MAX);
	ASSERT_INT(e.output.len, 0);
	bytes_fini(&e.text);
	output_close(&e.output);
	CHECK(&e, "<16384 bytes of output were dropped>");
	close_ends(&e);
}

static void
keeps_a_tail(void)
{
	char tail[OUTPUT_TAIL_MAX + 1], line[101];
	struct ends e;
	int i;

	open_ends(&e);
	output_tail(&e.output, tail);
	ASSERT_STR(tail, "");
	ASSERT(e.output.tail == NULL); /* costs nothing unused */
	say(&e, "one\ntw\0o\nthr", 13);
	turn(&e);
	output_tail(&e.output, tail);
	ASSERT_STR(tail, "one\ntwo\nthr");
	output_section(&e.output, 1); /* what is dropped is remembered, too */
	output_tail(&e.output, tail);
	ASSERT_STR(tail, "");
	memset(line, 'x', sizeof(line) - 1);
	line[100] = '\n';
	for (i = 0; i < 50; i++) {
		line[0] = (char)('0' + i % 10);
		say(&e, line, sizeof(line));
	}
	turn(&e);
	output_tail(&e.output, tail);
	/* 20 whole lines fit, and part of one that is left out. */
	ASSERT_INT(strlen(tail), 20 * sizeof(line) - 1);
	ASSERT(tail[0] == '0' && tail[19 * sizeof(line)] == '9');
	close_ends(&e);
}

static void
keeps_the_tail_of_one_line(void)
{
	char tail[OUTPUT_TAIL_MAX + 1], text[2 * OUTPUT_TAIL_MAX];
	struct ends e;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 'y';
	open_ends(&e);
	say(&e, text, sizeof(text));
	turn(&e);
	output_tail(&e.output, tail);
	ASSERT_INT(strlen(tail), OUTPUT_TAIL_MAX);
	ASSERT(tail[OUTPUT_TAIL_MAX - 1] == 'y');
	close_ends(&e);
}

static const struct test tests[] = {
	{ "lines come whole, empty ones not at all", splits_lines },
	{ "keeps the traceback of a dying interpreter together",
	    keeps_a_traceback_together },
	{ "NULs are left out", leaves_out_nuls },
	{ "long lines are cut", cuts_long_lines },
	{ "what is there is read without waiting", drains_what_is_there },
	{ "an end of file is taken once", rests_after_the_end },
	{ "beyond its limit a section is read and dropped, and told",
	    caps_a_section },
	{ "an endless line ends at the limit", caps_an_endless_line },
	{ "the last whole lines are remembered", keeps_a_tail },
	{ "the end of one long line is remembered",
	    keeps_the_tail_of_one_line },
};
TEST_MAIN(tests)
