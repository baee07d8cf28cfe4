/* SPDX-License-Identifier: ISC */
/*
 * spawn.h: starts a child: mechanism only. The child gets the descriptors
 * listed in child/channel.h and no others, a session of its own, an empty
 * signal mask and default signals.
 */
#ifndef AVTOWORKER_SPAWN_H
#define AVTOWORKER_SPAWN_H

#include <sys/types.h>

#include "supervisor/base/why.h"

struct spawned {
	pid_t pid;
	int pidfd; /* readable when it is dead */
	int channel_fd; /* our end, non-blocking */
	int output_fd; /* its stdout and stderr, non-blocking */
};

/* Starts argv[0]. -1 and why; then nothing is left open or running. */
int spawn(char *const argv[], char *const envp[], struct spawned *out,
    struct why *why);

#endif
