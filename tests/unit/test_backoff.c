/* SPDX-License-Identifier: ISC */
#include "supervisor/base/backoff.h"
#include "tests/test.h"

static void
doubles_up_to_the_limit(void)
{
	static const int64_t full[] = { 100, 200, 400, 800, 1000, 1000 };
	struct backoff b;
	int64_t delay;
	unsigned i, round;

	for (round = 0; round < 200; round++) {
		b = (struct backoff){ .first_ms = 100, .max_ms = 1000 };
		for (i = 0; i < sizeof(full) / sizeof(full[0]); i++) {
			delay = backoff_next_ms(&b);
			ASSERT(delay >= full[i] / 2);
			ASSERT(delay <= full[i]);
			ASSERT_INT(b.failures, i + 1);
		}
	}
}

static void
starts_small_after_a_success(void)
{
	struct backoff b = { .first_ms = 10, .max_ms = 100000 };
	int i;

	for (i = 0; i < 10; i++)
		(void)backoff_next_ms(&b);
	backoff_reset(&b);
	ASSERT(backoff_next_ms(&b) <= 10);
}

static void
spreads_its_delays(void)
{
	struct backoff b = { .first_ms = 100000, .max_ms = 100000 };
	int64_t delay, least = INT64_MAX, most = 0;
	int i;

	for (i = 0; i < 1000; i++) {
		delay = backoff_next_ms(&b);
		least = delay < least ? delay : least;
		most = delay > most ? delay : most;
	}
	/* One in 10^45 that a thousand draws leave a tenth untouched. */
	ASSERT(least < 55000);
	ASSERT(most > 95000);
}

static void
holds_after_any_number_of_failures(void)
{
	struct backoff b = { .first_ms = 1, .max_ms = 3600000 };
	int64_t delay;

	b.failures = 1000000;
	delay = backoff_next_ms(&b);
	ASSERT(delay >= 1800000 && delay <= 3600000);
	b = (struct backoff){ .first_ms = 500, .max_ms = 100 };
	delay = backoff_next_ms(&b);
	ASSERT(delay >= 50 && delay <= 100);
}

static const struct test tests[] = {
	{ "doubles up to the limit", doubles_up_to_the_limit },
	{ "starts small after a success", starts_small_after_a_success },
	{ "spreads its delays", spreads_its_delays },
	{ "holds after any number of failures",
	    holds_after_any_number_of_failures },
};
TEST_MAIN(tests)
