/* SPDX-License-Identifier: ISC */
/*
 * reaper.c: looks who has died before it reaps, so that the owner can still
 * kill the group by its number and read what the process left in its pipes.
 * Called for SIGCHLD and for every pidfd that becomes readable: a process
 * that is traced while it dies may be dead to the one and not yet to the
 * other.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "supervisor/base/log.h"
#include "supervisor/children/reaper.h"

static int
compare(const struct reaped *a, const struct reaped *b)
{
	return ((a->pid > b->pid) - (a->pid < b->pid));
}

#define UNUSED_STATIC static __attribute__((__unused__))
RB_GENERATE_INTERNAL(reaped_tree, reaped, entry, compare, UNUSED_STATIC)

void
reaper_init(struct reaper *r)
{
	RB_INIT(&r->known);
	r->unknown = 0;
}

void
reaper_add(struct reaper *r, struct reaped *p)
{
	assert(p->pid > 0);
	(void)RB_INSERT(reaped_tree, &r->known, p);
}

void
reaper_remove(struct reaper *r, struct reaped *p)
{
	(void)RB_REMOVE(reaped_tree, &r->known, p);
	p->pid = 0;
}

static void
reap(struct reaper *r, pid_t pid)
{
	const struct reaped key = { .pid = pid };
	struct reaped *p;
	struct rusage usage;
	int status;

	p = RB_FIND(reaped_tree, &r->known, (struct reaped *)&key);
	if (p != NULL)
		p->dying(p->arg);
	while (wait4(pid, &status, 0, &usage) == -1)
		if (errno != EINTR) {
			log_err("cannot reap process %d", (int)pid);
			return;
		}
	if (p == NULL) {
		r->unknown++;
		log_debug("reaped process %d, which is none of ours", (int)pid);
		return;
	}
	(void)RB_REMOVE(reaped_tree, &r->known, p);
	p->pid = 0;
	p->dead(p->arg, status, &usage);
}

void
reaper_run(struct reaper *r)
{
	siginfo_t info;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) ==
		    -1) {
			if (errno == EINTR)
				continue;
			return; /* ECHILD: nobody there */
		}
		if (info.si_pid == 0)
			return;
		reap(r, info.si_pid);
	}
}
