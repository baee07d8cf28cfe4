/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "supervisor/children/output.h"

#define READ_SIZE 8192
#define DRAIN_MAX 64 /* reads in a row; a babbling child waits its turn */

static void
flush(struct output *o)
{
	if (o->len == 0)
		return;
	o->buf[o->len] = '\0';
	o->len = 0;
	o->line(o->buf, o->arg);
}

static void
feed(struct output *o, const char *p, size_t len)
{
	for (; len > 0; p++, len--) {
		if (*p == '\n' || o->len == OUTPUT_LINE_MAX)
			flush(o);
		if (*p != '\n' && *p != '\0')
			o->buf[o->len++] = *p;
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
    void (*line)(const char *, void *), void *arg)
{
	*o = (struct output){ .fd = -1, .line = line, .arg = arg };
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
output_drain(struct output *o)
{
	int i;

	for (i = 0; i < DRAIN_MAX && o->fd != -1 && read_some(o); i++)
		continue;
	if (o->fd != -1)
		flush(o);
}

void
output_close(struct output *o)
{
	if (o->fd == -1)
		return;
	(void)event_del(&o->readable);
	flush(o);
	free(o->buf);
	(void)close(o->fd);
	o->fd = -1;
}
