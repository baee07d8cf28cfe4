/* SPDX-License-Identifier: ISC */
/*
 * resume.h: what an earlier run has done, out of its ledger. The ledger is
 * written before anything is answered, so a run that was killed has told
 * nobody what does not stand there.
 */
#ifndef DEVORCH_RESUME_H
#define DEVORCH_RESUME_H

#include "supervisor/base/why.h"

struct work;

/* Does it again, and cuts off the line that was not written to its end. A file
 * that is not there is an empty one. -1 and why. */
int resume(const char *path, struct work *, struct why *);

#endif
