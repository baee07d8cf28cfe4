/* SPDX-License-Identifier: ISC */
/*
 * start_gate.h: how many children may be on trial at once, over all
 * programs whose starts have been failing: broken handlers must not take
 * the machine from those that work. A program passes with one child, and
 * leaves when that is ready or dead; who finds the gate full waits in line.
 */
#ifndef AVTOWORKER_START_GATE_H
#define AVTOWORKER_START_GATE_H

#include <stdbool.h>

#include <bsd/sys/queue.h>

enum gate_place {
	GATE_OUTSIDE,
	GATE_WAITING,
	GATE_INSIDE
};

/* One for each program; zeroed but for open and arg. */
struct gate_ticket {
	TAILQ_ENTRY(gate_ticket) entry; /* of the line, while waiting */
	void (*open)(void *arg); /* its turn has come: it may enter */
	void *arg;
	enum gate_place place;
};

struct start_gate {
	TAILQ_HEAD(, gate_ticket) line;
	unsigned max;
	unsigned inside;
};

/* max 0: the number of processor cores. */
void start_gate_init(struct start_gate *, unsigned max);
/* True when it is inside now; else it waits until open() is called, which is
 * to try again. */
bool start_gate_enter(struct start_gate *, struct gate_ticket *);
/* Goes out, or gives up waiting; lets the next one in. Outside: nothing. */
void start_gate_leave(struct start_gate *, struct gate_ticket *);

#endif
