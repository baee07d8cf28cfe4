/* SPDX-License-Identifier: ISC */
/*
 * stream.c: libcurl connects (CURLOPT_CONNECT_ONLY), then its curl_easy_send()
 * and curl_easy_recv() are called when the loop says that the socket is ready.
 * Each has a multi handle of its own: in one that is shared, libcurl takes the
 * connection for an idle one and closes it when it is a minute old, or when
 * there are many others. The handle stays in there as long as the connection
 * lives, because libcurl finds it that way.
 * The callbacks are made from on_readable() and on_writable() only.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "child/bytes.h"
#include "supervisor/orchestrator/curl_set.h"
#include "supervisor/orchestrator/multi.h"
#include "supervisor/orchestrator/stream.h"
#include "supervisor/orchestrator/tls.h"

#define READ_BYTES 16384
#define READS_MAX  8 /* in one turn of the loop; others want theirs */

struct stream {
	struct multi *multi;
	CURL *easy;
	const struct stream_ops *ops;
	void *arg;
	struct event_base *loop;
	struct event readable; /* of the socket, once it is connected */
	struct event writable; /* while there is something to be sent */
	struct bytes out; /* to be sent */
	size_t sent; /* bytes of it that are */
	CURLcode code; /* why it has ended */
	char error[CURL_ERROR_SIZE]; /* libcurl's text; or "" */
	bool secure : 1; /* over TLS */
	bool nameless : 1; /* without a certificate of ours */
	bool connected : 1;
	bool calling : 1; /* a callback is running */
	bool dropped : 1; /* and has freed it */
};

static void
destroy(struct stream *s)
{
	if (s->easy != NULL && s->multi != NULL)
		(void)curl_multi_remove_handle(multi_handle(s->multi), s->easy);
	if (s->easy != NULL)
		curl_easy_cleanup(s->easy);
	multi_free(s->multi);
	if (event_initialized(&s->readable))
		(void)event_del(&s->readable);
	if (event_initialized(&s->writable))
		(void)event_del(&s->writable);
	bytes_fini(&s->out);
	free(s);
}

/* Says how it has ended. */
static void
end(struct stream *s, CURLcode code)
{
	const char *error = NULL;

	(void)event_del(&s->readable);
	if (event_initialized(&s->writable))
		(void)event_del(&s->writable);
	if (code != CURLE_OK &&
	    (!s->secure ||
		(error = tls_explain(code, s->error, s->nameless)) == NULL))
		error = curl_easy_strerror(code);
	s->ops->ended(error, s->arg);
}

/*
 * Bytes.
 */

static void
read_some(struct stream *s)
{
	char buf[READ_BYTES];
	CURLcode rc;
	size_t n;
	int i;

	for (i = 0; i < READS_MAX; i++) {
		rc = curl_easy_recv(s->easy, buf, sizeof(buf), &n);
		if (rc == CURLE_AGAIN)
			return;
		if (rc != CURLE_OK || n == 0) {
			end(s, rc);
			return;
		}
		s->ops->received(buf, n, s->arg);
		if (s->dropped)
			return;
	}
	/* TLS may have read more than it has given us. */
	event_active(&s->readable, EV_READ, 0);
}

static void
write_some(struct stream *s)
{
	CURLcode rc;
	size_t n;

	while (s->sent < s->out.len) {
		rc = curl_easy_send(
		    s->easy, s->out.p + s->sent, s->out.len - s->sent, &n);
		if (rc == CURLE_AGAIN)
			return;
		if (rc != CURLE_OK) {
			end(s, rc);
			return;
		}
		s->sent += n;
	}
	s->sent = 0;
	bytes_fini(&s->out);
	(void)event_del(&s->writable);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;
	bool alive = s->code == CURLE_OK;

	(void)fd;
	s->calling = true;
	if (!alive)
		end(s, s->code);
	else if (!s->connected) {
		s->connected = true;
		s->ops->connected(s->arg);
	}
	if (alive && !s->dropped && (what & EV_READ))
		read_some(s);
	s->calling = false;
	if (s->dropped)
		destroy(s);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	(void)fd;
	(void)what;
	s->calling = true;
	write_some(s);
	s->calling = false;
	if (s->dropped)
		destroy(s);
}

/* The end, told from the loop. */
static void
fail_soon(struct stream *s, CURLcode code)
{
	s->code = code;
	event_active(&s->readable, EV_TIMEOUT, 0);
}

void
stream_put(struct stream *s, const char *p, size_t len)
{
	bytes_append(&s->out, p, len);
	if (bytes_failed(&s->out) || event_add(&s->writable, NULL) == -1)
		fail_soon(s, CURLE_OUT_OF_MEMORY);
}

size_t
stream_unsent(const struct stream *s)
{
	return (s->out.len - s->sent);
}

/*
 * Beginning and end.
 */

/* Connected, or not: told from the loop, when libcurl has returned. */
static void
on_tried(CURL *easy, CURLcode code, void *arg)
{
	struct stream *s = arg;
	curl_socket_t fd = CURL_SOCKET_BAD;

	if (code == CURLE_OK)
		code = curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd);
	if (code != CURLE_OK ||
	    event_assign(&s->writable, s->loop, fd, EV_WRITE | EV_PERSIST,
		on_writable, s) == -1 ||
	    event_assign(&s->readable, s->loop, fd, EV_READ | EV_PERSIST,
		on_readable, s) == -1 ||
	    event_add(&s->readable, NULL) == -1) {
		fail_soon(s, code != CURLE_OK ? code : CURLE_OUT_OF_MEMORY);
		return;
	}
	/* The server may have spoken first. */
	event_active(&s->readable, EV_READ, 0);
}

static CURLcode
set_up(struct stream *s, const char *url, const struct tls *tls)
{
	CURL *e = s->easy;
	CURLcode rc = multi_set_up(e);

	CURL_SET(rc, e, CURLOPT_URL, url);
	CURL_SET(rc, e, CURLOPT_CONNECT_ONLY, 1L);
	CURL_SET(rc, e, CURLOPT_ERRORBUFFER, s->error);
	s->secure = strncasecmp(url, "https:", 6) == 0;
	if (rc == CURLE_OK && s->secure) {
		s->nameless = tls == NULL || tls->cert == NULL;
		rc = tls_apply(e, tls);
	}
	return (rc);
}

struct stream *
stream_new(struct event_base *loop, const char *url, const struct tls *tls,
    const struct stream_ops *ops, void *arg, struct why *why)
{
	CURLcode rc = CURLE_OUT_OF_MEMORY;
	CURLMcode mrc = CURLM_OK;
	struct stream *s;

	if ((s = calloc(1, sizeof(*s))) == NULL) {
		why_errno(why, "connection");
		return (NULL);
	}
	s->loop = loop;
	s->ops = ops;
	s->arg = arg;
	if (event_assign(&s->readable, loop, -1, 0, on_readable, s) == -1) {
		why_set(why, "no memory for a connection");
		goto fail;
	}
	if ((s->multi = multi_new(loop, on_tried, s, why)) == NULL)
		goto fail;
	if (multi_make_room(s->multi) == -1 ||
	    (s->easy = curl_easy_init()) == NULL ||
	    (rc = set_up(s, url, tls)) != CURLE_OK ||
	    (mrc = curl_multi_add_handle(multi_handle(s->multi), s->easy)) !=
		CURLM_OK) {
		why_set(why, "libcurl: %s",
		    rc != CURLE_OK ? curl_easy_strerror(rc) :
				     curl_multi_strerror(mrc));
		goto fail;
	}
	return (s);

fail:
	destroy(s);
	return (NULL);
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	if (s->calling)
		s->dropped = true;
	else
		destroy(s);
}
