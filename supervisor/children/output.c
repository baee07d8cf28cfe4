/* SPDX-License-Identifier: ISC */
/*
 * output.c: one read for each wake-up, so that a babbling child waits its turn
 * like everybody; lines are cut in place and beyond the section's limit not at
 * all. The tail is a ring of raw bytes that is made presentable when somebody
 * asks, which is when a child has died.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "supervisor/children/output.h"

#define FATAL     "Fatal Python error: " /* faulthandler's first words */
#define READ_SIZE 8192
#define DRAIN_MAX 64 /* reads in a row; a babbling child waits its turn */

static void
note(struct output *o, const char *fmt, int64_t bytes)
{
	char text[128];

	(void)snprintf(text, sizeof(text), fmt, (long long)bytes);
	o->ops->note(text, o->arg);
}

bool
output_takes(struct output *o, size_t bytes)
{
	if (o->dropped == 0 &&
	    (o->max == 0 || o->given + (int64_t)bytes <= o->max)) {
		o->given += (int64_t)bytes;
		return (true);
	}
	if (o->dropped == 0)
		note(o, "output beyond %lld bytes is dropped", o->max);
	o->dropped += (int64_t)bytes;
	return (false);
}

/* Gives out the line in the buffer, or what there is of it, or drops it; it
 * took so many bytes. */
static void
end_line(struct output *o, size_t bytes)
{
	size_t len = o->len;

	o->len = 0;
	while (o->fatal && len > 0 && o->buf[len - 1] == '\n')
		len--;
	if (!output_takes(o, bytes) || len == 0)
		return;
	o->buf[len] = '\0';
	o->ops->line(o->buf, o->arg);
}

static void
flush(struct output *o)
{
	if (o->len > 0)
		end_line(o, o->len);
	o->fatal = false;
}

/* A newline has come. */
static void
take_newline(struct output *o)
{
	if (o->len >= sizeof(FATAL) - 1 &&
	    memcmp(o->buf, FATAL, sizeof(FATAL) - 1) == 0)
		o->fatal = true;
	if (o->fatal && o->len < OUTPUT_LINE_MAX)
		o->buf[o->len++] = '\n';
	else
		end_line(o, o->len + 1);
}

/* Puts bytes into the buffer, without NULs, as far as the line goes. */
static size_t
take(struct output *o, const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len && o->len < OUTPUT_LINE_MAX && p[i] != '\n'; i++)
		if (p[i] != '\0')
			o->buf[o->len++] = p[i];
	return (i);
}

static void
feed(struct output *o, const char *p, size_t len)
{
	size_t n;

	while (len > 0 && o->dropped == 0) {
		n = take(o, p, len);
		p += n;
		len -= n;
		if (len == 0)
			return;
		if (*p != '\n') {
			/* Too long: what follows is another line. */
			end_line(o, o->len);
			continue;
		}
		take_newline(o);
		p++;
		len--;
	}
	o->dropped += (int64_t)len;
}

static void
remember(struct output *o, const char *p, size_t len)
{
	size_t at, n;

	if (o->tail == NULL && (o->tail = malloc(OUTPUT_TAIL_MAX)) == NULL)
		return; /* a record without a tail is better than none */
	if (len > OUTPUT_TAIL_MAX) {
		p += len - OUTPUT_TAIL_MAX;
		o->tail_end += len - OUTPUT_TAIL_MAX;
		len = OUTPUT_TAIL_MAX;
	}
	for (; len > 0; p += n, len -= n) {
		at = o->tail_end % OUTPUT_TAIL_MAX;
		n = OUTPUT_TAIL_MAX - at < len ? OUTPUT_TAIL_MAX - at : len;
		memcpy(o->tail + at, p, n);
		o->tail_end += n;
	}
}

/* One read; false when there is nothing more now. */
static bool
read_some(struct output *o)
{
	char buf[READ_SIZE];
	ssize_t n;

	do
		n = read(o->fd, buf, sizeof(buf));
	while (n == -1 && errno == EINTR);
	if (n > 0) {
		remember(o, buf, (size_t)n);
		feed(o, buf, (size_t)n);
		return (true);
	}
	if (n == 0 || errno != EAGAIN)
		(void)event_del(&o->readable);
	return (false);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)read_some(arg);
}

int
output_open(struct output *o, struct event_base *base, int fd,
    const struct output_ops *ops, void *arg)
{
	*o = (struct output){ .fd = -1, .ops = ops, .arg = arg };
	if ((o->buf = malloc(OUTPUT_LINE_MAX + 1)) == NULL)
		return (-1);
	if (event_assign(&o->readable, base, fd, EV_READ | EV_PERSIST,
		on_readable, o) == -1 ||
	    event_add(&o->readable, NULL) == -1) {
		free(o->buf);
		errno = ENOMEM;
		return (-1);
	}
	o->fd = fd;
	return (0);
}

void
output_renew(struct output *o, int64_t max)
{
	if (o->fd != -1) {
		flush(o);
		if (o->dropped > 0)
			note(
			    o, "%lld bytes of output were dropped", o->dropped);
	}
	o->max = max;
	o->given = o->dropped = 0;
}

void
output_section(struct output *o, int64_t max)
{
	output_renew(o, max);
	o->tail_end = 0;
}

void
output_drain(struct output *o)
{
	int i;

	for (i = 0; i < DRAIN_MAX && o->fd != -1 && read_some(o); i++)
		continue;
	if (o->fd != -1)
		flush(o);
}

void
output_tail(const struct output *o, char buf[OUTPUT_TAIL_MAX + 1])
{
	const bool cut = o->tail_end > OUTPUT_TAIL_MAX;
	uint64_t at = cut ? o->tail_end - OUTPUT_TAIL_MAX : 0;
	size_t len = 0;
	char *line;

	for (; at < o->tail_end; at++)
		if (o->tail[at % OUTPUT_TAIL_MAX] != '\0')
			buf[len++] = o->tail[at % OUTPUT_TAIL_MAX];
	if (len > 0 && buf[len - 1] == '\n')
		len--;
	buf[len] = '\0';
	if (cut && (line = strchr(buf, '\n')) != NULL)
		memmove(buf, line + 1, len - (size_t)(line - buf));
}

void
output_close(struct output *o)
{
	if (o->fd == -1)
		return;
	(void)event_del(&o->readable);
	output_section(o, 0);
	free(o->buf);
	free(o->tail);
	o->buf = o->tail = NULL;
	(void)close(o->fd);
	o->fd = -1;
}
