/* SPDX-License-Identifier: ISC */
/*
 * local.h: tasks from JSON lines, results to JSON lines: the orchestrator side
 * without an orchestrator, for developing handlers and for a first look.
 */
#ifndef AVTOWORKER_LOCAL_H
#define AVTOWORKER_LOCAL_H

#include <stdbool.h>

#include "supervisor/base/why.h"
#include "supervisor/orchestrator/orchestrator.h"

struct event_base;

/* Reads path, or standard input when it is "-". NULL and why. */
struct orchestrator *local_new(struct event_base *, const char *path,
    const struct orchestrator_ops *, void *arg, struct why *);
/* True when every task has been read and every result written. */
bool local_is_done(const struct orchestrator *);
/* True when a result could not be written. */
bool local_lost_output(const struct orchestrator *);
/* How many tasks did not end in success, faulty lines included. */
unsigned long local_failed(const struct orchestrator *);

#endif
