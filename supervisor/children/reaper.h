/* SPDX-License-Identifier: ISC */
/*
 * reaper.h: the one place that waits for processes. A process is known by a
 * struct reaped that its owner embeds; unknown ones (what handlers have left
 * behind, or anybody's orphans when we are process 1) are reaped and counted.
 */
#ifndef AVTOWORKER_REAPER_H
#define AVTOWORKER_REAPER_H

#include <stdbool.h>
#include <sys/types.h>

#include <bsd/sys/tree.h>
#include <event2/event_struct.h>

#include "supervisor/base/why.h"

struct event_base;
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
	unsigned turn_max; /* deaths per turn of the loop; 0: no limit */
	struct event again; /* the next turn has deaths left, or taken is set */
	bool taken; /* somebody, since the last turn and out of turn */
	/* After a turn in which or before which somebody was reaped: what that
	 * one has left may be ours now; or NULL. */
	void (*reaped)(void *arg);
	void *arg;
};

void reaper_init(struct reaper *);
/* From now on a turn of the loop takes a limited number of deaths, and the
 * next turn the others, so that many of them do not hold everything else up.
 * -1 and why. */
int reaper_attach(struct reaper *, struct event_base *, struct why *);
/* Registers a process of ours; r->pid and the callbacks are set. */
void reaper_add(struct reaper *, struct reaped *);
/* Forgets one that still lives; it will be reaped as a stranger. */
void reaper_remove(struct reaper *, struct reaped *);
bool reaper_knows(const struct reaper *, pid_t);
/* Reaps a child that is not known, if it is dead, before its turn; another turn
 * follows then. False while it lives; true also when it is no child any more. */
bool reaper_take(struct reaper *, pid_t);
/* Reaps what is dead; never waits. */
void reaper_run(struct reaper *);
/* Before the loop is freed. */
void reaper_fini(struct reaper *);

#endif
