/* SPDX-License-Identifier: ISC */
/*
 * exec_outcome.h: how a task's executable has ended, and what result that is.
 */
#ifndef AVTOWORKER_EXEC_OUTCOME_H
#define AVTOWORKER_EXEC_OUTCOME_H

#include <stdbool.h>

#include "child/bytes.h"

#define EXEC_LINE_MAX 500 /* bytes of a line of stderr that are kept */

struct aw_task;
struct exec;

struct exec_outcome {
	int status; /* as wait(2) has it */
	unsigned cpu_s; /* processor time of the process itself */
	struct bytes printed; /* to stdout */
	char line[EXEC_LINE_MAX + 1]; /* the last of stderr that is not empty */
	bool stopped : 1; /* by a signal: we have killed it */
	bool too_long : 1; /* it has printed too much: the same */
};

/* Sets the task's result. */
void exec_outcome_judge(
    const struct exec_outcome *, const struct exec *, struct aw_task *);
void exec_outcome_fini(struct exec_outcome *);

#endif
