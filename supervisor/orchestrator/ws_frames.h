/* SPDX-License-Identifier: ISC */
/*
 * ws_frames.h: what is said on a WebSocket once it is open (RFC 6455, section
 * 5), seen from the client. Pure: bytes that have come go in, in any pieces;
 * messages and bytes to be sent come out. Pings of the other side are answered,
 * fragments put together; masks are random. What breaks the rules ends it.
 */
#ifndef AVTOWORKER_WS_FRAMES_H
#define AVTOWORKER_WS_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/base/why.h"

struct bytes;
struct ws_frames;

#define WS_MESSAGE_MAX 65536 /* bytes of a message that is taken */
#define WS_GOING_AWAY  1001 /* why it is closed: we end */
#define WS_NORMAL      1000 /* the same: for another one */

/* The text is borrowed. The frames must not be freed in here. */
struct ws_frames_ops {
	void (*message)(const char *, size_t, void *arg);
	/* The answer to a ping of ours: its number. */
	void (*pong)(uint64_t number, void *arg);
};

/* NULL and why. */
struct ws_frames *ws_frames_new(
    const struct ws_frames_ops *, void *arg, struct why *);
void ws_frames_free(struct ws_frames *); /* NULL is fine */

/* Reads what has come. -1 and why when that is the end: the other side has
 * closed it or breaks the rules. The last word is in the output by then. */
int ws_frames_feed(struct ws_frames *, const char *, size_t, struct why *);
/* After that: the code with which the other side has closed it; 0: it has
 * not. */
unsigned ws_frames_closed(const struct ws_frames *);

/* Each puts something into the output; -1 when it cannot: no memory, or it is
 * closed. */
int ws_frames_text(struct ws_frames *, const char *, size_t);
int ws_frames_ping(struct ws_frames *, uint64_t number);
int ws_frames_close(struct ws_frames *, unsigned code);

/* Bytes to be sent, for the caller to take (bytes_take()). */
struct bytes *ws_frames_output(struct ws_frames *);

#endif
