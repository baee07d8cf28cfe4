/* SPDX-License-Identifier: ISC */
/* task.h: a task as it came, and the ids by which everybody names it. */
#ifndef AVTOWORKER_TASK_H
#define AVTOWORKER_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "child/bytes.h"

#define TASK_ID_MAX 128 /* characters of a task id, job id or type */

struct task {
	char *task_id; /* [A-Za-z0-9._:-]{1,128} */
	char *job_id; /* the same */
	char *type; /* the same */
	struct bytes params; /* checked text of a JSON object */
	int64_t deadline_ms; /* clock_wall_ms() at which its result is worth
				nothing any more; 0: never */
	/* What else came with it: checked text, or empty. */
	struct bytes priority; /* a number */
	struct bytes tracing_context; /* an object; this and the others */
	struct bytes metadata;
	struct bytes params_metadata;
};

/* Why a task is not run, and the code by which that is answered. */
struct task_fault {
	const char *code; /* CODE_... */
	const char *text;
};

/* True when text may stand in a path, a log line or a metric label. */
bool task_id_ok(const char *text);
/* Appends it as a child is given it (child/channel.h), with the path of its
 * workspace; "" when it has none. */
void task_put(const struct task *, const char *workspace, struct bytes *out);
/* Frees the content and leaves it empty. */
void task_fini(struct task *);

#endif
