/* SPDX-License-Identifier: ISC */
/*
 * places.h: how many more tasks may be asked for: the sum over all programs,
 * of which one that is full must not hold back the others.
 */
#ifndef AVTOWORKER_PLACES_H
#define AVTOWORKER_PLACES_H

#include <stdint.h>

struct places {
	int64_t children; /* that more tasks could have */
	int64_t taken; /* places among the running tasks: at first as many as
			  run; then with those that have a child, too */
};

/* A program: its places, less what waits; and how many leases wait there. */
void places_add(struct places *, int places, unsigned queued);
/* How many tasks may be asked for when so many may run at once. */
unsigned places_left(const struct places *, int64_t max_running);

#endif
