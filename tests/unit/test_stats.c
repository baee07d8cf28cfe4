/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include "supervisor/stats.h"
#include "tests/test.h"

/* What iterating has brought, as text. */
struct seen {
	char text[4096];
	size_t len;
	unsigned entries;
	uint64_t sum;
};

static void
see(const struct stats_entry *e, void *arg)
{
	struct seen *s = arg;

	if (s->len < sizeof(s->text))
		s->len += (size_t)snprintf(s->text + s->len,
		    sizeof(s->text) - s->len, "%.20s/%.20s=%d%s ", e->first,
		    e->second != NULL ? e->second : "", (int)e->count,
		    e->times != NULL ? "t" : "");
	s->entries++;
	s->sum += e->count;
}

static void
counts_by_two_names_in_order(void)
{
	struct stats *st = stats_new();
	struct seen s = { .len = 0 }, firsts = { .len = 0 };

	stats_task(st, "resize", "success", 10);
	stats_task(st, "echo", "success", 10);
	stats_task(st, "echo", "failure", 10);
	stats_task(st, "echo", "success", 10);
	stats_task(st, NULL, "", 10);
	stats_each(st, STATS_TASKS, see, &s);
	ASSERT_STR(s.text,
	    "echo/failure=1 echo/success=2 resize/success=1 "
	    "unknown/unknown=1 ");
	stats_each_first(st, STATS_TASKS, see, &firsts);
	ASSERT_STR(firsts.text, "echo/=3t resize/=1t unknown/=1t ");
	stats_free(st);
}

static void
keeps_kinds_apart(void)
{
	struct stats *st = stats_new();
	struct seen ends = { .len = 0 }, requests = { .len = 0 };

	stats_child_end(st, "heavy", "oom");
	stats_child_end(st, "heavy", "crash");
	stats_request(st, "poll", "ok", 5);
	stats_each(st, STATS_CHILD_ENDS, see, &ends);
	ASSERT_STR(ends.text, "heavy/crash=1 heavy/oom=1 ");
	stats_each(st, STATS_REQUESTS, see, &requests);
	ASSERT_STR(requests.text, "poll/ok=1t ");
	stats_free(st);
}

static void
copy_times(const struct stats_entry *e, void *arg)
{
	memcpy(arg, e->times, sizeof(*e->times));
}

static void
puts_times_into_buckets(void)
{
	struct stats *st = stats_new();
	struct stats_times t;

	stats_task(st, "a", "success", -5); /* a clock's slip */
	stats_task(st, "a", "success", 1);
	stats_task(st, "a", "success", 2);
	stats_task(st, "a", "failure", stats_bounds_ms[STATS_BUCKETS - 1]);
	stats_task(st, "a", "failure", stats_bounds_ms[STATS_BUCKETS - 1] + 1);
	stats_each_first(st, STATS_TASKS, copy_times, &t);
	ASSERT_INT(t.count, 5);
	ASSERT_INT(t.counts[0], 2);
	ASSERT_INT(t.counts[1], 1);
	ASSERT_INT(t.counts[STATS_BUCKETS - 1], 1);
	ASSERT_INT(t.counts[STATS_BUCKETS], 1);
	ASSERT_INT(t.sum_ms, 4 + 2 * stats_bounds_ms[STATS_BUCKETS - 1]);
	stats_free(st);
}

static void
bounds_rise(void)
{
	size_t i;

	ASSERT_INT(stats_bounds_ms[0], 1);
	for (i = 1; i < STATS_BUCKETS; i++)
		ASSERT(stats_bounds_ms[i] > stats_bounds_ms[i - 1]);
}

static void
counts_a_surplus_of_types_as_other(void)
{
	struct stats *st = stats_new();
	struct seen s = { .len = 0 };
	char name[32];
	int i;

	for (i = 0; i < 3 * STATS_NAMES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "type-%d", i);
		stats_task(st, name, "success", 1);
	}
	stats_task(st, "type-0", "success", 1); /* known before */
	stats_each_first(st, STATS_TASKS, see, &s);
	ASSERT_INT(s.entries, STATS_NAMES_MAX + 1);
	ASSERT_INT(s.sum, 3 * STATS_NAMES_MAX + 1);
	ASSERT(strncmp(s.text, "other/=2000t ", 13) == 0);
	stats_free(st);
}

static void
counts_a_surplus_of_statuses_as_other(void)
{
	struct stats *st = stats_new();
	struct seen s = { .len = 0 };
	char word[32];
	int i;

	for (i = 0; i < 1000; i++) {
		(void)snprintf(word, sizeof(word), "w%d", i);
		stats_task(st, "echo", word, 1);
	}
	stats_each(st, STATS_TASKS, see, &s);
	ASSERT_INT(s.entries, STATS_WORDS_MAX + 1);
	ASSERT_INT(s.sum, 1000);
	ASSERT(strncmp(s.text, "echo/other=968 ", 15) == 0);
	stats_free(st);
}

static void
copy_second(const struct stats_entry *e, void *arg)
{
	(void)snprintf(arg, STATS_TEXT_MAX + 2, "%s", e->second);
}

static void
cuts_long_names_between_characters(void)
{
	struct stats *st = stats_new();
	char word[3 * STATS_TEXT_MAX], got[STATS_TEXT_MAX + 2];

	memset(word, 'a', sizeof(word));
	/* A character of three bytes over the very edge. */
	memcpy(word + STATS_TEXT_MAX - 1, "\xe2\x82\xac", 3);
	word[sizeof(word) - 1] = '\0';
	stats_task(st, "echo", word, 1);
	stats_each(st, STATS_TASKS, copy_second, got);
	ASSERT_INT(strlen(got), STATS_TEXT_MAX - 1);
	ASSERT_INT(strspn(got, "a"), STATS_TEXT_MAX - 1);
	stats_free(st);
}

static void
no_books_no_figures(void)
{
	stats_task(NULL, "a", "b", 1);
	stats_child_end(NULL, "a", "b");
	stats_request(NULL, "a", "b", 1);
	stats_free(NULL);
}

static const struct test tests[] = {
	{ "counts by two names, in order", counts_by_two_names_in_order },
	{ "keeps kinds apart", keeps_kinds_apart },
	{ "puts times into buckets", puts_times_into_buckets },
	{ "bounds of buckets rise", bounds_rise },
	{ "counts a surplus of task types as other",
	    counts_a_surplus_of_types_as_other },
	{ "counts a surplus of statuses as other",
	    counts_a_surplus_of_statuses_as_other },
	{ "cuts long names between characters",
	    cuts_long_names_between_characters },
	{ "counts nothing without books", no_books_no_figures },
};

TEST_MAIN(tests)
