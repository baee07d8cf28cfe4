/* SPDX-License-Identifier: ISC */
/*
 * ledger.h: a file with a line of JSON for everything that was handed out and
 * that came, in order: what is true of a worker, written outside of it.
 * Owned by main(); a NULL ledger is one that nobody asked for.
 */
#ifndef DEVORCH_LEDGER_H
#define DEVORCH_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/base/why.h"
#include "tests/devorch/fault.h"
#include "tests/devorch/work.h"

struct jslice;
struct ledger;

/* Writes on behind what is there, or anew. NULL and why. */
struct ledger *ledger_new(const char *path, bool append, struct why *why);
/* Closes it; NULL is fine. Returns -1 and why when some of it is missing. */
int ledger_free(struct ledger *, struct why *why);

/* A task was handed out. */
void ledger_task(struct ledger *, const struct work *, const struct job *);
/* A result came; job is NULL when it is of an unknown one. */
void ledger_result(struct ledger *, enum work_verdict, const struct work *,
    const struct job *, const char *worker, const struct work_result *,
    const struct jslice *result);
/* A request came; fault: it was, or will be, answered wrongly. Polls are left
 * out when they have no fault. */
void ledger_request(
    struct ledger *, enum endpoint, bool fault, int64_t arrived_ns);

#endif
