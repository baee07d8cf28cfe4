/* SPDX-License-Identifier: ISC */
/*
 * report.c: what a handler tells while it runs. It must never wait for its
 * progress or an event, so what the channel does not take at once is left out,
 * and so is what comes faster than anybody could follow.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "child/handler.h"
#include "child/json_scan.h"
#include "child/name.h"
#include "child/task.h"
#include "child/wire.h"

#define REPORTS_AT_ONCE  10 /* that may come in a burst */
#define REPORT_EVERY_MS  100
#define REPORT_BYTES_MAX 65536 /* of an event's payload */

static int64_t
now_ms(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) == -1)
		return (0);
	return ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

/* A bucket of reports that fills by one each REPORT_EVERY_MS. */
static bool
may_report(struct aw_task *task)
{
	const int64_t now = now_ms();
	const int64_t burst = REPORTS_AT_ONCE * REPORT_EVERY_MS;

	if (task->wire == NULL)
		return (false);
	if (task->reports_until_ms < now)
		task->reports_until_ms = now;
	if (task->reports_until_ms + REPORT_EVERY_MS > now + burst)
		return (false);
	task->reports_until_ms += REPORT_EVERY_MS;
	return (true);
}

static bool
send_report(struct aw_task *task, enum frame_type type, struct bytes *text)
{
	bool sent;

	sent = !bytes_failed(text) &&
	    wire_try_send(task->wire, type, task->lease, text->p, text->len) ==
		0;
	bytes_fini(text);
	return (sent);
}

void
aw_progress(struct aw_task *task, double fraction, const char *message)
{
	struct bytes text = { 0 };
	long millionths;

	if (isnan(fraction) || !may_report(task))
		return;
	fraction = fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;
	/* Not %f: a handler's locale may write a comma. */
	millionths = (long)(fraction * 1000000 + 0.5);
	bytes_printf(&text, "{\"progress\":%ld.%06ld", millionths / 1000000,
	    millionths % 1000000);
	if (message != NULL) {
		bytes_puts(&text, ",\"message\":");
		bytes_put_json(
		    &text, message, strnlen(message, TASK_MESSAGE_MAX));
	}
	bytes_puts(&text, "}");
	(void)send_report(task, FRAME_PROGRESS, &text);
}

bool
aw_event(struct aw_task *task, const char *type, const char *payload)
{
	/* One level less: the message wraps it. */
	const struct jscan_limits limits = {
		.max_bytes = REPORT_BYTES_MAX,
		.max_depth = jscan_payload_limits.max_depth - 1,
		.max_tokens = REPORT_BYTES_MAX,
	};
	struct bytes text = { 0 };
	struct jscan_error error;
	struct jslice root;

	if (type == NULL || payload == NULL || !name_is_sane(type) ||
	    jscan_check(payload, strlen(payload), &limits, &root, &error) ==
		-1 ||
	    root.type != JSCAN_OBJECT || !may_report(task))
		return (false);
	bytes_printf(&text, "{\"type\":\"%s\",\"payload\":", type);
	bytes_append(&text, root.p, root.len);
	bytes_puts(&text, "}");
	return (send_report(task, FRAME_EVENT, &text));
}

void
aw_log(struct aw_task *task, enum aw_level level, const char *fmt, ...)
{
	static const char *const names[] = {
		[AW_DEBUG] = "debug",
		[AW_INFO] = "info",
		[AW_WARNING] = "warning",
		[AW_ERROR] = "error",
	};
	const char *name = (unsigned)level <= AW_ERROR ? names[level] : "info";
	char message[TASK_MESSAGE_MAX + 1];
	struct bytes text = { 0 };
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(message, sizeof(message), fmt, ap) < 0)
		message[0] = '\0';
	va_end(ap);
	if (task == NULL || task->wire == NULL) {
		fprintf(stderr, "%s: %s\n", name, message);
		return;
	}
	bytes_printf(&text, "{\"level\":\"%s\",\"name\":", name);
	bytes_put_json(&text, task->type, strlen(task->type));
	bytes_puts(&text, ",\"message\":");
	bytes_put_json(&text, message, strlen(message));
	bytes_puts(&text, "}");
	/* Unlike the two above it waits: a line is worth that. */
	if (!bytes_failed(&text))
		(void)wire_send(
		    task->wire, FRAME_LOG, task->lease, text.p, text.len);
	bytes_fini(&text);
}
