/* SPDX-License-Identifier: ISC */
/*
 * exec_outcome.c: exit 0 is a success, EX_TEMPFAIL asks for another run, and
 * everything else is a failure; what was printed says more, when it can be
 * read. No state, no system calls.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "child/channel.h"
#include "child/exec.h"
#include "child/exec_outcome.h"
#include "child/handler.h"
#include "child/json_scan.h"
#include "child/limits.h"
#include "child/name.h"
#include "child/task.h"

#define REASON_MAX 1024

/* What may be printed leaves room for what the message that it becomes has
 * besides. */
#define OWN_TOKENS 16

/* The members of a result, as they are printed. */
struct printed {
	struct jslice status;
	struct jslice data;
	struct jslice error;
	struct jslice metadata;
	struct jslice data_metadata;
};

/* "exit status 3; its last line on stderr: ..." */
static void
describe_end(const struct exec_outcome *o, char out[REASON_MAX])
{
	const int sig = WIFSIGNALED(o->status) ? WTERMSIG(o->status) : 0;
	char end[160];

	if (sig != 0)
		(void)snprintf(end, sizeof(end), "killed by signal %d (%s)%s",
		    sig, strsignal(sig),
		    WCOREDUMP(o->status) ? ", core dumped" : "");
	else
		(void)snprintf(
		    end, sizeof(end), "exit status %d", WEXITSTATUS(o->status));
	(void)snprintf(out, REASON_MAX, "%s%s%s", end,
	    o->line[0] != '\0' ? "; its last line on stderr: " : "", o->line);
}

/* Finds the members of a result in an object. False when it is none: it has
 * no status that is a word, or anything that a result does not have. */
static bool
read_result(const struct jslice *root, struct printed *p)
{
	struct {
		const char *name;
		struct jslice *slice;
	} const members[] = {
		{ "status", &p->status },
		{ "data", &p->data },
		{ "error", &p->error },
		{ "metadata", &p->metadata },
		{ "data_metadata", &p->data_metadata },
	};
	struct jscan_iter iter;
	struct jslice key, value;
	size_t i;

	*p = (struct printed){ 0 };
	jscan_begin(&iter, root);
	while (jscan_next(&iter, &key, &value)) {
		for (i = 0; i < sizeof(members) / sizeof(members[0]); i++)
			if (jscan_string_is(&key, members[i].name))
				break;
		if (i == sizeof(members) / sizeof(members[0]))
			return (false);
		if (value.type == JSCAN_NULL)
			continue;
		if (value.type != (i == 0 ? JSCAN_STRING : JSCAN_OBJECT) &&
		    !(members[i].slice == &p->error &&
			value.type == JSCAN_STRING))
			return (false);
		*members[i].slice = value;
	}
	return (p->status.p != NULL || p->error.p != NULL);
}

/* The decoded string of that name, or of the error itself; NULL when there is
 * none. Caller frees. */
static char *
error_text(const struct jslice *error, const char *name)
{
	struct jslice value;

	if (error->type == JSCAN_OBJECT && jscan_get(error, name, &value) &&
	    value.type == JSCAN_STRING)
		return (jscan_strdup(&value, CHANNEL_FROM_CHILD_MAX));
	if (error->type == JSCAN_STRING && strcmp(name, "message") == 0)
		return (jscan_strdup(error, CHANNEL_FROM_CHILD_MAX));
	return (NULL);
}

/* An error whose missing parts are made up. */
static void
set_error(struct aw_task *task, const char *status, const struct jslice *error,
    const char *code, const char *message)
{
	struct jslice details = { 0 };
	char *own_code = NULL, *own_message = NULL;

	if (error->p != NULL) {
		own_code = error_text(error, "code");
		own_message = error_text(error, "message");
		if (error->type == JSCAN_OBJECT &&
		    jscan_get(error, "details", &details) &&
		    details.type != JSCAN_OBJECT)
			details.p = NULL;
	}
	task_set_error(task, status, own_code != NULL ? own_code : code,
	    own_message != NULL ? own_message : message, &details);
	free(own_code);
	free(own_message);
}

/* Reads what it printed as a JSON object; false when it is none. */
static bool
read_printed(const struct exec_outcome *o, struct jslice *root)
{
	const struct jscan_limits limits = {
		.max_bytes = jscan_payload_limits.max_bytes,
		.max_depth = jscan_payload_limits.max_depth,
		.max_tokens = jscan_payload_limits.max_tokens - OWN_TOKENS,
	};
	struct jscan_error error;

	return (jscan_check(
		    o->printed.p, o->printed.len, &limits, root, &error) == 0 &&
	    root->type == JSCAN_OBJECT);
}

static bool
is_blank(const struct bytes *b)
{
	size_t i;

	for (i = 0; i < b->len; i++)
		if (strchr(" \t\r\n", b->p[i]) == NULL || b->p[i] == '\0')
			return (false);
	return (true);
}

/* The process ended well: what it printed counts. */
static void
judge_success(
    const struct exec_outcome *o, const struct exec *x, struct aw_task *task)
{
	struct jslice root;
	struct printed p;
	char word[NAME_BYTES_MAX + 2], message[512];

	if (is_blank(&o->printed)) {
		task_set_data(task, "{}", 2);
		return;
	}
	if (!read_printed(o, &root) || !read_result(&root, &p) ||
	    p.status.p == NULL) {
		/* Which also says what is wrong with it. */
		task_set_data(task, o->printed.p, o->printed.len);
		return;
	}
	if (jscan_string(&p.status, word, sizeof(word)) > NAME_BYTES_MAX ||
	    !name_is_sane(word)) {
		aw_failure(task, "CONTRACT_VIOLATION_ERROR",
		    "handler \"%s\" printed a \"status\" that is not a word",
		    x->type);
		return;
	}
	if (p.error.p != NULL || strcmp(word, "failure") == 0 ||
	    strcmp(word, "retry") == 0) {
		(void)snprintf(message, sizeof(message),
		    "handler \"%.128s\" (%.300s) gave no message", x->type,
		    x->path.p);
		set_error(task, strcmp(word, "success") != 0 ? word : "failure",
		    &p.error, "TRANSIENT_ERROR", message);
		if (p.data.p != NULL)
			task_set_extra(task, TASK_DATA, &p.data);
	} else {
		task_set_data(task, p.data.p != NULL ? p.data.p : "{}",
		    p.data.p != NULL ? p.data.len : 2);
		(void)aw_status(task, word);
	}
	if (p.metadata.p != NULL)
		task_set_extra(task, TASK_METADATA, &p.metadata);
	if (p.data_metadata.p != NULL)
		task_set_extra(task, TASK_DATA_METADATA, &p.data_metadata);
}

/* It did not, for no reason that we know: its own words, or the end. */
static void
judge_failure(
    const struct exec_outcome *o, const struct exec *x, struct aw_task *task)
{
	const bool again =
	    WIFEXITED(o->status) && WEXITSTATUS(o->status) == EX_TEMPFAIL;
	char end[REASON_MAX], message[REASON_MAX + 512];
	struct jslice root;
	struct printed p;

	describe_end(o, end);
	(void)snprintf(message, sizeof(message), "handler \"%s\" (%.300s): %s",
	    x->type, x->path.p, end);
	if (!read_printed(o, &root) || !read_result(&root, &p))
		p = (struct printed){ 0 };
	set_error(task, again ? "retry" : "failure", &p.error,
	    "TRANSIENT_ERROR", message);
	if (p.metadata.p != NULL)
		task_set_extra(task, TASK_METADATA, &p.metadata);
}

/* The kernel sends SIGXCPU first, and to who lives on SIGKILL. */
static bool
has_used_its_time(const struct exec_outcome *o, const struct exec *x)
{
	const int sig = WIFSIGNALED(o->status) ? WTERMSIG(o->status) : 0;

	return (x->limits->task_cpu_s > 0 &&
	    (sig == SIGXCPU ||
		(sig == SIGKILL && o->cpu_s >= x->limits->task_cpu_s)));
}

void
exec_outcome_judge(
    const struct exec_outcome *o, const struct exec *x, struct aw_task *task)
{
	const char *reason = aw_cancel_reason(task);

	if (bytes_failed(&o->printed))
		aw_failure(task, "RESOURCE_EXHAUSTED_ERROR",
		    "handler \"%s\" (%.300s): no memory for what it printed",
		    x->type, x->path.p);
	else if (o->too_long)
		aw_failure(task, "PERMANENT_ERROR",
		    "handler \"%s\" (%.300s) printed a result of more than %u "
		    "bytes, which is the limit; it was killed",
		    x->type, x->path.p, CHANNEL_FROM_CHILD_MAX);
	else if (o->stopped)
		aw_failure(task, "TRANSIENT_ERROR",
		    "handler \"%s\" (%.300s) was stopped by a signal and will "
		    "not go on; it was killed",
		    x->type, x->path.p);
	else if (WIFEXITED(o->status) && WEXITSTATUS(o->status) == 0)
		judge_success(o, x, task);
	else if (has_used_its_time(o, x))
		aw_failure(task, "RESOURCE_EXHAUSTED_ERROR",
		    "handler \"%s\" (%.300s) has used its %u s of processor "
		    "time",
		    x->type, x->path.p, x->limits->task_cpu_s);
	else if (reason != NULL && WIFSIGNALED(o->status) &&
	    WTERMSIG(o->status) == SIGTERM)
		aw_failure(task,
		    strcmp(reason, "time_limit") == 0 ? "TIMEOUT_ERROR" :
							"TRANSIENT_ERROR",
		    "handler \"%s\" (%.300s) was asked to stop (%s) and ended",
		    x->type, x->path.p, reason);
	else
		judge_failure(o, x, task);
}

void
exec_outcome_fini(struct exec_outcome *o)
{
	bytes_fini(&o->printed);
}
