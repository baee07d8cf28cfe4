/* SPDX-License-Identifier: ISC */
/*
 * exec_start.h: the fork of a task's executable: what it is born with.
 */
#ifndef AVTOWORKER_EXEC_START_H
#define AVTOWORKER_EXEC_START_H

#include <sys/types.h>

#include "child/bytes.h"

struct aw_task;
struct exec;

/* Our ends of its three pipes, non-blocking. */
struct exec_pipes {
	int in; /* where it reads the params */
	int out; /* what it prints */
	int err;
};

/* Starts it in a session of its own. Returns its pid, or -1 and why. */
pid_t exec_start(const struct exec *, const struct aw_task *,
    struct exec_pipes *, struct bytes *why);

#endif
