/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child/exec.h"
#include "child/exec_outcome.h"
#include "child/exec_run.h"
#include "child/ready.h"
#include "child/task.h"

/* Tasks run in directories of their own. */
static int
make_path(struct exec *x)
{
	char here[PATH_MAX];

	if (x->argv[0][0] == '/')
		bytes_puts(&x->path, x->argv[0]);
	else if (getcwd(here, sizeof(here)) == NULL)
		return (-1);
	else
		bytes_printf(&x->path, "%s/%s", here, x->argv[0]);
	bytes_append(&x->path, "", 1);
	if (bytes_failed(&x->path)) {
		errno = ENOMEM;
		return (-1);
	}
	return (0);
}

static int
can_be_executed(const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return (-1);
	if (!S_ISREG(st.st_mode)) {
		errno = EACCES; /* as execve(2) */
		return (-1);
	}
	return (access(path, X_OK));
}

static int
start(void *arg, struct bytes *why)
{
	struct exec *x = arg;

	if (make_path(x) == 0 && can_be_executed(x->path.p) == 0)
		return (0);
	bytes_printf(why, "handler \"%s\": cannot execute %s: %s", x->type,
	    x->argv[0], strerror(errno));
	return (-1);
}

static void
offer(void *arg, struct bytes *out)
{
	const struct exec *x = arg;
	const struct aw_handler handler = { .type = x->type };

	ready_add(out, &handler);
}

static void
run(void *arg, struct aw_task *task)
{
	const struct exec *x = arg;
	struct exec_outcome outcome = { 0 };

	if (strcmp(x->type, task->type) != 0) {
		task_not_ours(task, x->category);
		return;
	}
	if (task->workspace != NULL && aw_workspace(task) == NULL) {
		aw_failure(task,
		    errno == ENOSPC || errno == EDQUOT ?
			"RESOURCE_EXHAUSTED_ERROR" :
			"TRANSIENT_ERROR",
		    "handler \"%s\": cannot make the task's workspace %s: %s",
		    x->type, task->workspace, strerror(errno));
		return;
	}
	if (exec_run(x, task, &outcome) == 0)
		exec_outcome_judge(&outcome, x, task);
	exec_outcome_fini(&outcome);
}

static void
stop(void *arg)
{
	(void)arg;
}

struct host
exec_host(struct exec *x)
{
	return ((struct host){ start, offer, run, stop, x });
}

void
exec_fini(struct exec *x)
{
	bytes_fini(&x->path);
}
