/* SPDX-License-Identifier: ISC */
/*
 * launch.h: what a child does to itself before it runs anybody's code, step
 * by step. Called once, from main().
 */
#ifndef AVTOWORKER_LAUNCH_H
#define AVTOWORKER_LAUNCH_H

#include <sys/types.h>

#include "child/bytes.h"

struct launch {
	pid_t parent; /* the supervisor; we end when it does */
};

/* Takes every step in turn. Returns -1 and why at the first that fails. */
int launch(const struct launch *, struct bytes *why);

#endif
