/* SPDX-License-Identifier: ISC */
/*
 * Raw non-blocking sockets. Each connection has one persistent read event;
 * replies are written at once, and a write event exists only while the peer
 * does not take them. http_parser is paused behind every message, so that a
 * request is answered before the next one is looked at; what arrives
 * meanwhile is held. A connection is freed in one place only, conn_settle(),
 * after the callbacks that may still use it have returned.
 */
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bsd/string.h>
#include <bsd/sys/queue.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <http_parser.h>

#include "child/bytes.h"
#include "tests/devorch/server.h"

#define READ_SIZE  (64u * 1024)
#define HELD_MAX   (4u * 1024 * 1024) /* bytes read ahead while answering */
#define FIELD_SIZE 32

enum conn_state {
	CONN_READING, /* a request is arriving, or none */
	CONN_WAITING, /* its handler has not answered yet */
	CONN_WRITING, /* the peer has not taken the whole reply */
	CONN_HANGING, /* never to be answered */
	CONN_CLOSING, /* to be freed by conn_settle() */
};

struct conn {
	TAILQ_ENTRY(conn) entry; /* server->conns; that list owns us */
	struct server *server;
	struct event readable;
	struct event writable; /* pending while CONN_WRITING */
	http_parser parser;
	struct bytes body; /* of the request that is arriving */
	struct bytes held; /* read, not parsed yet */
	struct bytes out; /* reply bytes */
	size_t out_done; /* of them, how many are written */
	size_t filler_left; /* filler behind out */
	void *data; /* the caller's */
	enum conn_state state;
	char url[1024];
	char field[FIELD_SIZE]; /* name of the header that is arriving */
	char token[256];
	char sender[128];
	bool field_done : 1; /* its value has begun */
	bool url_cut : 1;
	bool too_large : 1;
	bool expects : 1; /* the client waits for 100 Continue */
	bool complete : 1; /* the parser stands behind a message */
	bool keep_alive : 1; /* what the client wants */
	bool close : 1; /* the reply is the last one */
	bool busy : 1; /* a callback is using us: do not free */
};

struct server {
	struct event_base *base;
	struct evconnlistener *listener;
	const struct server_ops *ops;
	void *arg;
	TAILQ_HEAD(, conn) conns;
	http_parser_settings settings;
	time_t date_at; /* the second that date holds */
	char date[40];
	char version[64]; /* a complete header line, or "" */
	char buffer[READ_SIZE];
};

int64_t
server_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec);
}

/* Frees a connection that is to be closed, unless a callback still uses it.
 * False when it is gone. */
static bool
conn_settle(struct conn *c)
{
	if (c->state != CONN_CLOSING || c->busy)
		return (true);
	TAILQ_REMOVE(&c->server->conns, c, entry);
	(void)event_del(&c->writable);
	(void)event_del(&c->readable);
	(void)close(event_get_fd(&c->readable));
	bytes_fini(&c->body);
	bytes_fini(&c->held);
	bytes_fini(&c->out);
	free(c);
	return (false);
}

/* The peer is gone or broken. */
static void
conn_lost(struct conn *c)
{
	const enum conn_state was = c->state;

	c->state = CONN_CLOSING;
	if (was == CONN_WAITING)
		c->server->ops->gone(c, c->server->arg);
}

/* ---- the parser's callbacks ---- */

static int
on_begin(http_parser *p)
{
	struct conn *c = p->data;

	c->url[0] = c->field[0] = c->token[0] = c->sender[0] = '\0';
	c->body.len = 0;
	c->field_done = c->url_cut = c->too_large = c->expects = false;
	return (0);
}

/* Appends to a terminated buffer; false when it had to be cut. */
static bool
put(char *buf, size_t size, const char *at, size_t len)
{
	const size_t used = strlen(buf);
	const bool fits = len < size - used;

	if (!fits)
		len = size - used - 1;
	memcpy(buf + used, at, len);
	buf[used + len] = '\0';
	return (fits);
}

static int
on_url(http_parser *p, const char *at, size_t len)
{
	struct conn *c = p->data;

	if (!put(c->url, sizeof(c->url), at, len))
		c->url_cut = true;
	return (0);
}

static int
on_field(http_parser *p, const char *at, size_t len)
{
	struct conn *c = p->data;

	if (c->field_done)
		c->field[0] = '\0';
	c->field_done = false;
	(void)put(c->field, sizeof(c->field), at, len);
	return (0);
}

static int
on_value(http_parser *p, const char *at, size_t len)
{
	struct conn *c = p->data;

	c->field_done = true;
	/* The three names that matter differ in their ninth letter at last;
	 * most headers are dismissed by the first two. */
	if ((c->field[0] | 0x20) == 'x') {
		if (strcasecmp(c->field, "x-worker-token") == 0)
			(void)put(c->token, sizeof(c->token), at, len);
		else if (strcasecmp(c->field, "x-worker-id") == 0)
			(void)put(c->sender, sizeof(c->sender), at, len);
	} else if (strcasecmp(c->field, "expect") == 0)
		c->expects = true;
	return (0);
}

static int
on_headers(http_parser *p)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct conn *c = p->data;
	ssize_t n;

	if (!c->expects)
		return (0);
	/* Nothing is being written, so 25 bytes find room in the socket. */
	n = write(event_get_fd(&c->readable), go_on, sizeof(go_on) - 1);
	return (n == (ssize_t)sizeof(go_on) - 1 ? 0 : -1);
}

static int
on_body(http_parser *p, const char *at, size_t len)
{
	struct conn *c = p->data;

	if (c->body.len + len > SERVER_MAX_BODY) {
		c->too_large = true;
		return (0);
	}
	bytes_append(&c->body, at, len);
	return (bytes_failed(&c->body) ? -1 : 0);
}

static int
on_complete(http_parser *p)
{
	struct conn *c = p->data;

	c->complete = true;
	c->keep_alive = http_should_keep_alive(p) != 0 && !p->upgrade;
	http_parser_pause(p, 1);
	return (0);
}

/* ---- replies ---- */

static void
conn_write(struct conn *c)
{
	static const char filler[READ_SIZE] = { 0 };
	const int fd = event_get_fd(&c->readable);
	const char *p;
	size_t left;
	ssize_t n;

	while ((left = c->out.len - c->out_done) + c->filler_left > 0) {
		p = left > 0 ? c->out.p + c->out_done : filler;
		if (left == 0)
			left = c->filler_left < sizeof(filler) ?
			    c->filler_left :
			    sizeof(filler);
		n = send(fd, p, left, MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN) {
			c->state = CONN_WRITING;
			(void)event_add(&c->writable, NULL);
			return;
		}
		if (n == -1) {
			conn_lost(c);
			return;
		}
		if (c->out_done < c->out.len)
			c->out_done += (size_t)n;
		else
			c->filler_left -= (size_t)n;
	}
	c->out.len = c->out_done = 0;
	c->state = c->close ? CONN_CLOSING : CONN_READING;
	if (c->held.len > 0 && c->state == CONN_READING && !c->busy)
		event_active(&c->readable, EV_READ, 0);
}

static const char *
status_text(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} texts[] = {
#define STATUS_ROW(num, name, string) { num, #string },
		HTTP_STATUS_MAP(STATUS_ROW)
#undef STATUS_ROW
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].status == status)
			return (texts[i].text);
	return ("Unknown");
}

static const char *
server_date(struct server *s)
{
	const time_t now = time(NULL);
	struct tm tm;

	if (now != s->date_at) {
		s->date_at = now;
		(void)gmtime_r(&now, &tm);
		(void)strftime(
		    s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	return (s->date);
}

void
conn_reply(struct conn *c, const struct reply *r)
{
	struct server *s = c->server;
	const bool bodiless = r->status == 204 || r->status == 304;
	char head[512];
	int n;

	c->close = r->close || !c->keep_alive;
	n = snprintf(head, sizeof(head), "HTTP/1.1 %u %s\r\n%sDate: %s\r\n%s%s",
	    r->status, r->status == 200 ? "OK" : status_text(r->status),
	    s->version, server_date(s), r->headers == NULL ? "" : r->headers,
	    c->close ? "Connection: close\r\n" : "");
	if (n < 0 || (size_t)n >= sizeof(head)) {
		conn_drop(c);
		return;
	}
	bytes_append(&c->out, head, (size_t)n);
	if (!bodiless) {
		n = snprintf(head, sizeof(head),
		    "Content-Type: %s\r\nContent-Length: %zu\r\n",
		    r->content_type == NULL ?
			"application/json; charset=utf-8" :
			r->content_type,
		    r->body_len + r->pretend_len);
		bytes_append(&c->out, head, (size_t)n);
	}
	bytes_append(&c->out, "\r\n", 2);
	if (!bodiless)
		bytes_append(&c->out, r->body, r->body_len);
	if (bytes_failed(&c->out)) {
		conn_drop(c);
		return;
	}
	c->filler_left = r->filler_len;
	c->state = CONN_READING;
	conn_write(c);
	(void)conn_settle(c);
}

void
conn_hang(struct conn *c)
{
	c->state = CONN_HANGING;
}

void
conn_drop(struct conn *c)
{
	c->state = CONN_CLOSING;
	(void)conn_settle(c);
}

void
conn_set_data(struct conn *c, void *data)
{
	c->data = data;
}

void *
conn_data(const struct conn *c)
{
	return (c->data);
}

/* ---- requests ---- */

static void
conn_refuse(struct conn *c, unsigned status, const char *text)
{
	c->keep_alive = false;
	conn_reply(c,
	    &(struct reply){ .status = status,
		.content_type = "text/plain",
		.body = text,
		.body_len = strlen(text) });
}

static void
conn_handle(struct conn *c)
{
	const struct request r = {
		.method = http_method_str(c->parser.method),
		.path = c->url,
		.token = c->token,
		.sender = c->sender,
		.body = c->body.len == 0 ? "" : c->body.p,
		.body_len = c->body.len,
		.arrived_ns = server_now_ns(),
		.too_large = c->too_large,
	};

	c->complete = false;
	c->state = CONN_WAITING;
	if (c->url_cut) {
		conn_refuse(c, 414, "414: URI Too Long");
		return;
	}
	c->url[strcspn(c->url, "?")] = '\0';
	c->server->ops->request(c, &r, c->server->arg);
}

/* Parses up to the end of a message and has it answered. Returns how many
 * bytes are used up. */
static size_t
conn_parse(struct conn *c, const char *p, size_t len)
{
	size_t n;

	http_parser_pause(&c->parser, 0);
	n = http_parser_execute(&c->parser, &c->server->settings, p, len);
	if (c->complete)
		conn_handle(c);
	else if (HTTP_PARSER_ERRNO(&c->parser) != HPE_OK) {
		conn_refuse(c, 400, "400: Bad Request");
		c->state = CONN_CLOSING;
	}
	return (n);
}

/* Takes bytes in: parsed as far as requests can be answered, held beyond. */
static void
conn_take(struct conn *c, const char *p, size_t len)
{
	size_t done = 0;

	while (done < len && c->state == CONN_READING)
		done += conn_parse(c, p + done, len - done);
	if (done == len || c->state == CONN_CLOSING || c->state == CONN_HANGING)
		return;
	bytes_append(&c->held, p + done, len - done);
	if (bytes_failed(&c->held) || c->held.len > HELD_MAX)
		conn_lost(c);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	struct bytes held;
	ssize_t n;

	(void)what;
	c->busy = true;
	if (c->held.len > 0 && c->state == CONN_READING) {
		held = bytes_take(&c->held);
		conn_take(c, held.p, held.len);
		bytes_fini(&held);
	}
	n = read(fd, c->server->buffer, sizeof(c->server->buffer));
	if (n > 0 && c->state == CONN_READING && c->held.len == 0)
		conn_take(c, c->server->buffer, (size_t)n);
	else if (n > 0 && c->state != CONN_HANGING) {
		bytes_append(&c->held, c->server->buffer, (size_t)n);
		if (bytes_failed(&c->held) || c->held.len > HELD_MAX)
			conn_lost(c);
	} else if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
		conn_lost(c);
	c->busy = false;
	(void)conn_settle(c);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	conn_write(c);
	(void)conn_settle(c);
}

static void
on_accept(struct evconnlistener *listener, evutil_socket_t fd,
    struct sockaddr *address, int len, void *arg)
{
	struct server *s = arg;
	struct conn *c;
	const int on = 1;

	(void)listener;
	(void)address;
	(void)len;
	if ((c = calloc(1, sizeof(*c))) == NULL) {
		(void)close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->server = s;
	http_parser_init(&c->parser, HTTP_REQUEST);
	c->parser.data = c;
	TAILQ_INSERT_TAIL(&s->conns, c, entry);
	if (event_assign(&c->readable, s->base, fd, EV_READ | EV_PERSIST,
		on_readable, c) == -1 ||
	    event_assign(&c->writable, s->base, fd, EV_WRITE, on_writable, c) ==
		-1 ||
	    event_add(&c->readable, NULL) == -1)
		conn_drop(c);
}

/* libevent takes port 0 only as no port at all. */
static int
parse_address(const char *text, struct sockaddr_storage *ss, int *len)
{
	char copy[64];
	size_t n = strlcpy(copy, text, sizeof(copy));

	if (n >= sizeof(copy))
		return (-1);
	if (n > 2 && strcmp(copy + n - 2, ":0") == 0)
		copy[n - 2] = '\0';
	return (evutil_parse_sockaddr_port(copy, (struct sockaddr *)ss, len));
}

struct server *
server_new(struct event_base *base, const char *address, const char *version,
    const struct server_ops *ops, void *arg, struct why *why)
{
	struct sockaddr_storage ss;
	struct server *s;
	int len = sizeof(ss);

	if (parse_address(address, &ss, &len) == -1) {
		why_set(why, "%s is no ADDRESS:PORT", address);
		return (NULL);
	}
	if ((s = calloc(1, sizeof(*s))) == NULL) {
		why_errno(why, "server");
		return (NULL);
	}
	TAILQ_INIT(&s->conns);
	s->base = base;
	s->ops = ops;
	s->arg = arg;
	s->settings = (http_parser_settings){
		.on_message_begin = on_begin,
		.on_url = on_url,
		.on_header_field = on_field,
		.on_header_value = on_value,
		.on_headers_complete = on_headers,
		.on_body = on_body,
		.on_message_complete = on_complete,
	};
	if (version != NULL)
		(void)snprintf(s->version, sizeof(s->version),
		    "X-RXON-Version: %s\r\n", version);
	s->listener = evconnlistener_new_bind(base, on_accept, s,
	    LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_CLOSE_ON_FREE,
	    -1, (struct sockaddr *)&ss, len);
	if (s->listener == NULL) {
		why_errno(why, "cannot listen on %s", address);
		free(s);
		return (NULL);
	}
	return (s);
}

unsigned
server_port(const struct server *s)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getsockname(evconnlistener_get_fd(s->listener),
		(struct sockaddr *)&ss, &len) == -1)
		return (0);
	if (ss.ss_family == AF_INET6)
		return (ntohs(((struct sockaddr_in6 *)&ss)->sin6_port));
	return (ntohs(((struct sockaddr_in *)&ss)->sin_port));
}

void
server_free(struct server *s)
{
	struct conn *c;

	if (s == NULL)
		return;
	evconnlistener_free(s->listener);
	while ((c = TAILQ_FIRST(&s->conns)) != NULL)
		conn_drop(c);
	free(s);
}
