/* SPDX-License-Identifier: ISC */
/*
 * turn.h: what is done around each task, whoever runs it: the title, the
 * limit of its processor time, and the sweep behind it. Owned by main().
 */
#ifndef AVTOWORKER_TURN_H
#define AVTOWORKER_TURN_H

#include "child/limits.h"
#include "child/sweep.h"
#include "child/title.h"

struct turn {
	const char *category; /* borrowed */
	struct title title;
	struct limits *limits; /* borrowed */
	struct sweep sweep;
};

/* The handlers are started, and no task has been taken yet. */
void turn_ready(struct turn *);
/* A task's handler is about to run. */
void turn_begin(struct turn *, const char *type, const char *task_id);
/* Its result is sent. */
void turn_end(struct turn *);
/* No more tasks; the process ends. */
void turn_over(struct turn *);

#endif
