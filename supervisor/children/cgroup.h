/* SPDX-License-Identifier: ISC */
/*
 * cgroup.h: control groups (cgroup v2) as what they are: directories with
 * short files. No state and no policy; a group is named by its directory.
 * Errors are errno, as the kernel gives them for the file at fault.
 */
#ifndef AVTOWORKER_CGROUP_H
#define AVTOWORKER_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/base/why.h"

#define CGROUP_PATH_MAX 4096
/* The leaf in which the supervisor itself lives: the kernel wants processes
 * and groups with limits of their own side by side, not above one another. */
#define CGROUP_LEAF     "supervisor"
/* Children's groups are child-1, child-2 ... */
#define CGROUP_CHILD    "child-"

/* The group that this process is in, as /proc/self/cgroup tells: a directory
 * at or below root. -1 and why: there is no cgroup v2, or not it alone, or its
 * directory is not to be seen from here. */
int cgroup_own(const char *proc, const char *root, char dir[CGROUP_PATH_MAX],
    struct why *);
/* True when nobody but this process is in the group. */
bool cgroup_is_ours_alone(const char *dir);
/* True when nobody at all is in the group itself. */
bool cgroup_is_vacant(const char *dir);
/* Checks that whoever manages the group has left it to us, with the memory
 * controller. -1 and why. */
int cgroup_check_delegated(const char *dir, struct why *);

/* Moves this process into a new leaf of dir, so that dir can have groups with
 * limits; on failure it is moved back. -1 and why. */
int cgroup_settle(const char *dir, struct why *);
/* Lets the groups below dir have limits of memory. -1 and why. */
int cgroup_enable_memory(const char *dir, struct why *);

/* Makes a group with that limit in bytes (0: none); when it is reached,
 * everything in it is killed at once. -1 and why; then there is none. */
int cgroup_make(const char *dir, int64_t memory_limit, struct why *);
/* Kills everything in the group and below. -1 and errno; ENOENT: the kernel
 * is older than 5.14. */
int cgroup_kill(const char *dir);
/* Removes a group without processes; one that is gone already is fine. -1 and
 * errno; EBUSY: not yet. */
int cgroup_remove(const char *dir);
/* Kills and removes every group child-N below dir, and all groups in it.
 * Returns the highest N of those that could not be removed, or 0. */
unsigned cgroup_remove_children(const char *dir);

/* The number in a file such as memory.max; "max" is INT64_MAX. -1 and errno
 * (EINVAL: it holds something else). */
int64_t cgroup_number(const char *dir, const char *file);
/* The number behind a key in a file such as memory.events. -1 and errno
 * (ENODATA: there is no such key). */
int64_t cgroup_key(const char *dir, const char *file, const char *key);

#endif
