/* SPDX-License-Identifier: ISC */
/* result.h: what is reported for a task: made up by us, or read from a child. */
#ifndef AVTOWORKER_RESULT_H
#define AVTOWORKER_RESULT_H

#include <stdbool.h>
#include <stddef.h>

#include "child/bytes.h"
#include "supervisor/base/why.h"

/* Error codes that the orchestrator acts on (contract, section 7). */
#define CODE_TRANSIENT     "TRANSIENT_ERROR"
#define CODE_PERMANENT     "PERMANENT_ERROR"
#define CODE_INVALID_INPUT "INVALID_INPUT_ERROR"
#define CODE_CONTRACT      "CONTRACT_VIOLATION_ERROR"
#define CODE_SECURITY      "SECURITY_ERROR"
#define CODE_INTEGRITY     "INTEGRITY_MISMATCH_ERROR"
#define CODE_TIMEOUT       "TIMEOUT_ERROR"
#define CODE_EXHAUSTED     "RESOURCE_EXHAUSTED_ERROR"

struct result {
	char *status; /* success, failure, cancelled, or a blueprint's word */
	char *code; /* error code; NULL when there is no error */
	char *message; /* for people; NULL when there is no error */
	struct bytes data; /* checked text of a JSON object, or empty */
	struct bytes details; /* of the error: the same, or empty */
	struct bytes metadata; /* of the job: the same, or empty */
	struct bytes data_metadata; /* of files in the data, by their paths: the
				       same, or empty */
	char *tail; /* last output of a child that died; NULL: none. It may
		       hold anything, so it is sent only where asked for */
};

/* A failure of our own making: code and message (printf-like). Returns a
 * result without message when memory is short, never an invalid one. */
struct result result_failure(const char *code, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));
/* The result of a task that ended because it was cancelled. */
struct result result_cancelled(void);
/* Reads a child's result frame, a JSON object. -1 and why when it breaks the
 * protocol; out is then untouched. */
int result_read(const char *text, size_t len, struct result *out, struct why *);
/* A failure with one of these codes (or NULL: none) is turned into one that
 * ends the job at once: INVALID_INPUT_ERROR, with its own code in the details.
 * Left as it is when memory is short. */
void result_finalise(struct result *, char *const *codes);
/* True when a handler in Python raised a ValueError, which a child marks in
 * the details: the dialects differ about it. */
bool result_is_value_error(const struct result *);
/* Appends ,"error":{...} when there is one: the code (NULL: its own), message,
 * details, and in them "stderr": at most the last tail_max bytes of the
 * tail. */
void result_put_error(
    const struct result *, const char *code, size_t tail_max, struct bytes *);
void result_fini(struct result *);

#endif
