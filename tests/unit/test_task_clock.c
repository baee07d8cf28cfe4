/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "supervisor/children/task_clock.h"
#include "tests/test.h"

#define START 1000000

/* The moments after the start, in milliseconds; 0: never. */
static const struct {
	const char *name;
	struct task_limits limits; /* the deadline after START, too */
	int64_t slow, ask, end;
	enum death_cause cause;
	const char *reason;
} rows[] = {
	{ "none", { 0 }, 0, 0, 0, 0, NULL },
	{ "slow", { .slow_ms = 7, .grace_ms = 5 }, 7, 0, 0, 0, NULL },
	{ "hard: asked a grace before", { .hard_ms = 10000, .grace_ms = 3000 },
	    0, 7000, 10000, DEATH_TIME_LIMIT,
	    "ran longer than time_limit (10 s)" },
	{ "hard: not asked in the first half",
	    { .hard_ms = 1500, .grace_ms = 5000 }, 0, 750, 1500,
	    DEATH_TIME_LIMIT, "ran longer than time_limit (1.5 s)" },
	{ "hard: no grace", { .hard_ms = 31536000000 }, 0, 0, 31536000000,
	    DEATH_TIME_LIMIT, "ran longer than time_limit (31536000 s)" },
	{ "soft: ended a grace later",
	    { .soft_ms = 400, .grace_ms = 5000, .slow_ms = 100 }, 100, 400,
	    5400, DEATH_TIME_LIMIT,
	    "ran longer than soft_time_limit (0.4 s) and did not stop within "
	    "cancel_grace (5 s)" },
	{ "both: as they say",
	    { .soft_ms = 9000, .hard_ms = 10000, .grace_ms = 5000 }, 0, 9000,
	    10000, DEATH_TIME_LIMIT, "ran longer than time_limit (10 s)" },
	{ "soft is not before hard",
	    { .soft_ms = 10000, .hard_ms = 10000, .grace_ms = 1000 }, 0, 9000,
	    10000, DEATH_TIME_LIMIT, "ran longer than time_limit (10 s)" },
	{ "deadline: asked a grace before",
	    { .deadline_ms = 8000, .grace_ms = 1000 }, 0, 7000, 8000,
	    DEATH_DEADLINE, "ran until the task's deadline" },
	{ "deadline before hard",
	    { .deadline_ms = 8000, .hard_ms = 9000, .grace_ms = 1000 }, 0, 7000,
	    8000, DEATH_DEADLINE, "ran until the task's deadline" },
	{ "deadline after hard",
	    { .deadline_ms = 9500, .hard_ms = 9000, .grace_ms = 1000 }, 0, 8000,
	    9000, DEATH_TIME_LIMIT, "ran longer than time_limit (9 s)" },
	{ "deadline right after soft: still a grace",
	    { .deadline_ms = 8000, .soft_ms = 7900, .grace_ms = 1000 }, 0, 7000,
	    8000, DEATH_DEADLINE, "ran until the task's deadline" },
	{ "deadline long after soft",
	    { .deadline_ms = 8000, .soft_ms = 5000, .grace_ms = 5000 }, 0, 4000,
	    8000, DEATH_DEADLINE, "ran until the task's deadline" },
};

static int64_t
after_start(int64_t at)
{
	return (at != 0 ? at - START : 0);
}

static void
reckons(void)
{
	struct task_limits limits;
	struct task_clock c;
	char text[160];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		limits = rows[i].limits;
		if (limits.deadline_ms != 0)
			limits.deadline_ms += START;
		task_clock_start(&c, &limits, START);
		if (after_start(c.slow_at_ms) != rows[i].slow ||
		    after_start(c.ask_at_ms) != rows[i].ask ||
		    after_start(c.end_at_ms) != rows[i].end)
			test_fail(__FILE__, __LINE__, "%s: %lld, %lld, %lld",
			    rows[i].name, (long long)after_start(c.slow_at_ms),
			    (long long)after_start(c.ask_at_ms),
			    (long long)after_start(c.end_at_ms));
		if (rows[i].end == 0)
			continue;
		ASSERT_INT(c.cause, rows[i].cause);
		task_clock_reason(&c, text, sizeof(text));
		ASSERT_STR(text, rows[i].reason);
	}
}

static void
is_put_off(void)
{
	struct task_limits limits = { .hard_ms = 1000, .grace_ms = 100 };
	struct task_clock c;

	task_clock_start(&c, &limits, START);
	task_clock_put_off(&c, 5000, START + 500);
	ASSERT_INT(after_start(c.end_at_ms), 1000); /* not due */
	task_clock_put_off(&c, 5000, START + 6000);
	ASSERT_INT(after_start(c.end_at_ms), 11000);
	ASSERT_INT(task_clock_due(&c, START + 6000), TASK_ASK);
	ASSERT_INT(c.grace_ms, 5000);
	limits.deadline_ms = START + 800;
	task_clock_start(&c, &limits, START);
	task_clock_put_off(&c, 5000, START + 6000);
	ASSERT_INT(after_start(c.end_at_ms), 6250);
	limits = (struct task_limits){ 0 };
	task_clock_start(&c, &limits, START);
	task_clock_put_off(&c, 5000, START + 6000);
	ASSERT_INT(c.end_at_ms, 0);
}

static const struct task_limits all = {
	.slow_ms = 100,
	.soft_ms = 200,
	.hard_ms = 300,
	.grace_ms = 50,
};

static void
comes_due_once_each(void)
{
	struct task_clock c;

	task_clock_start(&c, &all, START);
	ASSERT_INT(task_clock_wait_ms(&c, START), 100);
	ASSERT_INT(task_clock_due(&c, START + 99), TASK_NOTHING);
	ASSERT_INT(task_clock_due(&c, START + 100), TASK_SLOW);
	ASSERT_INT(task_clock_due(&c, START + 100), TASK_NOTHING);
	ASSERT_INT(task_clock_wait_ms(&c, START + 100), 100);
	ASSERT_INT(task_clock_due(&c, START + 210), TASK_ASK);
	ASSERT(c.asked);
	ASSERT_INT(c.reason, CANCEL_TIME_LIMIT);
	ASSERT_INT(c.grace_ms, 90); /* what is left of it */
	ASSERT_INT(task_clock_due(&c, START + 299), TASK_NOTHING);
	ASSERT_INT(task_clock_wait_ms(&c, START + 400), 0);
	ASSERT_INT(task_clock_due(&c, START + 400), TASK_END);
	ASSERT_INT(task_clock_due(&c, START + 400), TASK_NOTHING);
	ASSERT_INT(task_clock_wait_ms(&c, START + 400), -1);
}

/* A loop that was held up: the end comes first, and alone. */
static void
ends_at_once_when_late(void)
{
	struct task_clock c;

	task_clock_start(&c, &all, START);
	ASSERT_INT(task_clock_due(&c, START + 250), TASK_ASK);
	ASSERT_INT(task_clock_due(&c, START + 250), TASK_SLOW);
	ASSERT_INT(task_clock_due(&c, START + 250), TASK_NOTHING);
	task_clock_start(&c, &all, START);
	ASSERT_INT(task_clock_due(&c, START + 1000), TASK_END);
	ASSERT_INT(task_clock_due(&c, START + 1000), TASK_NOTHING);
	ASSERT(!c.asked);
}

static void
is_cancelled(void)
{
	const struct task_limits none = { 0 };
	struct task_clock c;
	char text[160];

	task_clock_start(&c, &none, START);
	ASSERT_INT(task_clock_wait_ms(&c, START), -1);
	ASSERT(task_clock_cancel(&c, CANCEL_CANCEL, 5000, START + 10));
	ASSERT_INT(c.grace_ms, 5000);
	ASSERT_STR(cancel_reason_name(c.reason), "cancel");
	ASSERT_INT(task_clock_wait_ms(&c, START + 10), 5000);
	ASSERT_INT(task_clock_due(&c, START + 5010), TASK_END);
	ASSERT_INT(c.cause, DEATH_CANCELLED);
	task_clock_reason(&c, text, sizeof(text));
	ASSERT_STR(text, "did not stop within 5 s of being cancelled");
	task_clock_start(&c, &none, START);
	ASSERT(task_clock_cancel(&c, CANCEL_DRAIN, 1500, START));
	ASSERT_INT(c.cause, DEATH_INTERRUPTED);
	task_clock_reason(&c, text, sizeof(text));
	ASSERT_STR(
	    text, "did not stop within 1.5 s when the worker was stopped");
}

static void
is_asked_once(void)
{
	struct task_clock c;

	/* Its limit comes before the grace is over: that is what it gets. */
	task_clock_start(&c, &all, START);
	ASSERT(task_clock_cancel(&c, CANCEL_CANCEL, 5000, START + 10));
	ASSERT_INT(c.grace_ms, 290);
	ASSERT_INT(c.cause, DEATH_TIME_LIMIT);
	ASSERT_INT(task_clock_due(&c, START + 250), TASK_SLOW);
	ASSERT_INT(task_clock_due(&c, START + 250), TASK_NOTHING);
	/* The second only brings the end nearer. */
	ASSERT(!task_clock_cancel(&c, CANCEL_DRAIN, 20, START + 250));
	ASSERT_INT(c.reason, CANCEL_CANCEL);
	ASSERT_INT(c.cause, DEATH_INTERRUPTED);
	ASSERT_INT(task_clock_wait_ms(&c, START + 250), 20);
}

static const struct test tests[] = {
	{ "an end that nobody could see comes later", is_put_off },
	{ "limits become moments", reckons },
	{ "each moment comes once", comes_due_once_each },
	{ "what is late gives way to what is urgent", ends_at_once_when_late },
	{ "a request to stop sets an end", is_cancelled },
	{ "a task is asked once", is_asked_once },
};
TEST_MAIN(tests)
