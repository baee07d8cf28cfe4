/* SPDX-License-Identifier: ISC */
/*
 * wire.c: reads as much as there is, so that a task costs one read, and gives
 * out one frame at a time. The descriptor belongs to the process, not to us.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "child/wire.h"

#define BUFFER_BYTES 8192 /* what most frames fit in */
#define KEEP_BYTES   65536 /* a larger buffer is given back */

void
wire_init(struct wire *w, int fd)
{
	*w = (struct wire){ .fd = fd };
}

void
wire_fini(struct wire *w)
{
	free(w->buf);
	*w = (struct wire){ .fd = -1 };
}

/* Moves what is left to the front of a buffer that holds want bytes, growing
 * it or giving a large one back. */
static int
make_room(struct wire *w, size_t want, struct bytes *why)
{
	size_t size = want > BUFFER_BYTES ? want : BUFFER_BYTES;
	char *p;

	if (w->start > 0) {
		memmove(w->buf, w->buf + w->start, w->end - w->start);
		w->end -= w->start;
		w->start = 0;
	}
	if (w->size >= size && (w->size <= KEEP_BYTES || w->end > size))
		return (0);
	if ((p = realloc(w->buf, size)) == NULL) {
		bytes_printf(
		    why, "out of memory for a frame of %zu bytes", want);
		return (-1);
	}
	w->buf = p;
	w->size = size;
	return (0);
}

/* Reads until want bytes are there. WIRE_END only between two frames. */
static enum wire_got
fill(struct wire *w, size_t want, struct bytes *why)
{
	ssize_t n;

	if (w->end - w->start >= want)
		return (WIRE_FRAME);
	if (make_room(w, want, why) == -1)
		return (WIRE_BAD);
	while (w->end < want) {
		n = read(w->fd, w->buf + w->end, w->size - w->end);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno != ECONNRESET) {
			bytes_printf(why, "read: %s", strerror(errno));
			return (WIRE_BAD);
		}
		if (n <= 0 && w->end == 0)
			return (WIRE_END);
		if (n <= 0) {
			bytes_puts(why, "the channel ended inside a frame");
			return (WIRE_BAD);
		}
		w->end += (size_t)n;
	}
	return (WIRE_FRAME);
}

enum wire_got
wire_read(struct wire *w, struct frame_header *header, const char **payload,
    struct bytes *why)
{
	unsigned char raw[CHANNEL_HEADER_SIZE];
	const char *fault;
	enum wire_got got;

	if ((got = fill(w, sizeof(raw), why)) != WIRE_FRAME)
		return (got);
	memcpy(raw, w->buf + w->start, sizeof(raw));
	if ((fault = frame_decode(raw, CHANNEL_TO_CHILD_MAX, header)) != NULL) {
		bytes_puts(why, fault);
		return (WIRE_BAD);
	}
	if ((got = fill(w, sizeof(raw) + header->length, why)) != WIRE_FRAME)
		return (got);
	*payload = w->buf + w->start + sizeof(raw);
	w->start += sizeof(raw) + header->length;
	return (WIRE_FRAME);
}

/* Drops len bytes that have been looked at: buffered ones first. */
static bool
skip(struct wire *w, size_t len)
{
	const size_t buffered = w->end - w->start;
	char rest[CHANNEL_HEADER_SIZE + WIRE_CANCEL_MAX];
	ssize_t n;

	if (len <= buffered) {
		w->start += len;
		return (true);
	}
	len -= buffered;
	do
		n = recv(w->fd, rest, len, MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	if (n != (ssize_t)len)
		return (false); /* cannot be: they were there */
	w->start = w->end;
	return (true);
}

bool
wire_take_cancel(
    struct wire *w, struct frame_header *header, char payload[WIRE_CANCEL_MAX])
{
	char ahead[CHANNEL_HEADER_SIZE + WIRE_CANCEL_MAX];
	size_t len = w->end - w->start;
	ssize_t n;

	if (len > sizeof(ahead))
		len = sizeof(ahead);
	if (len > 0)
		memcpy(ahead, w->buf + w->start, len);
	if (len < sizeof(ahead) &&
	    (n = recv(w->fd, ahead + len, sizeof(ahead) - len,
		 MSG_PEEK | MSG_DONTWAIT)) > 0)
		len += (size_t)n;
	if (len < CHANNEL_HEADER_SIZE ||
	    frame_decode((unsigned char *)ahead, WIRE_CANCEL_MAX, header) !=
		NULL ||
	    header->type != FRAME_CANCEL ||
	    len < CHANNEL_HEADER_SIZE + header->length)
		return (false);
	memcpy(payload, ahead + CHANNEL_HEADER_SIZE, header->length);
	return (skip(w, CHANNEL_HEADER_SIZE + header->length));
}

static void
advance(struct iovec iov[2], size_t n)
{
	size_t step;
	int i;

	for (i = 0; i < 2; i++) {
		step = n < iov[i].iov_len ? n : iov[i].iov_len;
		iov[i].iov_base = (char *)iov[i].iov_base + step;
		iov[i].iov_len -= step;
		n -= step;
	}
}

/* A frame as it goes out. */
struct outgoing {
	unsigned char raw[CHANNEL_HEADER_SIZE];
	struct iovec iov[2];
};

static void
prepare(struct outgoing *o, enum frame_type type, uint64_t lease,
    const char *payload, size_t len)
{
	const struct frame_header header = {
		.length = (uint32_t)len,
		.type = (uint16_t)type,
		.lease = lease,
	};

	frame_encode(&header, o->raw);
	o->iov[0] = (struct iovec){ o->raw, sizeof(o->raw) };
	o->iov[1] = (struct iovec){ (void *)(uintptr_t)payload, len };
}

/* Sends what is left of it. */
static int
finish(struct wire *w, struct outgoing *o)
{
	ssize_t n;

	while (o->iov[0].iov_len + o->iov[1].iov_len > 0) {
		if ((n = writev(w->fd, o->iov, 2)) != -1)
			advance(o->iov, (size_t)n);
		else if (errno != EINTR)
			return (-1);
	}
	return (0);
}

int
wire_send(struct wire *w, enum frame_type type, uint64_t lease,
    const char *payload, size_t len)
{
	struct outgoing o;

	prepare(&o, type, lease, payload, len);
	return (finish(w, &o));
}

int
wire_try_send(struct wire *w, enum frame_type type, uint64_t lease,
    const char *payload, size_t len)
{
	struct outgoing o;
	struct msghdr msg = { .msg_iov = o.iov, .msg_iovlen = 2 };
	ssize_t n;

	prepare(&o, type, lease, payload, len);
	do
		n = sendmsg(w->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return (-1);
	advance(o.iov, (size_t)n);
	return (finish(w, &o)); /* a part of it went out */
}
