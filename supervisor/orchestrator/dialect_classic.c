/* SPDX-License-Identifier: ISC */
/* dialect_classic.c: orchestrators 1.0b1 to 1.0b8 and the public fork that the
 * integration guide describes: unsigned, with a nested result. */
#include <jansson.h>

#include "supervisor/lease.h"
#include "supervisor/orchestrator/dialect.h"
#include "supervisor/orchestrator/dialect_json.h"

static int
registration(
    const struct worker_facts *facts, struct bytes *out, struct why *why)
{
	return (dialect_put_message(
	    json_pack("{s:s, s:s, s:o, s:I, s:{}, s:[], s:s, s:{s:I, s:n}}",
		"worker_id", facts->id, "worker_type", facts->type,
		"supported_tasks", dialect_types(facts), "max_concurrent_tasks",
		(json_int_t)facts->max_concurrent_tasks, "cost_per_skill",
		"installed_models", "hostname", facts->hostname, "resources",
		"cpu_cores", (json_int_t)facts->cores, "gpu_info"),
	    out, why));
}

/* An empty one keeps the registration, as idle, and tells when it is gone. */
static int
heartbeat(const struct worker_facts *facts, struct bytes *out, struct why *why)
{
	(void)facts;
	(void)out;
	(void)why;
	return (0);
}

static int
result(const struct worker_facts *facts, const struct lease *l,
    struct bytes *out, struct why *why)
{
	bytes_printf(out,
	    "{\"job_id\":\"%s\",\"task_id\":\"%s\",\"worker_id\":\"%s\","
	    "\"result\":{",
	    l->task.job_id, l->task.task_id, facts->id);
	dialect_put_outcome(facts, l, out);
	bytes_puts(out, "}}");
	if (bytes_failed(out)) {
		why_set(why, "no memory for a message");
		return (-1);
	}
	return (0);
}

/* Every 200 is an acceptance here. */
static enum verdict
taken(const char *body, size_t len, struct why *why)
{
	(void)body;
	(void)len;
	why_set(why, "accepted");
	return (VERDICT_DONE);
}

const struct dialect dialect_classic = {
	.name = "classic",
	.acts_on_copies = true,
	.registration = registration,
	.heartbeat = heartbeat,
	.result = result,
	.taken = taken,
};
