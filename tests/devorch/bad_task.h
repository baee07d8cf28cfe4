/* SPDX-License-Identifier: ISC */
/* bad_task.h: broken tasks to hand out on purpose. */
#ifndef DEVORCH_BAD_TASK_H
#define DEVORCH_BAD_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct bytes;

struct bad_task {
	const char *name;
	const char *help;
	/* The message: %J job id, %T task id, %Y type; %B 9 MB of text, %D 500
	 * arrays in each other, %L 300 letters, %% one %. */
	const char *text;
	bool answerable : 1; /* it names its job and task */
};

/* NULL when there is no such kind. */
const struct bad_task *bad_task_find(const char *name, size_t len);
void bad_task_write(const struct bad_task *, const char *job_id,
    const char *task_id, const char *type, struct bytes *out);
void bad_task_help(FILE *);

#endif
