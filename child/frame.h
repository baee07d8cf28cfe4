/* SPDX-License-Identifier: ISC */
/*
 * frame.h: the codec of the channel. Pure: bytes in, frames out; no I/O, no
 * globals. Used by the supervisor and by the child.
 */
#ifndef AVTOWORKER_FRAME_H
#define AVTOWORKER_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "child/channel.h"

struct frame_header {
	uint32_t length; /* of the payload, bytes */
	uint16_t type; /* enum frame_type, or anything from a broken peer */
	uint16_t flags;
	uint64_t lease;
};

void frame_encode(
    const struct frame_header *, unsigned char out[CHANNEL_HEADER_SIZE]);
/* Reads a header. Returns NULL, or a static sentence saying what is wrong:
 * unknown type, flags set, payload longer than max_payload. */
const char *frame_decode(const unsigned char in[CHANNEL_HEADER_SIZE],
    size_t max_payload, struct frame_header *out);
/* "task", "ready" ...; "unknown" for anything else. */
const char *frame_name(unsigned type);

#endif
