/* SPDX-License-Identifier: ISC */
/*
 * ws_handshake.h: the beginning of a WebSocket (RFC 6455, section 4), seen from
 * the client: a request to be sent, and its reply, which may come in any
 * pieces. Pure: no I/O, no timers. No extensions and no subprotocols are
 * offered, and none are taken.
 */
#ifndef AVTOWORKER_WS_HANDSHAKE_H
#define AVTOWORKER_WS_HANDSHAKE_H

#include <stddef.h>

#include "supervisor/base/why.h"

struct bytes;
struct ws_handshake;

#define WS_REPLY_MAX 16384 /* bytes of a reply, head and body */

enum ws_answer {
	WS_ANSWER_MORE, /* it is not there yet */
	WS_ANSWER_OPEN, /* what follows are frames */
	WS_ANSWER_OTHER, /* an ordinary HTTP reply: see ws_handshake_reply() */
	WS_ANSWER_BROKEN, /* what came is none of them; why says what */
};

/* An ordinary HTTP reply. Borrowed from its handshake. */
struct ws_reply {
	int status;
	const char *body; /* never NULL */
	size_t body_len;
	const char *date; /* headers of these names; or NULL */
	const char *retry_after;
};

/* With a key of its own; NULL and why. */
struct ws_handshake *ws_handshake_new(struct why *);
void ws_handshake_free(struct ws_handshake *); /* NULL is fine */

/* Appends the request for an http or https URL; headers: lines of ours, as they
 * go over the wire. -1 and why. */
int ws_handshake_put_request(const struct ws_handshake *, const char *url,
    const struct bytes *headers, struct bytes *out, struct why *);
/* Reads what has come. *used: bytes that belonged to the reply. Not again after
 * anything but WS_ANSWER_MORE. */
enum ws_answer ws_handshake_feed(
    struct ws_handshake *, const char *, size_t, size_t *used, struct why *);
/* Nothing more will come. */
enum ws_answer ws_handshake_end(struct ws_handshake *, struct why *);
/* After WS_ANSWER_OTHER, and WS_ANSWER_OPEN, without a body then. */
void ws_handshake_reply(const struct ws_handshake *, struct ws_reply *);

#endif
