/* SPDX-License-Identifier: ISC */
/* Every line is flushed: whoever reads along sees it at once. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "child/bytes.h"
#include "tests/devorch/ledger.h"
#include "tests/devorch/report.h"
#include "tests/devorch/server.h"

#define DATA_MAX 4096 /* bytes of a result's data that are written down */

struct ledger {
	FILE *f;
	int error; /* errno of the first line that could not be written */
};

static const char *const verdicts[] = {
	[WORK_ACCEPTED] = "accepted",
	[WORK_UNKNOWN] = "unknown",
	[WORK_DUPLICATE] = "duplicate",
	[WORK_STALE] = "stale",
};

struct ledger *
ledger_new(const char *path, bool append, struct why *why)
{
	struct ledger *l;

	if ((l = calloc(1, sizeof(*l))) == NULL ||
	    (l->f = fopen(path, append ? "ae" : "we")) == NULL) {
		why_errno(why, "--ledger %s", path);
		free(l);
		return (NULL);
	}
	return (l);
}

int
ledger_free(struct ledger *l, struct why *why)
{
	int rc = 0;

	if (l == NULL)
		return (0);
	if (fclose(l->f) == EOF && l->error == 0)
		l->error = errno;
	if (l->error != 0) {
		errno = l->error;
		why_errno(why, "--ledger");
		rc = -1;
	}
	free(l);
	return (rc);
}

/* Writes the line and frees it. */
static void
put(struct ledger *l, struct bytes *line)
{
	bytes_puts(line, "}\n");
	errno = ENOMEM;
	if ((bytes_failed(line) ||
		fwrite(line->p, 1, line->len, l->f) != line->len ||
		fflush(l->f) == EOF) &&
	    l->error == 0)
		l->error = errno;
	bytes_fini(line);
}

void
ledger_task(struct ledger *l, const struct work *w, const struct job *job)
{
	struct bytes line = { 0 };
	char id[WORK_ID_SIZE];

	if (l == NULL)
		return;
	work_task_id(w, job, id);
	bytes_printf(&line,
	    "{\"event\":\"task\",\"at_us\":%lld,\"task_id\":\"%s\","
	    "\"type\":\"%s\",\"spec\":%u,\"number\":%u,\"attempt\":%u",
	    (long long)job->leased_ns / 1000, id, work_type(w, job),
	    (unsigned)job->spec, (unsigned)job->number, (unsigned)job->attempt);
	put(l, &line);
}

void
ledger_result(struct ledger *l, enum work_verdict verdict, const struct work *w,
    const struct job *job, const char *worker, const struct work_result *r,
    const struct jslice *result)
{
	struct bytes line = { 0 };

	if (l == NULL)
		return;
	bytes_printf(&line,
	    "{\"event\":\"result\",\"at_us\":%lld,\"verdict\":\"%s\",",
	    (long long)r->arrived_ns / 1000, verdicts[verdict]);
	report_put(&line, job == NULL ? "" : work_type(w, job), job, worker, r,
	    result, DATA_MAX);
	put(l, &line);
}

void
ledger_request(
    struct ledger *l, enum endpoint at, bool fault, int64_t arrived_ns)
{
	struct bytes line = { 0 };

	if (l == NULL || (at == ENDPOINT_POLL && !fault) ||
	    (at == ENDPOINT_RESULT && !fault))
		return;
	bytes_printf(&line, "{\"event\":\"%s\",\"at_us\":%lld,\"fault\":%s",
	    endpoint_names[at], (long long)arrived_ns / 1000,
	    fault ? "true" : "false");
	put(l, &line);
}
