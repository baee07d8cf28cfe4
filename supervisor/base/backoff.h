/* SPDX-License-Identifier: ISC */
/* backoff.h: exponential delays with jitter between attempts. */
#ifndef AVTOWORKER_BACKOFF_H
#define AVTOWORKER_BACKOFF_H

#include <stdint.h>

struct backoff {
	int64_t first_ms; /* delay after the first failure */
	int64_t max_ms; /* delays stop growing here */
	int64_t factor_milli; /* by what each is longer; 0: twice as long */
	unsigned failures; /* in a row; 0 after backoff_reset() */
};

/* Counts a failure and returns how long to wait: the longer delay, spread
 * evenly over its upper half so that many workers do not come together. */
int64_t backoff_next_ms(struct backoff *);
/* Success: the next failure starts small again. */
void backoff_reset(struct backoff *);

#endif
