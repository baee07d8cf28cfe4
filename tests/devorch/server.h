/* SPDX-License-Identifier: ISC */
/*
 * server.h: a small HTTP/1.1 server on libevent that knows no Avtomatika:
 * requests in, replies out, one at a time on each connection. Made for speed
 * (one read and one write a request, nothing allocated once a connection has
 * warmed up) and for answering badly on purpose.
 */
#ifndef DEVORCH_SERVER_H
#define DEVORCH_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/base/why.h"

#define SERVER_MAX_BODY (1024u * 1024) /* what a real orchestrator takes */

struct conn;
struct event_base;
struct server;

/* One complete request; everything is borrowed until the callback returns. */
struct request {
	const char *method; /* "GET" ... */
	const char *path; /* without the query, terminated */
	const char *token; /* X-Worker-Token, "" when absent */
	const char *sender; /* X-Worker-ID, "" when absent */
	const char *body;
	size_t body_len;
	int64_t arrived_ns; /* monotonic, when its last byte was read */
	bool too_large : 1; /* the body was longer than SERVER_MAX_BODY */
};

struct reply {
	unsigned status;
	const char *content_type; /* NULL: JSON */
	const char *headers; /* further complete lines with CRLF, or NULL */
	const char *body; /* borrowed */
	size_t body_len;
	size_t pretend_len; /* Content-Length says that many bytes more ... */
	size_t filler_len; /* ... and that many bytes of filler follow */
	bool close : 1; /* the connection ends behind it */
};

struct server_ops {
	/* A request. Answer it now or later with conn_reply(), conn_hang() or
	 * conn_drop(); the next one of the connection waits until then. */
	void (*request)(struct conn *, const struct request *, void *arg);
	/* A connection whose request was not answered yet is gone. */
	void (*gone)(struct conn *, void *arg);
};

/* Listens on "ADDRESS:PORT". version is an X-RXON-Version, or NULL. ops are
 * borrowed. NULL and why on failure. */
struct server *server_new(struct event_base *, const char *address,
    const char *version, const struct server_ops *, void *arg, struct why *);
unsigned server_port(const struct server *);
/* Closes every connection; NULL is fine. */
void server_free(struct server *);

void conn_reply(struct conn *, const struct reply *);
/* The request is never answered. */
void conn_hang(struct conn *);
/* Closes without an answer. */
void conn_drop(struct conn *);
/* One pointer of the caller's. */
void conn_set_data(struct conn *, void *);
void *conn_data(const struct conn *);

/* Monotonic nanoseconds. */
int64_t server_now_ns(void);

#endif
