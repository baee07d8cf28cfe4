/* SPDX-License-Identifier: ISC */
/*
 * notify.c: what is to be told is kept as the state and the status that the
 * manager does not know yet, not as a queue of messages: when the socket is
 * full, only the latest of each is sent later.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <bsd/string.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/edges/notify.h"

#define RETRY_MS  ((int64_t)100) /* after the socket was full */
#define EXTEND_MS ((int64_t)5000) /* between two extensions */

static const char *const variables[] = {
	"NOTIFY_SOCKET",
	"WATCHDOG_PID",
	"WATCHDOG_USEC",
	NULL,
};

enum state {
	STATE_STARTING,
	STATE_READY,
	STATE_RELOADING,
	STATE_STOPPING,
};

struct notify {
	struct sockaddr_un address;
	socklen_t address_len;
	int fd;
	struct event retry;
	struct event watchdog;
	struct event extend;
	int64_t extend_until_ms;
	int64_t reloading_us; /* CLOCK_MONOTONIC, as the manager wants it */
	enum state state;
	char status[256];
	bool tells_pid : 1;
	bool owes_state : 1;
	bool owes_status : 1;
	bool complained : 1;
};

static const char *
find(char *const environment[], const char *name)
{
	const size_t len = strlen(name);

	for (; *environment != NULL; environment++)
		if (strncmp(*environment, name, len) == 0 &&
		    (*environment)[len] == '=')
			return (*environment + len + 1);
	return (NULL);
}

static void
forget(char **environment, const char *name)
{
	const size_t len = strlen(name);
	char **from, **to = environment;

	for (from = environment; *from != NULL; from++)
		if (strncmp(*from, name, len) != 0 || (*from)[len] != '=')
			*to++ = *from;
	*to = NULL;
}

/* Sends a message; false when it is worth trying again. */
static bool
send_text(struct notify *n, const char *text)
{
	if (sendto(n->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
		(const struct sockaddr *)&n->address, n->address_len) != -1)
		return (true);
	if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)
		return (false);
	if (!n->complained)
		log_warn("cannot tell the service manager how we are: %s",
		    strerror(errno));
	n->complained = true;
	return (true);
}

static void
put_state(const struct notify *n, char *text, size_t size)
{
	switch (n->state) {
	case STATE_READY:
		if (n->tells_pid)
			(void)snprintf(
			    text, size, "READY=1\nMAINPID=%d\n", (int)getpid());
		else
			(void)snprintf(text, size, "READY=1\n");
		break;
	case STATE_RELOADING:
		(void)snprintf(text, size, "RELOADING=1\nMONOTONIC_USEC=%lld\n",
		    (long long)n->reloading_us);
		break;
	case STATE_STOPPING:
		(void)snprintf(text, size, "STOPPING=1\n");
		break;
	case STATE_STARTING:
		break;
	}
}

/* Sends what the manager does not know yet. */
static void
flush(struct notify *n)
{
	const struct timeval later = clock_timeval(RETRY_MS);
	char text[512] = "";
	size_t len;

	if (n->owes_state)
		put_state(n, text, sizeof(text));
	len = strlen(text);
	if (n->owes_status)
		(void)snprintf(
		    text + len, sizeof(text) - len, "STATUS=%s\n", n->status);
	if (text[0] == '\0')
		return;
	if (send_text(n, text))
		n->owes_state = n->owes_status = false;
	else if (event_add(&n->retry, &later) == -1)
		log_warn("no memory for telling the service manager");
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flush(arg);
}

static void
on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)send_text(arg, "WATCHDOG=1\n");
}

static void
on_extend(evutil_socket_t fd, short what, void *arg)
{
	struct notify *n = arg;
	const int64_t left_ms = n->extend_until_ms - clock_now_ms();
	char text[64];

	(void)fd;
	(void)what;
	if (left_ms <= 0) {
		(void)event_del(&n->extend);
		return;
	}
	(void)snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%lld\n",
	    (long long)left_ms * 1000);
	(void)send_text(n, text);
}

static int
set_address(struct notify *n, const char *path, struct why *why)
{
	const size_t len = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || len < 2 ||
	    len >= sizeof(n->address.sun_path)) {
		why_set(why,
		    "NOTIFY_SOCKET is \"%.100s\", which is neither a path nor "
		    "an abstract socket; nothing is told to the service "
		    "manager",
		    path);
		return (-1);
	}
	n->address.sun_family = AF_UNIX;
	memcpy(n->address.sun_path, path, len);
	n->address_len =
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (path[0] == '@')
		n->address.sun_path[0] = '\0';
	else
		n->address_len++; /* with the NUL, which is there already */
	return (0);
}

/* A whole number, or 0. */
static unsigned long long
number(const char *text)
{
	unsigned long long value;
	char *end;

	if (text == NULL || text[0] < '0' || text[0] > '9')
		return (0);
	errno = 0;
	value = strtoull(text, &end, 10);
	return (errno == 0 && *end == '\0' ? value : 0);
}

static int
start_watchdog(struct notify *n, char *const environment[])
{
	const unsigned long long us = number(find(environment, variables[2]));
	const char *pid = find(environment, variables[1]);
	struct timeval tv;

	if (us == 0 || us > (unsigned long long)INT64_MAX ||
	    (pid != NULL && number(pid) != (unsigned long long)getpid()))
		return (0);
	tv.tv_sec = (time_t)(us / 2 / 1000000);
	tv.tv_usec = (suseconds_t)(us / 2 % 1000000);
	return (event_add(&n->watchdog, &tv));
}

int
notify_new(struct event_base *loop, char **environment, bool tells_pid,
    struct notify **notify, struct why *why)
{
	const char *path = find(environment, variables[0]);
	struct notify *n = NULL;
	int rc = -1;
	size_t i;

	*notify = NULL;
	if (path == NULL || path[0] == '\0') {
		rc = 0;
		goto done;
	}
	if ((n = calloc(1, sizeof(*n))) == NULL) {
		why_errno(why, "NOTIFY_SOCKET");
		goto done;
	}
	n->fd = -1;
	n->tells_pid = tells_pid;
	if (set_address(n, path, why) == -1)
		goto done;
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd == -1) {
		why_errno(why, "NOTIFY_SOCKET: socket");
		goto done;
	}
	if (event_assign(&n->retry, loop, -1, 0, on_retry, n) == -1 ||
	    event_assign(&n->watchdog, loop, -1, EV_PERSIST, on_watchdog, n) ==
		-1 ||
	    event_assign(&n->extend, loop, -1, EV_PERSIST, on_extend, n) ==
		-1 ||
	    start_watchdog(n, environment) == -1) {
		why_set(why, "NOTIFY_SOCKET: no memory for its events");
		goto done;
	}
	*notify = n;
	n = NULL;
	rc = 0;
done:
	notify_free(n);
	for (i = 0; variables[i] != NULL; i++)
		forget(environment, variables[i]);
	return (rc);
}

/* A stop is final. */
static void
set_state(struct notify *n, enum state to)
{
	if (n->state == STATE_STOPPING)
		return;
	n->state = to;
	n->owes_state = true;
	flush(n);
}

void
notify_ready(struct notify *n)
{
	if (n == NULL)
		return;
	if (n->state != STATE_STOPPING)
		notify_extend(n, 0);
	set_state(n, STATE_READY);
}

void
notify_reloading(struct notify *n)
{
	struct timespec now;

	if (n == NULL)
		return;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	n->reloading_us =
	    (int64_t)now.tv_sec * 1000000 + (int64_t)now.tv_nsec / 1000;
	set_state(n, STATE_RELOADING);
}

void
notify_stopping(struct notify *n, int64_t ms)
{
	if (n == NULL)
		return;
	set_state(n, STATE_STOPPING);
	notify_extend(n, ms);
}

void
notify_extend(struct notify *n, int64_t ms)
{
	const struct timeval tv = clock_timeval(EXTEND_MS);

	if (n == NULL)
		return;
	n->extend_until_ms = clock_now_ms() + ms;
	if (ms <= 0)
		(void)event_del(&n->extend);
	else if (event_add(&n->extend, &tv) == -1)
		log_warn("no memory for telling the service manager");
	else
		on_extend(-1, 0, n);
}

void
notify_status(struct notify *n, const char *fmt, ...)
{
	char text[sizeof(n->status)];
	va_list ap;
	char *p;

	if (n == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* A line of its own would be another message. */
	for (p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	if (strcmp(text, n->status) == 0)
		return;
	(void)strlcpy(n->status, text, sizeof(n->status));
	n->owes_status = true;
	flush(n);
}

void
notify_free(struct notify *n)
{
	if (n == NULL)
		return;
	if (event_initialized(&n->extend)) {
		if (n->owes_state || n->owes_status)
			flush(n);
		(void)event_del(&n->retry);
		(void)event_del(&n->watchdog);
		(void)event_del(&n->extend);
	}
	if (n->fd != -1)
		(void)close(n->fd);
	free(n);
}
