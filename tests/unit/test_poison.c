/* SPDX-License-Identifier: ISC */
#include <stdio.h>

#include "supervisor/children/poison.h"
#include "tests/test.h"

static char text[256];

static bool
die(struct poison *p, const char *job, const char *type, enum death_cause cause)
{
	static pid_t pid;
	const struct death death = { .pid = ++pid, .cause = cause };

	return (poison_add(p, job, type, &death, text, sizeof(text)));
}

static void
refuses_at_the_limit(void)
{
	struct poison *p = poison_new(3);

	ASSERT(p != NULL);
	ASSERT(!die(p, "j-1", "crash", DEATH_CRASH));
	ASSERT(!die(p, "j-1", "crash", DEATH_OOM));
	ASSERT(die(p, "j-1", "crash", DEATH_CRASH));
	ASSERT_STR(text, "3 children died over this task (crash 2, oom 1)");
	/* Whoever brings it again is told at once. */
	ASSERT(die(p, "j-1", "crash", DEATH_MEMORY_LIMIT));
	ASSERT_STR(text,
	    "4 children died over this task (crash 2, oom 1, memory_limit 1)");
	poison_free(p);
}

static void
one_may_be_too_many(void)
{
	struct poison *p = poison_new(1);

	ASSERT(p != NULL);
	ASSERT(die(p, "j-1", "crash", DEATH_CPU_LIMIT));
	ASSERT_STR(text, "1 child died over this task (cpu_time_limit 1)");
	poison_set_max(p, 2);
	ASSERT(!die(p, "j-2", "crash", DEATH_CRASH));
	ASSERT(die(p, "j-2", "crash", DEATH_CRASH));
	poison_free(p);
	poison_free(NULL);
}

/* A child had several tasks of a job. */
static void
a_death_counts_once(void)
{
	const struct death first = { .pid = 1000, .cause = DEATH_CRASH };
	const struct death second = { .pid = 1001, .cause = DEATH_OOM };
	struct poison *p = poison_new(2);

	ASSERT(p != NULL);
	ASSERT(!poison_add(p, "j", "t", &first, text, sizeof(text)));
	ASSERT(!poison_add(p, "j", "t", &first, text, sizeof(text)));
	ASSERT(poison_add(p, "j", "t", &second, text, sizeof(text)));
	ASSERT(poison_add(p, "j", "t", &second, text, sizeof(text)));
	ASSERT_STR(text, "2 children died over this task (crash 1, oom 1)");
	poison_free(p);
}

static void
pairs_are_counted_apart(void)
{
	struct poison *p = poison_new(2);

	ASSERT(p != NULL);
	ASSERT(!die(p, "j-1", "crash", DEATH_CRASH));
	ASSERT(!die(p, "j-1", "echo", DEATH_CRASH));
	ASSERT(!die(p, "j-2", "crash", DEATH_CRASH));
	ASSERT(die(p, "j-1", "echo", DEATH_CRASH));
	poison_free(p);
}

static void
a_result_clears(void)
{
	struct poison *p = poison_new(2);

	ASSERT(p != NULL);
	poison_clear(p, "j-1", "crash");
	ASSERT(!die(p, "j-1", "crash", DEATH_CRASH));
	poison_clear(p, "j-1", "echo");
	poison_clear(p, "j-1", "crash");
	ASSERT(!die(p, "j-1", "crash", DEATH_CRASH));
	ASSERT(die(p, "j-1", "crash", DEATH_CRASH));
	poison_free(p);
}

static void
the_quietest_is_forgotten(void)
{
	struct poison *p = poison_new(3);
	char job[32];
	int i;

	ASSERT(p != NULL);
	for (i = 0; i < POISON_ENTRIES_MAX; i++) {
		(void)snprintf(job, sizeof(job), "j-%d", i);
		ASSERT(!die(p, job, "crash", DEATH_CRASH));
	}
	ASSERT(!die(p, "j-0", "crash", DEATH_CRASH)); /* not the quietest now */
	ASSERT(!die(p, "new", "crash", DEATH_CRASH)); /* j-1 goes */
	ASSERT(die(p, "j-0", "crash", DEATH_CRASH));
	ASSERT(!die(p, "j-1", "crash", DEATH_CRASH)); /* and j-2 */
	ASSERT(!die(p, "j-1", "crash", DEATH_CRASH));
	ASSERT(die(p, "j-1", "crash", DEATH_CRASH));
	poison_free(p);
}

static void
only_lost_children_count(void)
{
	ASSERT(poison_counts(DEATH_CRASH));
	ASSERT(poison_counts(DEATH_OOM));
	ASSERT(poison_counts(DEATH_MEMORY_LIMIT));
	ASSERT(poison_counts(DEATH_CPU_LIMIT));
	ASSERT(poison_counts(DEATH_PROTOCOL));
	ASSERT(!poison_counts(DEATH_TIME_LIMIT));
	ASSERT(!poison_counts(DEATH_DEADLINE));
	ASSERT(!poison_counts(DEATH_CANCELLED));
	ASSERT(!poison_counts(DEATH_INTERRUPTED));
	ASSERT(!poison_counts(DEATH_START));
	ASSERT(!poison_counts(DEATH_STOP));
}

static const struct test tests[] = {
	{ "a task is refused at the limit, with what it has cost",
	    refuses_at_the_limit },
	{ "the limit may be one, and may change", one_may_be_too_many },
	{ "jobs and types are counted apart", pairs_are_counted_apart },
	{ "a death counts once for a job", a_death_counts_once },
	{ "a result clears the count", a_result_clears },
	{ "the pair that was quiet for longest makes room",
	    the_quietest_is_forgotten },
	{ "only children that were lost count", only_lost_children_count },
};
TEST_MAIN(tests)
