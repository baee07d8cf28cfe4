/* SPDX-License-Identifier: ISC */
/*
 * cancels.h: what orchestrators have cancelled before it came. A command over
 * the WebSocket may overtake its task, which is in the orchestrator's queue or
 * on its way; then it is remembered here until the task comes. The latest few
 * are kept, for a while. Part of the supervisor.
 */
#ifndef AVTOWORKER_CANCELS_H
#define AVTOWORKER_CANCELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/task.h"

#define CANCELS_MAX    64
/* By then an orchestrator has failed the job for its timeout. */
#define CANCELS_AGE_MS ((int64_t)300 * 1000)

struct orchestrator;

struct cancel_note {
	const struct orchestrator *origin; /* compared only; NULL: unused */
	int64_t noted_ms;
	char id[TASK_ID_MAX + 1]; /* of a task or a job */
};

struct cancels {
	struct cancel_note notes[CANCELS_MAX];
	size_t next; /* the oldest, which the next one replaces */
};

void cancels_init(struct cancels *);
/* An id that is longer than one may be is left out. */
void cancels_note(struct cancels *, const struct orchestrator *, const char *id,
    int64_t now_ms);
/* True when that task of theirs, or its job, was noted not long ago. */
bool cancels_has(const struct cancels *, const struct orchestrator *,
    const struct task *, int64_t now_ms);

#endif
