/* SPDX-License-Identifier: ISC */
/*
 * metrics.c: the HTTP side of the figures, on evhttp. evhttp limits what a
 * client sends and how long it is silent, but neither how many clients there
 * are nor how long one may take in all. So each connection runs on a
 * bufferevent of which we hold a reference: evhttp takes its callbacks away
 * when it is done with it, and by that we know; one that is too old is shut
 * down, and while too many are there, further ones wait in the kernel.
 */
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bsd/sys/queue.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>

#include "child/bytes.h"
#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/conf.h"
#include "supervisor/edges/metrics.h"
#include "supervisor/edges/metrics_text.h"
#include "supervisor/edges/view.h"

#define DEFAULT_ADDRESS "127.0.0.1"
#define ANY_ADDRESS     "0.0.0.0"
#define DEFAULT_PORT    8083
#define BACKLOG         64
#define CONNECTIONS_MAX 32
#define CONNECTION_MS   ((int64_t)10 * 1000) /* from its begin to its end */
#define SILENCE_S       5
#define HEADERS_MAX     8192 /* bytes */
#define BODY_MAX        1024 /* bytes; we have no use for any */
#define INPUT_MAX       (64u * 1024) /* bytes that are read ahead */
#define SWEEP_MS        1000
#define JSON_TYPE       "application/json"
#define TEXT_TYPE       "text/plain; charset=utf-8"

struct connection {
	LIST_ENTRY(connection) entry;
	struct bufferevent *bev; /* one reference is ours */
	int64_t born_ms;
};

/* Somebody who waits for the figures of scripts. */
struct waiting {
	LIST_ENTRY(waiting) entry;
	struct evhttp_request *req; /* evhttp's while it has its connection */
	struct bytes body; /* what we count */
};

struct metrics {
	const struct view_ops *ops;
	void *arg;
	struct event_base *base;
	struct evhttp *http;
	struct evconnlistener *listener; /* evhttp's; NULL: not listening */
	struct event sweep;
	LIST_HEAD(, connection) connections;
	LIST_HEAD(, waiting) waiting;
	unsigned count;
	int64_t wall_offset_ms; /* clock_wall_ms() less clock_now_ms(), fixed,
				   so that times do not move about */
	char address[NI_MAXHOST + NI_MAXSERV + 4];
};

/*
 * Connections.
 */

static bool
is_over(const struct connection *c)
{
	bufferevent_data_cb on_read, on_write;
	bufferevent_event_cb on_event;

	bufferevent_getcb(c->bev, &on_read, &on_write, &on_event, NULL);
	return (on_read == NULL && on_write == NULL && on_event == NULL);
}

static void
forget(struct metrics *m, struct connection *c)
{
	LIST_REMOVE(c, entry);
	m->count--;
	(void)bufferevent_decref(c->bev);
	free(c);
}

/* Forgets what is over, ends what takes too long. */
static void
sweep(struct metrics *m, int64_t now_ms)
{
	struct connection *c, *next;

	for (c = LIST_FIRST(&m->connections); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		if (is_over(c))
			forget(m, c);
		else if (now_ms - c->born_ms >= CONNECTION_MS)
			/* evhttp sees the end of it and frees its side. */
			(void)shutdown(bufferevent_getfd(c->bev), SHUT_RDWR);
	}
	if (m->listener != NULL && m->count < CONNECTIONS_MAX)
		(void)evconnlistener_enable(m->listener);
}

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	sweep(arg, clock_now_ms());
}

/* evhttp wants a bufferevent for a connection it has accepted. NULL makes it
 * use one of its own: better uncounted than none when memory is short. */
static struct bufferevent *
on_connection(struct event_base *base, void *arg)
{
	struct metrics *m = arg;
	struct connection *c;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return (NULL);
	if ((c->bev = bufferevent_socket_new(
		 base, -1, BEV_OPT_CLOSE_ON_FREE)) == NULL) {
		free(c);
		return (NULL);
	}
	bufferevent_setwatermark(c->bev, EV_READ, 0, INPUT_MAX);
	bufferevent_incref(c->bev);
	c->born_ms = clock_now_ms();
	sweep(m, c->born_ms); /* before c, which has no callbacks yet */
	LIST_INSERT_HEAD(&m->connections, c, entry);
	if (++m->count >= CONNECTIONS_MAX)
		(void)evconnlistener_disable(m->listener);
	return (c->bev);
}

/* No descriptors, most likely: the next sweep tries again. */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	(void)arg;
	(void)evconnlistener_disable(listener);
}

/*
 * Requests.
 */

static void
free_bytes(const void *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	free(arg);
}

/* Takes the body, and shows no more than its length to a HEAD. */
static void
put_body(struct evhttp_request *req, struct bytes *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	char length[32];

	(void)snprintf(length, sizeof(length), "%zu", body->len);
	(void)evhttp_add_header(headers, "Content-Length", length);
	if (body->len == 0 ||
	    evhttp_request_get_command(req) == EVHTTP_REQ_HEAD ||
	    evbuffer_add_reference(evhttp_request_get_output_buffer(req),
		body->p, body->len, free_bytes, body->p) == -1)
		bytes_fini(body);
}

/* Takes the body. */
static void
reply(struct evhttp_request *req, int status, const char *type,
    struct bytes *body)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);

	if (bytes_failed(body)) {
		bytes_fini(body);
		status = HTTP_SERVUNAVAIL;
	}
	put_body(req, body);
	(void)evhttp_add_header(headers, "Content-Type", type);
	(void)evhttp_add_header(headers, "Cache-Control", "no-store");
	(void)evhttp_add_header(headers, "Connection", "close");
	if (status == HTTP_BADMETHOD)
		(void)evhttp_add_header(headers, "Allow", "GET, HEAD");
	evhttp_send_reply(req, status, NULL, NULL);
}

static void
reply_text(struct evhttp_request *req, int status, const char *text)
{
	struct bytes body = { 0 };

	bytes_puts(&body, text);
	reply(req, status, TEXT_TYPE, &body);
}

static bool
has_ready_child(const struct view *v)
{
	const struct category_view *c;
	size_t i;

	for (i = 0; i < v->categories_len; i++) {
		c = &v->categories[i];
		if (c->idle + c->busy > 0 ||
		    (c->min_children == 0 && c->offered && !c->retiring))
			return (true);
	}
	return (false);
}

int
metrics_readiness(const struct view *v, struct bytes *out)
{
	const char *separator = "";
	const struct failing_view *f;
	bool missing = false;
	size_t i;

	bytes_puts(out, "{\"missing\":[");
	if (strcmp(v->state, "running") != 0) {
		bytes_printf(out, "\"the worker is %s\"", v->state);
		separator = ",";
		missing = true;
	}
	if (!v->registered) {
		bytes_printf(
		    out, "%s\"not registered at the orchestrator\"", separator);
		separator = ",";
		missing = true;
	}
	if (v->journal_fails) {
		bytes_printf(
		    out, "%s\"the journal cannot be written\"", separator);
		separator = ",";
		missing = true;
	}
	if (!has_ready_child(v)) {
		bytes_printf(out, "%s\"no child is ready\"", separator);
		missing = true;
	}
	bytes_puts(out, "],\"failing\":[");
	for (i = 0; i < v->failing_len; i++) {
		f = &v->failing[i];
		bytes_puts(out, i > 0 ? ",{\"name\":" : "{\"name\":");
		bytes_put_json(out, f->name, strlen(f->name));
		bytes_puts(out, ",\"failure\":");
		bytes_put_json(out, f->failure, strlen(f->failure));
		bytes_puts(out, "}");
	}
	bytes_printf(out, "],\"paused\":%s,\"status\":\"%s\"}\n",
	    v->paused ? "true" : "false", missing ? "not ready" : "ready");
	return (missing ? HTTP_SERVUNAVAIL : HTTP_OK);
}

static void
end_waiting(struct waiting *w)
{
	LIST_REMOVE(w, entry);
	bytes_fini(&w->body);
	free(w);
}

/* The other figures have come. Who asked may be gone: evhttp has then taken
 * the connection away and left us the request. */
static void
on_figures(const char *text, size_t len, void *arg)
{
	struct waiting *w = arg;
	struct bytes body;

	metrics_append(&w->body, text, len);
	body = bytes_take(&w->body);
	if (evhttp_request_get_connection(w->req) != NULL)
		reply(w->req, HTTP_OK, METRICS_CONTENT_TYPE, &body);
	else {
		bytes_fini(&body);
		evhttp_request_free(w->req);
	}
	end_waiting(w);
}

static void
serve_metrics(
    struct metrics *m, struct evhttp_request *req, const struct view *v)
{
	struct bytes body = { 0 };
	struct waiting *w;

	metrics_text(&body, v, m->wall_offset_ms);
	if (m->ops->figures == NULL || (w = calloc(1, sizeof(*w))) == NULL) {
		reply(req, HTTP_OK, METRICS_CONTENT_TYPE, &body);
		return;
	}
	w->req = req;
	w->body = bytes_take(&body);
	LIST_INSERT_HEAD(&m->waiting, w, entry);
	m->ops->figures(on_figures, w, m->arg);
}

/* That we answer is what is asked: the loop turns. */
static void
serve_health(
    struct metrics *m, struct evhttp_request *req, const struct view *v)
{
	struct bytes body = { 0 };

	(void)m;
	bytes_printf(&body,
	    "{\"status\":\"ok\",\"state\":\"%s\",\"uptime_ms\":%" PRId64
	    ",\"journal\":",
	    v->state, clock_now_ms() - v->started_ms);
	bytes_put_json(&body, v->journal, strlen(v->journal));
	bytes_puts(&body, "}\n");
	reply(req, HTTP_OK, JSON_TYPE, &body);
}

static void
serve_ready(struct metrics *m, struct evhttp_request *req, const struct view *v)
{
	struct bytes body = { 0 };
	int status;

	(void)m;
	status = metrics_readiness(v, &body);
	reply(req, status, JSON_TYPE, &body);
}

static const struct {
	const char *path;
	void (*serve)(
	    struct metrics *, struct evhttp_request *, const struct view *);
} pages[] = {
	{ "/metrics", serve_metrics },
	{ "/health", serve_health },
	{ "/ready", serve_ready },
};

static void
on_request(struct evhttp_request *req, void *arg)
{
	struct metrics *m = arg;
	const enum evhttp_cmd_type method = evhttp_request_get_command(req);
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
	const struct view *view;
	size_t i;

	for (i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (path != NULL && strcmp(path, pages[i].path) == 0)
			break;
	if (i == sizeof(pages) / sizeof(pages[0]))
		reply_text(req, HTTP_NOTFOUND,
		    "there are /metrics, /health and /ready\n");
	else if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD)
		reply_text(req, HTTP_BADMETHOD, "GET and HEAD only\n");
	else if ((view = m->ops->look(m->arg)) == NULL)
		reply_text(req, HTTP_SERVUNAVAIL, "out of memory\n");
	else
		pages[i].serve(m, req, view);
}

/*
 * The socket.
 */

/* An address of numbers; caller frees with freeaddrinfo(). NULL and why. */
static struct addrinfo *
read_address(const char *address, int64_t port, struct why *why)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *ai;
	char service[16];
	int rc;

	(void)snprintf(service, sizeof(service), "%" PRId64, port);
	if ((rc = getaddrinfo(address, service, &hints, &ai)) == 0)
		return (ai);
	why_set(why, "metrics.address: %.100s is no IPv4 or IPv6 address: %s",
	    address, gai_strerror(rc));
	return (NULL);
}

/* A listening socket; -1 and why. */
static int
listen_at(const struct addrinfo *ai, const char *address, struct why *why)
{
	const int on = 1;
	int fd;

	fd = socket(
	    ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd != -1 &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return (fd);
	why_errno(why, "cannot serve metrics at %s", address);
	if (fd != -1)
		(void)close(fd);
	return (-1);
}

/* Gives evhttp a socket, which it takes; -1 and why. */
static int
serve_from(struct metrics *m, int fd, struct why *why)
{
	m->listener = evconnlistener_new(m->base, NULL, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (m->listener == NULL) {
		(void)close(fd);
		why_set(why, "no memory for the metrics' socket");
		return (-1);
	}
	if (evhttp_bind_listener(m->http, m->listener) == NULL) {
		evconnlistener_free(m->listener);
		m->listener = NULL;
		why_set(why, "no memory for the metrics' socket");
		return (-1);
	}
	evconnlistener_set_error_cb(m->listener, on_accept_error);
	return (0);
}

/* Everything about evhttp that no request changes; -1 and why. */
static int
set_up(struct metrics *m, struct why *why)
{
	const struct timeval tv = clock_timeval(SWEEP_MS);

	if ((m->http = evhttp_new(m->base)) == NULL ||
	    event_assign(&m->sweep, m->base, -1, EV_PERSIST, on_sweep, m) ==
		-1 ||
	    event_add(&m->sweep, &tv) == -1) {
		why_set(why, "no memory for the metrics");
		return (-1);
	}
	evhttp_set_max_headers_size(m->http, HEADERS_MAX);
	evhttp_set_max_body_size(m->http, BODY_MAX);
	evhttp_set_timeout(m->http, SILENCE_S);
	/* All: what evhttp refuses by itself is not a 405. */
	evhttp_set_allowed_methods(m->http, 0xffff);
	evhttp_set_default_content_type(m->http, NULL);
	evhttp_set_bevcb(m->http, on_connection, m);
	evhttp_set_gencb(m->http, on_request, m);
	return (0);
}

/* What is made of a port that cannot be had: 0 for a warning, -1 and why. */
static int
no_port(bool chosen, struct why *why)
{
	const struct why text = *why;

	if (chosen) {
		why_set(why,
		    "%.150s; set metrics.port (WORKER_PORT) to another port",
		    text.text);
		return (-1);
	}
	log_warn("%s; going on without metrics: set metrics.port (WORKER_PORT) "
		 "to a port that is free, or metrics.enabled to no",
	    text.text);
	return (0);
}

/* Listens, or says that it does not; -1 and why when it should. */
static int
open_port(struct metrics *m, const struct conf_metrics *conf, struct why *why)
{
	const bool chosen = conf->port != 0;
	const int64_t port = chosen ? conf->port : DEFAULT_PORT;
	const char *address = conf->address;
	struct addrinfo *ai;
	int fd;

	if (address == NULL)
		address = chosen ? ANY_ADDRESS : DEFAULT_ADDRESS;
	(void)snprintf(m->address, sizeof(m->address),
	    strchr(address, ':') != NULL ? "[%s]:%" PRId64 : "%s:%" PRId64,
	    address, port);
	if ((ai = read_address(address, port, why)) == NULL)
		return (-1);
	fd = listen_at(ai, m->address, why);
	freeaddrinfo(ai);
	if (fd == -1)
		return (no_port(chosen, why));
	if (set_up(m, why) == -1) {
		(void)close(fd);
		return (-1);
	}
	if (serve_from(m, fd, why) == -1)
		return (-1);
	log_info("metrics at http://%s/metrics", m->address);
	return (0);
}

struct metrics *
metrics_new(struct event_base *base, const struct conf_metrics *conf,
    const struct view_ops *ops, void *arg, struct why *why)
{
	struct metrics *m;

	if ((m = calloc(1, sizeof(*m))) == NULL) {
		why_errno(why, "metrics");
		return (NULL);
	}
	m->ops = ops;
	m->arg = arg;
	m->base = base;
	m->wall_offset_ms = clock_wall_ms() - clock_now_ms();
	LIST_INIT(&m->connections);
	LIST_INIT(&m->waiting);
	if (conf->enabled && open_port(m, conf, why) == -1) {
		metrics_free(m);
		return (NULL);
	}
	return (m);
}

const char *
metrics_address(const struct metrics *m)
{
	return (m->listener != NULL ? m->address : NULL);
}

void
metrics_free(struct metrics *m)
{
	struct connection *c;
	struct waiting *w;

	if (m == NULL)
		return;
	if (event_initialized(&m->sweep))
		(void)event_del(&m->sweep);
	while ((w = LIST_FIRST(&m->waiting)) != NULL) {
		if (evhttp_request_get_connection(w->req) == NULL)
			evhttp_request_free(w->req);
		end_waiting(w);
	}
	if (m->http != NULL)
		evhttp_free(m->http);
	while ((c = LIST_FIRST(&m->connections)) != NULL)
		forget(m, c);
	free(m);
}
