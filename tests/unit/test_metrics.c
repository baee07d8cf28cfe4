/* SPDX-License-Identifier: ISC */
/*
 * The server of what a worker shows, as raw clients see it. They are sockets of
 * the same process; the loop is turned while they wait.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "child/bytes.h"
#include "supervisor/base/clock.h"
#include "supervisor/conf.h"
#include "supervisor/edges/metrics.h"
#include "supervisor/edges/view.h"
#include "tests/test.h"

#define WAIT_MS 60000 /* limit of waiting; a healthy run needs none of it */

struct server {
	struct event_base *base;
	struct stats *stats;
	struct view view;
	struct metrics *metrics;
	unsigned looks;
	bool blind; /* memory is short */
	int port;
};

static const struct view *
look(void *arg)
{
	struct server *s = arg;

	s->looks++;
	return (s->blind ? NULL : &s->view);
}

static const struct view_ops ops = { .look = look };

/* A port that is free, held by a socket that does not listen; *held is to be
 * closed by the caller. */
static int
some_port(int *held)
{
	struct sockaddr_in sa = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(sa);

	ASSERT((*held = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) != -1);
	ASSERT(bind(*held, (struct sockaddr *)&sa, sizeof(sa)) == 0);
	ASSERT(getsockname(*held, (struct sockaddr *)&sa, &len) == 0);
	return (ntohs(sa.sin_port));
}

static void
server_start_with(struct server *s, const struct view_ops *with)
{
	struct conf_metrics conf = {
		.enabled = true,
		.address = (char *)"127.0.0.1",
	};
	struct why why;
	int held, tries;

	memset(s, 0, sizeof(*s));
	ASSERT((s->base = event_base_new()) != NULL);
	s->stats = stats_new();
	s->view = (struct view){
		.version = "1.2",
		.state = "running",
		.journal = "ok",
		.stats = s->stats,
	};
	for (tries = 0; s->metrics == NULL && tries < 100; tries++) {
		conf.port = s->port = some_port(&held);
		(void)close(held);
		s->metrics = metrics_new(s->base, &conf, with, s, &why);
	}
	ASSERT(s->metrics != NULL);
}

static void
server_start(struct server *s)
{
	server_start_with(s, &ops);
}

static void
server_stop(struct server *s)
{
	metrics_free(s->metrics);
	event_base_free(s->base);
	stats_free(s->stats);
}

static void
turn(struct server *s)
{
	ASSERT(event_base_loop(s->base, EVLOOP_NONBLOCK) != -1);
}

static int
client(const struct server *s)
{
	struct sockaddr_in sa = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)s->port),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ASSERT(fd != -1);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == -1)
		test_fail(__FILE__, __LINE__, "connect: %s", strerror(errno));
	return (fd);
}

static void
say(int fd, const char *text)
{
	ASSERT(send(fd, text, strlen(text), MSG_NOSIGNAL) ==
	    (ssize_t)strlen(text));
}

/* Reads until the server closes; terminated; caller frees. */
static char *
hear(struct server *s, int fd)
{
	const int64_t end_ms = clock_now_ms() + WAIT_MS;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct bytes in = { 0 };
	char buf[4096];
	ssize_t n = 1;

	while (n > 0) {
		ASSERT(clock_now_ms() < end_ms);
		turn(s);
		if (poll(&p, 1, 5) != 1)
			continue;
		if ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
			bytes_append(&in, buf, (size_t)n);
	}
	bytes_append(&in, "", 1);
	(void)close(fd);
	return (in.p);
}

static char *
exchange(struct server *s, const char *request)
{
	const int fd = client(s);

	say(fd, request);
	return (hear(s, fd));
}

static void
answers(struct server *s, const char *request, const char *status)
{
	char *got = exchange(s, request);

	if (strncmp(got, "HTTP/1.", 7) != 0 ||
	    strncmp(got + 9, status, strlen(status)) != 0)
		test_fail(__FILE__, __LINE__, "%.60s: got %.300s, not %s",
		    request, got, status);
	free(got);
}

static void
serves_three_pages(void)
{
	struct server s;
	char *got;

	server_start(&s);
	got = exchange(&s, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	ASSERT(strncmp(got, "HTTP/1.1 200 ", 13) == 0);
	ASSERT(strstr(got, "text/plain; version=0.0.4") != NULL);
	ASSERT(strstr(got, "\nworker_polls 0\n") != NULL);
	free(got);
	got = exchange(&s, "GET /health?x=y HTTP/1.0\r\n\r\n");
	ASSERT(strstr(got, "\r\n\r\n{\"status\":\"ok\"") != NULL);
	free(got);
	answers(&s, "GET /ready HTTP/1.1\r\nHost: x\r\n\r\n", "503");
	server_stop(&s);
}

static void
refuses_what_there_is_not(void)
{
	struct server s;
	char *got;

	server_start(&s);
	answers(&s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404");
	answers(&s, "GET /metrics/ HTTP/1.1\r\nHost: x\r\n\r\n", "404");
	answers(&s, "GET /../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", "404");
	answers(&s,
	    "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi",
	    "405");
	answers(&s, "DELETE /health HTTP/1.1\r\nHost: x\r\n\r\n", "405");
	got = exchange(&s, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	ASSERT(strncmp(got, "HTTP/1.1 200 ", 13) == 0);
	ASSERT(strcmp(strstr(got, "\r\n\r\n"), "\r\n\r\n") == 0);
	free(got);
	ASSERT(s.looks == 1);
	s.blind = true;
	answers(&s, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "503");
	server_stop(&s);
}

/* Each is ended, with a 4xx or without a word, and never served. */
static void
survives_garbage(void)
{
	const char *const garbage[] = {
		"\r\n\r\n\r\n",
		"GET\r\n\r\n",
		"GET /metrics\r\n\r\n",
		"GET /metrics HTTP/9.9 x y z\r\n\r\n",
		"\x16\x03\x01\x02\x05\x01 a handshake\r\n\r\n",
		"FROB /metrics HTTP/1.1\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nno colon here\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	};
	struct server s;
	size_t i;
	char *got;
	int fd;

	server_start(&s);
	for (i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		fd = client(&s);
		say(fd, garbage[i]);
		(void)shutdown(fd, SHUT_WR);
		got = hear(&s, fd);
		if (*got != '\0' && strstr(got, " 4") == NULL &&
		    strstr(got, " 5") == NULL)
			test_fail(
			    __FILE__, __LINE__, "%s: %s", garbage[i], got);
		free(got);
	}
	ASSERT_INT(s.looks, 0);
	answers(&s, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "200");
	server_stop(&s);
}

static void
takes_no_huge_headers_or_bodies(void)
{
	static char huge[200000];
	struct server s;
	char *got;
	size_t n;
	int fd;

	server_start(&s);
	n = (size_t)snprintf(
	    huge, sizeof(huge), "GET /metrics HTTP/1.1\r\nX: ");
	memset(huge + n, 'a', sizeof(huge) - n);
	fd = client(&s);
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	(void)!send(fd, huge, sizeof(huge), MSG_NOSIGNAL);
	got = hear(&s, fd);
	ASSERT(strstr(got, " 200 ") == NULL);
	free(got);
	answers(&s,
	    "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n",
	    "413");
	ASSERT_INT(s.looks, 0);
	server_stop(&s);
}

static void
answers_one_request_of_a_pipeline(void)
{
	struct server s;
	char *got, *first;

	server_start(&s);
	got = exchange(&s,
	    "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
	    "GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
	ASSERT((first = strstr(got, "HTTP/1.1 200")) != NULL);
	ASSERT(strstr(got, "Connection: close") != NULL);
	ASSERT(strstr(first + 1, "HTTP/1.1 200") == NULL);
	free(got);
	server_stop(&s);
}

/* Silent clients take every place; whoever comes later waits until one of them
 * has had its time, and is served then. */
static void
is_not_held_up_by_the_silent(void)
{
	struct server s;
	int fds[40], i;

	server_start(&s);
	for (i = 0; i < 40; i++) {
		fds[i] = client(&s);
		say(fds[i], "GET /metr");
		turn(&s);
	}
	answers(&s, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "200");
	for (i = 0; i < 40; i++)
		(void)close(fds[i]);
	server_stop(&s);
}

/* One byte now and then keeps a silence from being noticed, and yet all of it
 * must end. */
static void
ends_a_client_that_drips(void)
{
	const int64_t end_ms = clock_now_ms() + WAIT_MS;
	struct pollfd p = { .events = POLLIN };
	struct server s;
	char byte;

	server_start(&s);
	p.fd = client(&s);
	say(p.fd, "GET /metrics HTTP/1.1\r\nX: ");
	for (;;) {
		ASSERT(clock_now_ms() < end_ms);
		turn(&s);
		if (poll(&p, 1, 100) == 1 && recv(p.fd, &byte, 1, 0) <= 0)
			break;
		(void)send(p.fd, "a", 1, MSG_NOSIGNAL);
	}
	(void)close(p.fd);
	ASSERT_INT(s.looks, 0);
	server_stop(&s);
}

static void
serves_many_one_after_the_other(void)
{
	struct server s;
	int i;

	server_start(&s);
	for (i = 0; i < 200; i++)
		answers(&s, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "200");
	server_stop(&s);
}

static void
can_be_freed_in_the_middle(void)
{
	struct server s;
	int fds[3], i;

	server_start(&s);
	for (i = 0; i < 3; i++)
		fds[i] = client(&s);
	say(fds[1], "GET /met");
	say(fds[2], "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	for (i = 0; i < 5; i++)
		turn(&s);
	server_stop(&s);
	for (i = 0; i < 3; i++)
		(void)close(fds[i]);
}

/*
 * Figures of scripts, which come later.
 */

#define ASK "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
#define OTHERS \
	"# HELP theirs_total Theirs\n# TYPE theirs_total counter\n" \
	"theirs_total 5.0\n"

static struct {
	void (*done)(const char *, size_t, void *);
	void *to;
} asked; /* last */

static void
ask_later(void (*done)(const char *, size_t, void *), void *to, void *arg)
{
	(void)arg;
	asked.done = done;
	asked.to = to;
}

static const struct view_ops later_ops = { .look = look, .figures = ask_later };

/* Until somebody has asked. */
static void
turn_until_asked(struct server *s)
{
	const int64_t end_ms = clock_now_ms() + WAIT_MS;

	asked.done = NULL;
	while (asked.done == NULL) {
		ASSERT(clock_now_ms() < end_ms);
		turn(s);
	}
}

static void
figures_of_scripts_follow_ours(void)
{
	struct server s;
	char *got;
	int fd;

	server_start_with(&s, &later_ops);
	fd = client(&s);
	say(fd, ASK);
	turn_until_asked(&s);
	asked.done(OTHERS, sizeof(OTHERS) - 1, asked.to);
	got = hear(&s, fd);
	ASSERT(strstr(got, "\nworker_polls 0\n") != NULL);
	ASSERT(strstr(got, "\n" OTHERS) != NULL);
	free(got);
	server_stop(&s);
}

static void
who_asked_for_figures_may_be_gone(void)
{
	const struct linger reset = { .l_onoff = 1 };
	struct server s;
	int fd, i;

	server_start_with(&s, &later_ops);
	fd = client(&s);
	say(fd, ASK);
	turn_until_asked(&s);
	ASSERT(
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) == 0);
	(void)close(fd);
	for (i = 0; i < 5; i++)
		turn(&s);
	asked.done(OTHERS, sizeof(OTHERS) - 1, asked.to);
	for (i = 0; i < 5; i++)
		turn(&s);
	fd = client(&s); /* and we, before the answer has come */
	say(fd, ASK);
	turn_until_asked(&s);
	server_stop(&s);
	(void)close(fd);
}

/*
 * Where it listens.
 */

static struct metrics *
open_at(struct event_base *base, const char *address, int port, struct why *why)
{
	const struct conf_metrics conf = {
		.enabled = true,
		.address = (char *)address,
		.port = port,
	};

	return (metrics_new(base, &conf, &ops, NULL, why));
}

static void
a_port_that_is_set_must_be_free(void)
{
	struct event_base *base = event_base_new();
	char want[64];
	struct why why;
	int held, port = some_port(&held);

	ASSERT(listen(held, 1) == 0);
	ASSERT(open_at(base, "127.0.0.1", port, &why) == NULL);
	(void)snprintf(want, sizeof(want),
	    "cannot serve metrics at 127.0.0.1:%d: Address already in use",
	    port);
	ASSERT(strstr(why.text, want) != NULL);
	ASSERT(strstr(why.text, "WORKER_PORT") != NULL);
	(void)close(held);
	event_base_free(base);
}

static void
a_taken_default_port_is_a_warning(void)
{
	const struct sockaddr_in sa = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(8083),
	};
	struct event_base *base = event_base_new();
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct metrics *m;
	struct why why;
	bool served = true;

	ASSERT_INT(
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	expect_log("127.0.0.1:8083: Address already in use; going on without");
	/* Whether it is us or somebody else who has it is the same; but they
	 * may let go of it just now. */
	while (served) {
		if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
			ASSERT_INT(listen(fd, 1), 0);
		ASSERT((m = open_at(base, NULL, 0, &why)) != NULL);
		served = metrics_address(m) != NULL;
		metrics_free(m);
	}
	(void)close(fd);
	event_base_free(base);
}

static void
an_address_that_is_none_is_an_error(void)
{
	struct event_base *base = event_base_new();
	struct why why;

	ASSERT(open_at(base, "localhost", 0, &why) == NULL);
	ASSERT(strstr(why.text, "metrics.address: localhost") != NULL);
	event_base_free(base);
}

static void
listens_nowhere_when_disabled(void)
{
	const struct conf_metrics conf = { .enabled = false };
	struct event_base *base = event_base_new();
	struct metrics *m;
	struct why why;

	ASSERT((m = metrics_new(base, &conf, &ops, NULL, &why)) != NULL);
	ASSERT(metrics_address(m) == NULL);
	metrics_free(m);
	event_base_free(base);
}

static const struct test tests[] = {
	{ "serves three pages", serves_three_pages },
	{ "refuses what there is not", refuses_what_there_is_not },
	{ "survives garbage", survives_garbage },
	{ "takes no huge headers or bodies", takes_no_huge_headers_or_bodies },
	{ "answers one request of a pipeline",
	    answers_one_request_of_a_pipeline },
	{ "is not held up by silent clients", is_not_held_up_by_the_silent },
	{ "ends a client that drips", ends_a_client_that_drips },
	{ "serves many, one after the other", serves_many_one_after_the_other },
	{ "can be freed in the middle", can_be_freed_in_the_middle },
	{ "figures of scripts follow ours", figures_of_scripts_follow_ours },
	{ "who asked for figures may be gone",
	    who_asked_for_figures_may_be_gone },
	{ "a port that is set must be free", a_port_that_is_set_must_be_free },
	{ "a taken default port is a warning",
	    a_taken_default_port_is_a_warning },
	{ "an address that is none is an error",
	    an_address_that_is_none_is_an_error },
	{ "listens nowhere when disabled", listens_nowhere_when_disabled },
};

TEST_MAIN(tests)
