/* SPDX-License-Identifier: ISC */
/* task_signature.h: whether a task was signed by the orchestrator. Pure. */
#ifndef AVTOWORKER_TASK_SIGNATURE_H
#define AVTOWORKER_TASK_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>

#include "supervisor/base/why.h"

/* True when a task has one, right or wrong. */
bool task_signature_is_there(const char *body, size_t len);
/* Verifies the member "sig" (or "orchestrator_signature") of a task, as it came
 * in a reply to a poll: the HMAC of all else in it under the orchestrator's own
 * key. -1 and why when it is missing, wrong or cannot be computed. */
int task_signature_check(
    const char *body, size_t len, const char *key, struct why *);

#endif
