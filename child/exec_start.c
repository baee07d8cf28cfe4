/* SPDX-License-Identifier: ISC */
/*
 * exec_start.c: between fork and exec of a task's executable. It has three
 * pipes and nothing else open, the limits of its category, the task's ids in
 * its environment, and signals as a program expects them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child/channel.h"
#include "child/exec.h"
#include "child/exec_start.h"
#include "child/limits.h"
#include "child/task.h"

#define FAILED           126 /* what nobody gets to see */
#define VARIABLE_MAX     100000 /* bytes; the kernel takes 128 KiB for one */
#define CPU_LAST_SECONDS 5 /* from SIGXCPU to SIGKILL */

/* What the fork tells us when there is no exec. */
struct failure {
	const char *step; /* the same address in both */
	int error;
};

static int
set_text(const char *name, const char *value)
{
	return (value != NULL ? setenv(name, value, 1) : unsetenv(name));
}

/* JSON as it is; what is too large for the environment is left out. */
static int
set_json(const char *name, const struct jslice *value)
{
	char *text;
	int rc;

	if (value->p == NULL || value->len > VARIABLE_MAX)
		return (unsetenv(name));
	if ((text = strndup(value->p, value->len)) == NULL)
		return (-1);
	rc = setenv(name, text, 1);
	free(text);
	return (rc);
}

static int
set_environment(const struct aw_task *task)
{
	char deadline[24];

	(void)snprintf(
	    deadline, sizeof(deadline), "%lld", (long long)task->deadline_ms);
	if (set_text("AVTOWORKER_TASK_ID", task->task_id) == -1 ||
	    set_text("AVTOWORKER_JOB_ID", task->job_id) == -1 ||
	    set_text("AVTOWORKER_TYPE", task->type) == -1 ||
	    set_text("AVTOWORKER_DEADLINE_MS",
		task->deadline_ms != 0 ? deadline : NULL) == -1 ||
	    set_json("AVTOWORKER_PRIORITY", &task->priority) == -1 ||
	    set_json("AVTOWORKER_METADATA", &task->metadata) == -1 ||
	    set_json("AVTOWORKER_PARAMS_METADATA", &task->params_metadata) ==
		-1 ||
	    set_json("AVTOWORKER_TRACING_CONTEXT", &task->tracing_context) ==
		-1)
		return (-1);
	/* Without a workspace it stays what it is for everybody. */
	return (task->workspace != NULL ?
		set_text("TASK_FILES_DIR", task->workspace) :
		0);
}

static int
set_limits(const struct limits *l)
{
	struct rlimit cpu;
	int i;

	for (i = 0; i < LIMIT_COUNT; i++)
		if (limits_set(l, (enum limit)i) == -1)
			return (-1);
	if (l->task_cpu_s == 0)
		return (0);
	if (getrlimit(RLIMIT_CPU, &cpu) == -1)
		return (-1);
	if (l->task_cpu_s < cpu.rlim_cur)
		cpu.rlim_cur = l->task_cpu_s;
	if (cpu.rlim_cur + CPU_LAST_SECONDS < cpu.rlim_max)
		cpu.rlim_max = cpu.rlim_cur + CPU_LAST_SECONDS;
	return (setrlimit(RLIMIT_CPU, &cpu));
}

static int
reset_signals(void)
{
	static const int ours[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
	struct sigaction act = { .sa_handler = SIG_DFL };
	sigset_t none;
	size_t i;

	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (sigaction(ours[i], &act, NULL) == -1)
			return (-1);
	(void)sigemptyset(&none);
	return (sigprocmask(SIG_SETMASK, &none, NULL));
}

/* It must not outlive us, and we may be killed at any time. */
static int
die_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1)
		return (-1);
	if (getppid() != parent) {
		errno = ESRCH;
		return (-1);
	}
	return (0);
}

/* In the fork. Returns the step that failed (errno). */
static const char *
become(const struct exec *x, const struct aw_task *task, pid_t parent,
    const int ends[3])
{
	int i;

	if (setsid() == -1)
		return ("setsid");
	if (die_with(parent) == -1)
		return ("parent");
	for (i = 0; i < 3; i++)
		if (dup2(ends[i], i) == -1)
			return ("pipes");
	/* Everything is marked so already; Linux 5.11 makes sure. */
	(void)close_range(CHANNEL_FD, UINT32_MAX, CLOSE_RANGE_CLOEXEC);
	if (reset_signals() == -1)
		return ("signals");
	if (x->in_workspace && task->workspace != NULL &&
	    chdir(task->workspace) == -1)
		return ("its workspace");
	if (set_environment(task) == -1)
		return ("environment");
	if (set_limits(x->limits) == -1)
		return ("limits");
	(void)execv(x->path.p, x->argv);
	return (NULL);
}

static void
close_both(int pipe[2])
{
	if (pipe[0] != -1)
		(void)close(pipe[0]);
	if (pipe[1] != -1)
		(void)close(pipe[1]);
}

/* Waits until the fork is another program, or has said why not. */
static int
hear(int fd, const struct exec *x, struct bytes *why)
{
	struct failure f;
	ssize_t n;

	do
		n = read(fd, &f, sizeof(f));
	while (n == -1 && errno == EINTR);
	if (n == 0)
		return (0);
	if (n != (ssize_t)sizeof(f))
		f = (struct failure){ "start", n == -1 ? errno : EIO };
	bytes_printf(why, "cannot execute %s%s%s: %s%s", x->path.p,
	    f.step != NULL ? ", at step " : "", f.step != NULL ? f.step : "",
	    strerror(f.error),
	    f.error == ENOEXEC ? " (a script begins with #!INTERPRETER)" : "");
	return (-1);
}

static int
make_pipes(int pipes[4][2])
{
	int i;

	for (i = 0; i < 4; i++)
		if (pipe2(pipes[i], O_CLOEXEC) == -1)
			return (-1);
	if (fcntl(pipes[0][1], F_SETFL, O_NONBLOCK) == -1 ||
	    fcntl(pipes[1][0], F_SETFL, O_NONBLOCK) == -1 ||
	    fcntl(pipes[2][0], F_SETFL, O_NONBLOCK) == -1)
		return (-1);
	return (0);
}

pid_t
exec_start(const struct exec *x, const struct aw_task *task,
    struct exec_pipes *out, struct bytes *why)
{
	/* stdin, stdout, stderr, and how the start went. */
	int pipes[4][2] = { { -1, -1 }, { -1, -1 }, { -1, -1 }, { -1, -1 } };
	const pid_t self = getpid();
	struct failure failure;
	pid_t pid = -1;
	int i;

	if (make_pipes(pipes) == -1 || (pid = fork()) == -1) {
		bytes_printf(why, "cannot start a process for %s: %s",
		    x->path.p, strerror(errno));
		goto out;
	}
	if (pid == 0) {
		failure.step = become(x, task, self,
		    (int[]){ pipes[0][0], pipes[1][1], pipes[2][1] });
		failure.error = errno;
		(void)!write(pipes[3][1], &failure, sizeof(failure));
		_exit(FAILED);
	}
	(void)close(pipes[3][1]);
	pipes[3][1] = -1;
	if (hear(pipes[3][0], x, why) == 0) {
		*out = (struct exec_pipes){ pipes[0][1], pipes[1][0],
			pipes[2][0] };
		pipes[0][1] = pipes[1][0] = pipes[2][0] = -1;
	} else {
		(void)waitpid(pid, NULL, 0);
		pid = -1;
	}
out:
	for (i = 0; i < 4; i++)
		close_both(pipes[i]);
	return (pid);
}
