/* SPDX-License-Identifier: ISC */
/*
 * task_clock.c: a task has up to three moments to come: the log tells that it
 * is slow, it is asked to stop, it is ended. They are reckoned once, at its
 * start, and moved by nothing but a request to stop. Who asks is child_task.c.
 */
#include <stdio.h>

#include "supervisor/children/task_clock.h"

#define LISTEN_MS 250 /* enough to read any result that is in a channel */

static int64_t
smaller(int64_t a, int64_t b)
{
	return (a < b ? a : b);
}

/* The end by the time limits; 0 when they set none. */
static int64_t
limit_end(const struct task_limits *l, int64_t now_ms)
{
	if (l->hard_ms > 0)
		return (now_ms + l->hard_ms);
	if (l->soft_ms > 0)
		return (now_ms + l->soft_ms + l->grace_ms);
	return (0);
}

/* It is asked when the soft limit says so; without one, and before a deadline,
 * a grace before the end, but not in the first half of its time. */
static int64_t
ask_at(const struct task_clock *c)
{
	const struct task_limits *l = &c->limits;
	const int64_t length = c->end_at_ms - c->started_ms;
	const int64_t early = c->end_at_ms - smaller(l->grace_ms, length / 2);
	const int64_t soft = c->started_ms + l->soft_ms;

	if (c->end_at_ms == 0 || l->grace_ms == 0)
		return (0);
	if (l->soft_ms == 0 || soft >= c->end_at_ms)
		return (early);
	return (c->cause == DEATH_DEADLINE ? smaller(soft, early) : soft);
}

void
task_clock_start(
    struct task_clock *c, const struct task_limits *limits, int64_t now_ms)
{
	*c = (struct task_clock){
		.limits = *limits,
		.started_ms = now_ms,
		.end_at_ms = limit_end(limits, now_ms),
		.cause = DEATH_TIME_LIMIT,
	};
	if (limits->slow_ms > 0)
		c->slow_at_ms = now_ms + limits->slow_ms;
	if (limits->deadline_ms > 0 &&
	    (c->end_at_ms == 0 || limits->deadline_ms < c->end_at_ms)) {
		c->end_at_ms = limits->deadline_ms;
		c->cause = DEATH_DEADLINE;
	}
	c->ask_at_ms = ask_at(c);
}

bool
task_clock_cancel(struct task_clock *c, enum cancel_reason reason,
    int64_t grace_ms, int64_t now_ms)
{
	static const enum death_cause causes[] = {
		[CANCEL_TIME_LIMIT] = DEATH_TIME_LIMIT,
		[CANCEL_CANCEL] = DEATH_CANCELLED,
		[CANCEL_DRAIN] = DEATH_INTERRUPTED,
	};
	const int64_t end = now_ms + grace_ms;

	c->ask_at_ms = 0;
	if (c->end_at_ms == 0 || end < c->end_at_ms) {
		c->end_at_ms = end;
		c->grace_ms = grace_ms;
		c->cause = causes[reason];
	}
	if (c->asked)
		return (false);
	c->asked = true;
	c->reason = reason;
	c->grace_ms = c->end_at_ms > now_ms ? c->end_at_ms - now_ms : 0;
	return (true);
}

void
task_clock_put_off(struct task_clock *c, int64_t late_ms, int64_t now_ms)
{
	if (c->end_at_ms == 0 || c->end_at_ms > now_ms)
		return;
	if (c->cause == DEATH_DEADLINE && late_ms > LISTEN_MS)
		late_ms = LISTEN_MS;
	c->end_at_ms = now_ms + late_ms;
}

enum task_due
task_clock_due(struct task_clock *c, int64_t now_ms)
{
	if (c->end_at_ms != 0 && now_ms >= c->end_at_ms) {
		c->slow_at_ms = c->ask_at_ms = c->end_at_ms = 0;
		return (TASK_END);
	}
	if (c->ask_at_ms != 0 && now_ms >= c->ask_at_ms) {
		c->ask_at_ms = 0;
		c->asked = true;
		c->reason = CANCEL_TIME_LIMIT;
		c->grace_ms = c->end_at_ms - now_ms;
		return (TASK_ASK);
	}
	if (c->slow_at_ms != 0 && now_ms >= c->slow_at_ms) {
		c->slow_at_ms = 0;
		return (TASK_SLOW);
	}
	return (TASK_NOTHING);
}

int64_t
task_clock_wait_ms(const struct task_clock *c, int64_t now_ms)
{
	const int64_t times[] = { c->slow_at_ms, c->ask_at_ms, c->end_at_ms };
	int64_t next = 0;
	size_t i;

	for (i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (times[i] != 0 && (next == 0 || times[i] < next))
			next = times[i];
	if (next == 0)
		return (-1);
	return (next > now_ms ? next - now_ms : 0);
}

void
task_clock_reason(const struct task_clock *c, char *text, size_t size)
{
	const struct task_limits *l = &c->limits;
	const double grace_s = (double)c->grace_ms / 1000;

	if (c->cause == DEATH_DEADLINE)
		(void)snprintf(text, size, "ran until the task's deadline");
	else if (c->cause == DEATH_CANCELLED)
		(void)snprintf(text, size,
		    "did not stop within %.10g s of being cancelled", grace_s);
	else if (c->cause == DEATH_INTERRUPTED)
		(void)snprintf(text, size,
		    "did not stop within %.10g s when the worker was stopped",
		    grace_s);
	else if (l->hard_ms > 0)
		(void)snprintf(text, size,
		    "ran longer than time_limit (%.10g s)",
		    (double)l->hard_ms / 1000);
	else
		(void)snprintf(text, size,
		    "ran longer than soft_time_limit (%.10g s) and did not "
		    "stop within cancel_grace (%.10g s)",
		    (double)l->soft_ms / 1000, (double)l->grace_ms / 1000);
}

const char *
cancel_reason_name(enum cancel_reason reason)
{
	static const char *const names[] = {
#define X(reason, word) [CANCEL_##reason] = word,
		CANCEL_REASONS(X)
#undef X
	};

	return (names[reason]);
}
