/* SPDX-License-Identifier: ISC */
/*
 * Any bytes as what an orchestrator answers: to a poll, a result, a heartbeat.
 * Whatever is wrong is said, and what is taken keeps the rules that others
 * rely on: ids may stand in paths and log lines.
 */
#include <stdint.h>
#include <string.h>

#include "child/json_scan.h"
#include "supervisor/orchestrator/dialect.h"
#include "supervisor/orchestrator/task_read.h"
#include "supervisor/task.h"
#include "tests/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
poll(const char *body, size_t len)
{
	struct jscan_error error;
	struct task task;
	struct jslice root;
	struct why why;
	enum task_reading reading;

	why.text[0] = '\0';
	reading = task_read(body, len, &task, &why);
	if (reading != TASK_READ)
		must(why.text[0] != '\0');
	if (reading == TASK_LOST)
		return;
	must(task_id_ok(task.task_id) && task_id_ok(task.job_id));
	must(task.type == NULL || task_id_ok(task.type));
	if (reading == TASK_READ) {
		must(task.type != NULL);
		must(jscan_check(task.params.p, task.params.len,
			 &jscan_payload_limits, &root, &error) == 0);
		must(root.type == JSCAN_OBJECT);
	}
	task_fini(&task);
}

static void
judge(const char *body, size_t len, uint8_t status)
{
	static const long codes[] = { 200, 204, 400, 401, 403, 404, 413, 429,
		500, 301 };
	struct why why;

	why.text[0] = '\0';
	if (dialect_judge(codes[status % (sizeof(codes) / sizeof(codes[0]))],
		body, len, &why) != VERDICT_DONE)
		must(why.text[0] != '\0');
	(void)dialect_is_unknown(body, len);
}

static void
on_cancel(const char *id, void *arg)
{
	(void)arg;
	must(task_id_ok(id));
}

/* As for the callers, who have checked that it is an object. */
static void
object(const struct dialect *d, const char *body, size_t len)
{
	struct beat_wishes wishes = { .cancel = on_cancel };
	struct jscan_error error;
	struct jslice root;
	struct why why;

	if (jscan_check(body, len, &jscan_payload_limits, &root, &error) ==
		-1 ||
	    root.type != JSCAN_OBJECT)
		return;
	if (d->wishes != NULL)
		d->wishes(body, len, &wishes);
	must(wishes.delay_ms >= 0);
	why.text[0] = '\0';
	(void)d->taken(body, len, &why);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *body = (const char *)data + 1;

	if (size == 0)
		return (-1);
	poll(body, size - 1);
	judge(body, size - 1, data[0]);
	object(&dialect_classic, body, size - 1);
	object(&dialect_rxon, body, size - 1);
	return (0);
}
