/* SPDX-License-Identifier: ISC */
/*
 * workspace.h: a directory for each task. We choose where it is and remove it
 * after the task; whoever runs the task makes it when it is first wanted, so
 * that tasks which want none cost next to nothing. Removing what a handler has
 * left there is the work of a process of its own (avtoworker-child --remove):
 * the loop never waits for a disk that holds somebody's gigabytes.
 */
#ifndef AVTOWORKER_WORKSPACE_H
#define AVTOWORKER_WORKSPACE_H

#include <stdint.h>

#include "supervisor/base/why.h"

#define WORKSPACE_PATH_MAX 4096

struct reaper;
struct workspaces;

struct workspaces_settings {
	const char *directory; /* is made when it is not there */
	const char *program; /* path of avtoworker-child */
	char *const *environment; /* of the removing process */
	struct reaper *reaper;
};

/* Makes a directory of our own in that one, and has those removed that
 * supervisors who are dead have left there. Everything is borrowed but the
 * directory's name. NULL and why. */
struct workspaces *workspaces_new(
    const struct workspaces_settings *, struct why *);
/* Where the task of that lease may have files; "" when ws is NULL. */
void workspaces_path(
    const struct workspaces *, uint64_t lease, char out[WORKSPACE_PATH_MAX]);
/* Its task is over: nothing is left of it soon. NULL is fine. */
void workspaces_remove(struct workspaces *, uint64_t lease);
/* Waits a short while for what is left to be removed. NULL is fine. */
void workspaces_free(struct workspaces *);

#endif
