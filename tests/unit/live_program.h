/* SPDX-License-Identifier: ISC */
/*
 * live_program.h: the rig of program_rig.h with the real child program, which
 * has modules of the integration tests, on a real loop. One for each case.
 */
#ifndef UNIT_LIVE_PROGRAM_H
#define UNIT_LIVE_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "child/bytes.h"
#include "supervisor/children/child.h"
#include "tests/unit/program_rig.h"

#define LIVE_LIMIT_S 120 /* longer takes no case */

/* A pool of always so many children, with one handler of that module; not
 * started. */
void live_open(
    struct rig *, unsigned children, const char *type, const char *module);
/* The same of children as they are needed; their handler is "slow". */
void live_open_dynamic(
    struct rig *, unsigned min, unsigned max, int64_t idle_timeout_ms);
void live_close(struct rig *);

/* One turn of the loop; the case fails when it is late, for want of what. */
void live_turn(struct rig *, const char *file, int line, const char *what);
/* Runs the loop until the claim holds. */
#define RUN_UNTIL(p, claim) \
	do { \
		while (!(claim)) \
			live_turn(p, __FILE__, __LINE__, #claim); \
	} while (0)

/* Queues a task. */
struct lease *live_submit(
    struct rig *, const char *type, const char *task_id, const char *params);
void live_pause(struct rig *, bool paused);
/* Stops it, until the last child is gone. */
void live_stop(struct rig *);

/* Children in that state: how many, and the first or NULL. */
unsigned live_count(const struct rig *, enum child_state);
struct child *live_first(const struct rig *, enum child_state);
/* Places for more leases, less those that wait without one. */
int live_places(struct rig *);
/* It has failed for now, with a message that has this in it. */
void check_failure(const struct lease *, const char *message);
/* Whether the bytes have that text in them. */
bool holds(const struct bytes *, const char *text);

#endif
