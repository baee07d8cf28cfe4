/* SPDX-License-Identifier: ISC */
/*
 * orphans.h: what handlers have started and their children have left to us by
 * dying: it is ended at once.
 */
#ifndef AVTOWORKER_ORPHANS_H
#define AVTOWORKER_ORPHANS_H

#include <stdbool.h>

#include "child/tree.h"
#include "supervisor/base/why.h"

struct reaper;

struct orphans {
	struct reaper *reaper; /* borrowed; NULL before orphans_init() */
	struct tree_list older; /* children we were born with, as after an
				   exec by a shell: none of our business */
	bool marked_only; /* strangers may be somebody else's: only those in
			     whose environment our mark is are ended */
	bool told; /* that they cannot be found */
};

/* From now on orphans come to this process, and those that do after the death
 * of a child are killed: when the reaper has run. Before anything is started.
 * -1 and why. */
int orphans_init(struct orphans *, struct reaper *, struct why *);
/* When the loop has ended and every child is killed: ends whatever is left of
 * them, for ten seconds at most. A zeroed one is fine. */
void orphans_fini(struct orphans *);

#endif
