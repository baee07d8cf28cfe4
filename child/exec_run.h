/* SPDX-License-Identifier: ISC */
/*
 * exec_run.h: one run of an executable, from its fork to its end.
 */
#ifndef AVTOWORKER_EXEC_RUN_H
#define AVTOWORKER_EXEC_RUN_H

struct aw_task;
struct exec;
struct exec_outcome;

/* Runs it for the task. -1 when it could not be started; the task then has
 * its result. */
int exec_run(const struct exec *, struct aw_task *, struct exec_outcome *);

#endif
