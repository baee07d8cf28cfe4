/* SPDX-License-Identifier: ISC */
/*
 * context.c: what a handler may know besides the params of its task: what came
 * with them, where it may have files, and what the configuration says to it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "child/handler.h"
#include "child/task.h"

static const char *
text_of(const struct jslice *object, size_t *len)
{
	*len = object->p != NULL ? object->len : 2;
	return (object->p != NULL ? object->p : "{}");
}

const char *
aw_metadata(const struct aw_task *task, size_t *len)
{
	return (text_of(&task->metadata, len));
}

const char *
aw_params_metadata(const struct aw_task *task, size_t *len)
{
	return (text_of(&task->params_metadata, len));
}

const char *
aw_tracing_context(const struct aw_task *task, size_t *len)
{
	return (text_of(&task->tracing_context, len));
}

double
aw_priority(const struct aw_task *task)
{
	double value;

	if (task->priority.p == NULL ||
	    jscan_double(&task->priority, &value) == -1)
		return (0);
	return (value);
}

int64_t
aw_deadline_ms(const struct aw_task *task)
{
	return (task->deadline_ms);
}

const char *
aw_workspace(struct aw_task *task)
{
	if (task->workspace == NULL) {
		errno = ENOTSUP;
		return (NULL);
	}
	if (mkdir(task->workspace, S_IRWXU) == -1 && errno != EEXIST)
		return (NULL);
	return (task->workspace);
}
