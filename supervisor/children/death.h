/* SPDX-License-Identifier: ISC */
/*
 * death.h: the truth about a child's end: what the kernel says, whose doing
 * it was, and what that makes of the task that was running.
 */
#ifndef AVTOWORKER_DEATH_H
#define AVTOWORKER_DEATH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "child/bytes.h"
#include "supervisor/result.h"

struct rusage;

/* cause, word in details and metrics, error code of the task's result */
#define DEATH_CAUSES(X) \
	/* its own doing, or somebody else's that we do not know */ \
	X(CRASH, "crash", CODE_TRANSIENT) \
	/* the kernel's OOM killer, as the control group counts it */ \
	X(OOM, "oom", CODE_EXHAUSTED) \
	/* ended by us */ \
	X(MEMORY_LIMIT, "memory_limit", CODE_EXHAUSTED) \
	X(CPU_LIMIT, "cpu_time_limit", CODE_EXHAUSTED) \
	X(TIME_LIMIT, "time_limit", CODE_TIMEOUT) \
	X(DEADLINE, "deadline", CODE_TIMEOUT) \
	X(CANCELLED, "cancelled", CODE_TRANSIENT) /* status is cancelled */ \
	X(PROTOCOL, "protocol", CODE_TRANSIENT) \
	X(START, "start", CODE_TRANSIENT) /* not ready, or not in time */ \
	X(STOP, "stop", CODE_TRANSIENT) /* told to leave, and did not */ \
	X(INTERRUPTED, "interrupted", CODE_TRANSIENT) /* the worker stops */

enum death_cause {
#define X(cause, word, code) DEATH_##cause,
	DEATH_CAUSES(X)
#undef X
	DEATH_NCAUSES,
};

struct death {
	pid_t pid;
	enum death_cause cause;
	int signal; /* that ended it; 0 when it exited */
	int exit_status; /* 0 when a signal ended it */
	bool core; /* a core file was written */
	long max_rss_kb; /* most that was resident at once */
	int64_t user_ms; /* processor time of the whole life */
	int64_t system_ms;
	char text[256]; /* a sentence about the child, without subject:
			   "was killed by signal 11 (Segmentation fault)" */
};

/* What the kernel says of an end that nobody of ours caused. */
void death_read(struct death *, pid_t, int status, const struct rusage *usage);
/* It was our doing: for that cause, in those words. */
void death_blame(struct death *, enum death_cause, const char *text);
/* Appends {"cause":..,"signal":..,"exit_status":..,...}; what does not apply
 * is null. */
void death_put_details(const struct death *, struct bytes *);

const char *death_cause_name(enum death_cause);
/* The error code of a task whose child died of it. */
const char *death_code(enum death_cause);

#endif
