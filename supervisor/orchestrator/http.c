/* SPDX-License-Identifier: ISC */
/*
 * http.c: one curl multi handle, driven by its socket API from the loop. Easy
 * handles are kept and used again: setting one up costs more than a request.
 * Callbacks of calls are made from here only, after libcurl has returned, so
 * that they may start and cancel calls.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <bsd/sys/queue.h>
#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/reserve.h"
#include "supervisor/orchestrator/http.h"
#include "supervisor/orchestrator/http_parts.h"
#include "supervisor/orchestrator/tls.h"

#define CONNECT_TIMEOUT_MS 10000L
#define KEEP_BODY          (64u * 1024) /* larger buffers are given back */
#define KEEP_CONNECTIONS   64L
/* Idle ones are closed then: before the server does, at the moment when we
 * send something. Looked for when a request starts. */
#define KEEP_IDLE_S        60L
#define WATCH_AGAIN_MS     100
#define RETRY_AFTER_MAX_MS ((int64_t)3600 * 1000)

struct http_call {
	TAILQ_ENTRY(http_call) entry; /* http->busy or http->free */
	struct http *http;
	CURL *easy;
	http_done done;
	void *arg;
	const char *kind; /* of http_request */
	struct bytes request; /* body */
	size_t sent; /* bytes of it that libcurl has read */
	struct bytes reply;
	int64_t started_ms;
	char error[CURL_ERROR_SIZE]; /* libcurl's text; or "" */
	bool too_large : 1;
	bool secure : 1; /* over TLS */
	bool nameless : 1; /* without a certificate of ours */
};

/* A socket of libcurl's and its event; kept and used again. */
struct watch {
	LIST_ENTRY(watch) entry;
	struct event event;
	struct http *http;
	curl_socket_t fd;
	short wanted; /* EV_READ, EV_WRITE; 0 when it is not to be watched */
	short events; /* the same, as it is */
};

struct http {
	struct event_base *base;
	CURLM *multi;
	struct event *timer; /* libcurl's */
	struct event *again; /* for watches that are not as they should be */
	TAILQ_HEAD(, http_call) busy;
	TAILQ_HEAD(, http_call) free;
	LIST_HEAD(, watch) spare;
	LIST_HEAD(, watch) watches; /* in use; order does not matter */
};

static void
call_finish(struct http_call *call, CURLcode code)
{
	struct http *h = call->http;
	struct http_reply reply = {
		.call = call,
		.kind = call->kind,
		.body = "",
		.timed_out = code == CURLE_OPERATION_TIMEDOUT,
		.sent = call->sent > 0,
	};

	(void)curl_multi_remove_handle(h->multi, call->easy);
	if (code == CURLE_OK)
		(void)curl_easy_getinfo(
		    call->easy, CURLINFO_RESPONSE_CODE, &reply.status);
	else if (call->too_large)
		reply.error = "the reply is larger than 8 MiB";
	else if (!call->secure ||
	    (reply.error = tls_explain(code, call->error, call->nameless)) ==
		NULL)
		reply.error = curl_easy_strerror(code);
	if (call->reply.len > 0) {
		reply.body = call->reply.p;
		reply.body_len = call->reply.len;
	}
	reply.took_ms = clock_now_ms() - call->started_ms;
	call->done(&reply, call->arg);

	TAILQ_REMOVE(&h->busy, call, entry);
	TAILQ_INSERT_HEAD(&h->free, call, entry);
	bytes_fini(&call->request);
	if (call->reply.size > KEEP_BODY)
		bytes_fini(&call->reply);
}

/* Tells every call that has ended. */
static void
collect(struct http *h)
{
	struct http_call *call;
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(h->multi, &left)) != NULL) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(
		    msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		call_finish(call, msg->data.result);
	}
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;
	struct http *h = w->http;
	int running, mask = 0;

	if (what & EV_READ)
		mask |= CURL_CSELECT_IN;
	if (what & EV_WRITE)
		mask |= CURL_CSELECT_OUT;
	(void)curl_multi_socket_action(h->multi, fd, mask, &running);
	collect(h);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	int running;

	(void)fd;
	(void)what;
	(void)curl_multi_socket_action(
	    h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(h);
}

/* libcurl wants to be called after that many ms; -1: not at all. */
static int
set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct http *h = arg;
	const struct timeval tv = clock_timeval(timeout_ms);

	(void)multi;
	if (timeout_ms < 0)
		(void)event_del(h->timer);
	else if (timeout_ms == 0 || event_add(h->timer, &tv) == -1)
		event_active(h->timer, EV_TIMEOUT, 0); /* rather too early */
	return (0);
}

/* Makes the watches that one call needs: its connection, in two families of
 * addresses at most. */
static int
make_spares(struct http *h)
{
	struct watch *w;
	int i;

	for (i = 0; i < 2; i++) {
		if ((w = calloc(1, sizeof(*w))) == NULL)
			return (-1);
		w->http = h;
		LIST_INSERT_HEAD(&h->spare, w, entry);
	}
	return (0);
}

static struct watch *
watch_new(struct http *h, curl_socket_t fd)
{
	struct watch *w;

	if ((w = LIST_FIRST(&h->spare)) == NULL)
		return (NULL);
	LIST_REMOVE(w, entry);
	w->fd = fd;
	w->wanted = w->events = 0;
	LIST_INSERT_HEAD(&h->watches, w, entry);
	(void)curl_multi_assign(h->multi, fd, w);
	return (w);
}

/* Watches as is wanted; without memory for it, a little later. */
static void
watch_apply(struct watch *w)
{
	const struct timeval tv = clock_timeval(WATCH_AGAIN_MS);
	struct http *h = w->http;

	if (w->events == w->wanted)
		return;
	if (w->events != 0)
		(void)event_del(&w->event);
	w->events = 0;
	if (w->wanted == 0)
		return;
	if (event_assign(&w->event, h->base, w->fd,
		(short)(w->wanted | EV_PERSIST), on_socket, w) == 0 &&
	    event_add(&w->event, NULL) == 0)
		w->events = w->wanted;
	else if (event_add(h->again, &tv) == -1)
		event_active(h->again, EV_TIMEOUT, 0);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	struct watch *w;

	(void)fd;
	(void)what;
	LIST_FOREACH(w, &h->watches, entry)
	watch_apply(w);
}

/* libcurl wants to know of other things on that socket. To fail here would be
 * the end of all that it does: what cannot be watched gets a timeout. */
static int
set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket)
{
	struct http *h = arg;
	struct watch *w = socket;

	(void)easy;
	if (w == NULL &&
	    (what == CURL_POLL_REMOVE || (w = watch_new(h, fd)) == NULL))
		return (0);
	w->wanted = 0;
	if (what == CURL_POLL_REMOVE) {
		watch_apply(w);
		(void)curl_multi_assign(h->multi, fd, NULL);
		LIST_REMOVE(w, entry);
		LIST_INSERT_HEAD(&h->spare, w, entry);
		return (0);
	}
	if (what & CURL_POLL_IN)
		w->wanted |= EV_READ;
	if (what & CURL_POLL_OUT)
		w->wanted |= EV_WRITE;
	watch_apply(w);
	return (0);
}

static size_t
on_body(char *p, size_t size, size_t count, void *arg)
{
	struct http_call *call = arg;
	const size_t len = size * count;

	if (len > HTTP_REPLY_MAX - call->reply.len) {
		call->too_large = true;
		return (CURL_WRITEFUNC_ERROR);
	}
	bytes_append(&call->reply, p, len);
	return (bytes_failed(&call->reply) ? CURL_WRITEFUNC_ERROR : len);
}

/* Gives libcurl the body of a request that must go out once. There is no way
 * back for it in this; with a body in memory it would send the request a second
 * time, on its own and unseen, when a kept connection turns out to be closed.
 * It costs one more system call, so other requests go without. */
static size_t
on_read(char *p, size_t size, size_t count, void *arg)
{
	struct http_call *call = arg;
	size_t len = size * count;

	if (len > call->request.len - call->sent)
		len = call->request.len - call->sent;
	if (len > 0)
		memcpy(p, call->request.p + call->sent, len);
	call->sent += len;
	return (len);
}

/* Sets an option of e unless an earlier one has failed; rc tells. */
#define SET(option, value) \
	do { \
		if (rc == CURLE_OK) \
			rc = curl_easy_setopt(e, option, value); \
	} while (0)

/* Everything about a handle that no request changes. */
static CURLcode
set_up(struct http_call *call)
{
	CURL *e = call->easy;
	CURLcode rc = CURLE_OK;

	SET(CURLOPT_PRIVATE, call);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, call);
	SET(CURLOPT_READFUNCTION, on_read);
	SET(CURLOPT_READDATA, call);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	/* A redirect would carry the token header to another host. */
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_NOSIGNAL, 1L);
	/* Without it a dead resolver holds the loop when a call ends. */
	SET(CURLOPT_QUICK_EXIT, 1L);
	/* A parked poll is silent for long; a dead peer should show. */
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	SET(CURLOPT_MAXAGE_CONN, KEEP_IDLE_S);
	SET(CURLOPT_ERRORBUFFER, call->error);
	SET(CURLOPT_USERAGENT, "avtoworker");
	return (rc);
}

static struct http_call *
call_new(struct http *h, struct why *why)
{
	struct http_call *call;
	CURLcode rc = CURLE_OUT_OF_MEMORY;

	if ((call = TAILQ_FIRST(&h->free)) != NULL) {
		TAILQ_REMOVE(&h->free, call, entry);
		call->reply.len = 0;
		call->reply.failed = false;
		call->too_large = false;
		return (call);
	}
	if ((call = calloc(1, sizeof(*call))) == NULL) {
		why_errno(why, "cannot make a request");
		return (NULL);
	}
	call->http = h;
	if (make_spares(h) == -1 || (call->easy = curl_easy_init()) == NULL ||
	    (rc = set_up(call)) != CURLE_OK) {
		why_set(why, "libcurl: %s", curl_easy_strerror(rc));
		if (call->easy != NULL)
			curl_easy_cleanup(call->easy);
		free(call);
		return (NULL);
	}
	return (call);
}

static void
call_free(struct http_call *call)
{
	curl_easy_cleanup(call->easy);
	bytes_fini(&call->request);
	bytes_fini(&call->reply);
	free(call);
}

/* What differs from request to request. */
static CURLcode
set_request(struct http_call *call, const struct http_request *r)
{
	CURL *e = call->easy;
	CURLcode rc = CURLE_OK;

	SET(CURLOPT_URL, r->url);
	SET(CURLOPT_HTTPHEADER, http_headers_list(r->headers));
	SET(CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
	call->secure = strncasecmp(r->url, "https:", 6) == 0;
	if (rc == CURLE_OK && call->secure) {
		call->nameless = r->tls == NULL || r->tls->cert == NULL;
		rc = tls_apply(e, r->tls);
	}
	if (r->method == HTTP_GET) {
		SET(CURLOPT_CUSTOMREQUEST, NULL);
		SET(CURLOPT_HTTPGET, 1L);
	} else {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDS,
		    r->once                   ? NULL :
			call->request.len > 0 ? call->request.p :
						"");
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->request.len);
		SET(CURLOPT_CUSTOMREQUEST,
		    r->method == HTTP_PATCH ? "PATCH" : NULL);
	}
	return (rc);
}

struct http_call *
http_start(struct http *h, struct http_request *r, http_done done, void *arg,
    struct why *why)
{
	struct http_call *call;
	CURLMcode mrc;
	CURLcode rc;

	if (bytes_failed(&r->body)) {
		why_set(why, "out of memory");
		goto fail;
	}
	if ((call = call_new(h, why)) == NULL)
		goto fail;
	call->done = done;
	call->arg = arg;
	call->kind = r->kind;
	call->request = bytes_take(&r->body);
	call->sent = 0;
	call->error[0] = '\0';
	call->started_ms = clock_now_ms();
	if ((rc = set_request(call, r)) != CURLE_OK) {
		why_set(why, "libcurl: %s", curl_easy_strerror(rc));
		call_free(call);
		return (NULL);
	}
	if ((mrc = curl_multi_add_handle(h->multi, call->easy)) != CURLM_OK) {
		why_set(why, "libcurl: %s", curl_multi_strerror(mrc));
		call_free(call);
		return (NULL);
	}
	TAILQ_INSERT_HEAD(&h->busy, call, entry);
	return (call);

fail:
	bytes_fini(&r->body);
	return (NULL);
}

void
http_cancel(struct http_call *call)
{
	struct http *h = call->http;

	(void)curl_multi_remove_handle(h->multi, call->easy);
	TAILQ_REMOVE(&h->busy, call, entry);
	call_free(call);
}

struct http *
http_new(struct event_base *base, struct why *why)
{
	struct http *h;

	if ((h = calloc(1, sizeof(*h))) == NULL) {
		why_errno(why, "http");
		return (NULL);
	}
	h->base = base;
	TAILQ_INIT(&h->busy);
	TAILQ_INIT(&h->free);
	tls_hold_memory();
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, reserve_malloc, free,
		reserve_realloc, reserve_strdup, reserve_calloc) != CURLE_OK ||
	    (h->multi = curl_multi_init()) == NULL ||
	    (h->timer = evtimer_new(base, on_timer, h)) == NULL ||
	    (h->again = evtimer_new(base, on_again, h)) == NULL ||
	    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, set_socket) !=
		CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, set_timer) !=
		CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) != CURLM_OK ||
	    curl_multi_setopt(
		h->multi, CURLMOPT_MAXCONNECTS, KEEP_CONNECTIONS) != CURLM_OK) {
		why_set(why, "libcurl cannot be set up");
		http_free(h);
		return (NULL);
	}
	return (h);
}

void
http_free(struct http *h)
{
	struct http_call *call;
	struct watch *w;

	if (h == NULL)
		return;
	while ((call = TAILQ_FIRST(&h->busy)) != NULL)
		http_cancel(call);
	while ((call = TAILQ_FIRST(&h->free)) != NULL) {
		TAILQ_REMOVE(&h->free, call, entry);
		call_free(call);
	}
	if (h->multi != NULL)
		(void)curl_multi_cleanup(h->multi);
	while ((w = LIST_FIRST(&h->watches)) != NULL) {
		LIST_REMOVE(w, entry);
		if (w->events != 0)
			(void)event_del(&w->event);
		free(w);
	}
	while ((w = LIST_FIRST(&h->spare)) != NULL) {
		LIST_REMOVE(w, entry);
		free(w);
	}
	if (h->timer != NULL)
		event_free(h->timer);
	if (h->again != NULL)
		event_free(h->again);
	curl_global_cleanup();
	free(h);
}

const char *
http_reply_header(const struct http_reply *reply, const char *name)
{
	struct curl_header *header;

	if (curl_easy_header(reply->call->easy, name, 0, CURLH_HEADER, -1,
		&header) != CURLHE_OK)
		return (NULL);
	return (header->value);
}

/* A date in a header, in ms since 1970; -1: none that makes sense. */
static int64_t
header_date_ms(const struct http_reply *reply, const char *name)
{
	const char *value = http_reply_header(reply, name);
	time_t date = value != NULL ? curl_getdate(value, NULL) : -1;

	return (date > 0 ? (int64_t)date * 1000 : -1);
}

int64_t
http_reply_date_ms(const struct http_reply *reply)
{
	return (header_date_ms(reply, "Date"));
}

int64_t
http_reply_retry_after_ms(const struct http_reply *reply)
{
	const char *value = http_reply_header(reply, "Retry-After");
	int64_t ms, now_ms;
	char *end;

	if (value == NULL || *value == '\0')
		return (-1);
	ms = strtoll(value, &end, 10);
	if (*end == '\0') {
		if (ms > RETRY_AFTER_MAX_MS / 1000)
			return (RETRY_AFTER_MAX_MS);
		return (ms < 0 ? -1 : ms * 1000);
	}
	if ((ms = header_date_ms(reply, "Retry-After")) == -1)
		return (-1);
	/* Both by the server's clock, if it shows us that. */
	if ((now_ms = http_reply_date_ms(reply)) == -1)
		now_ms = clock_wall_ms();
	if (ms <= now_ms)
		return (0);
	return (ms - now_ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS :
						   ms - now_ms);
}
