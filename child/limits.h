/* SPDX-License-Identifier: ISC */
/*
 * limits.h: resource limits of the process that runs the handlers, and the
 * processor time of each of its tasks.
 */
#ifndef AVTOWORKER_LIMITS_H
#define AVTOWORKER_LIMITS_H

#include <stdbool.h>
#include <sys/resource.h>

/* name on the command line, resource */
#define LIMITS(X) \
	X(NOFILE, "nofile", RLIMIT_NOFILE) \
	X(FSIZE, "fsize", RLIMIT_FSIZE) \
	X(CORE, "core", RLIMIT_CORE)

enum limit {
#define X(limit, name, resource) LIMIT_##limit,
	LIMITS(X)
#undef X
	LIMIT_COUNT,
};

struct limits {
	struct {
		struct rlimit value;
		bool given;
	} of[LIMIT_COUNT];
	unsigned task_cpu_s; /* processor time of a task; 0: no limit */
	struct rlimit cpu; /* of the process, when no task runs */
};

/* NAME=N, or NAME=SOFT:HARD. Returns -1 when it is neither. */
int limits_parse(struct limits *, const char *text);
/* Sets one, if it was given. -1 with errno. */
int limits_set(const struct limits *, enum limit);
/* From now on task_cpu_s more, then SIGXCPU. A failure is no reason not to
 * run the task. */
void limits_task_begin(struct limits *);
/* Takes that back. */
void limits_task_end(struct limits *);

#endif
