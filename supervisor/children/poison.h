/* SPDX-License-Identifier: ISC */
/*
 * poison.h: tasks that kill the children they are given to. Deaths are
 * counted per job and task type, not per task id, which may change from one
 * attempt to the next. In memory only, and bounded: the pair that was quiet
 * for longest is forgotten first.
 *
 * What counts is a child lost over the task: a crash, the OOM killer, the
 * limits of memory and processor time. What does not:
 * - time limits and deadlines: the task was too slow, here and now, and its
 *   result says just that (TIMEOUT_ERROR); a busy machine is enough for it;
 * - what was our wish or the orchestrator's: a cancel, a stop;
 * - a child that died before the handler began, as long as the task is
 *   queued again for it.
 * It counts in a pool that has never had a success as well: there the handler
 * may be to blame, but a job that loses child after child must come to an end.
 */
#ifndef AVTOWORKER_POISON_H
#define AVTOWORKER_POISON_H

#include <stdbool.h>
#include <stddef.h>

#include "supervisor/children/death.h"

#define POISON_ENTRIES_MAX 4096

struct poison;

/* max: deaths at which a task is refused. NULL when memory is short. */
struct poison *poison_new(unsigned max);
void poison_free(struct poison *); /* NULL is fine */
/* Another limit, for the deaths to come. */
void poison_set_max(struct poison *, unsigned max);

/* True when a death of that cause is charged to the task. */
bool poison_counts(enum death_cause);
/* A child died over it: counted once, also when that child had several such.
 * True when it has cost as many as it may; text then says how many, and of
 * what: "3 children died over this task (crash 2, oom 1)". When memory is short
 * nothing is counted. */
bool poison_add(struct poison *, const char *job_id, const char *type,
    const struct death *, char *text, size_t size);
/* A child gave a result for it: what was is forgotten. */
void poison_clear(struct poison *, const char *job_id, const char *type);

#endif
