/* SPDX-License-Identifier: ISC */
/*
 * exec_run.c: what happens between an executable and us, until it is dead: its
 * pipes, its death, the supervisor's wish that it stop, and the supervisor's
 * own death. The one wait is in poll(2).
 *
 * The end is the death of the process, not the end of its output: what it has
 * left behind may hold the pipes for ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "child/channel.h"
#include "child/exec.h"
#include "child/exec_outcome.h"
#include "child/exec_run.h"
#include "child/exec_start.h"
#include "child/handler.h"
#include "child/task.h"
#include "child/tree.h"
#include "child/wire.h"

#define CHUNK_BYTES 65536
#define LAST_CHUNKS 64 /* that are read of a pipe when the process is dead */
#define LOOK_MS \
	100 /* how often the channel is looked at when something
			 * other than a cancel frame is in it */

struct run {
	const struct exec *exec;
	struct aw_task *task;
	struct exec_outcome *outcome;
	struct exec_pipes pipes; /* -1: closed */
	size_t sent; /* bytes of the params */
	struct bytes line; /* the line of stderr that has begun */
	pid_t pid;
	int deaths_fd; /* signalfd of SIGCHLD */
	int parent_fd; /* pidfd of whoever started us */
	bool asked : 1; /* it has been asked to stop */
	bool killed : 1; /* by us */
	bool dead : 1;
	bool crowded : 1; /* the channel holds something that is not for us */
};

static void
close_end(int *fd)
{
	if (*fd != -1)
		(void)close(*fd);
	*fd = -1;
}

/* The number of the group is the process's own: it cannot be anybody else's
 * before we have reaped it. */
static void
signal_group(const struct run *r, int sig)
{
	(void)kill(-r->pid, sig);
}

static void
kill_now(struct run *r)
{
	r->killed = true;
	signal_group(r, SIGKILL);
}

/* What it does not read is its own affair. */
static void
feed(struct run *r)
{
	const struct jslice *params = &r->task->params;
	ssize_t n;

	n = write(r->pipes.in, params->p + r->sent, params->len - r->sent);
	if (n > 0)
		r->sent += (size_t)n;
	else if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == -1 || r->sent == params->len)
		close_end(&r->pipes.in);
}

/* Reads once. Returns what read(2) does; the end of file closes the pipe. */
static ssize_t
take(int *fd, char chunk[CHUNK_BYTES])
{
	const ssize_t n = read(*fd, chunk, CHUNK_BYTES);

	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
		close_end(fd);
	return (n);
}

static ssize_t
take_out(struct run *r)
{
	struct bytes *printed = &r->outcome->printed;
	char chunk[CHUNK_BYTES];
	const ssize_t n = take(&r->pipes.out, chunk);

	if (n <= 0 || r->outcome->too_long)
		return (n);
	if (printed->len + (size_t)n > CHANNEL_FROM_CHILD_MAX) {
		r->outcome->too_long = true;
		bytes_fini(printed);
		kill_now(r);
		return (n);
	}
	bytes_append(printed, chunk, (size_t)n);
	if (bytes_failed(printed))
		kill_now(r);
	return (n);
}

/* Keeps the last line that has anything in it. */
static void
note_line(struct run *r, const char *p, size_t len)
{
	char *line = r->outcome->line;
	size_t i;

	for (i = 0; i < len; i++) {
		if (p[i] != '\n' && p[i] != '\r') {
			if (r->line.len < EXEC_LINE_MAX && p[i] != '\0')
				bytes_append(&r->line, p + i, 1);
			continue;
		}
		if (r->line.len > 0) {
			memcpy(line, r->line.p, r->line.len);
			line[r->line.len] = '\0';
		}
		r->line.len = 0;
	}
}

/* On to the supervisor's log. */
static void
pass_on(const char *p, size_t len)
{
	ssize_t n;

	while (len > 0) {
		if ((n = write(CHANNEL_STDERR, p, len)) == -1) {
			if (errno == EINTR)
				continue;
			return; /* there is nobody to read it */
		}
		p += n;
		len -= (size_t)n;
	}
}

static ssize_t
take_err(struct run *r)
{
	char chunk[CHUNK_BYTES];
	const ssize_t n = take(&r->pipes.err, chunk);

	if (n > 0) {
		pass_on(chunk, (size_t)n);
		note_line(r, chunk, (size_t)n);
	}
	return (n);
}

/* Looks at our children: the process may have stopped or died, and orphans of
 * its own are reaped. */
static void
look_at_children(struct run *r)
{
	struct signalfd_siginfo signals[8];
	siginfo_t info = { 0 };

	(void)!read(r->deaths_fd, signals, sizeof(signals));
	if (waitid(P_PID, (id_t)r->pid, &info,
		WEXITED | WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
	    info.si_pid == r->pid) {
		if (info.si_code != CLD_STOPPED)
			r->dead = true;
		else if (!r->killed) {
			r->outcome->stopped = true;
			kill_now(r);
		}
	}
	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info,
			WEXITED | WNOHANG | WNOWAIT | __WALL) == -1 ||
		    info.si_pid == 0 || info.si_pid == r->pid)
			return;
		(void)waitpid(info.si_pid, NULL, WNOHANG | __WALL);
	}
}

/* True when it has been asked to stop. */
static bool
look_at_channel(struct run *r)
{
	if (!aw_cancelled(r->task))
		return (false);
	if (!r->asked)
		signal_group(r, SIGTERM);
	r->asked = true;
	return (true);
}

/* The supervisor is gone, and so shall be everything of ours. */
static void __attribute__((__noreturn__)) end_all(void)
{
	(void)tree_end(NULL, TREE_END_MS);
	_exit(EX_IOERR);
}

static void
turn(struct run *r)
{
	const bool channel = r->task->wire != NULL;
	struct pollfd fds[] = {
		{ .fd = r->deaths_fd, .events = POLLIN },
		{ .fd = r->pipes.in, .events = POLLOUT },
		{ .fd = r->pipes.out, .events = POLLIN },
		{ .fd = r->pipes.err, .events = POLLIN },
		{ .fd = r->parent_fd, .events = POLLIN },
		{ .fd = channel ? r->task->wire->fd : -1,
		    .events = r->asked || r->crowded ? 0 : POLLIN },
	};
	const int n = poll(fds, sizeof(fds) / sizeof(fds[0]),
	    r->crowded && !r->asked ? LOOK_MS : -1);

	if (n == -1)
		return;
	if (fds[4].revents != 0 || (fds[5].revents & (POLLHUP | POLLERR)) != 0)
		end_all();
	if (fds[1].revents != 0)
		feed(r);
	if (fds[2].revents != 0)
		(void)take_out(r);
	if (fds[3].revents != 0)
		(void)take_err(r);
	if (channel && !r->asked && (r->crowded || fds[5].revents != 0))
		r->crowded = !look_at_channel(r);
	if (fds[0].revents != 0)
		look_at_children(r);
}

/* Of the process alone, which is dead and not reaped: the kernel's limit is
 * for each, and what wait4(2) tells is with its children's. */
static unsigned
used_cpu_s(pid_t pid)
{
	struct timespec used;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 ||
	    clock_gettime(clock, &used) == -1)
		return (0);
	return ((unsigned)used.tv_sec);
}

/* What it has printed is in the pipes by now; nobody waits for what its heirs
 * may still print. */
static void
finish(struct run *r)
{
	int i;

	if (r->exec->sweep)
		signal_group(r, SIGKILL);
	for (i = 0; i < LAST_CHUNKS && r->pipes.out != -1; i++)
		if (take_out(r) == -1)
			break;
	for (i = 0; i < LAST_CHUNKS && r->pipes.err != -1; i++)
		if (take_err(r) == -1)
			break;
	if (r->line.len > 0) {
		pass_on("\n", 1);
		note_line(r, "\n", 1);
	}
	r->outcome->cpu_s = used_cpu_s(r->pid);
	while (waitpid(r->pid, &r->outcome->status, 0) == -1 && errno == EINTR)
		continue;
}

/* While it runs, the death of whoever started us is ours to see: a SIGKILL
 * would leave the executable's own children behind. */
static int
prepare(struct run *r, sigset_t *before)
{
	sigset_t deaths;

	(void)sigemptyset(&deaths);
	(void)sigaddset(&deaths, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &deaths, before) == -1 ||
	    (r->deaths_fd =
		    signalfd(-1, &deaths, SFD_CLOEXEC | SFD_NONBLOCK)) == -1)
		return (-1);
	if (r->task->wire == NULL)
		return (0); /* a developer's run */
	r->parent_fd = (int)syscall(SYS_pidfd_open, getppid(), 0);
	return (r->parent_fd == -1 ? -1 : prctl(PR_SET_PDEATHSIG, 0));
}

int
exec_run(const struct exec *x, struct aw_task *task, struct exec_outcome *out)
{
	struct run r = {
		.exec = x,
		.task = task,
		.outcome = out,
		.pipes = { -1, -1, -1 },
		.deaths_fd = -1,
		.parent_fd = -1,
	};
	const pid_t parent = getppid();
	struct bytes why = { 0 };
	sigset_t before;
	int rc = -1;

	(void)sigemptyset(&before);
	if (prepare(&r, &before) == -1)
		bytes_printf(
		    &why, "cannot watch %s: %s", x->path.p, strerror(errno));
	else if ((r.pid = exec_start(x, task, &r.pipes, &why)) != -1) {
		(void)look_at_channel(&r); /* it may have come already */
		while (!r.dead)
			turn(&r);
		finish(&r);
		rc = 0;
	}
	if (rc == -1)
		aw_failure(task, "TRANSIENT_ERROR", "handler \"%s\": %.*s",
		    x->type, (int)why.len, why.p != NULL ? why.p : "");
	close_end(&r.pipes.in);
	close_end(&r.pipes.out);
	close_end(&r.pipes.err);
	close_end(&r.deaths_fd);
	close_end(&r.parent_fd);
	bytes_fini(&r.line);
	bytes_fini(&why);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (task->wire != NULL &&
	    (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || getppid() != parent))
		end_all();
	return (rc);
}
