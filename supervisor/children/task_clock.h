/* SPDX-License-Identifier: ISC */
/*
 * task_clock.h: when a running task is looked at, asked to stop, and ended.
 * Only the reckoning: times go in, what is due comes out. Embedded in its
 * child.
 */
#ifndef AVTOWORKER_TASK_CLOCK_H
#define AVTOWORKER_TASK_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/children/death.h"

/* What every task of a child may take; 0: no limit. */
struct task_limits {
	int64_t soft_ms; /* then it is asked to stop */
	int64_t hard_ms; /* then its child is ended */
	int64_t grace_ms; /* between a request to stop and the end */
	int64_t slow_ms; /* then the log tells what it is doing */
	int64_t deadline_ms; /* clock_now_ms() at which it must have ended */
	int64_t output_max; /* bytes of output that are logged */
};

/* Why a handler is asked to stop; what the cancel frame says. */
#define CANCEL_REASONS(X) \
	X(TIME_LIMIT, "time_limit") \
	X(CANCEL, "cancel") \
	X(DRAIN, "drain")

enum cancel_reason {
#define X(reason, word) CANCEL_##reason,
	CANCEL_REASONS(X)
#undef X
};

/* What is due. */
enum task_due {
	TASK_NOTHING,
	TASK_SLOW, /* tell what it is doing */
	TASK_ASK, /* ask it to stop: reason and grace_ms say how */
	TASK_END, /* end it */
};

struct task_clock {
	struct task_limits limits;
	int64_t started_ms; /* all times are clock_now_ms(); 0: never */
	int64_t slow_at_ms;
	int64_t ask_at_ms;
	int64_t end_at_ms;
	int64_t grace_ms; /* from the request to stop to the end */
	enum death_cause cause; /* of the end; valid with end_at_ms */
	enum cancel_reason reason; /* valid once asked */
	bool asked : 1; /* to stop; never twice */
};

/* A task begins. */
void task_clock_start(
    struct task_clock *, const struct task_limits *, int64_t now_ms);
/* Somebody wants it to stop now. True when it has to be told so; false when
 * it has been already, and only the end has come nearer, perhaps. */
bool task_clock_cancel(
    struct task_clock *, enum cancel_reason, int64_t grace_ms, int64_t now_ms);
/* Nobody has looked for so long: an end that is due by now comes after that
 * time again; that of a deadline, which is somebody else's, at once, but not
 * before its child has been listened to. */
void task_clock_put_off(struct task_clock *, int64_t late_ms, int64_t now_ms);
/* What is due, most urgent first; each is given out once. */
enum task_due task_clock_due(struct task_clock *, int64_t now_ms);
/* Milliseconds until something is due; -1 when nothing will be. */
int64_t task_clock_wait_ms(const struct task_clock *, int64_t now_ms);
/* Why it is ended at end_at_ms, as a sentence without subject: "ran longer
 * than time_limit (10 s)". */
void task_clock_reason(const struct task_clock *, char *text, size_t size);

/* "time_limit", "cancel", "drain". */
const char *cancel_reason_name(enum cancel_reason);

#endif
