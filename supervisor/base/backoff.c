/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include <bsd/stdlib.h>

#include "supervisor/base/backoff.h"

int64_t
backoff_next_ms(struct backoff *b)
{
	const int64_t factor = b->factor_milli > 0 ? b->factor_milli : 2000;
	int64_t delay = b->first_ms, longer;
	unsigned i;

	for (i = 0; i < b->failures && delay < b->max_ms; i++) {
		if ((longer = delay * factor / 1000) <= delay)
			break; /* for good */
		delay = longer;
	}
	if (delay > b->max_ms)
		delay = b->max_ms;
	b->failures++;
	return (
	    delay / 2 + (int64_t)arc4random_uniform((uint32_t)(delay / 2 + 1)));
}

void
backoff_reset(struct backoff *b)
{
	b->failures = 0;
}
