/* SPDX-License-Identifier: ISC */
/*
 * control.c: the control socket and its clients. Only our own user and root
 * get as far as a client: the socket's mode says so, and so do the
 * credentials of whoever has connected. A client asks once, is answered, and
 * is closed; all of that has to be over within a limit, and there is a most of
 * clients, beyond which others wait in the kernel.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <bsd/sys/queue.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>

#include "child/bytes.h"
#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/base/text.h"
#include "supervisor/edges/control.h"

#define CLIENTS_MAX    16
#define CLIENT_MS      ((int64_t)10 * 1000) /* from connect to close */
#define ACCEPT_WAIT_MS ((int64_t)1000) /* after an error */
#define BACKLOG        64

struct client {
	LIST_ENTRY(client) entry;
	struct control *control;
	struct bufferevent *bev;
	struct event deadline;
	uint64_t ticket; /* of the answer that it waits for; 0: none */
	bool answered;
};

struct control {
	const struct view_ops *ops;
	void *arg;
	struct event_base *base;
	struct evconnlistener *listener;
	struct event again; /* accept after an error */
	LIST_HEAD(, client) clients;
	unsigned count;
	uint64_t last_ticket;
	char *path; /* of the socket, while it is ours; or NULL */
};

/*
 * Clients.
 */

static void
client_free(struct client *c)
{
	struct control *control = c->control;

	LIST_REMOVE(c, entry);
	control->count--;
	(void)event_del(&c->deadline);
	bufferevent_free(c->bev);
	free(c);
	(void)evconnlistener_enable(control->listener);
}

/* Sends what there is room for; the rest goes from the loop. */
static void
flush(struct client *c)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	/* A bufferevent keeps others from taking away what it sends. */
	(void)evbuffer_unfreeze(out, 1);
	(void)evbuffer_write(out, bufferevent_getfd(c->bev));
	(void)evbuffer_freeze(out, 1);
}

/* Takes the answer. The next event on the client closes it: it is written, or
 * cannot be. */
static void
send_answer(struct client *c, struct bytes *out)
{
	c->answered = true;
	(void)bufferevent_disable(c->bev, EV_READ);
	if (bytes_failed(out) ||
	    bufferevent_write(c->bev, out->p, out->len) == -1)
		log_warn("no memory to answer avtoworkerctl");
	bytes_fini(out);
}

/* To a client that may be gone. */
static void
on_letters(const struct letters_answer *answer, uint64_t ticket, void *arg)
{
	struct control *control = arg;
	struct bytes out = { 0 };
	struct client *c;

	LIST_FOREACH(c, &control->clients, entry)
	if (c->ticket == ticket)
		break;
	if (c == NULL)
		return;
	c->ticket = 0;
	control_put_letters(answer, &out);
	send_answer(c, &out);
}

static void
answer(struct client *c, const char *line, size_t len)
{
	struct control *control = c->control;
	struct letters_asker asker = { .answer = on_letters, .to = control };
	struct bytes out = { 0 };

	asker.ticket = c->ticket = ++control->last_ticket;
	if (line == NULL)
		bytes_puts(&out,
		    "{\"error\":\"the request is no line of at most 64 "
		    "KiB\"}\n");
	else if (!control_reply(
		     line, len, control->ops, control->arg, &asker, &out))
		return; /* on_letters() has answered it, or will */
	c->ticket = 0;
	send_answer(c, &out);
}

static void
on_readable(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct client *c = arg;
	size_t len;
	char *line;

	if (c->answered || c->ticket != 0)
		return;
	if ((line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF)) != NULL)
		answer(c, line, len);
	else if (evbuffer_get_length(in) >= CONTROL_REQUEST_MAX)
		answer(c, NULL, 0);
	free(line);
}

/* All of the answer is out. */
static void
on_written(struct bufferevent *bev, void *arg)
{
	struct client *c = arg;

	(void)bev;
	if (c->answered)
		client_free(c);
}

/* It has gone, or only ended its half: then what it said was no line. */
static void
on_end(struct bufferevent *bev, short what, void *arg)
{
	struct client *c = arg;

	if (c->ticket != 0 && (what & BEV_EVENT_EOF))
		return; /* it may still listen */
	if (!c->answered && (what & BEV_EVENT_EOF) &&
	    evbuffer_get_length(bufferevent_get_input(bev)) > 0)
		answer(c, NULL, 0);
	else
		client_free(c);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	client_free(arg);
}

/* Takes fd. */
static struct client *
client_new(struct control *control, int fd)
{
	const struct timeval tv = clock_timeval(CLIENT_MS);
	struct client *c;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		goto fail;
	c->bev =
	    bufferevent_socket_new(control->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (c->bev == NULL)
		goto fail;
	fd = -1;
	if (evtimer_assign(&c->deadline, control->base, on_deadline, c) == -1 ||
	    event_add(&c->deadline, &tv) == -1)
		goto fail;
	c->control = control;
	LIST_INSERT_HEAD(&control->clients, c, entry);
	control->count++;
	bufferevent_setcb(c->bev, on_readable, on_written, on_end, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, CONTROL_REQUEST_MAX);
	(void)bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	return (c);

fail:
	if (c != NULL && c->bev != NULL)
		bufferevent_free(c->bev);
	free(c);
	if (fd != -1)
		(void)close(fd);
	return (NULL);
}

static bool
is_allowed(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == -1)
		return (false);
	if (who.uid == 0 || who.uid == geteuid())
		return (true);
	log_warn("user %u may not use the control socket", (unsigned)who.uid);
	return (false);
}

static void
on_accepted(struct evconnlistener *listener, evutil_socket_t fd,
    struct sockaddr *sa, int len, void *arg)
{
	struct control *control = arg;

	(void)sa;
	(void)len;
	if (!is_allowed(fd))
		(void)close(fd);
	else if (client_new(control, fd) == NULL)
		log_warn("no memory for a client of the control socket");
	else if (control->count >= CLIENTS_MAX)
		(void)evconnlistener_disable(listener);
}

/* No descriptors, most likely. */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	const struct timeval tv = clock_timeval(ACCEPT_WAIT_MS);
	struct control *control = arg;

	(void)evconnlistener_disable(listener);
	(void)event_add(&control->again, &tv);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	const struct control *control = arg;

	(void)fd;
	(void)what;
	if (control->count < CLIENTS_MAX)
		(void)evconnlistener_enable(control->listener);
}

/*
 * The socket.
 */

/* True when nobody serves it any more: it is in the way, no more. */
static bool
is_stale(const struct sockaddr_un *sa)
{
	struct stat st;
	int fd, saved = 0;

	if (lstat(sa->sun_path, &st) == -1 || !S_ISSOCK(st.st_mode))
		return (false);
	if ((fd = socket(
		 AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) == -1)
		return (false);
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == -1)
		saved = errno;
	(void)close(fd);
	return (saved == ECONNREFUSED);
}

/* Binds, for our user alone from the very first moment: Linux makes the file
 * with the mode that the socket has. */
static int
bind_private(int fd, const struct sockaddr_un *sa)
{
	if (fchmod(fd, 0600) == -1)
		return (-1);
	if (bind(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0)
		return (0);
	if (errno != EADDRINUSE)
		return (-1);
	if (!is_stale(sa)) {
		errno = EADDRINUSE;
		return (-1);
	}
	if (unlink(sa->sun_path) == -1 && errno != ENOENT)
		return (-1);
	return (bind(fd, (const struct sockaddr *)sa, sizeof(*sa)));
}

/* A listening socket at control->path; -1 and why. */
static int
listen_at(struct control *control, struct why *why)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const size_t len = strlen(control->path);
	int fd;

	if (len >= sizeof(sa.sun_path)) {
		why_set(why,
		    "the control socket's path has %zu bytes, and at most %zu "
		    "are possible: set worker.state_dir to a shorter one",
		    len, sizeof(sa.sun_path) - 1);
		return (-1);
	}
	memcpy(sa.sun_path, control->path, len + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1 || bind_private(fd, &sa) == -1 ||
	    listen(fd, BACKLOG) == -1) {
		why_errno(
		    why, "cannot make the control socket %s", control->path);
		if (fd != -1)
			(void)close(fd);
		return (-1);
	}
	return (fd);
}

struct control *
control_new(struct event_base *base, const char *state_dir,
    const struct view_ops *ops, void *arg, struct why *why)
{
	struct control *control;
	int fd;

	if ((control = calloc(1, sizeof(*control))) == NULL ||
	    (control->path = text_format("%s/" CONTROL_SOCKET, state_dir)) ==
		NULL ||
	    evtimer_assign(&control->again, base, on_again, control) == -1) {
		why_set(why, "no memory for the control socket");
		goto fail;
	}
	control->ops = ops;
	control->arg = arg;
	control->base = base;
	LIST_INIT(&control->clients);
	if ((fd = listen_at(control, why)) == -1)
		goto fail;
	control->listener = evconnlistener_new(base, on_accepted, control,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (control->listener == NULL) {
		why_set(why, "no memory for the control socket");
		(void)unlink(control->path);
		(void)close(fd);
		goto fail;
	}
	evconnlistener_set_error_cb(control->listener, on_accept_error);
	return (control);

fail:
	if (control != NULL)
		free(control->path);
	free(control);
	return (NULL);
}

void
control_free(struct control *control)
{
	struct client *c;

	if (control == NULL)
		return;
	while ((c = LIST_FIRST(&control->clients)) != NULL) {
		flush(c); /* perhaps what it asked for is this end */
		client_free(c);
	}
	(void)event_del(&control->again);
	evconnlistener_free(control->listener);
	(void)unlink(control->path);
	free(control->path);
	free(control);
}
