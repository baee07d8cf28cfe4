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

#define SPAWN_FILES_MAX    64
#define SPAWN_FILES_FD_MIN 80 /* above all that a child is born with */

struct spawned {
	pid_t pid;
	int pidfd; /* readable when it is dead */
	int channel_fd; /* our end, non-blocking */
	int output_fd; /* its stdout and stderr, non-blocking */
};

/* Files that a child is born with besides, as the descriptors after the
 * channel. */
struct spawn_files {
	int fds[SPAWN_FILES_MAX]; /* from SPAWN_FILES_FD_MIN on; borrowed */
	size_t len;
};

/* Starts argv[0]; files may be NULL. -1 and why; then nothing is left open or
 * running. */
int spawn(char *const argv[], char *const envp[], const struct spawn_files *,
    struct spawned *out, struct why *why);

/* Starts a process that is no child in this sense: it has /dev/null for its
 * input and output, and nothing else. -1 and why. */
int spawn_quiet(
    char *const argv[], char *const envp[], pid_t *out, struct why *why);

#endif
