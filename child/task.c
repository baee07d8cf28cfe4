/* SPDX-License-Identifier: ISC */
/*
 * task.c: reads a task frame and answers what a handler asks about it.
 *
 * Strings are decoded on demand into a second buffer of the payload's size,
 * each at its own place: decoding never makes a string longer, so they cannot
 * meet, and asking can neither fail for lack of memory nor leak.
 */
#include <stdlib.h>
#include <string.h>

#include "child/channel.h"
#include "child/handler.h"
#include "child/task.h"

#define KEEP_BYTES 65536 /* buffers above this are given back after a task */

/* The decoded string at its place; *len may hold NULs. */
static const char *
decode(const struct aw_task *task, const struct jslice *string, size_t *len)
{
	char *at = task->decoded + (string->p - task->payload);
	ssize_t n;

	if ((n = jscan_string(string, at, string->len)) == -1)
		return (NULL);
	*len = (size_t)n;
	return (at);
}

static int
get_id(const struct aw_task *task, const struct jslice *root, const char *name,
    const char **value, struct bytes *why)
{
	struct jslice slice;
	const char *text;
	size_t len;

	if (!jscan_get(root, name, &slice) ||
	    (text = decode(task, &slice, &len)) == NULL || len == 0 ||
	    strlen(text) != len) {
		bytes_printf(why, "its %s is missing or malformed", name);
		return (-1);
	}
	*value = text;
	return (0);
}

static int
make_room(struct aw_task *task, size_t len, struct bytes *why)
{
	char *p;

	if (len <= task->decoded_size)
		return (0);
	if ((p = realloc(task->decoded, len)) == NULL) {
		bytes_printf(why, "out of memory for its %zu bytes", len);
		return (-1);
	}
	task->decoded = p;
	task->decoded_size = len;
	return (0);
}

/* What a task may have and need not. */
static void
get_optional(struct aw_task *task, const struct jslice *root)
{
	struct {
		const char *name;
		enum jscan_type type;
		struct jslice *slice;
	} const members[] = {
		{ "priority", JSCAN_NUMBER, &task->priority },
		{ "metadata", JSCAN_OBJECT, &task->metadata },
		{ "params_metadata", JSCAN_OBJECT, &task->params_metadata },
		{ "tracing_context", JSCAN_OBJECT, &task->tracing_context },
	};
	struct jslice value;
	size_t i, len;

	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		*members[i].slice = jscan_get(root, members[i].name, &value) &&
			value.type == members[i].type ?
		    value :
		    (struct jslice){ 0 };
	task->deadline_ms = 0;
	if (jscan_get(root, "deadline_ms", &value))
		(void)jscan_int64(&value, &task->deadline_ms);
	task->workspace = NULL;
	if (jscan_get(root, "workspace", &value))
		task->workspace = decode(task, &value, &len);
}

/* Nothing is said of its result yet. */
static void
clear_result(struct aw_task *task)
{
	int i;

	task->has_result = task->succeeded = task->writing = false;
	for (i = 0; i < TASK_EXTRAS; i++)
		bytes_fini(&task->extra[i]);
	task->word[0] = '\0';
}

int
task_begin(
    struct aw_task *task, const char *payload, size_t len, struct bytes *why)
{
	/* The payload wraps the params and three more objects that came with
	 * them: one more level, and its own tokens. */
	const struct jscan_limits limits = {
		.max_bytes = CHANNEL_TO_CHILD_MAX,
		.max_depth = jscan_payload_limits.max_depth + 1,
		.max_tokens = 4 * jscan_payload_limits.max_tokens + 32,
	};
	struct jscan_error error;
	struct jslice root;

	if (jscan_check(payload, len, &limits, &root, &error) == -1) {
		bytes_printf(why, "%s at byte %zu", error.text, error.at);
		return (-1);
	}
	/* A thread that a handler has left behind may have said something
	 * since: it must not be taken for the result of this one. */
	clear_result(task);
	task->payload = payload;
	task->payload_len = len;
	task->reports_until_ms = 0; /* whatever the task before has told */
	if (make_room(task, len, why) == -1)
		return (-1);
	if (get_id(task, &root, "task_id", &task->task_id, why) == -1 ||
	    get_id(task, &root, "job_id", &task->job_id, why) == -1 ||
	    get_id(task, &root, "type", &task->type, why) == -1)
		return (-1);
	get_optional(task, &root);
	if (!jscan_get(&root, "params", &task->params) ||
	    task->params.type != JSCAN_OBJECT)
		aw_invalid_input(task, "params must be an object");
	return (0);
}

void
task_end(struct aw_task *task)
{
	task->payload = NULL;
	task->task_id = task->job_id = task->type = NULL;
	task->wire = NULL;
	task->cancel_reason = NULL;
	task->looked = (struct timespec){ 0 };
	clear_result(task);
	if (task->decoded_size > KEEP_BYTES) {
		free(task->decoded);
		task->decoded = NULL;
		task->decoded_size = 0;
	}
	if (task->data.text.size > KEEP_BYTES)
		bytes_fini(&task->data.text);
	if (task->result.size > KEEP_BYTES)
		bytes_fini(&task->result);
}

void
task_fini(struct aw_task *task)
{
	free(task->decoded);
	bytes_fini(&task->data.text);
	bytes_fini(&task->result);
	*task = (struct aw_task){ 0 };
}

const char *
aw_task_id(const struct aw_task *task)
{
	return (task->task_id);
}

const char *
aw_job_id(const struct aw_task *task)
{
	return (task->job_id);
}

const char *
aw_task_type(const struct aw_task *task)
{
	return (task->type);
}

const char *
aw_params(const struct aw_task *task, size_t *len)
{
	*len = task->params.len;
	return (task->params.p);
}

/* Finds a value that a typed getter can take. */
static enum aw_got
find(const struct aw_task *task, const char *path, struct jslice *value)
{
	if (path == NULL || !jscan_path(&task->params, path, value) ||
	    value->type == JSCAN_NULL)
		return (AW_MISSING);
	return (AW_GOT);
}

enum aw_got
aw_get_string(const struct aw_task *task, const char *path, const char **value,
    size_t *len)
{
	struct jslice slice;
	const char *text;
	size_t n;

	if (find(task, path, &slice) != AW_GOT)
		return (AW_MISSING);
	if (slice.type != JSCAN_STRING ||
	    (text = decode(task, &slice, &n)) == NULL)
		return (AW_WRONG_TYPE);
	if (len == NULL && strlen(text) != n)
		return (AW_WRONG_TYPE);
	*value = text;
	if (len != NULL)
		*len = n;
	return (AW_GOT);
}

enum aw_got
aw_get_int64(const struct aw_task *task, const char *path, int64_t *value)
{
	struct jslice slice;
	int64_t n;

	if (find(task, path, &slice) != AW_GOT)
		return (AW_MISSING);
	if (jscan_int64(&slice, &n) == -1)
		return (AW_WRONG_TYPE);
	*value = n;
	return (AW_GOT);
}

enum aw_got
aw_get_double(const struct aw_task *task, const char *path, double *value)
{
	struct jslice slice;
	double n;

	if (find(task, path, &slice) != AW_GOT)
		return (AW_MISSING);
	if (jscan_double(&slice, &n) == -1)
		return (AW_WRONG_TYPE);
	*value = n;
	return (AW_GOT);
}

enum aw_got
aw_get_bool(const struct aw_task *task, const char *path, bool *value)
{
	struct jslice slice;

	if (find(task, path, &slice) != AW_GOT)
		return (AW_MISSING);
	if (slice.type != JSCAN_TRUE && slice.type != JSCAN_FALSE)
		return (AW_WRONG_TYPE);
	*value = slice.type == JSCAN_TRUE;
	return (AW_GOT);
}

enum aw_got
aw_get_json(const struct aw_task *task, const char *path, const char **value,
    size_t *len)
{
	struct jslice slice;

	if (path == NULL || !jscan_path(&task->params, path, &slice))
		return (AW_MISSING);
	*value = slice.p;
	*len = slice.len;
	return (AW_GOT);
}

const char *
aw_got_text(enum aw_got got)
{
	switch (got) {
	case AW_GOT:
		return ("is there");
	case AW_MISSING:
		return ("is missing");
	case AW_WRONG_TYPE:
		return ("has the wrong type");
	}
	return ("is unknown");
}
