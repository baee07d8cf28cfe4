/* SPDX-License-Identifier: ISC */
/* task_read.h: reads the task in the reply to a poll; alike in both dialects. */
#ifndef AVTOWORKER_TASK_READ_H
#define AVTOWORKER_TASK_READ_H

#include <stddef.h>

#include "supervisor/base/why.h"

struct jslice;
struct task;

enum task_reading {
	TASK_READ, /* whole */
	TASK_UNRUNNABLE, /* its ids are known: it can be answered; see why */
	TASK_NO_MEMORY, /* nothing is wrong with it, as far as was read */
	TASK_FORBIDDEN, /* read whole, but it is not allowed; see why */
	TASK_LOST, /* not even that; see why */
};

/* Fills task unless it is lost; params are set only when it was read whole. */
enum task_reading task_read(
    const char *body, size_t len, struct task *, struct why *);
/* Fills in what may stand beside ids, type and params: the deadline, the
 * priority, and the objects that are handed on. What is not of the form that
 * it must have is left out. -1 and why when memory is short. */
int task_read_more(const struct jslice *root, struct task *, struct why *);

#endif
