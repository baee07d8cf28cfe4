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

/* A member that is there only when it has a value. */
static void
put_member(struct bytes *out, const char *name, const struct bytes *value)
{
	if (value->len == 0)
		return;
	bytes_printf(out, ",\"%s\":", name);
	bytes_append(out, value->p, value->len);
}

void
task_put(const struct task *t, const char *workspace, struct bytes *out)
{
	bytes_printf(out,
	    "{\"task_id\":\"%s\",\"job_id\":\"%s\",\"type\":\"%s\"", t->task_id,
	    t->job_id, t->type);
	put_member(out, "priority", &t->priority);
	if (t->deadline_ms != 0)
		bytes_printf(
		    out, ",\"deadline_ms\":%lld", (long long)t->deadline_ms);
	put_member(out, "tracing_context", &t->tracing_context);
	put_member(out, "metadata", &t->metadata);
	put_member(out, "params_metadata", &t->params_metadata);
	if (workspace[0] != '\0') {
		bytes_puts(out, ",\"workspace\":");
		bytes_put_json(out, workspace, strlen(workspace));
	}
	put_member(out, "params", &t->params);
	bytes_puts(out, "}");
}

void
task_fini(struct task *t)
{
	free(t->task_id);
	free(t->job_id);
	free(t->type);
	bytes_fini(&t->params);
	bytes_fini(&t->priority);
	bytes_fini(&t->tracing_context);
	bytes_fini(&t->metadata);
	bytes_fini(&t->params_metadata);
	*t = (struct task){ 0 };
}
