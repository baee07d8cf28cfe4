/* SPDX-License-Identifier: ISC */
/*
 * polls.h: long polls that wait for a task. The oldest gets the next one; a
 * poll that waited too long is answered 204.
 */
#ifndef DEVORCH_POLLS_H
#define DEVORCH_POLLS_H

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/base/why.h"
#include "tests/devorch/fault.h"

struct conn;
struct event_base;
struct ledger;
struct polls;
struct stats;
struct work;

struct polls_options {
	int64_t timeout_ms;
	/* A poll whose client has gone stays, as at real orchestrators, and
	 * takes a task with it. */
	bool lose_abandoned : 1;
	struct ledger *ledger; /* borrowed; NULL: none */
	bool announce : 1; /* print POLLING when the first poll waits */
};

/* Everything is borrowed. */
struct polls *polls_new(struct event_base *, const struct polls_options *,
    struct work *, struct stats *, struct why *);
/* Answers every waiting poll with 204; NULL is fine. */
void polls_free(struct polls *);

/* Answers a poll with a task, or keeps it waiting. */
void polls_take(struct polls *, struct conn *, enum fault_step);
/* The client of a waiting poll is gone. */
void polls_gone(struct polls *, struct conn *);
/* Hands tasks to waiting polls as far as there are any. */
void polls_serve(struct polls *);

#endif
