/* SPDX-License-Identifier: ISC */
/*
 * result.c: what is reported for a task: made up by us, or read from a
 * child's frame, of which nothing is believed before it is checked.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child/channel.h"
#include "child/json_scan.h"
#include "supervisor/result.h"
#include "supervisor/task.h"

#define CODE_MAX    128
#define MESSAGE_MAX (16 * 1024)

struct result
result_failure(const char *code, const char *fmt, ...)
{
	struct result r = { 0 };
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&r.message, fmt, ap) == -1)
		r.message = NULL;
	va_end(ap);
	r.status = strdup("failure");
	r.code = strdup(code);
	return (r);
}

struct result
result_cancelled(void)
{
	return ((struct result){ .status = strdup("cancelled") });
}

void
result_fini(struct result *r)
{
	free(r->status);
	free(r->code);
	free(r->message);
	free(r->tail);
	bytes_fini(&r->data);
	bytes_fini(&r->details);
	bytes_fini(&r->metadata);
	bytes_fini(&r->data_metadata);
	*r = (struct result){ 0 };
}

/* Copies the object of that name; a missing one is left empty. */
static int
read_object(const struct jslice *parent, const char *name, struct bytes *out,
    struct why *why)
{
	struct jslice value;

	if (!jscan_get(parent, name, &value) || value.type == JSCAN_NULL)
		return (0);
	if (value.type != JSCAN_OBJECT) {
		why_set(why, "\"%s\" is not an object", name);
		return (-1);
	}
	bytes_append(out, value.p, value.len);
	if (bytes_failed(out)) {
		why_set(why, "out of memory");
		return (-1);
	}
	return (0);
}

static int
read_string(const struct jslice *parent, const char *name, size_t max,
    char **out, struct why *why)
{
	struct jslice value;

	if (!jscan_get(parent, name, &value)) {
		why_set(why, "\"%s\" is missing", name);
		return (-1);
	}
	if ((*out = jscan_strdup(&value, max)) == NULL) {
		why_errno(why, "\"%s\" is no string that can be taken", name);
		return (-1);
	}
	return (0);
}

static int
read_error(const struct jslice *root, struct result *r, struct why *why)
{
	struct jslice error;

	if (!jscan_get(root, "error", &error) || error.type == JSCAN_NULL)
		return (0);
	if (error.type != JSCAN_OBJECT) {
		why_set(why, "\"error\" is not an object");
		return (-1);
	}
	if (read_string(&error, "code", CODE_MAX, &r->code, why) == -1 ||
	    read_string(&error, "message", MESSAGE_MAX, &r->message, why) ==
		-1 ||
	    read_object(&error, "details", &r->details, why) == -1)
		return (-1);
	return (0);
}

int
result_read(const char *text, size_t len, struct result *out, struct why *why)
{
	struct result r = { 0 };
	struct jscan_error error;
	struct jslice root;

	if (jscan_check(text, len, &jscan_payload_limits, &root, &error) ==
	    -1) {
		why_set(why, "%s at byte %zu", error.text, error.at);
		return (-1);
	}
	if (root.type != JSCAN_OBJECT) {
		why_set(why, "not an object");
		return (-1);
	}
	if (read_string(&root, "status", TASK_ID_MAX, &r.status, why) == -1 ||
	    read_object(&root, "data", &r.data, why) == -1 ||
	    read_object(&root, "metadata", &r.metadata, why) == -1 ||
	    read_object(&root, "data_metadata", &r.data_metadata, why) == -1 ||
	    read_error(&root, &r, why) == -1) {
		result_fini(&r);
		return (-1);
	}
	if (!task_id_ok(r.status)) {
		why_set(why, "\"status\" is not a word");
		result_fini(&r);
		return (-1);
	}
	*out = r;
	return (0);
}

/* The details, an object, with the end of the tail as one more member. */
static void
put_details(const struct result *r, size_t tail_max, struct bytes *out)
{
	const size_t len = r->tail != NULL ? strlen(r->tail) : 0;
	const size_t kept = len < tail_max ? len : tail_max;
	const bool empty = r->details.len <= 2;

	if (kept == 0) {
		bytes_append(out, r->details.p, r->details.len);
		return;
	}
	bytes_append(out, r->details.p, empty ? 0 : r->details.len - 1);
	bytes_puts(out, empty ? "{\"stderr\":" : ",\"stderr\":");
	bytes_put_json(out, r->tail + len - kept, kept);
	bytes_puts(out, "}");
}

static bool
is_listed(const char *code, char *const *codes)
{
	for (; codes != NULL && *codes != NULL; codes++)
		if (strcmp(*codes, code) == 0)
			return (true);
	return (false);
}

void
result_finalise(struct result *r, char *const *codes)
{
	struct bytes details = { 0 };
	char *code;

	if (r->status == NULL || strcmp(r->status, "failure") != 0 ||
	    r->code == NULL || !is_listed(r->code, codes))
		return;
	bytes_puts(&details, "{\"code\":");
	bytes_put_json(&details, r->code, strlen(r->code));
	if (r->details.len > 0) {
		bytes_puts(&details, ",\"details\":");
		bytes_append(&details, r->details.p, r->details.len);
	}
	bytes_puts(&details, "}");
	if (bytes_failed(&details) ||
	    (code = strdup(CODE_INVALID_INPUT)) == NULL) {
		bytes_fini(&details);
		return;
	}
	free(r->code);
	r->code = code;
	bytes_fini(&r->details);
	r->details = details;
}

bool
result_is_value_error(const struct result *r)
{
	struct jscan_error error;
	struct jslice root, mark;

	return (r->code != NULL && strcmp(r->code, CODE_TRANSIENT) == 0 &&
	    r->details.len > 0 &&
	    jscan_check(r->details.p, r->details.len, &jscan_payload_limits,
		&root, &error) == 0 &&
	    jscan_get(&root, "value_error", &mark) && mark.type == JSCAN_TRUE);
}

void
result_put_error(const struct result *r, const char *code, size_t tail_max,
    struct bytes *out)
{
	const char *message = r->message != NULL ? r->message : "";

	if (r->code == NULL)
		return;
	bytes_puts(out, ",\"error\":{\"code\":");
	if (code == NULL)
		code = r->code;
	bytes_put_json(out, code, strlen(code));
	bytes_puts(out, ",\"message\":");
	bytes_put_json(out, message, strlen(message));
	if (r->details.len > 0 || (r->tail != NULL && tail_max > 0)) {
		bytes_puts(out, ",\"details\":");
		put_details(r, tail_max, out);
	}
	bytes_puts(out, "}");
}
