/* SPDX-License-Identifier: ISC */
/* Sizes of a pool, with times out of the air. */
#include "supervisor/children/pool.h"
#include "tests/test.h"

#define NOW  ((int64_t)1000000)
#define IDLE ((int64_t)60000)

/* Children that are starting, idle, busy; leases that wait. */
#define COUNTS(s, i, b, w) \
	(&(struct pool_counts){ \
	    .starting = (s), .idle = (i), .busy = (b), .waiting = (w) })

static void
a_static_pool_starts_whole(void)
{
	struct pool p;

	pool_init(&p, 4, 4, IDLE);
	ASSERT_INT(pool_to_start(&p, COUNTS(0, 0, 0, 0), NOW), 4);
	ASSERT_INT(pool_to_start(&p, COUNTS(4, 0, 0, 9), NOW), 0);
	ASSERT_INT(pool_to_start(&p, COUNTS(0, 0, 3, 9), NOW), 1);
	ASSERT_INT(pool_to_stop(&p, COUNTS(0, 4, 0, 0), NOW), 0);
	ASSERT_INT(pool_to_stop(&p, COUNTS(0, 4, 0, 0), NOW + 9 * IDLE), 0);
	ASSERT_INT(pool_due_ms(&p), INT64_MAX);
}

static void
a_large_minimum_lets_the_loop_turn(void)
{
	struct pool p;

	pool_init(&p, 70, 70, IDLE);
	ASSERT_INT(pool_to_start(&p, COUNTS(0, 0, 0, 0), NOW), 32);
	ASSERT_INT(pool_due_ms(&p), NOW); /* at once, but not in one go */
	ASSERT_INT(pool_to_start(&p, COUNTS(32, 0, 0, 0), NOW), 32);
	ASSERT_INT(pool_to_start(&p, COUNTS(64, 0, 0, 0), NOW), 6);
	ASSERT_INT(pool_due_ms(&p), INT64_MAX);
}

static void
on_demand_each_lease_gets_a_child(void)
{
	struct pool p;
	unsigned i;

	pool_init(&p, 0, 8, IDLE);
	ASSERT_INT(pool_to_start(&p, COUNTS(0, 0, 0, 0), NOW), 0);
	ASSERT_INT(pool_wanted(&p, COUNTS(0, 0, 0, 0)), 0);
	for (i = 0; i < 8; i++)
		ASSERT_INT(pool_to_start(&p, COUNTS(i, 0, 0, i + 1), NOW), 1);
	ASSERT_INT(pool_to_start(&p, COUNTS(8, 0, 0, 9), NOW), 0);
	ASSERT_INT(pool_to_start(&p, COUNTS(0, 0, 8, 9), NOW), 0);
	ASSERT_INT(pool_due_ms(&p), INT64_MAX);
}

static void
a_starting_child_is_as_good_as_an_idle_one(void)
{
	struct pool p;

	pool_init(&p, 1, 8, IDLE);
	ASSERT_INT(pool_to_start(&p, COUNTS(1, 1, 2, 2), NOW), 0);
	ASSERT_INT(pool_to_start(&p, COUNTS(1, 0, 2, 2), NOW), 1);
}

static void
a_heap_is_worked_off_in_rounds(void)
{
	static const unsigned rounds[] = { 1, 2, 4, 8, 16, 32, 32 };
	unsigned i, have = 0;
	int64_t now = NOW;
	struct pool p;

	pool_init(&p, 0, 100, IDLE);
	for (i = 0; i < sizeof(rounds) / sizeof(rounds[0]); i++) {
		ASSERT_INT(
		    pool_to_start(&p, COUNTS(have, 0, 0, 200), now), rounds[i]);
		have += rounds[i];
		/* Not again before its time. */
		ASSERT_INT(pool_to_start(&p, COUNTS(have, 0, 0, 200), now), 0);
		now += POOL_ROUND_MS;
		ASSERT_INT(pool_due_ms(&p), now);
	}
	ASSERT_INT(pool_to_start(&p, COUNTS(have, 0, 0, 200), now), 5);
	ASSERT_INT(pool_due_ms(&p), INT64_MAX);
}

static void
rounds_begin_anew_when_demand_ends(void)
{
	struct pool p;

	pool_init(&p, 0, 100, IDLE);
	ASSERT_INT(pool_to_start(&p, COUNTS(0, 0, 0, 50), NOW), 1);
	ASSERT_INT(pool_to_start(&p, COUNTS(1, 0, 0, 50), NOW + 50), 2);
	ASSERT_INT(pool_to_start(&p, COUNTS(3, 0, 0, 50), NOW + 100), 4);
	ASSERT_INT(pool_to_start(&p, COUNTS(0, 7, 0, 0), NOW + 101), 0);
	ASSERT_INT(pool_to_start(&p, COUNTS(0, 0, 7, 50), NOW + 102), 1);
	pool_reset_rounds(&p);
	ASSERT_INT(pool_to_start(&p, COUNTS(1, 0, 7, 50), NOW + 103), 1);
}

static void
nothing_on_the_way_waits_for_no_round(void)
{
	struct pool p;

	pool_init(&p, 0, 10, IDLE);
	ASSERT_INT(pool_to_start(&p, COUNTS(0, 0, 0, 5), NOW), 1);
	ASSERT_INT(pool_to_start(&p, COUNTS(0, 0, 1, 4), NOW + 1), 2);
}

static void
below_the_minimum_waits_for_no_round(void)
{
	struct pool p;

	pool_init(&p, 2, 10, IDLE);
	ASSERT_INT(pool_to_start(&p, COUNTS(0, 0, 0, 9), NOW), 2);
	ASSERT_INT(pool_due_ms(&p), NOW); /* and more than the minimum */
	ASSERT_INT(pool_to_start(&p, COUNTS(2, 0, 0, 9), NOW), 1);
	ASSERT_INT(pool_to_start(&p, COUNTS(1, 0, 0, 9), NOW), 1);
}

static void
the_low_water_mark_is_surplus(void)
{
	struct pool p;

	pool_init(&p, 1, 10, IDLE);
	ASSERT_INT(pool_to_stop(&p, COUNTS(0, 2, 8, 0), NOW), 0);
	ASSERT_INT(pool_due_ms(&p), NOW + IDLE);
	ASSERT_INT(pool_to_stop(&p, COUNTS(0, 7, 3, 0), NOW + 10), 0);
	ASSERT_INT(pool_to_stop(&p, COUNTS(0, 3, 7, 0), NOW + 20), 0);
	/* Just then eight are idle; but only two were so all the time. */
	ASSERT_INT(pool_to_stop(&p, COUNTS(0, 8, 2, 0), NOW + IDLE), 2);
	ASSERT_INT(pool_due_ms(&p), NOW + 2 * IDLE);
	ASSERT_INT(pool_to_stop(&p, COUNTS(0, 6, 2, 0), NOW + IDLE + 1), 0);
	ASSERT_INT(pool_to_stop(&p, COUNTS(0, 6, 2, 0), NOW + 2 * IDLE), 6);
}

static void
it_does_not_flap(void)
{
	int64_t now;
	struct pool p;

	/* Every second all ten are busy for a moment, for an hour. */
	pool_init(&p, 1, 10, IDLE);
	for (now = NOW; now < NOW + 60 * IDLE; now += 1000) {
		ASSERT_INT(pool_to_stop(&p, COUNTS(0, 0, 10, 0), now), 0);
		ASSERT_INT(pool_to_stop(&p, COUNTS(0, 10, 0, 0), now + 10), 0);
	}
}

static void
it_never_shrinks_below_the_minimum(void)
{
	struct pool p;

	pool_init(&p, 3, 10, IDLE);
	ASSERT_INT(pool_to_stop(&p, COUNTS(0, 10, 0, 0), NOW), 0);
	ASSERT_INT(pool_to_stop(&p, COUNTS(0, 10, 0, 0), NOW + IDLE), 7);
	ASSERT_INT(pool_due_ms(&p), INT64_MAX);
	ASSERT_INT(pool_to_stop(&p, COUNTS(0, 3, 0, 0), NOW + 9 * IDLE), 0);
	/* A later time above the minimum is a new one. */
	ASSERT_INT(pool_to_stop(&p, COUNTS(0, 4, 0, 0), NOW + 10 * IDLE), 0);
	ASSERT_INT(pool_to_stop(&p, COUNTS(0, 4, 0, 0), NOW + 11 * IDLE), 1);
}

static void
starting_children_are_not_idle_ones(void)
{
	struct pool p;

	pool_init(&p, 0, 10, IDLE);
	ASSERT_INT(pool_to_stop(&p, COUNTS(5, 0, 0, 5), NOW), 0);
	ASSERT_INT(pool_to_stop(&p, COUNTS(5, 0, 0, 5), NOW + IDLE), 0);
}

static const struct test tests[] = {
	{ "a static pool starts whole, and stays", a_static_pool_starts_whole },
	{ "a large minimum lets the loop turn",
	    a_large_minimum_lets_the_loop_turn },
	{ "on demand each lease gets its child at once",
	    on_demand_each_lease_gets_a_child },
	{ "a starting child is as good as an idle one",
	    a_starting_child_is_as_good_as_an_idle_one },
	{ "a heap of leases is worked off in rounds of 1, 2, 4 ... 32",
	    a_heap_is_worked_off_in_rounds },
	{ "rounds begin anew when the demand ends",
	    rounds_begin_anew_when_demand_ends },
	{ "a lease for which nothing is on the way waits for no round",
	    nothing_on_the_way_waits_for_no_round },
	{ "what is below the minimum waits for no round",
	    below_the_minimum_waits_for_no_round },
	{ "the low-water mark of idle children is surplus",
	    the_low_water_mark_is_surplus },
	{ "a pool that is full now and then does not flap", it_does_not_flap },
	{ "a pool never shrinks below its minimum",
	    it_never_shrinks_below_the_minimum },
	{ "starting children are not idle ones",
	    starting_children_are_not_idle_ones },
};
TEST_MAIN(tests)
