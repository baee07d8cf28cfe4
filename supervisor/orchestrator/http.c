/* SPDX-License-Identifier: ISC */
/*
 * http.c: requests on one multi handle. Easy handles are kept and used again:
 * setting one up costs more than a request. Callbacks of calls are made from
 * on_ended() only, when libcurl has returned, so that they may start and cancel
 * calls.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <bsd/sys/queue.h>
#include <curl/curl.h>

#include "supervisor/base/clock.h"
#include "supervisor/orchestrator/curl_set.h"
#include "supervisor/orchestrator/http.h"
#include "supervisor/orchestrator/http_parts.h"
#include "supervisor/orchestrator/multi.h"
#include "supervisor/orchestrator/tls.h"

#define KEEP_BODY          (64u * 1024) /* larger buffers are given back */
#define KEEP_CONNECTIONS   64L
/* Idle ones are closed then: before the server does, at the moment when we
 * send something. Looked for when a request starts. */
#define KEEP_IDLE_S        60L
#define RETRY_AFTER_MAX_MS ((int64_t)3600 * 1000)

struct http_call {
	TAILQ_ENTRY(http_call) entry; /* http->busy or http->free */
	struct http *http;
	CURL *easy;
	http_done done;
	void *arg;
	const char *kind; /* of http_request */
	struct bytes request; /* body */
	size_t sent; /* bytes of it that libcurl has read */
	struct bytes reply;
	int64_t started_ms;
	char error[CURL_ERROR_SIZE]; /* libcurl's text; or "" */
	bool too_large : 1;
	bool secure : 1; /* over TLS */
	bool nameless : 1; /* without a certificate of ours */
};

struct http {
	struct multi *multi;
	TAILQ_HEAD(, http_call) busy;
	TAILQ_HEAD(, http_call) free;
};

static const char *
header_of(CURL *easy, const char *name)
{
	struct curl_header *header;

	if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) !=
	    CURLHE_OK)
		return (NULL);
	return (header->value);
}

/* False when there are several lengths, which libcurl takes the last of, or one
 * that is no number: who knows then what the body is. */
static bool
has_one_length(CURL *easy)
{
	struct curl_header *header;
	char first[24] = "";
	size_t i, count = 1;

	for (i = 0; i < count; i++) {
		if (curl_easy_header(easy, "Content-Length", i, CURLH_HEADER,
			-1, &header) != CURLHE_OK)
			break;
		count = header->amount;
		if (i == 0)
			(void)snprintf(
			    first, sizeof(first), "%s", header->value);
		if (strcmp(header->value, first) != 0 || first[0] == '\0' ||
		    first[strspn(first, "0123456789")] != '\0')
			return (false);
	}
	return (true);
}

static void
call_finish(struct http_call *call, CURLcode code)
{
	struct http *h = call->http;
	struct http_reply reply = {
		.call = call,
		.kind = call->kind,
		.body = "",
		.timed_out = code == CURLE_OPERATION_TIMEDOUT,
		.sent = http_is_sent(call),
	};

	(void)curl_multi_remove_handle(multi_handle(h->multi), call->easy);
	if (code == CURLE_OK && !has_one_length(call->easy))
		reply.error = "the reply's Content-Length makes no sense";
	else if (code == CURLE_OK) {
		(void)curl_easy_getinfo(
		    call->easy, CURLINFO_RESPONSE_CODE, &reply.status);
		reply.date = header_of(call->easy, "Date");
		reply.retry_after = header_of(call->easy, "Retry-After");
	} else if (call->too_large)
		reply.error = "the reply is larger than 8 MiB";
	else if (!call->secure ||
	    (reply.error = tls_explain(code, call->error, call->nameless)) ==
		NULL)
		reply.error = curl_easy_strerror(code);
	if (reply.error == NULL && call->reply.len > 0) {
		reply.body = call->reply.p;
		reply.body_len = call->reply.len;
	}
	reply.took_ms = clock_now_ms() - call->started_ms;
	call->done(&reply, call->arg);

	TAILQ_REMOVE(&h->busy, call, entry);
	TAILQ_INSERT_HEAD(&h->free, call, entry);
	bytes_fini(&call->request);
	if (call->reply.size > KEEP_BODY)
		bytes_fini(&call->reply);
}

/* A call has ended. */
static void
on_ended(CURL *easy, CURLcode code, void *arg)
{
	struct http_call *call;

	(void)arg;
	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call);
	call_finish(call, code);
}

static size_t
on_body(char *p, size_t size, size_t count, void *arg)
{
	struct http_call *call = arg;
	const size_t len = size * count;

	if (len > HTTP_REPLY_MAX - call->reply.len) {
		call->too_large = true;
		return (CURL_WRITEFUNC_ERROR);
	}
	bytes_append(&call->reply, p, len);
	return (bytes_failed(&call->reply) ? CURL_WRITEFUNC_ERROR : len);
}

/* Gives libcurl the body of a request that must go out once. There is no way
 * back for it in this; with a body in memory it would send the request a second
 * time, on its own and unseen, when a kept connection turns out to be closed.
 * It costs one more system call, so other requests go without. */
static size_t
on_read(char *p, size_t size, size_t count, void *arg)
{
	struct http_call *call = arg;
	size_t len = size * count;

	if (len > call->request.len - call->sent)
		len = call->request.len - call->sent;
	if (len > 0)
		memcpy(p, call->request.p + call->sent, len);
	call->sent += len;
	return (len);
}

/* Everything about a handle that no request changes. */
static CURLcode
set_up(struct http_call *call)
{
	CURL *e = call->easy;
	CURLcode rc = multi_set_up(e);

	CURL_SET(rc, e, CURLOPT_PRIVATE, call);
	CURL_SET(rc, e, CURLOPT_WRITEFUNCTION, on_body);
	CURL_SET(rc, e, CURLOPT_WRITEDATA, call);
	CURL_SET(rc, e, CURLOPT_READFUNCTION, on_read);
	CURL_SET(rc, e, CURLOPT_READDATA, call);
	CURL_SET(rc, e, CURLOPT_MAXAGE_CONN, KEEP_IDLE_S);
	CURL_SET(rc, e, CURLOPT_ERRORBUFFER, call->error);
	CURL_SET(rc, e, CURLOPT_USERAGENT, "avtoworker");
	return (rc);
}

static struct http_call *
call_new(struct http *h, struct why *why)
{
	struct http_call *call;
	CURLcode rc = CURLE_OUT_OF_MEMORY;

	if ((call = TAILQ_FIRST(&h->free)) != NULL) {
		TAILQ_REMOVE(&h->free, call, entry);
		call->reply.len = 0;
		call->reply.failed = false;
		call->too_large = false;
		return (call);
	}
	if ((call = calloc(1, sizeof(*call))) == NULL) {
		why_errno(why, "cannot make a request");
		return (NULL);
	}
	call->http = h;
	if (multi_make_room(h->multi) == -1 ||
	    (call->easy = curl_easy_init()) == NULL ||
	    (rc = set_up(call)) != CURLE_OK) {
		why_set(why, "libcurl: %s", curl_easy_strerror(rc));
		if (call->easy != NULL)
			curl_easy_cleanup(call->easy);
		free(call);
		return (NULL);
	}
	return (call);
}

static void
call_free(struct http_call *call)
{
	curl_easy_cleanup(call->easy);
	bytes_fini(&call->request);
	bytes_fini(&call->reply);
	free(call);
}

/* What differs from request to request. */
static CURLcode
set_request(struct http_call *call, const struct http_request *r)
{
	CURL *e = call->easy;
	CURLcode rc = CURLE_OK;

	CURL_SET(rc, e, CURLOPT_URL, r->url);
	CURL_SET(rc, e, CURLOPT_HTTPHEADER, http_headers_list(r->headers));
	CURL_SET(rc, e, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
	call->secure = strncasecmp(r->url, "https:", 6) == 0;
	if (rc == CURLE_OK && call->secure) {
		call->nameless = r->tls == NULL || r->tls->cert == NULL;
		rc = tls_apply(e, r->tls);
	}
	if (r->method == HTTP_GET) {
		CURL_SET(rc, e, CURLOPT_CUSTOMREQUEST, NULL);
		CURL_SET(rc, e, CURLOPT_HTTPGET, 1L);
	} else {
		CURL_SET(rc, e, CURLOPT_POST, 1L);
		CURL_SET(rc, e, CURLOPT_POSTFIELDS,
		    r->once                   ? NULL :
			call->request.len > 0 ? call->request.p :
						"");
		CURL_SET(rc, e, CURLOPT_POSTFIELDSIZE_LARGE,
		    (curl_off_t)call->request.len);
		CURL_SET(rc, e, CURLOPT_CUSTOMREQUEST,
		    r->method == HTTP_PATCH ? "PATCH" : NULL);
	}
	return (rc);
}

struct http_call *
http_start(struct http *h, struct http_request *r, http_done done, void *arg,
    struct why *why)
{
	struct http_call *call;
	CURLMcode mrc;
	CURLcode rc;

	if (bytes_failed(&r->body)) {
		why_set(why, "out of memory");
		goto fail;
	}
	if ((call = call_new(h, why)) == NULL)
		goto fail;
	call->done = done;
	call->arg = arg;
	call->kind = r->kind;
	call->request = bytes_take(&r->body);
	call->sent = 0;
	call->error[0] = '\0';
	call->started_ms = clock_now_ms();
	if ((rc = set_request(call, r)) != CURLE_OK) {
		why_set(why, "libcurl: %s", curl_easy_strerror(rc));
		call_free(call);
		return (NULL);
	}
	if ((mrc = curl_multi_add_handle(multi_handle(h->multi), call->easy)) !=
	    CURLM_OK) {
		why_set(why, "libcurl: %s", curl_multi_strerror(mrc));
		call_free(call);
		return (NULL);
	}
	TAILQ_INSERT_HEAD(&h->busy, call, entry);
	return (call);

fail:
	bytes_fini(&r->body);
	return (NULL);
}

bool
http_is_sent(const struct http_call *call)
{
	return (call->sent > 0);
}

void
http_cancel(struct http_call *call)
{
	struct http *h = call->http;

	(void)curl_multi_remove_handle(multi_handle(h->multi), call->easy);
	TAILQ_REMOVE(&h->busy, call, entry);
	call_free(call);
}

struct http *
http_new(struct event_base *base, struct why *why)
{
	struct http *h;

	if ((h = calloc(1, sizeof(*h))) == NULL) {
		why_errno(why, "http");
		return (NULL);
	}
	TAILQ_INIT(&h->busy);
	TAILQ_INIT(&h->free);
	if ((h->multi = multi_new(base, on_ended, h, why)) == NULL) {
		http_free(h);
		return (NULL);
	}
	if (curl_multi_setopt(multi_handle(h->multi), CURLMOPT_MAXCONNECTS,
		KEEP_CONNECTIONS) != CURLM_OK) {
		why_set(why, "libcurl cannot be set up");
		http_free(h);
		return (NULL);
	}
	return (h);
}

void
http_free(struct http *h)
{
	struct http_call *call;

	if (h == NULL)
		return;
	while ((call = TAILQ_FIRST(&h->busy)) != NULL)
		http_cancel(call);
	while ((call = TAILQ_FIRST(&h->free)) != NULL) {
		TAILQ_REMOVE(&h->free, call, entry);
		call_free(call);
	}
	multi_free(h->multi);
	free(h);
}

const char *
http_reply_header(const struct http_reply *reply, const char *name)
{
	return (header_of(reply->call->easy, name));
}

/* A date of a header, in ms since 1970; -1: none that makes sense. */
static int64_t
date_ms(const char *value)
{
	const time_t date = value != NULL ? curl_getdate(value, NULL) : -1;

	return (date > 0 ? (int64_t)date * 1000 : -1);
}

int64_t
http_reply_date_ms(const struct http_reply *reply)
{
	return (date_ms(reply->date));
}

int64_t
http_reply_retry_after_ms(const struct http_reply *reply)
{
	const char *value = reply->retry_after;
	int64_t ms, now_ms;
	char *end;

	if (value == NULL || *value == '\0')
		return (-1);
	ms = strtoll(value, &end, 10);
	if (*end == '\0') {
		if (ms > RETRY_AFTER_MAX_MS / 1000)
			return (RETRY_AFTER_MAX_MS);
		return (ms < 0 ? -1 : ms * 1000);
	}
	if ((ms = date_ms(value)) == -1)
		return (-1);
	/* Both by the server's clock, if it shows us that. */
	if ((now_ms = http_reply_date_ms(reply)) == -1)
		now_ms = clock_wall_ms();
	if (ms <= now_ms)
		return (0);
	return (ms - now_ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS :
						   ms - now_ms);
}
