/* SPDX-License-Identifier: ISC */
/*
 * launch.h: what a child does to itself before it runs anybody's code, step
 * by step. Called once, from main().
 */
#ifndef AVTOWORKER_LAUNCH_H
#define AVTOWORKER_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

#include "child/bytes.h"
#include "child/limits.h"

struct launch {
	pid_t parent; /* the supervisor or our launcher; we end when it does */
	const char *cgroup; /* directory of a control group; or NULL */
	struct limits limits;
	int umask; /* -1: as it is */
	int nice; /* added to what it is */
	const char *directory; /* NULL: as it is */
	int oom_score_adj; /* added to what it is */
	bool subreaper; /* orphans of ours come to us */
	bool program; /* another program will be executed: it gets the channel
			 and signals as programs are used to have them */
};

/* Takes every step in turn. Returns -1 and why at the first that fails: the
 * step and the key of the configuration that asks for it. */
int launch(const struct launch *, struct bytes *why);

#endif
