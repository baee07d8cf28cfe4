/* SPDX-License-Identifier: ISC */
/*
 * sweep.c: between tasks only. During a task a handler's own processes are
 * its business: nothing is waited for that it may want to wait for itself.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "child/sweep.h"

static void
end(struct sweep *s, const struct tree_list *keep)
{
	if (s->undying || tree_end(keep, TREE_END_MS) == 0)
		return;
	s->undying = errno == ETIME;
	fprintf(stderr,
	    "avtoworker-child [%s]: cannot end every process that a "
	    "handler has left behind: %s\n",
	    s->category,
	    s->undying          ? "some do not die; leaving them to others" :
		errno == ENOSYS ? "/proc does not list them" :
				  strerror(errno));
}

void
sweep_remember(struct sweep *s)
{
	size_t i;

	if (s->when != SWEEP_TASK || tree_children(&s->kept) == -1)
		return; /* the first sweep will say so */
	for (i = 0; i < s->kept.len; i++)
		if (tree_look(&s->kept.list[i]) == -1)
			s->kept.list[i].pid = 0;
}

void
sweep_task(struct sweep *s)
{
	if (s->when == SWEEP_TASK)
		end(s, &s->kept);
}

void
sweep_exit(struct sweep *s)
{
	end(s, NULL);
}

void
sweep_fini(struct sweep *s)
{
	tree_list_fini(&s->kept);
}
