/* SPDX-License-Identifier: ISC */
/*
 * work.h: the jobs that are handed out: which tasks are on lease, and what
 * becomes of a job by its result. Pure: no I/O, and times are given to it.
 * Ids hold the job's number, so finding a job costs nothing.
 */
#ifndef DEVORCH_WORK_H
#define DEVORCH_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/base/why.h"

struct bytes;
struct specs;
struct work;

#define WORK_ID_SIZE 48 /* the longest id made here, terminated */

enum work_dialect {
	WORK_CLASSIC,
	WORK_RXON,
};

enum job_state {
	JOB_WAITING, /* to be handed out (again) */
	JOB_LEASED,
	JOB_FINISHED,
	JOB_FAILED,
	JOB_QUARANTINED,
	JOB_CANCELLED,
	JOB_UNANSWERABLE, /* a bad task nobody could answer */
	JOB_NSTATES,
};
extern const char *const job_state_names[JOB_NSTATES];

struct job {
	uint32_t spec; /* which tasks it belongs to */
	uint32_t number; /* 1 .. count of its spec: the {i} of params */
	uint16_t attempt; /* tasks handed out so far */
	uint8_t state; /* enum job_state */
	int64_t leased_ns; /* when its last task was handed out */
};

struct work_options {
	enum work_dialect dialect;
	unsigned retries; /* re-dispatches after transient failures */
	unsigned window; /* most leases at once; 0: no limit */
	double rate; /* tasks a second; 0: no limit */
	unsigned deadline_s; /* a deadline in each task (RXON); 0: none */
	bool float_times : 1; /* times as 1.0b28 sends them (RXON) */
	bool hold : 1; /* nothing before work_release() */
};

/* A result as far as it matters here. */
struct work_result {
	const char *job_id;
	const char *task_id;
	const char *status; /* "" counts as success */
	const char *code; /* of the error, "" when none */
	int64_t arrived_ns;
};

enum work_verdict {
	WORK_ACCEPTED,
	WORK_UNKNOWN, /* no such job */
	WORK_DUPLICATE, /* answered before */
	WORK_STALE, /* a task id the job never had */
};

/* Both are borrowed. */
struct work *work_new(
    const struct work_options *, struct specs *, struct why *);
void work_free(struct work *);

/* Ends the hold. */
void work_release(struct work *);
/* No new jobs; those that were begun go on to their end. */
void work_close(struct work *);
/* How long from now until a task may be handed out, in ns: 0 now, -1 not
 * before something happens. */
int64_t work_wait_ns(const struct work *, int64_t now_ns);
/* Leases the next task and appends its message; NULL when there is none (see
 * work_wait_ns()) or no memory. Valid until the next call. */
struct job *work_lease(struct work *, int64_t now_ns, struct bytes *message);
/* The task that an earlier run of the same options has leased there; in its
 * order, with the results between them. Returns -1 when it cannot be. */
int work_lease_again(struct work *, const char *task_id, int64_t leased_ns);
/* Takes a result. job is set unless it is unknown. */
enum work_verdict work_result(
    struct work *, const struct work_result *, struct job **job);
const char *work_type(const struct work *, const struct job *);
/* The id of its last task. */
void work_task_id(
    const struct work *, const struct job *, char id[WORK_ID_SIZE]);

/* Every job has ended. False as long as there never was one. */
bool work_done(const struct work *);
/* Jobs in that state. */
uint64_t work_count(const struct work *, enum job_state);
/* Tasks handed out. */
uint64_t work_leases(const struct work *);

#endif
