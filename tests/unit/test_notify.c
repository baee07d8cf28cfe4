/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/edges/notify.h"
#include "tests/test.h"

#define LIMIT_MS 60000

static char folder[] = "/tmp/test_notify.XXXXXX";

/* A service manager: its socket, and what it has been told. */
struct manager {
	struct event_base *loop;
	struct notify *notify;
	int fd;
	char variable[256];
	char *environment[6];
};

static void
remove_folder(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/notify", folder);
	(void)unlink(path);
	(void)rmdir(folder);
}

/* A datagram socket as the manager makes it; name is a path, or "@..." . */
static int
listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(address);
	int fd;

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
	if (name[0] == '@') {
		len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
		    strlen(name));
		address.sun_path[0] = '\0';
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ASSERT(fd != -1);
	ASSERT_INT(bind(fd, (struct sockaddr *)&address, len), 0);
	return (fd);
}

static void
manager_open(struct manager *m, const char *watchdog, const char *pid)
{
	struct why why = { "" };
	size_t n = 0;

	*m = (struct manager){ .loop = event_base_new() };
	ASSERT(m->loop != NULL);
	ASSERT(mkdtemp(folder) != NULL);
	ASSERT_INT(atexit(remove_folder), 0);
	(void)snprintf(m->variable, sizeof(m->variable),
	    "NOTIFY_SOCKET=%s/notify", folder);
	m->fd = listen_at(m->variable + strlen("NOTIFY_SOCKET="));
	m->environment[n++] = (char *)"A=1";
	m->environment[n++] = m->variable;
	if (watchdog != NULL)
		m->environment[n++] = (char *)watchdog;
	if (pid != NULL)
		m->environment[n++] = (char *)pid;
	m->environment[n++] = (char *)"NOTIFY_SOCKETS=x";
	if (notify_new(m->loop, m->environment, false, &m->notify, &why) == -1)
		test_fail(__FILE__, __LINE__, "%s", why.text);
	ASSERT(m->notify != NULL);
}

static void
manager_close(struct manager *m)
{
	notify_free(m->notify);
	event_base_free(m->loop);
	(void)close(m->fd);
}

/* What has come; false when there is nothing. */
static bool
get(struct manager *m, char *text, size_t size)
{
	const ssize_t n = recv(m->fd, text, size - 1, 0);

	if (n == -1) {
		ASSERT(errno == EAGAIN);
		return (false);
	}
	text[n] = '\0';
	return (true);
}

/* The next message, for which the loop turns if need be. */
static const char *
heard(struct manager *m, char *text, size_t size)
{
	const int64_t end_ms = clock_now_ms() + LIMIT_MS;

	while (!get(m, text, size)) {
		ASSERT(clock_now_ms() < end_ms);
		ASSERT(event_base_loop(m->loop, EVLOOP_ONCE) != -1);
	}
	return (text);
}

static void
tells_the_states(void)
{
	struct manager m;
	char text[512];

	manager_open(&m, NULL, NULL);
	notify_status(m.notify, "%d of %d busy", 3, 10);
	ASSERT_STR(heard(&m, text, sizeof(text)), "STATUS=3 of 10 busy\n");
	notify_status(m.notify, "3 of 10 busy");
	ASSERT(!get(&m, text, sizeof(text)));
	notify_ready(m.notify);
	ASSERT_STR(heard(&m, text, sizeof(text)), "READY=1\n");
	notify_reloading(m.notify);
	(void)heard(&m, text, sizeof(text));
	ASSERT(strncmp(text, "RELOADING=1\nMONOTONIC_USEC=", 27) == 0);
	ASSERT(llabs(strtoll(text + 27, NULL, 10) / 1000 - clock_now_ms()) <
	    LIMIT_MS);
	notify_ready(m.notify);
	ASSERT_STR(heard(&m, text, sizeof(text)), "READY=1\n");
	notify_stopping(m.notify, 28000);
	ASSERT_STR(heard(&m, text, sizeof(text)), "STOPPING=1\n");
	(void)heard(&m, text, sizeof(text));
	ASSERT(strncmp(text, "EXTEND_TIMEOUT_USEC=", 20) == 0);
	ASSERT(strtoll(text + 20, NULL, 10) <= 28000000);
	ASSERT(strtoll(text + 20, NULL, 10) > 28000000 - LIMIT_MS * 1000LL);
	/* A stop is final. */
	notify_ready(m.notify);
	notify_reloading(m.notify);
	ASSERT(!get(&m, text, sizeof(text)));
	manager_close(&m);
}

static void
is_told_the_process_id(void)
{
	struct manager m;
	char text[512], want[64];
	struct why why;
	char variable[256];
	char *environment[] = { variable, NULL };

	manager_open(&m, NULL, NULL);
	(void)snprintf(variable, sizeof(variable), "%s", m.variable);
	notify_free(m.notify);
	ASSERT_INT(notify_new(m.loop, environment, true, &m.notify, &why), 0);
	notify_ready(m.notify);
	(void)snprintf(
	    want, sizeof(want), "READY=1\nMAINPID=%d\n", (int)getpid());
	ASSERT_STR(heard(&m, text, sizeof(text)), want);
	manager_close(&m);
}

static void
cleans_the_environment(void)
{
	struct manager m;

	manager_open(&m, "WATCHDOG_USEC=30000000", "WATCHDOG_PID=1");
	ASSERT_STR(m.environment[0], "A=1");
	ASSERT_STR(m.environment[1], "NOTIFY_SOCKETS=x");
	ASSERT(m.environment[2] == NULL);
	manager_close(&m);
}

static void
a_status_is_one_line(void)
{
	struct manager m;
	char text[512];

	manager_open(&m, NULL, NULL);
	notify_status(m.notify, "bad\nMAINPID=1\n%0400d", 0);
	(void)heard(&m, text, sizeof(text));
	ASSERT(strncmp(text, "STATUS=bad MAINPID=1 000", 24) == 0);
	ASSERT(strchr(text, '\n') == text + strlen(text) - 1);
	manager_close(&m);
}

/* The kernel keeps only so many datagrams. */
static void
a_full_socket_loses_nothing(void)
{
	struct manager m;
	char text[512], last[512] = "";
	bool ready = false;
	int64_t end_ms;
	unsigned i;

	manager_open(&m, NULL, NULL);
	for (i = 0; i < 2000; i++)
		notify_status(m.notify, "%u", i);
	notify_ready(m.notify);
	while (get(&m, text, sizeof(text)))
		ASSERT(strstr(text, "READY") == NULL);
	end_ms = clock_now_ms() + LIMIT_MS;
	while (!ready) {
		ASSERT(clock_now_ms() < end_ms);
		ASSERT(event_base_loop(m.loop, EVLOOP_ONCE) != -1);
		while (get(&m, text, sizeof(text))) {
			(void)snprintf(last, sizeof(last), "%s", text);
			ready = ready || strstr(text, "READY=1") != NULL;
		}
	}
	ASSERT_STR(last, "READY=1\nSTATUS=1999\n");
	manager_close(&m);
}

static void
feeds_the_watchdog(void)
{
	struct manager m;
	char text[512], pid[64];
	int64_t begun_ms;

	(void)snprintf(pid, sizeof(pid), "WATCHDOG_PID=%d", (int)getpid());
	begun_ms = clock_now_ms();
	manager_open(&m, "WATCHDOG_USEC=200000", pid);
	ASSERT_STR(heard(&m, text, sizeof(text)), "WATCHDOG=1\n");
	ASSERT_STR(heard(&m, text, sizeof(text)), "WATCHDOG=1\n");
	ASSERT(clock_now_ms() - begun_ms >= 190);
	manager_close(&m);
}

/* True when the loop waits for nothing, but for what that was. */
static bool
is_idle(struct manager *m)
{
	return (
	    event_base_get_num_events(m->loop, EVENT_BASE_COUNT_ADDED) == 0);
}

static void
feeds_no_watchdog_of_others(void)
{
	struct manager m;

	manager_open(&m, "WATCHDOG_USEC=200000", "WATCHDOG_PID=1");
	ASSERT(is_idle(&m));
	manager_close(&m);
}

static void
feeds_no_odd_watchdog(void)
{
	struct manager m;

	manager_open(&m, "WATCHDOG_USEC=-2000x", NULL);
	ASSERT(is_idle(&m));
	manager_close(&m);
}

static void
extends_until_it_is_ready(void)
{
	struct manager m;
	char text[512];

	manager_open(&m, NULL, NULL);
	notify_extend(m.notify, 60000);
	(void)heard(&m, text, sizeof(text));
	ASSERT(strncmp(text, "EXTEND_TIMEOUT_USEC=", 20) == 0);
	ASSERT(!is_idle(&m));
	notify_ready(m.notify);
	ASSERT(is_idle(&m));
	manager_close(&m);
}

static void
speaks_to_abstract_sockets(void)
{
	struct manager m = { .loop = event_base_new() };
	char variable[64], text[512];
	char *environment[] = { variable, NULL };
	struct why why;

	(void)snprintf(variable, sizeof(variable),
	    "NOTIFY_SOCKET=@test_notify.%d", (int)getpid());
	m.fd = listen_at(variable + strlen("NOTIFY_SOCKET="));
	ASSERT_INT(notify_new(m.loop, environment, false, &m.notify, &why), 0);
	notify_ready(m.notify);
	ASSERT_STR(heard(&m, text, sizeof(text)), "READY=1\n");
	manager_close(&m);
}

static void
is_silent_without_a_manager(void)
{
	struct event_base *loop = event_base_new();
	char *environment[] = { (char *)"A=1", (char *)"WATCHDOG_USEC=1000",
		NULL };
	struct notify *n;
	struct why why;

	ASSERT_INT(notify_new(loop, environment, false, &n, &why), 0);
	ASSERT(n == NULL);
	ASSERT(environment[1] == NULL);
	notify_status(n, "x");
	notify_extend(n, 1000);
	notify_ready(n);
	notify_reloading(n);
	notify_stopping(n, 1000);
	notify_free(n);
	event_base_free(loop);
}

static void
refuses_other_sockets(void)
{
	static const char *const bad[] = { "NOTIFY_SOCKET=vsock:2:1234",
		"NOTIFY_SOCKET=relative/path", "NOTIFY_SOCKET=@" };
	struct event_base *loop = event_base_new();
	char variable[400];
	char *environment[2];
	struct notify *n;
	struct why why;
	size_t i;

	for (i = 0; i <= sizeof(bad) / sizeof(bad[0]); i++) {
		if (i < sizeof(bad) / sizeof(bad[0]))
			(void)snprintf(
			    variable, sizeof(variable), "%s", bad[i]);
		else
			(void)snprintf(variable, sizeof(variable),
			    "NOTIFY_SOCKET=/%0200d", 0);
		environment[0] = variable;
		environment[1] = NULL;
		ASSERT_INT(notify_new(loop, environment, false, &n, &why), -1);
		ASSERT(n == NULL);
		ASSERT(strstr(why.text, "NOTIFY_SOCKET") != NULL);
		ASSERT(environment[0] == NULL);
	}
	event_base_free(loop);
}

static void
a_manager_that_is_gone_is_told_once(void)
{
	struct manager m;

	manager_open(&m, NULL, NULL);
	(void)close(m.fd);
	expect_log("cannot tell the service manager");
	notify_ready(m.notify);
	notify_status(m.notify, "x");
	ASSERT(is_idle(&m));
	m.fd = -1;
	manager_close(&m);
}

static const struct test tests[] = {
	{ "tells each state, and a status when it changes", tells_the_states },
	{ "tells its process id when it must", is_told_the_process_id },
	{ "the variables are removed, and no others", cleans_the_environment },
	{ "a status is one line, whatever is in it", a_status_is_one_line },
	{ "when the socket was full, the latest is sent later",
	    a_full_socket_loses_nothing },
	{ "feeds the watchdog twice in its time", feeds_the_watchdog },
	{ "feeds no watchdog of another process", feeds_no_watchdog_of_others },
	{ "feeds no watchdog without a time", feeds_no_odd_watchdog },
	{ "a start is extended until it is ready", extends_until_it_is_ready },
	{ "speaks to abstract sockets", speaks_to_abstract_sockets },
	{ "says nothing without a socket", is_silent_without_a_manager },
	{ "refuses a socket it cannot reach", refuses_other_sockets },
	{ "a manager that is gone is no reason to stop",
	    a_manager_that_is_gone_is_told_once },
};
TEST_MAIN(tests)
