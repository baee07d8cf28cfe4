/* SPDX-License-Identifier: ISC */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "child/json_scan.h"
#include "supervisor/base/log.h"
#include "tests/test.h"

#define LOST "2 lines of this log could not be written and are lost"

static char path[] = "/tmp/avtoworker-log-XXXXXX";

static void
open_log(const char *destination, enum log_format format)
{
	struct why why = { "" };

	log_divert(NULL);
	if (log_open(destination, LOG_LEVEL_INFO, format, &why) == -1)
		test_fail(__FILE__, __LINE__, "%s", why.text);
}

/* Makes standard error a pipe, whose other end never waits. */
static int
pipe_log(enum log_format format)
{
	int p[2];

	ASSERT(pipe2(p, O_NONBLOCK | O_CLOEXEC) == 0);
	ASSERT(dup2(p[1], STDERR_FILENO) == STDERR_FILENO);
	open_log("stderr", format);
	return (p[0]);
}

static void
make_file(void)
{
	const int fd = mkstemp(path);

	ASSERT(fd != -1);
	(void)close(fd);
}

/* What is to be read now, as a text. */
static void
read_text(int fd, char *text, size_t size)
{
	const ssize_t n = read(fd, text, size - 1);

	ASSERT(n > 0);
	text[n] = '\0';
}

/* The next line of a text as JSON, and whether its member says that. */
static char *
check_json(char *line, const char *member, const char *want)
{
	struct jscan_error error;
	struct jslice root, value;
	char *end = strchr(line, '\n');

	ASSERT(end != NULL);
	*end = '\0';
	if (jscan_check(
		line, strlen(line), &jscan_payload_limits, &root, &error) == -1)
		test_fail(__FILE__, __LINE__, "%s: %s", error.text, line);
	ASSERT(jscan_get(&root, member, &value));
	if (!jscan_string_is(&value, want))
		test_fail(__FILE__, __LINE__, "no %s: %s", want, line);
	return (end + 1);
}

static void
tells_of_lost_lines_in_the_format_of_the_others(void)
{
	const int fd = pipe_log(LOG_FORMAT_JSON);
	char text[PIPE_BUF * 2], *rest;

	while (write(STDERR_FILENO, text, sizeof(text)) > 0)
		continue;
	log_info("lost");
	log_info("this too");
	while (read(fd, text, sizeof(text)) > 0)
		continue;
	log_info("heard");
	read_text(fd, text, sizeof(text));
	rest = check_json(text, "message", LOST);
	rest = check_json(rest, "message", "heard");
	ASSERT_STR(rest, "");
}

static void
shortens_the_message_of_a_line_that_no_pipe_takes_whole(void)
{
	const struct log_context ctx = { .task_id = "t-1" };
	const int fd = pipe_log(LOG_FORMAT_JSON);
	char quotes[3000], text[PIPE_BUF * 2];

	memset(quotes, '"', sizeof(quotes) - 1);
	quotes[sizeof(quotes) - 1] = '\0';
	log_line(LOG_LEVEL_INFO, &ctx, "%s", quotes);
	read_text(fd, text, sizeof(text));
	ASSERT(strlen(text) <= PIPE_BUF);
	ASSERT_STR(check_json(text, "task_id", "t-1"), "");
}

/* A line of text behind its time. */
static char *
check_line(char *line, const char *want)
{
	char *end = strchr(line, '\n'), *said;

	ASSERT(end != NULL);
	*end = '\0';
	said = strstr(line, " - avtoworkerd - ");
	ASSERT(said != NULL);
	ASSERT_STR(said + strlen(" - avtoworkerd - "), want);
	return (end + 1);
}

static void
begins_anew_behind_a_line_that_a_full_disk_has_cut(void)
{
	struct rlimit limit = { .rlim_cur = 100, .rlim_max = RLIM_INFINITY };
	char text[1024], *rest;
	int fd;

	make_file();
	open_log(path, LOG_FORMAT_TEXT);
	ASSERT(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	log_info("first");
	ASSERT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	log_info("one that there is no longer any room for");
	log_info("another one");
	limit.rlim_cur = RLIM_INFINITY;
	ASSERT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	log_info("last");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT(fd != -1);
	(void)unlink(path);
	read_text(fd, text, sizeof(text));
	rest = check_line(text, "INFO - first");
	rest = strchr(rest, '\n') + 1; /* what there was room for */
	ASSERT_INT(rest - text, 101);
	rest = check_line(rest, "WARNING - " LOST);
	rest = check_line(rest, "INFO - last");
	ASSERT_STR(rest, "");
}

static const struct test tests[] = {
	{ "tells of lost lines in the format of the others",
	    tells_of_lost_lines_in_the_format_of_the_others },
	{ "shortens the message of a line that no pipe takes whole",
	    shortens_the_message_of_a_line_that_no_pipe_takes_whole },
	{ "begins anew behind a line that a full disk has cut",
	    begins_anew_behind_a_line_that_a_full_disk_has_cut },
};

TEST_MAIN(tests)
