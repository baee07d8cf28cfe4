/* SPDX-License-Identifier: ISC */
/*
 * multi.c: one curl multi handle, driven by its socket API from the loop. The
 * callback is made from here only, after libcurl has returned.
 */
#include <stdlib.h>

#include <bsd/sys/queue.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/reserve.h"
#include "supervisor/orchestrator/curl_set.h"
#include "supervisor/orchestrator/multi.h"
#include "supervisor/orchestrator/tls.h"

#define CONNECT_TIMEOUT_MS 10000L
#define WATCH_AGAIN_MS     100

/* A socket of libcurl's and its event; kept and used again. */
struct watch {
	LIST_ENTRY(watch) entry;
	struct event event;
	struct multi *multi;
	curl_socket_t fd;
	short wanted; /* EV_READ, EV_WRITE; 0 when it is not to be watched */
	short events; /* the same, as it is */
};

struct multi {
	struct event_base *base;
	CURLM *handle;
	struct event *timer; /* libcurl's */
	struct event *again; /* for watches that are not as they should be */
	multi_ended ended;
	void *arg;
	LIST_HEAD(, watch) spare;
	LIST_HEAD(, watch) watches; /* in use; order does not matter */
};

/* Tells every transfer that has ended. */
static void
collect(struct multi *m)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(m->handle, &left)) != NULL)
		if (msg->msg == CURLMSG_DONE)
			m->ended(msg->easy_handle, msg->data.result, m->arg);
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	struct multi *m = w->multi;
	int running, mask = 0;

	if (what & EV_READ)
		mask |= CURL_CSELECT_IN;
	if (what & EV_WRITE)
		mask |= CURL_CSELECT_OUT;
	(void)curl_multi_socket_action(m->handle, fd, mask, &running);
	collect(m);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct multi *m = arg;
	int running;

	(void)fd;
	(void)what;
	(void)curl_multi_socket_action(
	    m->handle, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(m);
}

/* libcurl wants to be called after that many ms; -1: not at all. */
static int
set_timer(CURLM *handle, long timeout_ms, void *arg)
{
	struct multi *m = arg;
	const struct timeval tv = clock_timeval(timeout_ms);

	(void)handle;
	if (timeout_ms < 0)
		(void)event_del(m->timer);
	else if (timeout_ms == 0 || event_add(m->timer, &tv) == -1)
		event_active(m->timer, EV_TIMEOUT, 0); /* rather too early */
	return (0);
}

int
multi_make_room(struct multi *m)
{
	struct watch *w;
	int i;

	for (i = 0; i < 2; i++) {
		if ((w = calloc(1, sizeof(*w))) == NULL)
			return (-1);
		w->multi = m;
		LIST_INSERT_HEAD(&m->spare, w, entry);
	}
	return (0);
}

static struct watch *
watch_new(struct multi *m, curl_socket_t fd)
{
	struct watch *w;

	if ((w = LIST_FIRST(&m->spare)) == NULL)
		return (NULL);
	LIST_REMOVE(w, entry);
	w->fd = fd;
	w->wanted = w->events = 0;
	LIST_INSERT_HEAD(&m->watches, w, entry);
	(void)curl_multi_assign(m->handle, fd, w);
	return (w);
}

/* Watches as is wanted; without memory for it, a little later. */
static void
watch_apply(struct watch *w)
{
	const struct timeval tv = clock_timeval(WATCH_AGAIN_MS);
	struct multi *m = w->multi;

	if (w->events == w->wanted)
		return;
	if (w->events != 0)
		(void)event_del(&w->event);
	w->events = 0;
	if (w->wanted == 0)
		return;
	if (event_assign(&w->event, m->base, w->fd,
		(short)(w->wanted | EV_PERSIST), on_socket, w) == 0 &&
	    event_add(&w->event, NULL) == 0)
		w->events = w->wanted;
	else if (event_add(m->again, &tv) == -1)
		event_active(m->again, EV_TIMEOUT, 0);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	struct multi *m = arg;
	struct watch *w;

	(void)fd;
	(void)what;
	LIST_FOREACH(w, &m->watches, entry)
	watch_apply(w);
}

/* libcurl wants to know of other things on that socket. To fail here would be
 * the end of all that it does: what cannot be watched gets a timeout. */
static int
set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket)
{
	struct multi *m = arg;
	struct watch *w = socket;

	(void)easy;
	if (w == NULL &&
	    (what == CURL_POLL_REMOVE || (w = watch_new(m, fd)) == NULL))
		return (0);
	w->wanted = 0;
	if (what == CURL_POLL_REMOVE) {
		watch_apply(w);
		(void)curl_multi_assign(m->handle, fd, NULL);
		LIST_REMOVE(w, entry);
		LIST_INSERT_HEAD(&m->spare, w, entry);
		return (0);
	}
	if (what & CURL_POLL_IN)
		w->wanted |= EV_READ;
	if (what & CURL_POLL_OUT)
		w->wanted |= EV_WRITE;
	watch_apply(w);
	return (0);
}

CURLcode
multi_set_up(CURL *e)
{
	CURLcode rc = CURLE_OK;

	CURL_SET(rc, e, CURLOPT_PROTOCOLS_STR, "http,https");
	/* A redirect would carry the token header to another host. */
	CURL_SET(rc, e, CURLOPT_FOLLOWLOCATION, 0L);
	CURL_SET(rc, e, CURLOPT_PROXY, "");
	CURL_SET(rc, e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	CURL_SET(rc, e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	CURL_SET(rc, e, CURLOPT_NOSIGNAL, 1L);
	/* Without it a dead resolver holds the loop when a call ends. */
	CURL_SET(rc, e, CURLOPT_QUICK_EXIT, 1L);
	/* A parked poll is silent for long; a dead peer should show. */
	CURL_SET(rc, e, CURLOPT_TCP_KEEPALIVE, 1L);
	CURL_SET(rc, e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	return (rc);
}

struct multi *
multi_new(
    struct event_base *base, multi_ended ended, void *arg, struct why *why)
{
	struct multi *m;

	if ((m = calloc(1, sizeof(*m))) == NULL) {
		why_errno(why, "libcurl");
		return (NULL);
	}
	m->base = base;
	m->ended = ended;
	m->arg = arg;
	tls_hold_memory();
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, reserve_malloc, free,
		reserve_realloc, reserve_strdup, reserve_calloc) != CURLE_OK ||
	    (m->handle = curl_multi_init()) == NULL ||
	    (m->timer = evtimer_new(base, on_timer, m)) == NULL ||
	    (m->again = evtimer_new(base, on_again, m)) == NULL ||
	    curl_multi_setopt(m->handle, CURLMOPT_SOCKETFUNCTION, set_socket) !=
		CURLM_OK ||
	    curl_multi_setopt(m->handle, CURLMOPT_SOCKETDATA, m) != CURLM_OK ||
	    curl_multi_setopt(m->handle, CURLMOPT_TIMERFUNCTION, set_timer) !=
		CURLM_OK ||
	    curl_multi_setopt(m->handle, CURLMOPT_TIMERDATA, m) != CURLM_OK) {
		why_set(why, "libcurl cannot be set up");
		multi_free(m);
		return (NULL);
	}
	return (m);
}

void
multi_free(struct multi *m)
{
	struct watch *w;

	if (m == NULL)
		return;
	if (m->handle != NULL)
		(void)curl_multi_cleanup(m->handle);
	while ((w = LIST_FIRST(&m->watches)) != NULL) {
		LIST_REMOVE(w, entry);
		if (w->events != 0)
			(void)event_del(&w->event);
		free(w);
	}
	while ((w = LIST_FIRST(&m->spare)) != NULL) {
		LIST_REMOVE(w, entry);
		free(w);
	}
	if (m->timer != NULL)
		event_free(m->timer);
	if (m->again != NULL)
		event_free(m->again);
	curl_global_cleanup();
	free(m);
}

CURLM *
multi_handle(const struct multi *m)
{
	return (m->handle);
}
