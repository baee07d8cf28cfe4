/* SPDX-License-Identifier: ISC */
/*
 * launcher.h: the process that stays above the one that runs handlers (the
 * host), so that whatever ends, all that the host has started ends too. It
 * knows nothing of what the host runs.
 */
#ifndef AVTOWORKER_LAUNCHER_H
#define AVTOWORKER_LAUNCHER_H

#include <sys/types.h>

#include "child/bytes.h"

struct launcher {
	pid_t supervisor; /* we end when it does */
	const char *cgroup; /* that the host will enter; or NULL */
	const char *category; /* for complaints */
	unsigned files; /* descriptors after the channel, the host's alone */
};

/*
 * Forks. Returns 0 in the host only: a session of its own, a child of the
 * launcher, and everything else as it was. The launcher never returns: it
 * lives as long as host and supervisor both do, then kills what descends from
 * it, and ends as the host did. -1 and why when there is no host.
 */
int launcher_fork(const struct launcher *, struct bytes *why);

#endif
