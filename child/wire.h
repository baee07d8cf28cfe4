/* SPDX-License-Identifier: ISC */
/*
 * wire.h: the child's end of the channel: blocking reads and writes of whole
 * frames on one descriptor. Owned by the server or the description.
 */
#ifndef AVTOWORKER_WIRE_H
#define AVTOWORKER_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "child/bytes.h"
#include "child/frame.h"

#define WIRE_CANCEL_MAX 256 /* bytes of a cancel frame's payload */

struct wire {
	int fd;
	char *buf; /* frames as they came */
	size_t size; /* of buf, bytes */
	size_t start; /* first byte not yet given out */
	size_t end; /* behind the last byte read */
};

enum wire_got {
	WIRE_FRAME, /* a whole frame */
	WIRE_END, /* the other side is gone */
	WIRE_BAD, /* not a frame, or no memory for it */
};

void wire_init(struct wire *, int fd);
/* Waits for a frame. Its payload is valid until the next call; why is filled
 * for WIRE_BAD. */
enum wire_got wire_read(struct wire *, struct frame_header *,
    const char **payload, struct bytes *why);
/* Takes the next frame, if it is a whole cancel frame that is here already,
 * and copies its payload; everything else stays for wire_read(). Never waits,
 * and what wire_read() gave stays valid. */
bool wire_take_cancel(
    struct wire *, struct frame_header *, char payload[WIRE_CANCEL_MAX]);
/* Sends a frame in one system call where the socket takes it. Returns -1 when
 * the other side is gone or the socket fails (errno). */
int wire_send(struct wire *, enum frame_type, uint64_t lease,
    const char *payload, size_t len);
/* Sends a frame, or nothing of it: -1 when the socket does not take it now
 * (errno EAGAIN), or as above. */
int wire_try_send(struct wire *, enum frame_type, uint64_t lease,
    const char *payload, size_t len);
void wire_fini(struct wire *);

#endif
