/* SPDX-License-Identifier: ISC */
/*
 * death.h: the truth about a child's end: what the kernel says, whose doing
 * it was, and what that makes of the task that was running.
 */
#ifndef AVTOWORKER_DEATH_H
#define AVTOWORKER_DEATH_H

#include <stdbool.h>
#include <stddef.h>
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
	/* for another of its tasks: what befalls a task, never a child */ \
	X(OTHER_TASK, "other_task", CODE_TRANSIENT) \
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

/* What the child was at when it ended, or when we ended it. */
#define DEATH_STAGES(X) \
	X(STARTING, "starting") \
	X(IDLE, "idle") \
	X(BEFORE, "before the handler") /* has a task, did not say started */ \
	X(HANDLER, "in the handler") \
	X(AFTER, "after the result") \
	X(LEAVING, "leaving") /* told to stop */

enum death_stage {
#define X(stage, words) DEATH_STAGE_##stage,
	DEATH_STAGES(X)
#undef X
};

struct death {
	pid_t pid;
	enum death_cause cause;
	enum death_stage stage;
	int signal; /* that ended it; 0 when it exited */
	int exit_status; /* 0 when a signal ended it */
	bool core; /* a core file was written */
	long max_rss_kb; /* most that was resident at once; never less than
			    what the supervisor had when it started it */
	int64_t user_ms; /* processor time of the whole life */
	int64_t system_ms;
	int64_t wall_ms; /* that its task took; -1 when it had none */
	const char *tail; /* its last output, whole lines as far as there are
			     any; "" when there was none; borrowed until
			     gone() returns. For people only: it may hold
			     anything */
	char text[256]; /* a sentence about the child, without subject:
			   "was killed by signal 11 (Segmentation fault)" */
};

/* What the kernel says of an end that nobody of ours caused. */
void death_read(struct death *, pid_t, int status, const struct rusage *usage);
/* It was our doing: for that cause, in those words. */
void death_blame(struct death *, enum death_cause, const char *text);
/* It died by itself after it was asked to stop, for that cause. */
void death_asked(struct death *, enum death_cause);
/* Was it the processor time that the child limits by itself (0: it does not)?
 * Then says so. */
void death_judge_cpu(struct death *, int64_t cpu_limit_ms);
/* The record in one line, for the log: "exited with status 1; in the handler,
 * cause crash, wall 1.204 s, cpu 0.31 s, at most 10240 kB resident". */
void death_format(const struct death *, char *text, size_t size);
/* Appends {"cause":..,"signal":..,"exit_status":..,...}: everything but the
 * tail; what does not apply is null. */
void death_put_details(const struct death *, struct bytes *);

const char *death_cause_name(enum death_cause);
const char *death_stage_name(enum death_stage);
/* The error code of a task whose child died of it. */
const char *death_code(enum death_cause);

#endif
