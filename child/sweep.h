/* SPDX-License-Identifier: ISC */
/*
 * sweep.h: ends what handlers have started and left behind. Belongs to the
 * process that runs the handlers.
 */
#ifndef AVTOWORKER_SWEEP_H
#define AVTOWORKER_SWEEP_H

#include "child/tree.h"

enum sweep_when {
	SWEEP_TASK, /* after each task, and at the end */
	SWEEP_EXIT, /* at the end only */
};

struct sweep {
	enum sweep_when when;
	const char *category; /* borrowed; for complaints */
	struct tree_list kept; /* what init has started */
	bool undying; /* something that was killed does not die: the process
			 should leave, and leave it to those above */
};

/* Remembers what is running as the handlers' own. Before the first task. */
void sweep_remember(struct sweep *);
/* Ends what the task has left, if that is wanted. */
void sweep_task(struct sweep *);
/* Ends everything. */
void sweep_exit(struct sweep *);
void sweep_fini(struct sweep *);

#endif
