/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "supervisor/base/clock.h"
#include "tests/fuzz/fake_http.h"

static struct http_call *first;

struct http_call *
fake_http_first(void)
{
	return (first);
}

static void
take_out(struct http_call *call)
{
	struct http_call **at = &first;

	while (*at != call) {
		if (*at == NULL)
			abort();
		at = &(*at)->next;
	}
	*at = call->next;
}

static void
call_free(struct http_call *call)
{
	bytes_fini(&call->body);
	free(call);
}

void
fake_http_answer(struct http_call *call, struct http_reply *reply)
{
	take_out(call);
	reply->call = call;
	reply->kind = call->kind;
	reply->took_ms = clock_now_ms() - call->begun_ms;
	call->done(reply, call->arg);
	call_free(call);
}

struct http_call *
http_start(struct http *h, struct http_request *request, http_done done,
    void *arg, struct why *why)
{
	struct http_call *call = calloc(1, sizeof(*call)), **at = &first;

	(void)h;
	(void)why;
	if (call == NULL)
		abort();
	call->kind = request->kind;
	call->body = bytes_take(&request->body);
	call->begun_ms = clock_now_ms();
	call->until_ms = call->begun_ms + request->timeout_ms;
	call->done = done;
	call->arg = arg;
	while (*at != NULL)
		at = &(*at)->next;
	*at = call;
	fake_http_on_start(call);
	return (call);
}

/* Some are cancelled before they have a connection. */
bool
http_is_sent(const struct http_call *call)
{
	return (call->begun_ms % 4 != 0);
}

void
http_cancel(struct http_call *call)
{
	take_out(call);
	fake_http_on_cancel(call);
	call_free(call);
}

/* All that is asked for is which dialect is spoken, and that is known. */
const char *
http_reply_header(const struct http_reply *reply, const char *name)
{
	(void)reply;
	(void)name;
	return (NULL);
}

int64_t
http_reply_date_ms(const struct http_reply *reply)
{
	(void)reply;
	return (-1);
}

int64_t
http_reply_retry_after_ms(const struct http_reply *reply)
{
	return (reply->retry_after != NULL ?
		strtol(reply->retry_after, NULL, 10) * 1000 :
		-1);
}
