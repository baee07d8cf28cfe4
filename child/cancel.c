/* SPDX-License-Identifier: ISC */
/*
 * cancel.c: what a handler may know of the supervisor's wish that it stop. The
 * handler asks; nobody interrupts it. Asking is cheap enough for a loop: the
 * channel is looked at once per tick of the kernel's clock at most.
 */
#include <string.h>
#include <time.h>

#include "child/handler.h"
#include "child/json_scan.h"
#include "child/task.h"
#include "child/wire.h"

/* The word of a cancel frame as a string of ours; later supervisors may have
 * words that we do not know. */
static const char *
read_reason(const char *payload, size_t len)
{
	static const char *const words[] = { "time_limit", "drain" };
	struct jscan_error error;
	struct jslice root, value;
	size_t i;

	if (jscan_check(payload, len, &jscan_payload_limits, &root, &error) ==
		0 &&
	    jscan_get(&root, "reason", &value))
		for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (jscan_string_is(&value, words[i]))
				return (words[i]);
	return ("cancel");
}

/* True when the clock has not moved since the last look. */
static bool
is_too_early(struct aw_task *task)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC_COARSE, &now) == -1)
		return (false);
	if (now.tv_sec == task->looked.tv_sec &&
	    now.tv_nsec == task->looked.tv_nsec)
		return (true);
	task->looked = now;
	return (false);
}

bool
aw_cancelled(struct aw_task *task)
{
	char payload[WIRE_CANCEL_MAX];
	struct frame_header header;

	if (task->cancel_reason != NULL)
		return (true);
	if (task->wire == NULL || is_too_early(task))
		return (false);
	while (wire_take_cancel(task->wire, &header, payload))
		if (header.lease == task->lease) {
			task->cancel_reason =
			    read_reason(payload, header.length);
			return (true);
		}
	return (false);
}

const char *
aw_cancel_reason(const struct aw_task *task)
{
	return (task->cancel_reason);
}
