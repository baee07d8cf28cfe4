/* SPDX-License-Identifier: ISC */
/*
 * memory.h: how much memory children may use, and how much the machine has
 * left. Where a control group was delegated to us (cgroup v2, systemd's
 * Delegate=memory) the kernel keeps the limits; elsewhere the children that
 * have one are looked at several times a second while they are busy.
 */
#ifndef AVTOWORKER_MEMORY_H
#define AVTOWORKER_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <bsd/sys/queue.h>

#include "supervisor/base/why.h"

struct conf;
struct death;
struct event_base;
struct memory;

/*
 * One process, in bytes; -1 and errno.
 */

/* What is resident, shared pages in full. Cheap. */
int64_t memory_rss(pid_t);
/* The same with each shared page divided among those that share it. The
 * kernel walks the page tables for it: a millisecond and more for a process
 * of 100 MB. Where we may not look that closely: memory_rss(). */
int64_t memory_pss(pid_t);
/* True when memory_pss() is above limit; asks memory_rss() first. */
bool memory_is_above(pid_t, int64_t limit);

/*
 * All of them.
 */

/* Where the kernel's files are; tests have a tree of their own. */
struct memory_paths {
	const char *proc; /* "/proc" */
	const char *cgroup; /* "/sys/fs/cgroup" */
};

/* Finds out which way limits are kept. Where a group is ours alone and
 * delegated, moves this process into a leaf of it and removes what an earlier
 * run has left; so it is called before anything else is started. NULL paths:
 * the real ones. NULL and why, for lack of memory only. */
struct memory *memory_new(
    struct event_base *, const struct memory_paths *, struct why *);
/* Frees it; NULL is fine, here and wherever a struct memory is asked for. */
void memory_free(struct memory *);
/* True when the kernel keeps the limits. */
bool memory_has_groups(const struct memory *);
/* Logs which way limits are kept, when the configuration has any. */
void memory_announce(const struct memory *, const struct conf *);

/* What this process can still use: the machine's available memory, or what is
 * left below the limits of the control groups it is in, whichever is less; in
 * bytes. INT64_MAX when nobody tells. */
int64_t memory_available(struct memory *);
/* True while less than min_free bytes (0: never) are available. Looks at most
 * every 200 ms, and logs when the answer changes. */
bool memory_is_short(struct memory *, int64_t min_free, int64_t now_ms);

/*
 * One child and everything it has started.
 */

struct memory_use {
	TAILQ_ENTRY(memory_use) entry; /* of the sampled, while busy */
	struct memory *memory; /* borrowed; NULL: nobody looks */
	/* It used more than the limit; text is a sentence without subject. */
	void (*over)(const char *text, void *arg);
	void *arg;
	char *group; /* owned: directory of its control group; or NULL */
	int64_t limit; /* bytes; 0: none */
	int64_t not_before_ms; /* no closer look before; see memory_pss() */
	pid_t pid; /* 0 before memory_use_started() */
	bool busy : 1; /* in the list */
};

/* Before it is started; m may be NULL. Where it gets a control group, group is
 * the directory that it has to join before anything else. */
void memory_use_init(struct memory_use *, struct memory *, int64_t limit,
    void (*over)(const char *text, void *arg), void *arg);
void memory_use_started(struct memory_use *, pid_t);
/* It begins a task, or has ended one. */
void memory_use_busy(struct memory_use *, bool busy);
/* Kills everything in its control group, if it has one. */
void memory_use_kill(struct memory_use *);
/* It died, and nobody of ours has killed it: says so in the death when the
 * kernel killed it for lack of memory. */
void memory_use_judge(const struct memory_use *, struct death *);
/* It is dead or never came to be: kills what is left in its group, removes the
 * group, later if need be. A zeroed one is fine. */
void memory_use_fini(struct memory_use *);

#endif
