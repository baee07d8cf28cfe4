/* SPDX-License-Identifier: ISC */
/*
 * tree.h: what descends from this process, as /proc tells it, and how it is
 * ended. Used by the child, by its launcher and by the supervisor.
 */
#ifndef AVTOWORKER_TREE_H
#define AVTOWORKER_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* For the killed to be dead, on a busy machine too. */
#define TREE_END_MS 10000

struct tree_process {
	pid_t pid;
	unsigned long long born; /* clock ticks since boot: tells two processes
				    of one number apart */
};

struct tree_list {
	struct tree_process *list;
	size_t len;
	size_t size; /* allocated */
};

/* Appends the children of all threads of this process, without their births.
 * -1 with errno; ENOSYS when /proc does not show our own numbers, or no
 * children (CONFIG_PROC_CHILDREN). */
int tree_children(struct tree_list *);
/* Fills born of p->pid. -1 when it is gone. */
int tree_look(struct tree_process *p);
/* True when the list has that very process. */
bool tree_has(const struct tree_list *, pid_t);
void tree_list_fini(struct tree_list *);

/*
 * Kills the children of this process, those in keep (borrowed) and below them
 * excepted, and everything that descends from them; waits until they are dead
 * and reaps them. Where this process is a subreaper nothing gets away, not by
 * forking either; elsewhere what is deeper goes to whoever is one. Returns 0
 * when none is left, -1 with errno when some do not die within limit_ms
 * (ETIME) or cannot be found. keep may be NULL. Where nothing is to be done it
 * costs one system call.
 */
int tree_end(const struct tree_list *keep, int limit_ms);

#endif
