/* SPDX-License-Identifier: ISC */
/* clock.h: monotonic time for everything inside, wall time for the wire. */
#ifndef AVTOWORKER_CLOCK_H
#define AVTOWORKER_CLOCK_H

#include <stdint.h>

struct timeval;

/* Monotonic milliseconds; only differences mean anything. */
int64_t clock_now_ms(void);
/* Wall-clock milliseconds since 1970, for messages and log lines only. */
int64_t clock_wall_ms(void);
/* ms as a timeval for libevent; below zero counts as zero. */
struct timeval clock_timeval(int64_t ms);

#endif
