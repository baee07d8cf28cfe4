/* SPDX-License-Identifier: ISC */
/*
 * frame_stream.c: writes go to the socket at once and are buffered only when
 * it is full; reads go through a buffer on the stack and are copied only when
 * a frame comes in pieces. Whether the other side is dead is not judged here:
 * a write error or a reset says nothing about what can still be read.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "supervisor/children/frame_stream.h"

#define READ_SIZE    (64u * 1024)
#define KEEP_PAYLOAD (16u * 1024) /* a larger buffer is given back */

void
frame_stream_deafen(struct frame_stream *s)
{
	s->unreadable = true;
	(void)event_del(&s->readable);
}

static void
malformed(struct frame_stream *s, const char *text)
{
	frame_stream_deafen(s);
	s->ops->malformed(text, s->arg);
}

/* Takes header bytes; returns how many. */
static size_t
take_header(struct frame_stream *s, const unsigned char *p, size_t len)
{
	size_t n = sizeof(s->header) - s->header_len;
	const char *fault;

	if (n > len)
		n = len;
	memcpy(s->header + s->header_len, p, n);
	s->header_len += n;
	if (s->header_len < sizeof(s->header))
		return (n);
	fault = frame_decode(s->header, CHANNEL_FROM_CHILD_MAX, &s->next);
	if (fault != NULL)
		malformed(s, fault);
	return (n);
}

static void
frame_done(struct frame_stream *s, const char *payload)
{
	const struct frame_header header = s->next;

	s->header_len = 0;
	s->ops->frame(&header, payload, s->arg);
	s->payload.len = 0;
	if (s->payload.size > KEEP_PAYLOAD)
		bytes_fini(&s->payload);
}

/* Takes payload bytes; returns how many. */
static size_t
take_payload(struct frame_stream *s, const unsigned char *p, size_t len)
{
	size_t n = s->next.length - s->payload.len;

	if (n <= len && s->payload.len == 0) {
		frame_done(s, (const char *)p); /* all of it is here */
		return (n);
	}
	if (n > len)
		n = len;
	bytes_append(&s->payload, p, n);
	if (bytes_failed(&s->payload))
		malformed(s, "no memory for its frame");
	else if (s->payload.len == s->next.length)
		frame_done(s, s->payload.p);
	return (n);
}

static void
feed(struct frame_stream *s, const unsigned char *p, size_t len)
{
	size_t n;

	while (!s->unreadable) {
		if (s->header_len < sizeof(s->header)) {
			if (len == 0)
				return;
			n = take_header(s, p, len);
		} else if (len == 0 && s->next.length > s->payload.len)
			return;
		else
			n = take_payload(s, p, len);
		p += n;
		len -= n;
	}
}

/* One read. Returns bytes read, 0 when there is nothing more to come now. */
static size_t
read_some(struct frame_stream *s)
{
	unsigned char buf[READ_SIZE];
	ssize_t n;

	do
		n = recv(s->fd, buf, sizeof(buf), 0);
	while (n == -1 && errno == EINTR);
	if (n > 0) {
		feed(s, buf, (size_t)n);
		return ((size_t)n);
	}
	if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
		frame_stream_deafen(s);
		s->ops->closed(s->arg);
	}
	return (0);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)read_some(arg);
}

static void
stop_writing(struct frame_stream *s)
{
	s->unwritable = true;
	(void)event_del(&s->writable);
	(void)evbuffer_drain(s->out, evbuffer_get_length(s->out));
	s->ops->closed(s->arg);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct frame_stream *s = arg;

	(void)what;
	if (evbuffer_write(s->out, fd) == -1 && errno != EAGAIN &&
	    errno != EINTR)
		stop_writing(s);
	else if (evbuffer_get_length(s->out) == 0)
		(void)event_del(&s->writable);
}

int
frame_stream_open(struct frame_stream *s, struct event_base *base, int fd,
    const struct frame_stream_ops *ops, void *arg)
{
	*s = (struct frame_stream){ .fd = -1, .ops = ops, .arg = arg };
	if ((s->out = evbuffer_new()) == NULL) {
		errno = ENOMEM;
		return (-1);
	}
	if (event_assign(&s->readable, base, fd, EV_READ | EV_PERSIST,
		on_readable, s) == -1 ||
	    event_assign(&s->writable, base, fd, EV_WRITE | EV_PERSIST,
		on_writable, s) == -1 ||
	    event_add(&s->readable, NULL) == -1) {
		evbuffer_free(s->out);
		s->out = NULL;
		errno = ENOMEM;
		return (-1);
	}
	s->fd = fd;
	return (0);
}

int
frame_stream_send(struct frame_stream *s, enum frame_type type, uint64_t lease,
    const char *payload, size_t len)
{
	unsigned char header[CHANNEL_HEADER_SIZE];
	const struct frame_header h = {
		.length = (uint32_t)len,
		.type = (uint16_t)type,
		.lease = lease,
	};
	struct iovec iov[2] = {
		{ header, sizeof(header) },
		{ (void *)payload, len },
	};
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = 0;
	size_t sent;

	if (s->unwritable)
		return (0);
	frame_encode(&h, header);
	if (evbuffer_get_length(s->out) == 0 &&
	    (n = sendmsg(s->fd, &msg, MSG_NOSIGNAL)) == -1) {
		if (errno != EAGAIN && errno != EINTR) {
			stop_writing(s);
			return (0);
		}
		n = 0;
	}
	sent = (size_t)n;
	if (sent == sizeof(header) + len)
		return (0);
	if ((sent < sizeof(header) &&
		evbuffer_add(s->out, header + sent, sizeof(header) - sent) ==
		    -1) ||
	    evbuffer_add(s->out,
		payload + (sent > sizeof(header) ? sent - sizeof(header) : 0),
		len - (sent > sizeof(header) ? sent - sizeof(header) : 0)) ==
		-1 ||
	    event_add(&s->writable, NULL) == -1) {
		errno = ENOMEM;
		return (-1);
	}
	return (0);
}

size_t
frame_stream_unsent(const struct frame_stream *s)
{
	return (evbuffer_get_length(s->out));
}

void
frame_stream_drain(struct frame_stream *s)
{
	size_t total = 0, n;

	while (
	    !s->unreadable && total < CHANNEL_FROM_CHILD_MAX + 2 * READ_SIZE) {
		if ((n = read_some(s)) == 0)
			break;
		total += n;
	}
}

void
frame_stream_close(struct frame_stream *s)
{
	if (s->fd == -1)
		return;
	(void)event_del(&s->readable);
	(void)event_del(&s->writable);
	evbuffer_free(s->out);
	bytes_fini(&s->payload);
	(void)close(s->fd);
	s->fd = -1;
}
