/* SPDX-License-Identifier: ISC */
/*
 * launcher.c: a subreaper that waits for one of two deaths, the supervisor's
 * (by its pidfd) and the host's. It blocks every signal: only a SIGKILL ends
 * it before its time, and then the host dies by PR_SET_PDEATHSIG, and the
 * supervisor, to which the rest falls, ends that.
 *
 * It closes the channel, so that the supervisor sees when the host closes it;
 * that the supervisor has closed it is for the host to see. It stays outside
 * of the host's control group, to be able to kill it as a whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child/channel.h"
#include "child/launcher.h"
#include "child/tree.h"

struct watch {
	const struct launcher *launcher;
	pid_t host;
	int supervisor_fd; /* pidfd */
	int deaths_fd; /* signalfd */
};

static void
kill_cgroup(const char *directory)
{
	char path[PATH_MAX];
	int fd;

	if (directory == NULL ||
	    (size_t)snprintf(path, sizeof(path), "%s/cgroup.kill", directory) >=
		sizeof(path))
		return;
	/* Missing before Linux 5.14; what follows does not need it. */
	if ((fd = open(path, O_WRONLY | O_CLOEXEC)) != -1) {
		(void)!write(fd, "1", 1);
		(void)close(fd);
	}
}

/* The supervisor's wait is to tell what has happened to the host. */
static void __attribute__((__noreturn__)) end_like(int status)
{
	const struct rlimit no_core = { 0, 0 };
	sigset_t set;
	int sig;

	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	sig = WTERMSIG(status);
	(void)setrlimit(RLIMIT_CORE, &no_core);
	(void)signal(sig, SIG_DFL);
	(void)kill(getpid(), sig);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, sig);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	_exit(128 + sig);
}

/* Reaps whoever is dead. True when the host was among them. */
static bool
reap(const struct watch *w, int *host_status)
{
	bool found = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0)
		if (pid == w->host) {
			*host_status = status;
			found = true;
		}
	return (found);
}

static void __attribute__((__noreturn__)) watch(const struct watch *w)
{
	struct signalfd_siginfo info;
	struct pollfd fds[] = {
		{ .fd = w->supervisor_fd, .events = POLLIN },
		{ .fd = w->deaths_fd, .events = POLLIN },
	};
	int status = SIGKILL; /* of a host that outlives the supervisor */

	for (;;) {
		if (poll(fds, 2, -1) == -1)
			continue;
		if (fds[1].revents != 0)
			(void)!read(w->deaths_fd, &info, sizeof(info));
		if (reap(w, &status) || fds[0].revents != 0)
			break;
	}
	kill_cgroup(w->launcher->cgroup);
	if (tree_end(NULL, TREE_END_MS) == -1)
		fprintf(stderr,
		    "avtoworker-child [%s]: cannot end every process that a "
		    "handler has left behind: %s\n",
		    w->launcher->category, strerror(errno));
	end_like(status);
}

/* Everything that can fail but the fork. */
static int
prepare(struct watch *w, const sigset_t *all, sigset_t *before)
{
	const struct launcher *l = w->launcher;

	if (prctl(PR_SET_CHILD_SUBREAPER, 1) == -1 ||
	    sigprocmask(SIG_SETMASK, all, before) == -1)
		return (-1);
	w->supervisor_fd = (int)syscall(SYS_pidfd_open, l->supervisor, 0);
	w->deaths_fd = signalfd(-1, all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (w->supervisor_fd == -1 || w->deaths_fd == -1)
		return (-1);
	if (getppid() != l->supervisor) {
		errno = ESRCH; /* it died before we looked */
		return (-1);
	}
	return (0);
}

int
launcher_fork(const struct launcher *l, struct bytes *why)
{
	struct watch w = { l, -1, -1, -1 };
	sigset_t all, before;

	(void)sigfillset(&all);
	(void)sigemptyset(&before);
	if (prepare(&w, &all, &before) == -1 || (w.host = fork()) == -1) {
		bytes_printf(
		    why, "cannot start its launcher: %s", strerror(errno));
		return (-1);
	}
	if (w.host != 0) {
		(void)close_range(CHANNEL_FD, CHANNEL_FD + l->files, 0);
		watch(&w);
	}
	(void)close(w.supervisor_fd);
	(void)close(w.deaths_fd);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	(void)setsid(); /* a handler's kill(0, ...) does not meet us */
	return (0);
}
