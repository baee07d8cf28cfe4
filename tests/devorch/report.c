/* SPDX-License-Identifier: ISC */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "child/bytes.h"
#include "child/json_scan.h"
#include "tests/devorch/report.h"
#include "tests/devorch/work.h"

static void
put_text(struct bytes *out, const char *name, const char *text)
{
	bytes_printf(out, ",\"%s\":", name);
	bytes_put_json(out, text, strlen(text));
}

/* A member as it came, on one line: a line break can only be white space in
 * checked JSON. */
static void
put_member(struct bytes *out, const struct jslice *object, const char *name)
{
	struct jslice value;
	size_t start, i;

	if (!jscan_get(object, name, &value))
		return;
	bytes_printf(out, ",\"%s\":", name);
	start = out->len;
	bytes_append(out, value.p, value.len);
	for (i = start; i < out->len; i++)
		if (out->p[i] == '\n' || out->p[i] == '\r')
			out->p[i] = ' ';
}

/* Data that are too long to be repeated. */
static void
put_digest(struct bytes *out, const struct jslice *data)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned i, len = 0;

	(void)EVP_Digest(data->p, data->len, sum, &len, EVP_sha256(), NULL);
	bytes_printf(out, ",\"data_bytes\":%zu,\"data_sha256\":\"", data->len);
	for (i = 0; i < len; i++)
		bytes_printf(out, "%02x", sum[i]);
	bytes_puts(out, "\"");
}

void
report_put(struct bytes *out, const char *type, const struct job *job,
    const char *worker, const struct work_result *r,
    const struct jslice *result, size_t data_max)
{
	struct jslice data;

	bytes_puts(out, "\"job_id\":");
	bytes_put_json(out, r->job_id, strlen(r->job_id));
	put_text(out, "task_id", r->task_id);
	put_text(out, "type", type);
	put_text(out, "worker_id", worker);
	if (job != NULL)
		bytes_printf(out, ",\"attempt\":%u", (unsigned)job->attempt);
	put_text(out, "status", r->status[0] == '\0' ? "success" : r->status);
	if (jscan_get(result, "data", &data) && data.len > data_max)
		put_digest(out, &data);
	else
		put_member(out, result, "data");
	put_member(out, result, "error");
	if (job != NULL)
		bytes_printf(out, ",\"latency_us\":%lld",
		    (long long)(r->arrived_ns - job->leased_ns) / 1000);
}

void
report_result(const char *type, const struct job *job, const char *worker,
    const struct work_result *r, const struct jslice *result)
{
	struct bytes line = { 0 };

	bytes_puts(&line, "{");
	report_put(&line, type, job, worker, r, result, SIZE_MAX);
	bytes_puts(&line, "}\n");
	if (!bytes_failed(&line))
		(void)fwrite(line.p, 1, line.len, stdout);
	(void)fflush(stdout);
	bytes_fini(&line);
}
