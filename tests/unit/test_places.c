/* SPDX-License-Identifier: ISC */
#include "supervisor/places.h"
#include "tests/test.h"

#define CATEGORIES 3
#define MOST       3 /* children, and leases that wait, of each */

/* Of children that are free or could be started, and leases that wait. */
struct state {
	unsigned children[CATEGORIES];
	unsigned queued[CATEGORIES];
};

static unsigned
left(const struct state *s, unsigned running, int64_t max)
{
	struct places p = { .taken = running };
	unsigned i;

	for (i = 0; i < CATEGORIES; i++)
		places_add(
		    &p, (int)s->children[i] - (int)s->queued[i], s->queued[i]);
	return (places_left(&p, max));
}

/* Gives places away one by one: first to what waits, then to what may come. */
static unsigned
count(const struct state *s, unsigned running, unsigned max)
{
	unsigned i, children, n = 0, free_children[CATEGORIES];

	for (i = 0; i < CATEGORIES; i++) {
		children = s->children[i];
		free_children[i] =
		    children > s->queued[i] ? children - s->queued[i] : 0;
		running += children - free_children[i];
	}
	for (i = 0; i < CATEGORIES; i++)
		while (free_children[i] > 0 && running < max) {
			free_children[i]--;
			running++;
			n++;
		}
	return (n);
}

/* Every combination of a digit each. */
static bool
next_state(struct state *s)
{
	unsigned *digits = (unsigned *)s, i;

	for (i = 0; i < 2 * CATEGORIES; i++) {
		if (++digits[i] <= MOST)
			return (true);
		digits[i] = 0;
	}
	return (false);
}

static void
are_what_counting_says(void)
{
	struct state s = { { 0 }, { 0 } };
	unsigned running, max;

	do
		for (max = 1; max <= CATEGORIES * MOST; max++)
			for (running = 0; running <= max + 1; running++)
				ASSERT_INT(left(&s, running, max),
				    count(&s, running, max));
	while (next_state(&s));
}

static void
large_numbers_are_none_below_zero(void)
{
	struct places p = { .taken = 100000 };

	places_add(&p, -100000, 100000);
	places_add(&p, 10000, 0);
	ASSERT_INT(places_left(&p, 1), 0);
	ASSERT_INT(places_left(&p, 100001), 1);
	ASSERT_INT(places_left(&p, 1000000), 10000);
}

static const struct test tests[] = {
	{ "places are what counting says", are_what_counting_says },
	{ "large numbers are none below zero",
	    large_numbers_are_none_below_zero },
};
TEST_MAIN(tests)
