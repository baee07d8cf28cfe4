/* SPDX-License-Identifier: ISC */
/*
 * signals.h: signals as events of the loop. They are blocked and read from a
 * signalfd, so that no helper thread is ever interrupted by one.
 */
#ifndef AVTOWORKER_SIGNALS_H
#define AVTOWORKER_SIGNALS_H

#include <stddef.h>

#include <event2/event_struct.h>

#include "supervisor/base/why.h"

struct event_base;

/* What a signal does: one row each. */
struct signal_row {
	int number;
	void (*act)(int number, void *arg);
};

struct signals {
	struct event readable;
	const struct signal_row *rows;
	size_t count;
	void *arg;
	int fd; /* -1 when closed */
};

/* First of all: what asks a worker for something, and would kill a process that
 * is not one yet, waits for signals_open(). */
void signals_defer(void);
/* Blocks the signals in this thread and those it starts later, ignores SIGPIPE
 * and SIGXFSZ, and takes the rows' signals from the loop. -1 and why. */
int signals_open(struct signals *, struct event_base *,
    const struct signal_row *, size_t count, void *arg, struct why *);
void signals_close(struct signals *);

#endif
