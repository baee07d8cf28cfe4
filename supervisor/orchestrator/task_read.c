/* SPDX-License-Identifier: ISC */
/*
 * task_read.c: takes a task or says exactly what is wrong with it. The server
 * has forgotten the task once its reply is sent, so whatever has ids must be
 * answered, even when the rest of the reply is no JSON at all.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "child/json_scan.h"
#include "supervisor/task.h"
#include "supervisor/orchestrator/task_read.h"

#define DEADLINE_MAX 1e11 /* seconds; beyond it, it is no time at all */

static const char *
skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return (p);
}

/* The id that stands at p, a quote behind it; or NULL. */
static char *
copy_id(const char *p, const char *end)
{
	const char *quote;
	char *id;

	p = skip_space(p, end);
	if (p == end || *p != '"')
		return (NULL);
	p++;
	if ((quote = memchr(p, '"', (size_t)(end - p))) == NULL ||
	    quote - p > TASK_ID_MAX)
		return (NULL);
	if ((id = strndup(p, (size_t)(quote - p))) != NULL && task_id_ok(id))
		return (id);
	free(id);
	return (NULL);
}

/* Finds a top-level member in text that is not known to be JSON. */
static char *
salvage(const char *body, size_t len, const char *name)
{
	const size_t name_len = strlen(name);
	const char *end = body + len, *p, *from = NULL, *value;
	bool in_string = false;
	int depth = 0;

	for (p = body; p < end; p++) {
		if (in_string && *p == '\\')
			p++;
		else if (*p == '"') {
			in_string = !in_string;
			if (in_string)
				from = p + 1;
			else if (depth == 1 && (size_t)(p - from) == name_len &&
			    memcmp(from, name, name_len) == 0 &&
			    (value = skip_space(p + 1, end)) < end &&
			    *value == ':')
				return (copy_id(value + 1, end));
		} else if (!in_string && (*p == '{' || *p == '['))
			depth++;
		else if (!in_string && (*p == '}' || *p == ']'))
			depth--;
	}
	return (NULL);
}

static enum task_reading
read_broken(const char *body, size_t len, struct task *task)
{
	task->task_id = salvage(body, len, "task_id");
	task->job_id = salvage(body, len, "job_id");
	task->type = salvage(body, len, "type");
	if (task->task_id == NULL || task->job_id == NULL) {
		task_fini(task);
		return (TASK_LOST);
	}
	return (TASK_UNRUNNABLE);
}

/* A member that must be an id; NULL and why when it is not. */
static char *
read_id(const struct jslice *root, const char *name, struct why *why)
{
	struct jslice value;
	char *id;

	if (!jscan_get(root, name, &value)) {
		why_set(why, "the task has no %s", name);
		return (NULL);
	}
	if ((id = jscan_strdup(&value, TASK_ID_MAX)) != NULL && task_id_ok(id))
		return (id);
	free(id);
	if (errno == ENOMEM) {
		why_set(why, "no memory for the task");
		return (NULL);
	}
	why_set(why, "the task's %s is not of the form [A-Za-z0-9._:-]{1,%d}",
	    name, TASK_ID_MAX);
	return (NULL);
}

/* Seconds since 1970, as an integer or a float; anything else is no deadline
 * (contract, section 6 and S2). */
static int64_t
read_deadline(const struct jslice *value)
{
	double seconds;

	if (jscan_double(value, &seconds) == -1 || seconds < 1 ||
	    seconds > DEADLINE_MAX)
		return (0);
	return ((int64_t)(seconds * 1000));
}

/* What is handed on as it came. */
static const struct {
	const char *name;
	size_t offset; /* of the bytes in struct task */
	enum jscan_type type;
} handed_on[] = {
	{ "priority", offsetof(struct task, priority), JSCAN_NUMBER },
	{ "tracing_context", offsetof(struct task, tracing_context),
	    JSCAN_OBJECT },
	{ "metadata", offsetof(struct task, metadata), JSCAN_OBJECT },
	{ "params_metadata", offsetof(struct task, params_metadata),
	    JSCAN_OBJECT },
};

static bool
hand_on(struct task *task, const struct jslice *key, const struct jslice *value)
{
	struct bytes *to;
	size_t i;

	for (i = 0; i < sizeof(handed_on) / sizeof(handed_on[0]); i++)
		if (value->type == handed_on[i].type &&
		    jscan_string_is(key, handed_on[i].name)) {
			to = (struct bytes *)((char *)task +
			    handed_on[i].offset);
			bytes_append(to, value->p, value->len);
			return (!bytes_failed(to));
		}
	return (true);
}

int
task_read_more(const struct jslice *root, struct task *task, struct why *why)
{
	struct jslice key, value;
	struct jscan_iter it;

	/* Once, for what it walks over may be megabytes. */
	jscan_begin(&it, root);
	while (jscan_next(&it, &key, &value)) {
		if (jscan_string_is(&key, "deadline"))
			task->deadline_ms = read_deadline(&value);
		if (!hand_on(task, &key, &value)) {
			why_set(why, "no memory for the task");
			return (-1);
		}
	}
	return (0);
}

/* The job that a task is of may be allowed some skills only (contract, 6).
 * A list that we do not understand allows nothing. */
static bool
is_allowed(const struct jslice *root, const char *type)
{
	struct jslice policy, list, value;
	struct jscan_iter it;

	if (!jscan_get(root, "policy", &policy) ||
	    !jscan_get(&policy, "allowed_skills", &list) ||
	    list.type == JSCAN_NULL)
		return (true);
	if (list.type != JSCAN_ARRAY)
		return (false);
	jscan_begin(&it, &list);
	while (jscan_next(&it, NULL, &value))
		if (value.type == JSCAN_STRING && jscan_string_is(&value, type))
			return (true);
	return (false);
}

static enum task_reading
read_whole(const char *body, size_t len, struct task *task, struct why *why)
{
	struct jscan_error error;
	struct jslice root, params;

	*task = (struct task){ 0 };
	if (jscan_check(body, len, &jscan_payload_limits, &root, &error) ==
	    -1) {
		why_set(why, "the task is no JSON we can take: %s at byte %zu",
		    error.text, error.at);
		return (read_broken(body, len, task));
	}
	if ((task->job_id = read_id(&root, "job_id", why)) == NULL ||
	    (task->task_id = read_id(&root, "task_id", why)) == NULL) {
		task_fini(task);
		return (TASK_LOST);
	}
	if ((task->type = read_id(&root, "type", why)) == NULL)
		return (TASK_UNRUNNABLE);
	if (!jscan_get(&root, "params", &params) || params.type == JSCAN_NULL) {
		bytes_puts(&task->params, "{}");
	} else if (params.type != JSCAN_OBJECT) {
		why_set(why, "the task's params are not an object");
		return (TASK_UNRUNNABLE);
	} else
		bytes_append(&task->params, params.p, params.len);
	if (bytes_failed(&task->params)) {
		why_set(why, "no memory for the task's params");
		return (TASK_UNRUNNABLE);
	}
	if (task_read_more(&root, task, why) == -1)
		return (TASK_UNRUNNABLE);
	if (!is_allowed(&root, task->type)) {
		why_set(why,
		    "the task's policy.allowed_skills does not hold its type");
		return (TASK_FORBIDDEN);
	}
	return (TASK_READ);
}

enum task_reading
task_read(const char *body, size_t len, struct task *task, struct why *why)
{
	enum task_reading reading;

	errno = 0;
	reading = read_whole(body, len, task, why);
	if (reading == TASK_UNRUNNABLE && errno == ENOMEM)
		reading = TASK_NO_MEMORY;
	return (reading);
}
