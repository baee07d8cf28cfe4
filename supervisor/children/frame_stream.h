/* SPDX-License-Identifier: ISC */
/*
 * frame_stream.h: frames over a non-blocking socket on the loop: the
 * supervisor's end of a child's channel. Embedded in its owner. SIGPIPE must
 * be ignored, as signals_open() does.
 */
#ifndef AVTOWORKER_FRAME_STREAM_H
#define AVTOWORKER_FRAME_STREAM_H

#include <stdbool.h>

#include <event2/event_struct.h>

#include "child/bytes.h"
#include "child/frame.h"

struct event_base;
struct evbuffer;

struct frame_stream_ops {
	/* A whole frame came; the payload is borrowed and not terminated. */
	void (*frame)(
	    const struct frame_header *, const char *payload, void *arg);
	/* The other side broke the protocol: what it did. Nothing is read
	 * after this. */
	void (*malformed)(const char *text, void *arg);
	/* The other side takes or sends no more. It may have died, and there
	 * may be frames still to be read; or it has closed its end. */
	void (*closed)(void *arg);
};

struct frame_stream {
	const struct frame_stream_ops *ops;
	void *arg;
	struct event readable;
	struct event writable;
	struct evbuffer *out; /* what the socket did not take yet */
	struct bytes payload; /* of the frame that is coming */
	struct frame_header next;
	unsigned char header[CHANNEL_HEADER_SIZE];
	size_t header_len; /* bytes of the header that are there */
	int fd; /* owned; -1 when closed */
	bool unreadable : 1; /* end of file, error or malformed */
	bool unwritable : 1; /* the other side takes no more */
};

/* Takes fd on success. -1 and errno. */
int frame_stream_open(struct frame_stream *, struct event_base *, int fd,
    const struct frame_stream_ops *, void *arg);
/* Sends a frame, or keeps what the socket does not take. -1 and errno when
 * memory is short; a dead reader is no error: its death is told elsewhere. */
int frame_stream_send(struct frame_stream *, enum frame_type, uint64_t lease,
    const char *payload, size_t len);
/* Bytes that the other side has not taken yet. */
size_t frame_stream_unsent(const struct frame_stream *);
/* Reads no more: what else comes is not worth anything. */
void frame_stream_deafen(struct frame_stream *);
/* Reads what a dead child left, up to one frame's worth; never waits for an
 * end of file, which a forked copy of the descriptor may hold back. */
void frame_stream_drain(struct frame_stream *);
/* Closes; a stream that was never opened must be zeroed with fd -1. */
void frame_stream_close(struct frame_stream *);

#endif
