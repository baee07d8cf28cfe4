/* SPDX-License-Identifier: ISC */
/*
 * launch.c: the steps between exec and the first line of a handler. Their
 * order is part of their meaning: whatever changes the user comes before
 * "parent", because the kernel forgets PR_SET_PDEATHSIG when it changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "child/channel.h"
#include "child/launch.h"

/* What a handler starts must not hold our end of the channel. */
static int
keep_channel(const struct launch *l)
{
	(void)l;
	return (fcntl(CHANNEL_FD, F_SETFD, FD_CLOEXEC));
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

	(void)l;
	for (i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		if (sigaction(ignored[i], &act, NULL) == -1)
			return (-1);
	act.sa_handler = on_sigpipe;
	act.sa_flags = SA_RESTART;
	return (sigaction(SIGPIPE, &act, NULL));
}

/* A supervisor that died before the request was made sends no signal. */
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
	int (*take)(const struct launch *); /* -1 and errno */
} steps[] = {
	{ "channel", keep_channel },
	{ "signals", settle_signals },
	{ "parent", die_with_parent },
};

int
launch(const struct launch *l, struct bytes *why)
{
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (steps[i].take(l) == -1) {
			bytes_printf(why, "cannot start, at step \"%s\": %s",
			    steps[i].name, strerror(errno));
			return (-1);
		}
	return (0);
}
