/* SPDX-License-Identifier: ISC */
/* task_event.h: what a handler tells while its task runs. */
#ifndef AVTOWORKER_TASK_EVENT_H
#define AVTOWORKER_TASK_EVENT_H

#include <stdbool.h>
#include <stddef.h>

#define TASK_EVENT_PROGRESS "progress" /* the later one replaces the earlier */

/* Borrowed during the call. */
struct task_event {
	const char *type; /* [A-Za-z0-9._:-]{1,128} */
	const char *payload; /* checked text of a JSON object */
	size_t len;
};

#endif
