/* SPDX-License-Identifier: ISC */
/*
 * Variables of the environment that the Python SDK knows and that set no key
 * here. Whoever comes from there is told why, or what to do instead.
 */
#include <string.h>

#include "supervisor/conf.h"
#include "supervisor/conf_keys.h"

#define STORAGE "this version hands s3:// in params to handlers as it is"
#define BACKOFF "the back-off is fixed: from 1s, doubling to 60s, with jitter"

const struct conf_variable conf_variables[] = {
	{ "RESULT_MAX_RETRIES", "results are sent until they are taken" },
	{ "RESULT_RETRY_INITIAL_DELAY", BACKOFF },
	{ "REGISTRATION_RETRY_INITIAL_DELAY", BACKOFF },
	{ "REGISTRATION_RETRY_MAX_DELAY", BACKOFF },
	{ "TASK_POLL_ERROR_DELAY", BACKOFF },
	{ "POLL_BACKOFF_INITIAL", BACKOFF },
	{ "POLL_BACKOFF_MAX", BACKOFF },
	{ "POLL_BACKOFF_FACTOR", BACKOFF },
	{ "RATE_LIMIT_BACKOFF_FLOOR",
	    "a limit that is met is followed by 61s of silence; see "
	    "orchestrator.rate_budget" },
	{ "TASK_POLL_TIMEOUT",
	    "the orchestrator decides how long a poll waits; the limit on "
	    "this side is orchestrator.poll_timeout" },
	{ "IDLE_POLL_DELAY",
	    "polls wait at the orchestrator; see worker.poll_interval" },
	{ "WORKER_HEARTBEAT_DEBOUNCE_DELAY",
	    "what matters to the orchestrator is told 0.2s after it changed" },
	{ "WORKER_HEARTBEAT_COOLDOWN",
	    "what matters to the orchestrator is told soon, and never in "
	    "a burst" },
	{ "WORKER_TELEMETRY_DEADBAND", "the dead band is fixed" },
	{ "WORKER_TELEMETRY_FORCE_INTERVAL", "the dead band is fixed" },
	{ "SECRET_KEY",
	    "set ORCHESTRATOR_SECRET_KEY; many programs use this name for "
	    "secrets of their own" },
	{ "REQUIRE_TASK_SIGNATURE",
	    "with a key every task must be signed, without one none is "
	    "verified" },
	{ "STRICT_EVENT_VALIDATION",
	    "the children of Python scripts read it, and nobody else" },
	{ "WORKER_SKILLS_DIR",
	    "the children of Python scripts read it; other handlers are named "
	    "on the command line, or in blocks" },
	{ "GPU_ID", "the worker does not choose a device; its handlers do" },
	{ "WORKER_DEVICES", "set resources.properties" },
	{ "WORKER_EXTRA_*", "set resources.properties" },
	{ "S3_SECRET_KEY", STORAGE },
	{ "S3_REGION", STORAGE },
	{ "WORKER_PAYLOAD_DIR", STORAGE },
	{ "WORKER_BLOB_CACHE_DIR", STORAGE },
	{ "OTEL_EXPORTER_OTLP_ENDPOINT",
	    "the worker sends no traces; it has metrics" },
};
const size_t conf_variables_len =
    sizeof(conf_variables) / sizeof(conf_variables[0]);

/* name, or what begins with it when it ends with a star, is set to something
 * in that NAME=VALUE. */
static bool
is_set_by(const char *entry, const char *name)
{
	const size_t len = strcspn(name, "*");
	const char *value = strchr(entry, '=');

	return (value != NULL && value[1] != '\0' &&
	    strncmp(entry, name, len) == 0 &&
	    (name[len] == '*' || entry + len == value));
}

void
conf_variables_without_use(char **environment,
    void (*found)(const struct conf_variable *, void *arg), void *arg)
{
	size_t i, j;

	for (i = 0; environment != NULL && i < conf_variables_len; i++)
		for (j = 0; environment[j] != NULL; j++)
			if (is_set_by(environment[j], conf_variables[i].name)) {
				found(&conf_variables[i], arg);
				break;
			}
}
