/* SPDX-License-Identifier: ISC */
/*
 * http.h: libcurl's multi interface on libevent: requests in, replies out.
 * Knows nothing of Avtomatika. Never blocks, never follows a redirect, never
 * uses a proxy or netrc, verifies whom it talks to (tls.h), and takes no reply
 * above its limit.
 */
#ifndef AVTOWORKER_HTTP_H
#define AVTOWORKER_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "child/bytes.h"
#include "supervisor/base/why.h"

struct event_base;
struct http;
struct http_call;
struct http_headers;
struct tls;

#define HTTP_REPLY_MAX (8u * 1024 * 1024) /* bytes of a reply's body */

enum http_method {
	HTTP_GET,
	HTTP_POST,
	HTTP_PATCH
};

struct http_request {
	enum http_method method;
	const char *url; /* borrowed during http_start() */
	const struct http_headers *headers; /* borrowed until done */
	const struct tls *tls; /* for https; borrowed during http_start(); or
				  NULL */
	struct bytes body; /* taken by http_start() */
	int64_t timeout_ms; /* of the whole call */
	const char *kind; /* a word that comes back with the reply; static */
	bool once : 1; /* libcurl must not send it again by itself */
};

/* Borrowed: valid during the callback only. */
struct http_reply {
	struct http_call
	    *call; /* NULL: the reply to an upgrade (websocket.c) */
	const char *kind; /* of the request */
	long status; /* 0: there was no whole reply, see error */
	const char *error; /* one clause; NULL when status is set */
	const char *body; /* never NULL */
	size_t body_len;
	const char *date; /* headers of these names; or NULL */
	const char *retry_after;
	int64_t took_ms;
	bool timed_out : 1; /* the reason why there was none */
	bool sent : 1; /* of a body that must go out once some may have */
};

typedef void (*http_done)(const struct http_reply *, void *arg);

/* NULL and why when libcurl or memory fails. */
struct http *http_new(struct event_base *, struct why *);
/* Ends every call without calling back; NULL is fine. */
void http_free(struct http *);

/* Starts a call; done is called exactly once, from the loop, unless the call
 * is cancelled. NULL and why when it cannot be started. */
struct http_call *http_start(
    struct http *, struct http_request *, http_done, void *arg, struct why *);
/* True when some of a body that must go out once may have. */
bool http_is_sent(const struct http_call *);
/* Ends a call without calling back; its connection is closed. Not for a call
 * whose callback is running. */
void http_cancel(struct http_call *);

/* The first value of a header of the reply to a call, or NULL. */
const char *http_reply_header(const struct http_reply *, const char *name);
/* When the server made it, by its own clock, in ms since 1970; -1: unknown. */
int64_t http_reply_date_ms(const struct http_reply *);
/* Retry-After in ms, given as seconds or as a date, at most an hour;
 * -1 when there is none that makes sense. */
int64_t http_reply_retry_after_ms(const struct http_reply *);

/* A list of "Name: value" lines sent with requests. */
struct http_headers *http_headers_new(void);
int http_headers_add(
    struct http_headers *, const char *name, const char *value);
/* Appends the lines as they go over the wire. */
void http_headers_put(const struct http_headers *, struct bytes *out);
/* Gives headers the lines of another list, which it takes; calls that are out
 * keep theirs. */
void http_headers_replace(struct http_headers *, struct http_headers *by);
/* Wipes values before it frees them; NULL is fine. */
void http_headers_free(struct http_headers *);

#endif
