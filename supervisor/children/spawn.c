/* SPDX-License-Identifier: ISC */
/*
 * spawn.c: posix_spawn, because the cost of fork grows with the supervisor.
 * Only the loop thread comes here: a child's PR_SET_PDEATHSIG fires when the
 * thread that started it ends.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child/channel.h"
#include "supervisor/children/spawn.h"

#if !HAVE_POSIX_SPAWN_FILE_ACTIONS_ADDCLOSEFROM_NP
/* All of ours are close-on-exec anyway; this was only the second lock. */
#define posix_spawn_file_actions_addclosefrom_np(actions, from) \
	((void)(from), 0)
#endif

#define PARK 10 /* descriptors wait above the ones they are moved to */

struct ends {
	int null;
	int channel[2]; /* ours, the child's */
	int output[2]; /* ours, the child's */
};

static void
close_fd(int *fd)
{
	if (*fd != -1)
		(void)close(*fd);
	*fd = -1;
}

/* Moves a descriptor out of the way of the ones that a child is born with. */
static int
park(int *fd)
{
	int high;

	if (*fd > PARK)
		return (0);
	if ((high = fcntl(*fd, F_DUPFD_CLOEXEC, PARK + 1)) == -1)
		return (-1);
	(void)close(*fd);
	*fd = high;
	return (0);
}

static int
set_nonblocking(int fd)
{
	const int flags = fcntl(fd, F_GETFL);

	return (flags == -1 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

static int
open_ends(struct ends *e, struct why *why)
{
	if ((e->null = open("/dev/null", O_RDWR | O_CLOEXEC)) == -1) {
		why_errno(why, "/dev/null");
		return (-1);
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, e->channel) ==
	    -1) {
		why_errno(why, "socketpair");
		return (-1);
	}
	if (pipe2(e->output, O_CLOEXEC) == -1) {
		why_errno(why, "pipe");
		return (-1);
	}
	if (park(&e->null) == -1 || park(&e->channel[0]) == -1 ||
	    park(&e->channel[1]) == -1 || park(&e->output[0]) == -1 ||
	    park(&e->output[1]) == -1 || set_nonblocking(e->channel[0]) == -1 ||
	    set_nonblocking(e->output[0]) == -1) {
		why_errno(why, "fcntl");
		return (-1);
	}
	return (0);
}

static int
set_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int rc;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	if ((rc = posix_spawnattr_setsigmask(attr, &none)) != 0)
		return (rc);
	if ((rc = posix_spawnattr_setsigdefault(attr, &all)) != 0)
		return (rc);
	return (posix_spawnattr_setflags(attr,
	    (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
		POSIX_SPAWN_SETSID)));
}

static int
set_descriptors(posix_spawn_file_actions_t *fa, const struct ends *e,
    const struct spawn_files *files)
{
	size_t i, len = files != NULL ? files->len : 0;
	int rc;

	if ((rc = posix_spawn_file_actions_adddup2(
		 fa, e->null, CHANNEL_STDIN)) != 0 ||
	    (rc = posix_spawn_file_actions_adddup2(
		 fa, e->output[1], CHANNEL_STDOUT)) != 0 ||
	    (rc = posix_spawn_file_actions_adddup2(
		 fa, e->output[1], CHANNEL_STDERR)) != 0 ||
	    (rc = posix_spawn_file_actions_adddup2(
		 fa, e->channel[1], CHANNEL_FD)) != 0)
		return (rc);
	for (i = 0; i < len; i++)
		if ((rc = posix_spawn_file_actions_adddup2(
			 fa, files->fds[i], CHANNEL_FD + 1 + (int)i)) != 0)
			return (rc);
	return (posix_spawn_file_actions_addclosefrom_np(
	    fa, CHANNEL_FD + 1 + (int)len));
}

/* Without ends it has /dev/null three times. */
static int
set_quiet_descriptors(posix_spawn_file_actions_t *fa)
{
	int fd, rc = 0;

	for (fd = 0; fd <= CHANNEL_STDERR && rc == 0; fd++)
		rc = posix_spawn_file_actions_addopen(
		    fa, fd, "/dev/null", O_RDWR, 0);
	if (rc != 0)
		return (rc);
	return (posix_spawn_file_actions_addclosefrom_np(fa, CHANNEL_FD));
}

/* The spawn itself; returns errno's value. e: NULL for a quiet one. */
static int
start(char *const argv[], char *const envp[], const struct ends *e,
    const struct spawn_files *files, pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	int rc;

	if ((rc = posix_spawnattr_init(&attr)) != 0)
		return (rc);
	if ((rc = posix_spawn_file_actions_init(&fa)) == 0) {
		if ((rc = set_attributes(&attr)) == 0 &&
		    (rc = e != NULL ? set_descriptors(&fa, e, files) :
				      set_quiet_descriptors(&fa)) == 0)
			rc = posix_spawn(pid, argv[0], &fa, &attr, argv, envp);
		(void)posix_spawn_file_actions_destroy(&fa);
	}
	(void)posix_spawnattr_destroy(&attr);
	return (rc);
}

int
spawn(char *const argv[], char *const envp[], const struct spawn_files *files,
    struct spawned *out, struct why *why)
{
	struct ends e = { -1, { -1, -1 }, { -1, -1 } };
	pid_t pid;
	int pidfd = -1;

	if (open_ends(&e, why) == -1)
		goto fail;
	if ((errno = start(argv, envp, &e, files, &pid)) != 0) {
		why_errno(why, "cannot start %s", argv[0]);
		goto fail;
	}
	/* The number cannot be anybody else's: only we reap it. */
	if ((pidfd = (int)syscall(SYS_pidfd_open, pid, 0)) == -1) {
		why_errno(why, "pidfd_open (Linux 5.9 or newer is needed)");
		(void)kill(pid, SIGKILL);
		goto fail;
	}
	close_fd(&e.null);
	close_fd(&e.channel[1]);
	close_fd(&e.output[1]);
	*out = (struct spawned){
		.pid = pid,
		.pidfd = pidfd,
		.channel_fd = e.channel[0],
		.output_fd = e.output[0],
	};
	return (0);

fail:
	close_fd(&e.null);
	close_fd(&e.channel[0]);
	close_fd(&e.channel[1]);
	close_fd(&e.output[0]);
	close_fd(&e.output[1]);
	return (-1);
}

int
spawn_quiet(char *const argv[], char *const envp[], pid_t *out, struct why *why)
{
	if ((errno = start(argv, envp, NULL, NULL, out)) != 0) {
		why_errno(why, "cannot start %s", argv[0]);
		return (-1);
	}
	return (0);
}
