/* SPDX-License-Identifier: ISC */
/*
 * orphans.c: every process that a handler starts has a child of ours above it
 * that takes its orphans (a subreaper); when that child dies, they are ours.
 * So a child of this process that the reaper does not know is left over from
 * a child that is dead. Killing it makes its own children ours, and its death
 * wakes the reaper: so level by level, none of which waits, nothing is left.
 *
 * As process 1, or with children that are older than ourselves, other people's
 * orphans come to us too; then a process must bear our mark.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/base/log.h"
#include "supervisor/children/environment.h"
#include "supervisor/children/orphans.h"
#include "supervisor/children/reaper.h"

#define MARK       ENVIRONMENT_MARK "="
#define MARK_BYTES (sizeof(MARK) - 1)
#define DEAD_MAX   1000 /* in one look */

/* True when the file holds the mark at its start or behind a zero byte. */
static bool
has_mark(int fd)
{
	char buf[8192];
	size_t keep = 0, i;
	ssize_t n;
	bool at_start = true;

	while ((n = read(fd, buf + keep, sizeof(buf) - keep)) > 0) {
		const size_t len = keep + (size_t)n;

		for (i = 0; i + MARK_BYTES <= len; i++)
			if (((i == 0 && at_start) ||
				(i > 0 && buf[i - 1] == '\0')) &&
			    memcmp(buf + i, MARK, MARK_BYTES) == 0)
				return (true);
		/* It may lie across two reads, with the zero before it. */
		keep = len < MARK_BYTES ? len : MARK_BYTES;
		memmove(buf, buf + len - keep, keep);
		at_start = at_start && len <= MARK_BYTES;
	}
	return (false);
}

static bool
is_ours(pid_t pid)
{
	char path[40];
	bool yes;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return (false);
	yes = has_mark(fd);
	(void)close(fd);
	return (yes);
}

/* True when it may be killed, if the reaper does not know it. */
static bool
is_prey(const struct orphans *o, pid_t pid)
{
	return (!tree_has(&o->older, pid) && (!o->marked_only || is_ours(pid)));
}

/* Kills those that are there now, the youngest first. The dead go out of the
 * way: a fork bomb leaves more of them than the reaper takes in its turns. */
static void
on_reaped(void *arg)
{
	struct orphans *o = arg;
	struct tree_list found = { 0 };
	unsigned killed = 0, dead = 0;
	pid_t pid;
	size_t i;

	if (tree_children(&found) == -1 && !o->told) {
		o->told = true;
		log_warn("processes that handlers leave behind when their "
			 "child dies cannot be found, and live on: %s",
		    errno == ENOSYS ? "/proc does not list them" :
				      strerror(errno));
	}
	for (i = found.len; i > 0 && dead < DEAD_MAX; i--) {
		pid = found.list[i - 1].pid;
		if (reaper_knows(o->reaper, pid))
			continue;
		/* The number of one that lives is its own while we do not reap
		 * it. */
		if (reaper_take(o->reaper, pid))
			dead++;
		else if (is_prey(o, pid) && kill(pid, SIGKILL) == 0)
			killed++;
	}
	tree_list_fini(&found);
	/* Those of an earlier look that are not dead yet are counted again. */
	if (killed > 0)
		log_debug("killing %u process%s that a dead child has left "
			  "behind",
		    killed, killed == 1 ? "" : "es");
}

int
orphans_init(struct orphans *o, struct reaper *reaper, struct why *why)
{
	size_t i;

	*o = (struct orphans){ .reaper = reaper };
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) == -1) {
		why_errno(why, "prctl(PR_SET_CHILD_SUBREAPER)");
		return (-1);
	}
	if (tree_children(&o->older) == -1 && errno == ENOMEM) {
		why_errno(why, "the list of our children");
		tree_list_fini(&o->older);
		o->reaper = NULL;
		return (-1);
	}
	for (i = 0; i < o->older.len; i++)
		if (tree_look(&o->older.list[i]) == -1)
			o->older.list[i].pid = 0;
	o->marked_only = getpid() == 1 || o->older.len > 0;
	reaper->reaped = on_reaped;
	reaper->arg = o;
	return (0);
}

void
orphans_fini(struct orphans *o)
{
	struct tree_list all = { 0 };
	size_t i, kept = 0;

	if (o->reaper == NULL)
		return; /* never begun */
	o->reaper->reaped = NULL;
	/* What dies after us would leave its own children to nobody. */
	if (tree_children(&all) == 0) {
		for (i = 0; i < all.len; i++)
			if (!is_prey(o, all.list[i].pid) &&
			    tree_look(&all.list[i]) == 0)
				all.list[kept++] = all.list[i];
		all.len = kept;
		if (tree_end(&all, TREE_END_MS) == -1)
			log_warn("cannot end every process that handlers have "
				 "left behind: %s",
			    errno == ETIME ? "some do not die" :
					     strerror(errno));
	}
	tree_list_fini(&all);
	tree_list_fini(&o->older);
	*o = (struct orphans){ 0 };
}
