/* SPDX-License-Identifier: ISC */
/* command_read.h: reads what an orchestrator says over the WebSocket; alike in
 * both dialects. */
#ifndef AVTOWORKER_COMMAND_READ_H
#define AVTOWORKER_COMMAND_READ_H

#include <stddef.h>

#include "supervisor/base/why.h"
#include "supervisor/task.h"

enum command_kind {
	COMMAND_CANCEL, /* the task that is named, or all of the job */
	COMMAND_OTHER, /* nothing that is known here; why says what it is */
};

/* "" where there is none. */
struct command {
	char task_id[TASK_ID_MAX + 1];
	char job_id[TASK_ID_MAX + 1];
};

enum command_kind command_read(
    const char *text, size_t len, struct command *, struct why *);

#endif
