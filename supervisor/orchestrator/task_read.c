/* SPDX-License-Identifier: ISC */
/*
 * task_read.c: takes a task or says exactly what is wrong with it. The server
 * has forgotten the task once its reply is sent, so whatever has ids must be
 * answered, even when the rest of the reply is no JSON at all.
 */
#include <stdbool.h>
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
	why_set(why, "the task's %s is not of the form [A-Za-z0-9._:-]{1,%d}",
	    name, TASK_ID_MAX);
	return (NULL);
}

/* Seconds since 1970, as an integer or a float; anything else is no deadline
 * (contract, 5.5 and S2). */
static int64_t
read_deadline(const struct jslice *root)
{
	struct jslice value;
	double seconds;

	if (!jscan_get(root, "deadline", &value) ||
	    jscan_double(&value, &seconds) == -1 || seconds < 1 ||
	    seconds > DEADLINE_MAX)
		return (0);
	return ((int64_t)(seconds * 1000));
}

enum task_reading
task_read(const char *body, size_t len, struct task *task, struct why *why)
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
	task->deadline_ms = read_deadline(&root);
	if (bytes_failed(&task->params)) {
		why_set(why, "no memory for the task's params");
		return (TASK_UNRUNNABLE);
	}
	return (TASK_READ);
}
