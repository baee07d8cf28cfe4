/* SPDX-License-Identifier: ISC */
/*
 * result.c: how a task ends: the result functions of the handler API, and the
 * results invented when a handler sets none or one that cannot be sent.
 *
 * Invariant: what task_result() returns is one valid JSON object no longer
 * than CHANNEL_FROM_CHILD_MAX, whatever the handler did.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "child/channel.h"
#include "child/handler.h"
#include "child/name.h"
#include "child/task.h"

#define METADATA_BYTES_MAX  65536
#define METADATA_TOKENS_MAX 2000

#define DATA_HEAD           "{\"status\":\"success\",\"data\":"

/* Needs no memory. */
static const char no_memory[] =
    "{\"status\":\"failure\",\"error\":{\"code\":\"RESOURCE_EXHAUSTED_ERROR\","
    "\"message\":\"out of memory while the result was put together\"}}";

static bool
code_is_sane(const char *code)
{
	size_t len;

	if (code == NULL)
		return (false);
	len = strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
	return (len > 0 && len <= TASK_CODE_MAX && code[len] == '\0');
}

/* Cuts text down to max bytes, not inside a character. */
static void
cut(char *text, size_t max)
{
	if (strlen(text) <= max)
		return;
	while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
		max--;
	text[max] = '\0';
}

/* Says behind the message that code cannot be used. */
static void
note_code(char message[TASK_MESSAGE_MAX + 8], const char *code)
{
	char note[TASK_CODE_MAX + 64];
	const int len = snprintf(note, sizeof(note),
	    " (the handler gave the malformed error code \"%.*s\")",
	    TASK_CODE_MAX, code != NULL ? code : "");

	if (len < 0 || (size_t)len >= sizeof(note))
		return;
	cut(message, TASK_MESSAGE_MAX - (size_t)len);
	memcpy(message + strlen(message), note, (size_t)len + 1);
}

void
task_set_error(struct aw_task *task, const char *status, const char *code,
    const char *text, const struct jslice *details)
{
	/* Some room beyond the limit shows where its last character ends. */
	char message[TASK_MESSAGE_MAX + 8];
	struct bytes *out = &task->result;

	(void)snprintf(message, sizeof(message), "%s", text);
	cut(message, TASK_MESSAGE_MAX);
	if (!code_is_sane(code)) {
		note_code(message, code);
		/* What orchestrators take an unknown code for. */
		code = "TRANSIENT_ERROR";
	}
	out->len = 0;
	out->failed = false;
	bytes_printf(out, "{\"status\":\"%s\",\"error\":{\"code\":\"%s\",",
	    status, code);
	bytes_puts(out, "\"message\":");
	bytes_put_json(out, message, strlen(message));
	if (details->p != NULL) {
		bytes_puts(out, ",\"details\":");
		bytes_append(out, details->p, details->len);
	}
	bytes_puts(out, "}}");
	task->has_result = true;
	task->succeeded = false;
}

static void
set_error(struct aw_task *task, const char *status, const char *code,
    const char *fmt, va_list ap)
{
	const struct jslice none = { 0 };
	char message[TASK_MESSAGE_MAX + 8];

	if (vsnprintf(message, sizeof(message), fmt, ap) < 0)
		(void)snprintf(message, sizeof(message),
		    "(the message could not be formatted)");
	task_set_error(task, status, code, message, &none);
}

void
aw_failure(struct aw_task *task, const char *code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_error(task, "failure", code, fmt, ap);
	va_end(ap);
}

void
aw_retry(struct aw_task *task, const char *code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_error(task, "retry", code, fmt, ap);
	va_end(ap);
}

void
aw_invalid_input(struct aw_task *task, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_error(task, "failure", "INVALID_INPUT_ERROR", fmt, ap);
	va_end(ap);
}

static void
contract_violation(struct aw_task *task, const char *reason, size_t at)
{
	aw_failure(task, "CONTRACT_VIOLATION_ERROR",
	    "handler \"%s\" returned data that is not a valid JSON object: "
	    "%s at byte %zu",
	    task->type, reason, at);
}

/* The data ends the message put together in whole, behind DATA_HEAD; takes
 * what whole holds when the data can be sent. */
static void
set_data(struct aw_task *task, struct bytes *whole)
{
	const size_t head = sizeof(DATA_HEAD) - 1;
	/* One level less, and room for tokens of what goes with it: the message
	 * wraps the data. */
	const struct jscan_limits limits = {
		.max_bytes = CHANNEL_FROM_CHILD_MAX,
		.max_depth = jscan_payload_limits.max_depth - 1,
		.max_tokens = jscan_payload_limits.max_tokens -
		    2 * METADATA_TOKENS_MAX - 16,
	};
	struct jscan_error error;
	struct jslice root;
	size_t len;

	bytes_puts(whole, "}");
	if (bytes_failed(whole)) {
		/* task_result() says so. */
		task->result.failed = task->has_result = true;
		task->succeeded = false;
		return;
	}
	if (whole->len > CHANNEL_FROM_CHILD_MAX) {
		aw_failure(task, "PERMANENT_ERROR",
		    "the result of handler \"%s\" is %zu bytes, the limit "
		    "is %u",
		    task->type, whole->len, CHANNEL_FROM_CHILD_MAX);
		return;
	}
	len = whole->len - head - 1;
	if (jscan_check(whole->p + head, len, &limits, &root, &error) == -1) {
		contract_violation(task, error.text, error.at);
		return;
	}
	if (root.type != JSCAN_OBJECT) {
		contract_violation(task, "a value of another type", 0);
		return;
	}
	bytes_fini(&task->result);
	task->result = bytes_take(whole);
	task->has_result = task->succeeded = true;
}

void
task_set_data(struct aw_task *task, const char *text, size_t len)
{
	struct bytes whole = { 0 };

	bytes_puts(&whole, DATA_HEAD);
	bytes_append(&whole, text, len);
	set_data(task, &whole);
	bytes_fini(&whole);
}

void
aw_success(struct aw_task *task, const char *data)
{
	if (data == NULL)
		contract_violation(task, "a null pointer", 0);
	else
		task_set_data(task, data, strlen(data));
}

struct aw_json *
aw_data(struct aw_task *task)
{
	if (!task->writing)
		json_writer_begin(&task->data, DATA_HEAD);
	task->writing = true;
	return (&task->data);
}

void
aw_success_data(struct aw_task *task)
{
	struct aw_json *json = aw_data(task);
	const char *fault;

	task->writing = false;
	if ((fault = json_writer_end(json)) != NULL)
		aw_failure(task, "CONTRACT_VIOLATION_ERROR",
		    "handler \"%s\" wrote its data wrongly: %s", task->type,
		    fault);
	else
		set_data(task, &json->text);
}

void
task_set_extra(
    struct aw_task *task, enum task_extra which, const struct jslice *value)
{
	bytes_fini(&task->extra[which]);
	bytes_append(&task->extra[which], value->p, value->len);
}

/* The same of an object that a handler gives. */
static bool
set_metadata(struct aw_task *task, enum task_extra which, const char *object)
{
	const struct jscan_limits limits = {
		.max_bytes = METADATA_BYTES_MAX,
		.max_depth = jscan_payload_limits.max_depth - 1,
		.max_tokens = METADATA_TOKENS_MAX,
	};
	struct jscan_error error;
	struct jslice root;

	if (object == NULL ||
	    jscan_check(object, strlen(object), &limits, &root, &error) == -1 ||
	    root.type != JSCAN_OBJECT)
		return (false);
	task_set_extra(task, which, &root);
	return (true);
}

bool
aw_result_metadata(struct aw_task *task, const char *object)
{
	return (set_metadata(task, TASK_METADATA, object));
}

bool
aw_data_metadata(struct aw_task *task, const char *object)
{
	return (set_metadata(task, TASK_DATA_METADATA, object));
}

bool
aw_status(struct aw_task *task, const char *word)
{
	if (word == NULL || !name_is_sane(word))
		return (false);
	memcpy(task->word, word, strlen(word) + 1);
	return (true);
}

void
task_set_result(struct aw_task *task, const char *payload, size_t len)
{
	task->result.len = 0;
	task->result.failed = false;
	bytes_append(&task->result, payload, len);
	task->has_result = true;
	task->succeeded = false;
}

void
task_not_ours(struct aw_task *task, const char *category)
{
	aw_failure(task, "TRANSIENT_ERROR",
	    "this child of category \"%s\" has no handler of type \"%s\"",
	    category, task->type);
}

static void
put_extras(struct aw_task *task, struct bytes *out)
{
	static const char *const names[TASK_EXTRAS] = {
		[TASK_DATA] = "data",
		[TASK_METADATA] = "metadata",
		[TASK_DATA_METADATA] = "data_metadata",
	};
	int i;

	for (i = 0; i < TASK_EXTRAS; i++) {
		if (task->extra[i].len == 0 && !task->extra[i].failed)
			continue;
		bytes_printf(out, ",\"%s\":", names[i]);
		bytes_append(out, task->extra[i].p, task->extra[i].len);
		out->failed |= task->extra[i].failed;
		bytes_fini(&task->extra[i]);
	}
}

/* Gives the result its own status and the members that go with it. */
static void
complete(struct aw_task *task)
{
	static const char head[] = "{\"status\":\"success\"";
	const bool own = task->succeeded && task->word[0] != '\0';
	const size_t skip = own ? sizeof(head) - 1 : 0;
	struct bytes more = { 0 }, whole = { 0 };

	put_extras(task, &more);
	if (!own && more.len == 0 && !more.failed)
		return;
	if (own)
		bytes_printf(&whole, "{\"status\":\"%s\"", task->word);
	bytes_append(
	    &whole, task->result.p + skip, task->result.len - skip - 1);
	bytes_append(&whole, more.p, more.len);
	bytes_puts(&whole, "}");
	whole.failed |= more.failed;
	bytes_fini(&task->result);
	task->result = whole;
	task->succeeded = false;
	bytes_fini(&more);
}

const char *
task_result(struct aw_task *task, size_t *len)
{
	if (!task->has_result)
		aw_failure(task, "TRANSIENT_ERROR",
		    "handler \"%s\" returned without a result", task->type);
	if (!bytes_failed(&task->result))
		complete(task);
	if (task->result.len > CHANNEL_FROM_CHILD_MAX)
		aw_failure(task, "PERMANENT_ERROR",
		    "the result of handler \"%s\" is %zu bytes with all that "
		    "goes with it, the limit is %u",
		    task->type, task->result.len, CHANNEL_FROM_CHILD_MAX);
	if (bytes_failed(&task->result)) {
		*len = sizeof(no_memory) - 1;
		return (no_memory);
	}
	*len = task->result.len;
	return (task->result.p);
}
