/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "supervisor/task.h"

bool
task_id_ok(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._:-";
	const size_t len = strlen(text);

	return (len > 0 && len <= TASK_ID_MAX && strspn(text, allowed) == len &&
	    strcmp(text, ".") != 0 && strcmp(text, "..") != 0);
}

void
task_fini(struct task *t)
{
	free(t->task_id);
	free(t->job_id);
	free(t->type);
	bytes_fini(&t->params);
	*t = (struct task){ 0 };
}
