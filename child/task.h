/* SPDX-License-Identifier: ISC */
/*
 * task.h: the task at hand, what stands behind struct aw_task of the handler
 * API. There is one, owned by the server, begun and ended for every task
 * frame. task.c holds the params, context.c what came with
 * them, result.c the result, cancel.c the wish that
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
#include "child/name.h"

#define TASK_MESSAGE_MAX 4096 /* bytes of an error message */
#define TASK_CODE_MAX    64 /* bytes of an error code */

struct wire;

/* What a result may have besides what it says first. */
enum task_extra {
	TASK_DATA, /* of an error */
	TASK_METADATA,
	TASK_DATA_METADATA,
	TASK_EXTRAS,
};

struct aw_task {
	const char *payload; /* of the task frame; borrowed until task_end() */
	size_t payload_len;
	char *decoded; /* as long as payload: strings that were asked
			       * for, each at the place it has there */
	size_t decoded_size;
	const char *task_id; /* these three point into decoded */
	const char *job_id;
	const char *type;
	const char *workspace; /* the same; NULL when it has none. It is not
				* there before somebody wants it */
	int64_t deadline_ms; /* Unix time; 0 when it has none */
	struct jslice params; /* an object */
	struct jslice priority; /* a number; p is NULL when it has none */
	struct jslice metadata; /* these three are objects; likewise */
	struct jslice params_metadata;
	struct jslice tracing_context;
	struct aw_json data; /* the writer; it begins with the result's head */
	struct bytes result; /* payload of the result frame */
	struct bytes extra[TASK_EXTRAS]; /* values that are added to it */
	char word[NAME_BYTES_MAX + 1]; /* its status in place of "success" */
	struct wire
	    *wire; /* borrowed; where a cancel frame may come; or NULL */
	uint64_t lease; /* of the task frame */
	const char *cancel_reason; /* static; NULL: go on */
	struct timespec looked; /* when the channel was last looked at */
	int64_t reports_until_ms; /* when the bucket of reports is full again;
				     each task has its own */
	bool writing : 1; /* data has been begun */
	bool has_result : 1; /* result holds one */
	bool succeeded : 1; /* and it is a success */
};

/* Reads a task frame's payload. Returns -1 and why when it is no task. A task
 * whose params are no object gets its result here. */
int task_begin(
    struct aw_task *, const char *payload, size_t len, struct bytes *why);
/* Sets a success whose data is that text, or what is wrong with it. */
void task_set_data(struct aw_task *, const char *text, size_t len);
/* Sets the payload of a result frame as it is. */
void task_set_result(struct aw_task *, const char *payload, size_t len);
/* Sets an error; details is an object, or its p is NULL. */
void task_set_error(struct aw_task *, const char *status, const char *code,
    const char *message, const struct jslice *details);
/* Adds a member to whatever the result is; value is JSON, checked. */
void task_set_extra(
    struct aw_task *, enum task_extra, const struct jslice *value);
/* Sets the result of a task whose type this child does not have. */
void task_not_ours(struct aw_task *, const char *category);
/* The payload of the result frame, inventing what the handler did not set;
 * *len bytes, valid until task_end(). Never fails. */
const char *task_result(struct aw_task *, size_t *len);
/* Makes it ready for the next one; keeps small buffers. */
void task_end(struct aw_task *);
/* Frees everything. */
void task_fini(struct aw_task *);

#endif
