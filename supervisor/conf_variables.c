/* SPDX-License-Identifier: ISC */
/*
 * Variables of the environment that the Python SDK knows and that set no key
 * here. Whoever comes from there is told why, or what to do instead.
 */
#include "supervisor/conf_block.h"

#define STORAGE "this version hands s3:// in params to handlers as it is"

const struct conf_variable conf_variables[] = {
	{ "RESULT_MAX_RETRIES",
	    "results are sent until they are taken; see "
	    "worker.result_retention",
	    false },
	{ "RATE_LIMIT_BACKOFF_FLOOR",
	    "a limit that is met is followed by 61s of silence; see "
	    "orchestrator.rate_budget",
	    false },
	{ "STRICT_EVENT_VALIDATION",
	    "the children of Python scripts read it, and nobody else", true },
	{ "WORKER_SKILLS_DIR",
	    "the children of Python scripts read it; other handlers are named "
	    "on the command line, or in blocks",
	    true },
	{ "S3_SECRET_KEY", STORAGE, false },
	{ "S3_REGION", STORAGE, false },
	{ "WORKER_BLOB_CACHE_DIR", STORAGE, false },
	{ "OTEL_EXPORTER_OTLP_ENDPOINT",
	    "the worker sends no traces; scripts that set up OpenTelemetry do",
	    true },
};
const size_t conf_variables_len =
    sizeof(conf_variables) / sizeof(conf_variables[0]);

void
conf_variables_without_use(const struct conf *conf, char **environment,
    void (*found)(const struct conf_variable *, void *arg), void *arg)
{
	const bool scripts = !TAILQ_EMPTY(&conf->pythons);
	size_t i;

	for (i = 0; i < conf_variables_len; i++)
		if (!(scripts && conf_variables[i].by_scripts) &&
		    conf_variable(environment, conf_variables[i].name) != NULL)
			found(&conf_variables[i], arg);
}

bool
conf_secret_key_is_taken(const struct conf *conf, char **environment)
{
	const struct conf_orchestrator *o;

	if (conf_variable(environment, "SECRET_KEY") == NULL ||
	    conf_variable(environment, "ORCHESTRATOR_SECRET_KEY") != NULL)
		return (false);
	TAILQ_FOREACH(o, &conf->orchestrators, entry)
		if (o->task_key != NULL)
			return (true);
	return (false);
}
