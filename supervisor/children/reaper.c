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

#include <event2/event.h>

#include "supervisor/base/log.h"
#include "supervisor/children/reaper.h"

#define TURN_MAX 64 /* deaths */

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
	*r = (struct reaper){ 0 };
	RB_INIT(&r->known);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	reaper_run(arg);
}

int
reaper_attach(struct reaper *r, struct event_base *base, struct why *why)
{
	if (evtimer_assign(&r->again, base, on_again, r) == -1) {
		why_set(why, "reaper: no memory for an event");
		return (-1);
	}
	r->turn_max = TURN_MAX;
	return (0);
}

void
reaper_fini(struct reaper *r)
{
	if (r->turn_max > 0)
		(void)event_del(&r->again);
	r->turn_max = 0;
	r->reaped = NULL;
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

static struct reaped *
find(const struct reaper *r, pid_t pid)
{
	const struct reaped key = { .pid = pid };

	return (RB_FIND(reaped_tree, (struct reaped_tree *)&r->known,
	    (struct reaped *)&key));
}

bool
reaper_knows(const struct reaper *r, pid_t pid)
{
	return (find(r, pid) != NULL);
}

static void
count_stranger(struct reaper *r, pid_t pid)
{
	r->unknown++;
	log_debug("reaped process %d, which is none of ours", (int)pid);
}

/* The next turn: when the loop has looked at all that waits in it. */
static void
run_again(struct reaper *r)
{
	const struct timeval now = { 0, 0 };

	if (r->turn_max > 0 && event_add(&r->again, &now) == -1)
		event_active(&r->again, EV_TIMEOUT, 0); /* sooner than good */
}

bool
reaper_take(struct reaper *r, pid_t pid)
{
	const pid_t got = waitpid(pid, NULL, WNOHANG);

	if (got > 0) {
		count_stranger(r, pid);
		if (!r->taken)
			run_again(r);
		r->taken = true;
	}
	return (got != 0);
}

static void
reap(struct reaper *r, pid_t pid)
{
	struct reaped *p;
	struct rusage usage;
	int status;

	if ((p = find(r, pid)) != NULL)
		p->dying(p->arg);
	while (wait4(pid, &status, 0, &usage) == -1)
		if (errno != EINTR) {
			log_err("cannot reap process %d", (int)pid);
			return;
		}
	if (p == NULL) {
		count_stranger(r, pid);
		return;
	}
	(void)RB_REMOVE(reaped_tree, &r->known, p);
	p->pid = 0;
	p->dead(p->arg, status, &usage);
}

/* Reaps one that is dead. False when there is none. */
static bool
reap_one(struct reaper *r)
{
	siginfo_t info = { .si_pid = 0 };
	int rc;

	do
		rc = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
	while (rc == -1 && errno == EINTR);
	if (rc == -1 || info.si_pid == 0)
		return (false); /* ECHILD: nobody there */
	reap(r, info.si_pid);
	return (true);
}

void
reaper_run(struct reaper *r)
{
	const bool taken = r->taken;
	unsigned n = 0;

	r->taken = false;
	while (reap_one(r)) {
		n++;
		if (n == r->turn_max) {
			run_again(r);
			break;
		}
	}
	if ((n > 0 || taken) && r->reaped != NULL)
		r->reaped(r->arg);
}
