/* SPDX-License-Identifier: ISC */
/*
 * child_parts.h: what the three files of a child know of each other: child.c
 * (its life), child_frames.c (what it says), child_task.c (its tasks). Nobody
 * else includes this.
 */
#ifndef AVTOWORKER_CHILD_PARTS_H
#define AVTOWORKER_CHILD_PARTS_H

#include "supervisor/base/log.h"
#include "supervisor/children/child.h"

/* child.c */

/* What a line about it carries: its task, when it has just one. */
struct log_context child_context(const struct child *);
void child_set_state(struct child *, enum child_state);
/* The state may last so long from now; 0: as long as it likes. */
void child_set_limit(struct child *, int64_t ms);
/* Sets the timer for what is due next. */
void child_arm(struct child *);
/* It broke the channel's rules: text says how. arg is the child. */
void child_malformed(const char *text, void *arg);

/* child_frames.c */

/* A frame came. arg is the child. */
void child_frame(const struct frame_header *, const char *payload, void *arg);

/* child_task.c */

/* What a line about one of its tasks carries. */
struct log_context child_task_context(
    const struct child *, const struct child_task *);
/* It has the task no more. */
void child_task_free(struct child *, struct child_task *);
/* Does what is due for the tasks of a busy child. */
void child_tasks_due(struct child *, int64_t now_ms);
/* Milliseconds until something is; -1 when nothing will be. */
int64_t child_tasks_wait_ms(const struct child *, int64_t now_ms);
/* Logs what was done or found out, and what /proc tells of the child. */
void child_task_tell(const struct child *, const struct child_task *,
    enum log_level, const char *what);

#endif
