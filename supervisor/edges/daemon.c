/* SPDX-License-Identifier: ISC */
/*
 * daemon.c: one fork. A second one would only keep the daemon from getting a
 * terminal, and it opens none (log.c opens with O_NOCTTY); with one, the
 * starting process is the daemon's parent and learns how it ended, whatever
 * that was. The outcome travels through a pipe: a byte when the daemon is
 * ready, its end when the daemon is dead.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <bsd/libutil.h>
#include <bsd/unistd.h>

#include "supervisor/base/log.h"
#include "supervisor/edges/daemon.h"

#define TOLD_FD (STDERR_FILENO + 1)

static int
redirect(int to_fd, int flags)
{
	const int fd = open("/dev/null", flags | O_CLOEXEC);

	if (fd == -1)
		return (-1);
	if (dup2(fd, to_fd) == -1) {
		(void)close(fd);
		return (-1);
	}
	/* It may be the very descriptor, if the caller had closed it. */
	if (fd != to_fd)
		(void)close(fd);
	return (0);
}

/* In the child. Descriptors of the caller that are none of ours are closed: a
 * pipe among them would keep its reader waiting as long as we live. */
static int
become_daemon(
    struct daemon *d, int told_fd, bool keep_directory, struct why *why)
{
	if (setsid() == -1 || redirect(STDIN_FILENO, O_RDONLY) == -1 ||
	    (told_fd != TOLD_FD && dup2(told_fd, TOLD_FD) == -1) ||
	    fcntl(TOLD_FD, F_SETFD, FD_CLOEXEC) == -1 ||
	    (!keep_directory && chdir("/") == -1)) {
		why_errno(why, "cannot become a daemon");
		return (-1);
	}
	closefrom(TOLD_FD + 1);
	d->told_fd = TOLD_FD;
	log_echo(true);
	return (0);
}

/* How the daemon has ended, which it should not have. */
static int
judge(pid_t pid, struct why *why)
{
	int status;

	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR) {
			why_errno(why, "waitpid");
			return (EX_OSERR);
		}
	if (WIFSIGNALED(status)) {
		why_set(why,
		    "the daemon was killed by signal %d (%s) while it started",
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
		return (EX_SOFTWARE);
	}
	if (WEXITSTATUS(status) == EX_OK) {
		why_set(why, "the daemon was stopped before it was ready");
		return (EX_TEMPFAIL);
	}
	return (WEXITSTATUS(status)); /* it has said why */
}

/* In the starting process: until the daemon is ready or dead. */
static int
wait_for_outcome(pid_t pid, int fd, int signal_fd, struct why *why)
{
	struct pollfd p[] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = signal_fd, .events = POLLIN },
	};
	struct signalfd_siginfo info;
	ssize_t n;
	char byte;

	for (;;) {
		if (poll(p, 2, -1) == -1 && errno != EINTR) {
			why_errno(why, "poll");
			return (EX_OSERR);
		}
		if ((p[1].revents & POLLIN) != 0 &&
		    read(signal_fd, &info, sizeof(info)) > 0)
			(void)kill(pid, SIGTERM);
		if (p[0].revents == 0)
			continue;
		if ((n = read(fd, &byte, 1)) == 1)
			return (EX_OK);
		if (n == 0 || (errno != EINTR && errno != EAGAIN))
			return (judge(pid, why));
	}
}

int
daemon_start(
    struct daemon *d, bool keep_directory, int *status, struct why *why)
{
	int told[2] = { -1, -1 }, signal_fd = -1, rc = -1;
	sigset_t stops, old;
	pid_t pid;

	*d = DAEMON_NONE;
	why->text[0] = '\0';
	/* A caller may ignore it: then nobody would hear how it ended. */
	(void)signal(SIGCHLD, SIG_DFL);
	(void)sigemptyset(&stops);
	(void)sigaddset(&stops, SIGINT);
	(void)sigaddset(&stops, SIGQUIT);
	(void)sigaddset(&stops, SIGTERM);
	(void)sigaddset(&stops, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &stops, &old) == -1 ||
	    (signal_fd = signalfd(-1, &stops, SFD_CLOEXEC)) == -1 ||
	    pipe2(told, O_CLOEXEC) == -1 || (pid = fork()) == -1) {
		why_errno(why, "cannot start the daemon");
		goto done;
	}
	if (pid == 0) {
		(void)sigprocmask(SIG_SETMASK, &old, NULL);
		return (become_daemon(d, told[1], keep_directory, why));
	}
	(void)close(told[1]);
	told[1] = -1;
	*status = wait_for_outcome(pid, told[0], signal_fd, why);
	rc = 1;
done:
	if (signal_fd != -1)
		(void)close(signal_fd);
	if (told[0] != -1)
		(void)close(told[0]);
	if (told[1] != -1)
		(void)close(told[1]);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	return (rc);
}

void
daemon_ready(struct daemon *d)
{
	if (d->told_fd == -1)
		return;
	/* Nobody reads it when the starting process was killed; SIGPIPE is
	 * ignored by now. */
	if (write(d->told_fd, "r", 1) == -1)
		log_debug("the starting process is gone");
	(void)close(d->told_fd);
	d->told_fd = -1;
	log_echo(false);
	if (redirect(STDOUT_FILENO, O_WRONLY) == -1 ||
	    redirect(STDERR_FILENO, O_WRONLY) == -1)
		log_warn("cannot let go of the terminal: /dev/null: %s",
		    strerror(errno));
}

const char *
daemon_log_destination(bool is_daemon, const char *configured)
{
	return (is_daemon && strcmp(configured, "stderr") == 0 ? "syslog" :
								 configured);
}

int
daemon_pid_file(const char *path, struct pidfh **file, struct why *why)
{
	struct pidfh *pfh;
	pid_t other = -1;

	if ((pfh = pidfile_open(path, 0644, &other)) == NULL) {
		if (errno != EEXIST) {
			why_errno(why, "cannot make the pid file %s", path);
			return (EX_CONFIG);
		}
		why_set(why,
		    "already running as PID %d; stop it, or set another "
		    "worker.pid_file: both use %s",
		    (int)other, path);
		return (EX_TEMPFAIL);
	}
	if (pidfile_write(pfh) == -1) {
		why_errno(why, "cannot write the pid file %s", path);
		(void)pidfile_remove(pfh);
		return (EX_CONFIG);
	}
	*file = pfh;
	return (0);
}
