/* SPDX-License-Identifier: ISC */
#include "supervisor/orchestrator/rate.h"
#include "tests/test.h"

#define S ((int64_t)1000)

static int64_t now;

static struct rate
new_rate(enum conf_rate_budget budget)
{
	struct rate rate;

	now = 1000 * S;
	rate_init(&rate, budget, now);
	return (rate);
}

/* One request that is answered well. */
static void
pass(struct rate *rate, enum rate_kind kind)
{
	rate_sent(rate, kind, now);
	rate_passed(rate, kind);
}

static void
refuse(struct rate *rate, enum rate_kind kind)
{
	rate_sent(rate, kind, now);
	rate_refused(rate, kind, now, -1);
}

/* An orchestrator that counts as real ones do, and a worker that asks. */
struct peer {
	unsigned limit;
	unsigned count;
	int64_t last;
	unsigned refused;
};

static void
ask(struct rate *rate, enum rate_kind kind, struct peer *p)
{
	if (now - p->last >= 60 * S)
		p->count = 0;
	p->last = now;
	if (p->count++ < p->limit) {
		pass(rate, kind);
		return;
	}
	p->refused++;
	refuse(rate, kind);
}

/* For so long, a request every interval unless there is to be silence. */
static unsigned
run(struct rate *rate, enum rate_kind kind, struct peer *p, int64_t ms,
    int64_t interval)
{
	const int64_t end = now + ms;
	unsigned sent = 0;
	int64_t wait;

	while (now < end) {
		wait = rate_wait_ms(rate, kind, now);
		if (wait == 0) {
			ask(rate, kind, p);
			sent++;
			wait = interval;
		}
		now += wait;
	}
	return (sent);
}

static void
nothing_waits_before_a_429(void)
{
	struct rate rate = new_rate(CONF_RATE_AUTO);
	int i;

	for (i = 0; i < 1000; i++) {
		ASSERT_INT(rate_wait_ms(&rate, RATE_POLL, now), 0);
		pass(&rate, RATE_POLL);
		now += S;
	}
	ASSERT_INT(rate_limit(&rate, RATE_POLL), 0);
}

static void
a_429_silences_its_kind_alone(void)
{
	struct rate rate = new_rate(CONF_RATE_AUTO);

	pass(&rate, RATE_HEARTBEAT);
	refuse(&rate, RATE_POLL);
	ASSERT_INT(rate_wait_ms(&rate, RATE_POLL, now), RATE_SILENCE_MS);
	ASSERT_INT(rate_wait_ms(&rate, RATE_HEARTBEAT, now), 0);
	now += RATE_SILENCE_MS;
	ASSERT_INT(rate_wait_ms(&rate, RATE_POLL, now), 0);
}

static void
after_a_429_the_published_limit_counts(void)
{
	struct rate rate = new_rate(CONF_RATE_AUTO);
	int i;

	refuse(&rate, RATE_HEARTBEAT);
	now += RATE_SILENCE_MS;
	for (i = 0; i < 120; i++) {
		ASSERT_INT(rate_wait_ms(&rate, RATE_HEARTBEAT, now), 0);
		pass(&rate, RATE_HEARTBEAT);
		now += 30 * S;
	}
	ASSERT_INT(rate_wait_ms(&rate, RATE_HEARTBEAT, now), 31 * S);
	rate.published = rate_classic;
	ASSERT_INT(rate_limit(&rate, RATE_HEARTBEAT), 5);
	/* Whoever limits one kind need not limit the others. */
	ASSERT_INT(rate_limit(&rate, RATE_RESULT), 0);
}

static void
a_pause_is_as_long_as_it_must_be(void)
{
	struct rate rate = new_rate(CONF_RATE_ALWAYS);
	int i;

	for (i = 0; i < 60; i++)
		pass(&rate, RATE_POLL);
	ASSERT_INT(rate_wait_ms(&rate, RATE_POLL, now), RATE_SILENCE_MS);
	now += 60 * S;
	ASSERT_INT(rate_wait_ms(&rate, RATE_POLL, now), S);
	now += S;
	ASSERT_INT(rate_wait_ms(&rate, RATE_POLL, now), 0);
	pass(&rate, RATE_POLL);
	ASSERT_INT(rate.windows[RATE_POLL].sent, 1);
	ASSERT_INT(rate_wait_ms(&rate, RATE_POLL, now), 0);
}

static void
a_silence_by_chance_counts_too(void)
{
	struct rate rate = new_rate(CONF_RATE_ALWAYS);
	int i;

	for (i = 0; i < 59; i++)
		pass(&rate, RATE_POLL);
	now += RATE_SILENCE_MS;
	for (i = 0; i < 60; i++) {
		ASSERT_INT(rate_wait_ms(&rate, RATE_POLL, now), 0);
		pass(&rate, RATE_POLL);
	}
	ASSERT(rate_wait_ms(&rate, RATE_POLL, now) > 0);
}

static void
off_means_none_before_a_429(void)
{
	struct rate rate = new_rate(CONF_RATE_OFF);
	int i;

	refuse(&rate, RATE_POLL);
	ASSERT_INT(rate_wait_ms(&rate, RATE_POLL, now), RATE_SILENCE_MS);
	now += RATE_SILENCE_MS;
	for (i = 0; i < 1000; i++)
		pass(&rate, RATE_POLL);
	ASSERT_INT(rate_wait_ms(&rate, RATE_POLL, now), 0);
}

static void
a_pause_is_told_once(void)
{
	struct rate rate = new_rate(CONF_RATE_ALWAYS);
	bool begins;
	int i;

	for (i = 0; i < 100; i++) {
		ASSERT_INT(rate_ask_ms(&rate, RATE_RESULT, now, &begins), 0);
		ASSERT(!begins);
		pass(&rate, RATE_RESULT);
	}
	ASSERT(rate_ask_ms(&rate, RATE_RESULT, now, &begins) > 0);
	ASSERT(begins);
	now += S;
	ASSERT(rate_ask_ms(&rate, RATE_RESULT, now, &begins) > 0);
	ASSERT(!begins);
	now += RATE_SILENCE_MS;
	ASSERT_INT(rate_ask_ms(&rate, RATE_RESULT, now, &begins), 0);
	for (i = 0; i < 100; i++)
		pass(&rate, RATE_RESULT);
	ASSERT(rate_ask_ms(&rate, RATE_RESULT, now, &begins) > 0);
	ASSERT(begins);
}

static void
a_silence_after_a_429_is_not_told_again(void)
{
	struct rate rate = new_rate(CONF_RATE_AUTO);
	bool begins;

	refuse(&rate, RATE_RESULT);
	ASSERT(rate_ask_ms(&rate, RATE_RESULT, now, &begins) > 0);
	ASSERT(!begins);
}

static void
retry_after_is_believed(void)
{
	struct rate rate = new_rate(CONF_RATE_AUTO);

	rate_sent(&rate, RATE_POLL, now);
	rate_refused(&rate, RATE_POLL, now, 5 * S);
	ASSERT_INT(rate_wait_ms(&rate, RATE_POLL, now), 5 * S);
	now += 5 * S;
	ASSERT_INT(rate_wait_ms(&rate, RATE_POLL, now), 0);
	ASSERT_INT(rate_limit(&rate, RATE_POLL), 0);
	rate_refused(&rate, RATE_POLL, now, 0);
	ASSERT_INT(rate_wait_ms(&rate, RATE_POLL, now), 0);
}

static void
an_idle_worker_is_refused_once_in_hours(void)
{
	struct rate rate = new_rate(CONF_RATE_AUTO);
	struct peer p = { .limit = 60 };
	unsigned sent;

	/* A day of polls that come back empty after 30 s. */
	sent = run(&rate, RATE_POLL, &p, 24 * 3600 * S, 30 * S);
	ASSERT(p.refused >= 1 && p.refused <= 6);
	/* What the silences cost: 31 s of every half hour. */
	ASSERT(sent > 2880 * 96 / 100);
}

static void
a_busy_worker_is_not_starved(void)
{
	struct rate rate = new_rate(CONF_RATE_AUTO);
	struct peer p = { .limit = 100 };
	unsigned sent;

	/* As many as there may be: 100 and a silence, again and again. */
	sent = run(&rate, RATE_RESULT, &p, 3600 * S, 10);
	ASSERT(sent >= 57 * 100);
	ASSERT(p.refused <= 8);
}

static void
a_lower_limit_is_learned(void)
{
	struct rate rate = new_rate(CONF_RATE_AUTO);
	struct peer p = { .limit = 20 };

	(void)run(&rate, RATE_POLL, &p, 4 * 3600 * S, 30 * S);
	ASSERT_INT(rate_limit(&rate, RATE_POLL), 20);
	ASSERT(p.refused <= 5);
}

static void
one_that_was_used_up_before_us_is_not(void)
{
	struct rate rate = new_rate(CONF_RATE_AUTO);
	struct peer p = { .limit = 60, .count = 57, .last = 1000 * S };

	(void)run(&rate, RATE_POLL, &p, 1800 * S, 30 * S);
	ASSERT_INT(p.refused, 1);
	ASSERT_INT(rate_limit(&rate, RATE_POLL), 60);
}

static void
a_limit_that_was_raised_is_found_out(void)
{
	struct rate rate = new_rate(CONF_RATE_AUTO);
	struct peer p = { .limit = 60 };
	unsigned refused;

	(void)run(&rate, RATE_POLL, &p, 3600 * S, 30 * S);
	refused = p.refused;
	ASSERT_INT(refused, 1);
	p.limit = 1000000;
	(void)run(&rate, RATE_POLL, &p, 8 * 3600 * S, 30 * S);
	ASSERT_INT(rate_limit(&rate, RATE_POLL), 0);
	ASSERT_INT(p.refused, refused);
}

static void
refusals_of_several_at_once_are_one(void)
{
	struct rate rate = new_rate(CONF_RATE_AUTO);
	int i;

	now += RATE_SILENCE_MS; /* so that the count is known */
	for (i = 0; i < 132; i++)
		rate_sent(&rate, RATE_RESULT, now);
	for (i = 0; i < 100; i++)
		rate_passed(&rate, RATE_RESULT);
	for (i = 0; i < 32; i++)
		rate_refused(&rate, RATE_RESULT, now + i, -1);
	now += RATE_SILENCE_MS + 32;
	rate_sent(&rate, RATE_RESULT, now);
	ASSERT_INT(rate_limit(&rate, RATE_RESULT), 100);
}

static void
heartbeats_live_on_at_every_interval(void)
{
	int64_t interval, last, longest;
	struct rate rate;
	unsigned i;

	/* Two minutes are what an orchestrator waits for one. */
	for (interval = S; interval < 59 * S; interval += S) {
		rate = new_rate(CONF_RATE_ALWAYS);
		last = now;
		longest = 0;
		for (i = 0; i < 1000; i++) {
			int64_t wait = rate_wait_ms(&rate, RATE_HEARTBEAT, now);

			now += wait;
			if (now - last > longest)
				longest = now - last;
			last = now;
			pass(&rate, RATE_HEARTBEAT);
			now += interval;
		}
		ASSERT(longest <= RATE_SILENCE_MS);
	}
}

static const struct test tests[] = {
	{ "nothing waits before a 429", nothing_waits_before_a_429 },
	{ "a 429 silences its kind alone", a_429_silences_its_kind_alone },
	{ "after a 429 the published limit counts",
	    after_a_429_the_published_limit_counts },
	{ "a pause is as long as it must be",
	    a_pause_is_as_long_as_it_must_be },
	{ "a silence by chance counts, too", a_silence_by_chance_counts_too },
	{ "off means none before a 429", off_means_none_before_a_429 },
	{ "a pause is told once", a_pause_is_told_once },
	{ "a silence after a 429 is not told again",
	    a_silence_after_a_429_is_not_told_again },
	{ "Retry-After is believed", retry_after_is_believed },
	{ "an idle worker is refused once in hours",
	    an_idle_worker_is_refused_once_in_hours },
	{ "a busy worker is not starved", a_busy_worker_is_not_starved },
	{ "a lower limit is learned", a_lower_limit_is_learned },
	{ "one that was used up before us is not",
	    one_that_was_used_up_before_us_is_not },
	{ "a limit that was raised is found out",
	    a_limit_that_was_raised_is_found_out },
	{ "refusals of several at once are one",
	    refusals_of_several_at_once_are_one },
	{ "heartbeats live on at every interval",
	    heartbeats_live_on_at_every_interval },
};

TEST_MAIN(tests)
