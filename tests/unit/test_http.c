/* SPDX-License-Identifier: ISC */
/*
 * A resolver that never answers holds neither the loop nor the end of a call
 * nor that of everything. libcurl resolves names in threads by getaddrinfo(),
 * which is ours here.
 */
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/orchestrator/http.h"
#include "tests/test.h"

#define TICK_MS    10
#define TIMEOUT_MS 1000

static atomic_int asked;

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
    struct addrinfo **list)
{
	(void)node;
	(void)service;
	(void)hints;
	(void)list;
	atomic_store(&asked, 1);
	for (;;)
		(void)pause();
}

struct scene {
	struct event_base *loop;
	struct event *tick;
	struct http *http;
	unsigned ticks; /* since the resolver was asked */
	bool done;
	bool timed_out;
	bool cancelling;
};

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct scene *sc = arg;

	(void)fd;
	(void)what;
	if (!atomic_load(&asked))
		return;
	sc->ticks++;
	if (sc->cancelling)
		(void)event_base_loopbreak(sc->loop);
}

static void
on_done(const struct http_reply *reply, void *arg)
{
	struct scene *sc = arg;

	sc->done = true;
	sc->timed_out = reply->timed_out;
	(void)event_base_loopexit(sc->loop, NULL);
}

static struct http_call *
begin(struct scene *sc)
{
	const struct timeval tv = clock_timeval(TICK_MS);
	struct http_request request = {
		.method = HTTP_GET,
		.url = "http://orchestrator.example/",
		.timeout_ms = TIMEOUT_MS,
		.kind = "poll",
	};
	struct http_call *call;
	struct why why;

	*sc = (struct scene){ .loop = event_base_new() };
	ASSERT(sc->loop != NULL);
	ASSERT((sc->http = http_new(sc->loop, &why)) != NULL);
	sc->tick = event_new(sc->loop, -1, EV_PERSIST, on_tick, sc);
	ASSERT(sc->tick != NULL && event_add(sc->tick, &tv) == 0);
	call = http_start(sc->http, &request, on_done, sc, &why);
	ASSERT(call != NULL);
	return (call);
}

/* Whoever waited for the resolver would not get here. */
static void
end(struct scene *sc)
{
	http_free(sc->http);
	event_free(sc->tick);
	event_base_free(sc->loop);
	if (atomic_load(&asked))
		ASSERT(sc->ticks > 0); /* the loop went on meanwhile */
	else
		(void)printf("# libcurl did not ask our resolver\n");
}

static void
a_dead_resolver_runs_into_the_time_limit(void)
{
	struct scene sc;

	(void)begin(&sc);
	ASSERT_INT(event_base_dispatch(sc.loop), 0);
	ASSERT(sc.done);
	ASSERT(sc.timed_out || !atomic_load(&asked));
	end(&sc);
}

static void
a_call_to_a_dead_resolver_can_be_cancelled(void)
{
	struct http_call *call;
	struct scene sc;

	call = begin(&sc);
	sc.cancelling = true;
	ASSERT_INT(event_base_dispatch(sc.loop), 0);
	if (!sc.done)
		http_cancel(call);
	end(&sc);
}

static const struct test tests[] = {
	{ "a dead resolver runs into the time limit",
	    a_dead_resolver_runs_into_the_time_limit },
	{ "a call to a dead resolver can be cancelled",
	    a_call_to_a_dead_resolver_can_be_cancelled },
};

TEST_MAIN(tests)
