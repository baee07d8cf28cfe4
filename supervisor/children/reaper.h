/* SPDX-License-Identifier: ISC */
/*
 * reaper.h: the one place that waits for processes. A process is known by a
 * struct reaped that its owner embeds; unknown ones (orphans, when we are
 * process 1) are reaped and counted.
 */
#ifndef AVTOWORKER_REAPER_H
#define AVTOWORKER_REAPER_H

#include <sys/types.h>

#include <bsd/sys/tree.h>

struct rusage;

struct reaped {
	RB_ENTRY(reaped) entry;
	pid_t pid; /* 0 when not registered */
	/* It is dead; its number is still pinned by the zombie. */
	void (*dying)(void *arg);
	/* It is reaped; its number may be anybody's now. May free the owner. */
	void (*dead)(void *arg, int status, const struct rusage *);
	void *arg;
};

RB_HEAD(reaped_tree, reaped);

struct reaper {
	struct reaped_tree known;
	unsigned unknown; /* strangers reaped so far */
};

void reaper_init(struct reaper *);
/* Registers a process of ours; r->pid and the callbacks are set. */
void reaper_add(struct reaper *, struct reaped *);
/* Forgets one that still lives; it will be reaped as a stranger. */
void reaper_remove(struct reaper *, struct reaped *);
/* Reaps everything that is dead; never waits. */
void reaper_run(struct reaper *);

#endif
