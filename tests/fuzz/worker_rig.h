/* SPDX-License-Identifier: ISC */
/*
 * worker_rig.h: the orchestrator's side of a worker: its leases, outbox and
 * fleet, on requests, a journal and a clock that are fake. It gets its tasks
 * from fake_orchestrator.h, whose books it keeps up to date on what the worker
 * knows, and aborts when a task is run or given up that must not be. One for
 * each process.
 */
#ifndef FUZZ_WORKER_RIG_H
#define FUZZ_WORKER_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/lease.h"

struct orchestrator;
struct outbox;

struct worker_rig {
	struct lease_table leases; /* what is queued counts as being run */
	struct outbox *outbox;
	struct orchestrator *fleet; /* NULL while it does not run */
	unsigned places; /* for more tasks */
};

extern struct worker_rig worker;

/* How the next one is to be; its journal is as it was left. */
void worker_prepare(bool classic, bool rate_auto, unsigned places);
void worker_start(void);
void worker_stop(void);
/* Another life, after a kill -9 or a stop: it knows what is in the journal. */
void worker_restart(bool kill);
/* It tells what it can do, as after a reload. */
void worker_offer(void);
/* The n-th of the tasks it is about, in a circle; NULL: there is none. */
struct lease *worker_task(unsigned n);
/* That one, if any, succeeds or fails; or tells of its progress. */
void worker_finish(struct lease *, uint8_t how);
void worker_tell(struct lease *);
/* All dead letters are sent again: it does not know of their ends. */
void worker_resend_letters(void);
/* The journal cannot be written, and has lost what was committed last. */
void worker_break_journal(bool loses);
/* Aborts unless its counts add up. */
void worker_check(void);

#endif
