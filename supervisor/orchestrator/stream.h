/* SPDX-License-Identifier: ISC */
/*
 * stream.h: a connection to a server, over TLS where the URL says https, and
 * bytes in both directions. Made by libcurl, so that whom we trust and who we
 * say we are is the same as for requests. Never blocks.
 */
#ifndef AVTOWORKER_STREAM_H
#define AVTOWORKER_STREAM_H

#include <stddef.h>

#include "supervisor/base/why.h"

struct event_base;
struct stream;
struct tls;

/* Each may free the stream. */
struct stream_ops {
	/* The other side is there. */
	void (*connected)(void *arg);
	/* Bytes have come; borrowed. */
	void (*received)(const char *, size_t, void *arg);
	/* The other side has closed it; or error, one clause, says what went
	 * wrong. Nothing follows. */
	void (*ended)(const char *error, void *arg);
};

/* Starts to connect. tls is borrowed during the call. NULL and why. */
struct stream *stream_new(struct event_base *, const char *url,
    const struct tls *, const struct stream_ops *, void *arg, struct why *);
/* Closes it without a word; NULL is fine. */
void stream_free(struct stream *);

/* Has the bytes sent; not before it is connected. How many may wait, see
 * stream_unsent(), is up to the caller. */
void stream_put(struct stream *, const char *, size_t);
/* Bytes that wait for the other side to take them. */
size_t stream_unsent(const struct stream *);

#endif
