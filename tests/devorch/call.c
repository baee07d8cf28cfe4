/* SPDX-License-Identifier: ISC */
#include <string.h>

#include <bsd/string.h>

#include "child/bytes.h"
#include "tests/devorch/call.h"
#include "tests/devorch/envelope.h"
#include "tests/devorch/server.h"
#include "tests/devorch/stats.h"

static const struct jscan_limits body_limits = {
	.max_bytes = SERVER_MAX_BODY,
	.max_depth = 101,
	.max_tokens = 1000000,
};

/* ---- answers ---- */

void
call_answer(const struct call *call, unsigned status, const char *body)
{
	fault_reply(call->conn, call->step,
	    &(struct reply){
		.status = status, .body = body, .body_len = strlen(body) });
}

void
call_error(const struct call *call, unsigned status, const char *text)
{
	struct bytes body = { 0 };

	bytes_puts(&body, "{\"error\":");
	bytes_put_json(&body, text, strlen(text));
	bytes_puts(&body, "}");
	if (bytes_failed(&body))
		conn_drop(call->conn);
	else
		fault_reply(call->conn, call->step,
		    &(struct reply){ .status = status,
			.body = body.p,
			.body_len = body.len });
	bytes_fini(&body);
}

void
call_text(const struct call *call, unsigned status, const char *text)
{
	fault_reply(call->conn, call->step,
	    &(struct reply){ .status = status,
		.content_type = "text/plain",
		.body = text,
		.body_len = strlen(text) });
}

/* ---- what a request says ---- */

bool
call_string(
    const struct jslice *object, const char *name, char *buf, size_t size)
{
	struct jslice value;
	ssize_t len;

	buf[0] = '\0';
	if (!jscan_get(object, name, &value))
		return (true);
	len = jscan_string(&value, buf, size);
	return (len == -1 || (size_t)len < size);
}

bool
call_read(struct call *call)
{
	const struct request *r = call->request;
	struct jscan_error error;
	struct why why;

	if (jscan_check(
		r->body, r->body_len, &body_limits, &call->root, &error) == 0 &&
	    call->root.type == JSCAN_OBJECT)
		return (true);
	call->api->stats->malformed++;
	if (call->root.p != NULL)
		why_set(&why, "the body is no object");
	else if (call->api->options->rxon)
		why_set(&why, "%s: char %zu", error.text, error.at);
	else
		why_set(&why, "Invalid JSON body");
	call_error(call, 400, why.text);
	return (false);
}

bool
call_check_sender(struct call *call, const char *const *ignore)
{
	const struct api_options *o = call->api->options;
	const struct request *r = call->request;
	struct envelope_fault fault;
	char id[CALL_ID_SIZE];

	if (!call_string(&call->root, "worker_id", id, sizeof(id)) ||
	    strpbrk(id, "\"\\/") != NULL) {
		call->api->stats->malformed++;
		call_error(call, 400, "Invalid worker_id");
		return (false);
	}
	if (call->worker[0] == '\0')
		(void)strlcpy(call->worker, id[0] != '\0' ? id : r->sender,
		    sizeof(call->worker));
	if (!o->rxon)
		return (true);
	if ((id[0] != '\0' && strcmp(id, call->worker) != 0) ||
	    (r->sender[0] != '\0' && strcmp(r->sender, call->worker) != 0)) {
		call->api->stats->refused++;
		call_error(call, 403, "Immediate sender ID mismatch");
		return (false);
	}
	if (o->verify &&
	    envelope_check(r->body, r->body_len, &call->root, call->worker,
		o->token == NULL ? "" : o->token, ignore, &fault) == -1) {
		call->api->stats->refused++;
		call_error(call, fault.status, fault.text);
		return (false);
	}
	return (true);
}
