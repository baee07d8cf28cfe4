/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "supervisor/base/devlog.h"
#include "tests/test.h"

#define MANY 100000

static char folder[] = "/tmp/avtoworker-devlog-XXXXXX";
static char path[64];

/* A system log; the former one at that path is gone. */
static int
listen_anew(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	(void)unlink(path);
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ASSERT(fd != -1);
	ASSERT(bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0);
	return (fd);
}

static bool
say(int *fd, const char *text)
{
	return (devlog_send(fd, path, LOG_WARNING, "tag", text, strlen(text)));
}

static void
check_next(int server, const char *end)
{
	char text[256];
	ssize_t n = recv(server, text, sizeof(text) - 1, 0);

	ASSERT(n > 0);
	text[n] = '\0';
	ASSERT(strncmp(text, "<28>", 4) == 0);
	ASSERT((size_t)n > strlen(end));
	ASSERT_STR(text + (size_t)n - strlen(end), end);
}

static void
sends_a_line_with_priority_tag_and_pid(void)
{
	int server = listen_anew(), fd = -1;
	char end[64];

	ASSERT(say(&fd, "hello"));
	(void)snprintf(end, sizeof(end), " tag[%d]: hello", (int)getpid());
	check_next(server, end);
	(void)close(fd);
	(void)close(server);
}

static void
loses_lines_instead_of_waiting(void)
{
	int server = listen_anew(), fd = -1, i;

	for (i = 0; i < MANY && say(&fd, "a line"); i++)
		;
	ASSERT(i > 0 && i < MANY);
	check_next(server, "a line");
	ASSERT(say(&fd, "again"));
	(void)close(fd);
	(void)close(server);
}

static void
finds_a_log_that_was_started_again(void)
{
	int server = listen_anew(), fd = -1;

	ASSERT(say(&fd, "one"));
	(void)close(server);
	(void)unlink(path);
	ASSERT(!say(&fd, "two"));
	server = listen_anew();
	ASSERT(say(&fd, "three"));
	check_next(server, "three");
	(void)close(server);
	server = listen_anew();
	ASSERT(say(&fd, "four"));
	check_next(server, "four");
	(void)close(fd);
	(void)close(server);
}

static void
a_path_that_is_too_long_is_no_log(void)
{
	char longer[200];
	int fd = -1;

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	ASSERT(!devlog_send(&fd, longer, LOG_ERR, "tag", "text", 4));
	ASSERT_INT(fd, -1);
}

static const struct test tests[] = {
	{ "sends a line with priority, tag and pid",
	    sends_a_line_with_priority_tag_and_pid },
	{ "loses lines instead of waiting", loses_lines_instead_of_waiting },
	{ "finds a log that was started again",
	    finds_a_log_that_was_started_again },
	{ "a path that is too long is no log",
	    a_path_that_is_too_long_is_no_log },
};

int
main(void)
{
	int rc;

	if (mkdtemp(folder) == NULL)
		return (EXIT_FAILURE);
	(void)snprintf(path, sizeof(path), "%s/log", folder);
	rc = test_main(tests, sizeof(tests) / sizeof(tests[0]));
	(void)unlink(path);
	(void)rmdir(folder);
	return (rc);
}
