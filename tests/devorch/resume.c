/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "child/json_scan.h"
#include "tests/devorch/resume.h"
#include "tests/devorch/work.h"

/* Copies a string; "" when it is not there or too long. */
static void
text(const struct jslice *object, const char *name, char *out, size_t size)
{
	struct jslice value;
	ssize_t len = -1;

	if (jscan_get(object, name, &value))
		len = jscan_string(&value, out, size);
	if (len < 0 || len >= (ssize_t)size)
		out[0] = '\0';
}

static int
again_task(struct work *w, const struct jslice *line)
{
	char id[WORK_ID_SIZE];
	struct jslice value;
	int64_t at_us = 0;

	text(line, "task_id", id, sizeof(id));
	if (jscan_get(line, "at_us", &value))
		(void)jscan_int64(&value, &at_us);
	return (work_lease_again(w, id, at_us * 1000));
}

static int
again_result(struct work *w, const struct jslice *line)
{
	char job_id[WORK_ID_SIZE], task_id[WORK_ID_SIZE], status[64], code[64];
	char verdict[16];
	const struct work_result r = {
		.job_id = job_id,
		.task_id = task_id,
		.status = status,
		.code = code,
	};
	struct jslice error;
	struct job *job;

	code[0] = '\0';
	text(line, "verdict", verdict, sizeof(verdict));
	text(line, "job_id", job_id, sizeof(job_id));
	text(line, "task_id", task_id, sizeof(task_id));
	text(line, "status", status, sizeof(status));
	if (jscan_get(line, "error", &error) && error.type == JSCAN_OBJECT)
		text(&error, "code", code, sizeof(code));
	if (strcmp(verdict, "accepted") != 0)
		return (0); /* it changed nothing */
	return (work_result(w, &r, &job) == WORK_ACCEPTED ? 0 : -1);
}

static int
again(struct work *w, const char *line, size_t len)
{
	struct jscan_error error;
	struct jslice root;
	char event[16];

	if (jscan_check(line, len, &jscan_payload_limits, &root, &error) == -1)
		return (-1);
	text(&root, "event", event, sizeof(event));
	if (strcmp(event, "task") == 0)
		return (again_task(w, &root));
	if (strcmp(event, "result") == 0)
		return (again_result(w, &root));
	return (0);
}

int
resume(const char *path, struct work *w, struct why *why)
{
	char *line = NULL;
	size_t size = 0;
	unsigned number = 0;
	off_t good = 0;
	ssize_t len;
	FILE *f;
	int rc = 0;

	if ((f = fopen(path, "r+e")) == NULL) {
		if (errno == ENOENT)
			return (0);
		why_errno(why, "--ledger %s", path);
		return (-1);
	}
	while (rc == 0 && (len = getline(&line, &size, f)) > 0 &&
	    line[len - 1] == '\n') {
		number++;
		good += len;
		if ((rc = again(w, line, (size_t)len - 1)) == -1)
			why_set(why,
			    "%s:%u: this is not what these options would have "
			    "done",
			    path, number);
	}
	if (rc == 0 && ftruncate(fileno(f), good) == -1) {
		why_errno(why, "--ledger %s", path);
		rc = -1;
	}
	free(line);
	(void)fclose(f);
	return (rc);
}
