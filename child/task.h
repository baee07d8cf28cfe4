/* SPDX-License-Identifier: ISC */
/*
 * task.h: the task at hand, what stands behind struct aw_task of the handler
 * API. There is one, owned by the server, begun and ended for every task
 * frame. task.c holds the params, result.c the result, cancel.c the wish that
 * it stop, report.c what it tells meanwhile.
 */
#ifndef AVTOWORKER_TASK_H
#define AVTOWORKER_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "child/bytes.h"
#include "child/json_scan.h"
#include "child/json_writer.h"

#define TASK_MESSAGE_MAX 4096 /* bytes of an error message */
#define TASK_CODE_MAX    64 /* bytes of an error code */

struct wire;

struct aw_task {
	const char *payload; /* of the task frame; borrowed until task_end() */
	char *decoded; /* as long as payload: strings that were asked
			       * for, each at the place it has there */
	size_t decoded_size;
	const char *task_id; /* these three point into decoded */
	const char *job_id;
	const char *type;
	struct jslice params; /* an object */
	struct aw_json data; /* the writer; it begins with the result's head */
	struct bytes result; /* payload of the result frame */
	struct wire
	    *wire; /* borrowed; where a cancel frame may come; or NULL */
	uint64_t lease; /* of the task frame */
	const char *cancel_reason; /* static; NULL: go on */
	struct timespec looked; /* when the channel was last looked at */
	int64_t reports_until_ms; /* when the bucket of reports is full again */
	bool writing : 1; /* data has been begun */
	bool has_result : 1; /* result holds one */
};

/* Reads a task frame's payload. Returns -1 and why when it is no task. A task
 * whose params are no object gets its result here. */
int task_begin(
    struct aw_task *, const char *payload, size_t len, struct bytes *why);
/* The payload of the result frame, inventing what the handler did not set;
 * *len bytes, valid until task_end(). Never fails. */
const char *task_result(struct aw_task *, size_t *len);
/* Makes it ready for the next one; keeps small buffers. */
void task_end(struct aw_task *);
/* Frees everything. */
void task_fini(struct aw_task *);

#endif
