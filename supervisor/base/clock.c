/* SPDX-License-Identifier: ISC */
#include <sys/time.h>
#include <time.h>

#include "supervisor/base/clock.h"

static int64_t
read_ms(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return ((int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000);
}

int64_t
clock_now_ms(void)
{
	return (read_ms(CLOCK_MONOTONIC));
}

int64_t
clock_wall_ms(void)
{
	return (read_ms(CLOCK_REALTIME));
}

struct timeval
clock_timeval(int64_t ms)
{
	struct timeval tv = { 0, 0 };

	if (ms > 0) {
		tv.tv_sec = (time_t)(ms / 1000);
		tv.tv_usec = (suseconds_t)(ms % 1000 * 1000);
	}
	return (tv);
}
