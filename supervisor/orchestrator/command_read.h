/* SPDX-License-Identifier: ISC */
/* command_read.h: reads what an orchestrator says over the WebSocket; alike in
 * both dialects. */
#ifndef AVTOWORKER_COMMAND_READ_H
#define AVTOWORKER_COMMAND_READ_H

#include <stddef.h>

#include "child/json_scan.h"
#include "supervisor/base/why.h"
#include "supervisor/task.h"

enum command_kind {
	COMMAND_CANCEL, /* the task that is named, or all of the job */
	COMMAND_OTHER, /* one for whoever has a use for it */
	COMMAND_NONE, /* nothing that is understood; why says what it is */
};

struct command {
	char task_id[TASK_ID_MAX + 1]; /* of a cancel; "": there is none */
	char job_id[TASK_ID_MAX + 1]; /* the same */
	char name[TASK_ID_MAX + 1]; /* of another; printable */
	struct jslice message; /* the same; of the text */
};

enum command_kind command_read(
    const char *text, size_t len, struct command *, struct why *);

#endif
