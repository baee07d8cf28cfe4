/* SPDX-License-Identifier: ISC */
/*
 * frame.c: headers to bytes and back. Every byte is placed by hand: the wire
 * is little-endian whatever the machine is, and nothing is cast from a buffer.
 */
#include <assert.h>

#include "child/frame.h"

static_assert(CHANNEL_HEADER_SIZE ==
	sizeof(uint32_t) + 2 * sizeof(uint16_t) + sizeof(uint64_t),
    "the header's fields and its size differ");

static void
put(unsigned char *out, uint64_t value, unsigned size)
{
	unsigned i;

	for (i = 0; i < size; i++)
		out[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t
get(const unsigned char *in, unsigned size)
{
	uint64_t value = 0;
	unsigned i;

	for (i = 0; i < size; i++)
		value |= (uint64_t)in[i] << (8 * i);
	return (value);
}

/* NULL when no frame has that type. */
static const char *
known_name(unsigned type)
{
	switch ((enum frame_type)type) {
	case FRAME_TASK:
		return ("task");
	case FRAME_CANCEL:
		return ("cancel");
	case FRAME_STOP:
		return ("stop");
	case FRAME_SPEAK:
		return ("speak");
	case FRAME_COMMAND:
		return ("command");
	case FRAME_READY:
		return ("ready");
	case FRAME_STARTED:
		return ("started");
	case FRAME_RESULT:
		return ("result");
	case FRAME_LOG:
		return ("log");
	case FRAME_PROGRESS:
		return ("progress");
	case FRAME_EVENT:
		return ("event");
	case FRAME_STATE:
		return ("state");
	}
	return (NULL);
}

void
frame_encode(
    const struct frame_header *header, unsigned char out[CHANNEL_HEADER_SIZE])
{
	put(out, header->length, 4);
	put(out + 4, header->type, 2);
	put(out + 6, header->flags, 2);
	put(out + 8, header->lease, 8);
}

const char *
frame_decode(const unsigned char in[CHANNEL_HEADER_SIZE], size_t max_payload,
    struct frame_header *out)
{
	const struct frame_header header = {
		.length = (uint32_t)get(in, 4),
		.type = (uint16_t)get(in + 4, 2),
		.flags = (uint16_t)get(in + 6, 2),
		.lease = get(in + 8, 8),
	};

	if (known_name(header.type) == NULL)
		return ("a frame of unknown type");
	if (header.flags != 0)
		return ("a frame with flags, which this version has none of");
	if (header.length > max_payload)
		return ("a frame with a payload above the limit");
	*out = header;
	return (NULL);
}

const char *
frame_name(unsigned type)
{
	const char *name = known_name(type);

	return (name != NULL ? name : "unknown");
}
