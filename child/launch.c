/* SPDX-License-Identifier: ISC */
/*
 * launch.c: the steps between exec and the first line of a handler. Their
 * order is part of their meaning: the control group is entered first, so that
 * all memory counts; whatever changes the user comes before "parent", because
 * the kernel forgets PR_SET_PDEATHSIG when it changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child/channel.h"
#include "child/launch.h"

#define OOM_FILE "/proc/self/oom_score_adj"
#define OOM_MAX  1000

/* What a handler starts must not hold our end of the channel. */
static int
keep_channel(const struct launch *l)
{
	return (fcntl(CHANNEL_FD, F_SETFD, l->program ? 0 : FD_CLOEXEC));
}

static int
write_file(const char *path, const char *text)
{
	const size_t len = strlen(text);
	const int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;
	int saved;

	if (fd == -1)
		return (-1);
	n = write(fd, text, len);
	saved = errno;
	(void)close(fd);
	errno = saved;
	return (n == (ssize_t)len ? 0 : -1);
}

static int
enter_cgroup(const struct launch *l)
{
	char path[PATH_MAX];

	if (l->cgroup == NULL)
		return (0);
	if ((size_t)snprintf(path, sizeof(path), "%s/cgroup.procs",
		l->cgroup) >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return (-1);
	}
	return (write_file(path, "0"));
}

static int
limit_open_files(const struct launch *l)
{
	return (limits_set(&l->limits, LIMIT_NOFILE));
}

static int
limit_file_size(const struct launch *l)
{
	return (limits_set(&l->limits, LIMIT_FSIZE));
}

static int
limit_core(const struct launch *l)
{
	return (limits_set(&l->limits, LIMIT_CORE));
}

static int
be_nice(const struct launch *l)
{
	if (l->nice == 0)
		return (0);
	errno = 0; /* -1 is a niceness too */
	return (nice(l->nice) == -1 && errno != 0 ? -1 : 0);
}

static int
set_umask(const struct launch *l)
{
	if (l->umask != -1)
		(void)umask((mode_t)l->umask);
	return (0);
}

static int
change_directory(const struct launch *l)
{
	return (l->directory != NULL ? chdir(l->directory) : 0);
}

/* Handlers rather than the supervisor. Best effort: some containers have
 * this file read-only. */
static int
offer_to_oom_killer(const struct launch *l)
{
	char text[16];
	ssize_t n;
	long value;
	int fd;

	if (l->oom_score_adj == 0 ||
	    (fd = open(OOM_FILE, O_RDWR | O_CLOEXEC)) == -1)
		return (0);
	if ((n = read(fd, text, sizeof(text) - 1)) > 0) {
		text[n] = '\0';
		value = strtol(text, NULL, 10) + l->oom_score_adj;
		if (value > OOM_MAX)
			value = OOM_MAX;
		(void)dprintf(fd, "%ld", value);
	}
	(void)close(fd);
	return (0);
}

/* Caught rather than ignored: programs that a handler starts get the default
 * back, as shell pipelines need. */
static void
on_sigpipe(int signo)
{
	(void)signo;
}

/* Terminals and platforms send these to everybody; only the supervisor says
 * when we end. */
static int
settle_signals(const struct launch *l)
{
	static const int ignored[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction act = { .sa_handler = SIG_IGN };
	size_t i;

	if (l->program)
		return (0);
	for (i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		if (sigaction(ignored[i], &act, NULL) == -1)
			return (-1);
	act.sa_handler = on_sigpipe;
	act.sa_flags = SA_RESTART;
	return (sigaction(SIGPIPE, &act, NULL));
}

static int
adopt_orphans(const struct launch *l)
{
	return (l->subreaper ? prctl(PR_SET_CHILD_SUBREAPER, 1) : 0);
}

/* A parent that died before the request was made sends no signal. */
static int
die_with_parent(const struct launch *l)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1)
		return (-1);
	if (getppid() != l->parent) {
		errno = ESRCH;
		return (-1);
	}
	return (0);
}

static const struct {
	const char *name;
	const char *key; /* that asks for it; or NULL */
	int (*take)(const struct launch *); /* -1 and errno */
} steps[] = {
	{ "channel", NULL, keep_channel },
	{ "cgroup", "memory_limit", enter_cgroup },
	{ "open files", "max_open_files", limit_open_files },
	{ "file size", "max_file_size", limit_file_size },
	{ "core size", "core_size", limit_core },
	{ "nice", "nice", be_nice },
	{ "umask", "umask", set_umask },
	{ "directory", "working_directory", change_directory },
	{ "oom", NULL, offer_to_oom_killer },
	{ "signals", NULL, settle_signals },
	{ "orphans", "sweep", adopt_orphans },
	{ "parent", NULL, die_with_parent },
};

int
launch(const struct launch *l, struct bytes *why)
{
	int error;
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (steps[i].take(l) == -1) {
			error = errno;
			bytes_printf(
			    why, "cannot start, at step \"%s\"", steps[i].name);
			if (steps[i].key != NULL)
				bytes_printf(why, " (key %s)", steps[i].key);
			bytes_printf(why, ": %s", strerror(error));
			return (-1);
		}
	return (0);
}
