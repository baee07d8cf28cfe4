/* SPDX-License-Identifier: ISC */
/*
 * Every variable of the environment that the integration guide names or that a
 * published version of the Python SDK reads (1.0b1, 1.0b5, 1.0b19, 1.0b20): it
 * sets a key, or it is answered with a line that says why not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/conf.h"
#include "supervisor/conf_keys.h"
#include "tests/test.h"

/* A variable, its value, and what then is in effect. */
static const struct variable {
	const char *name;
	const char *value;
	const char *section; /* NULL: nothing, it is answered */
	const char *setting; /* as -T writes it; of a secret: its value */
} variables[] = {
	{ "ORCHESTRATOR_URL", "http://other/", "orchestrator",
	    "url = \"http://other\"" },
	{ "ORCHESTRATORS_CONFIG", "[{\"url\": \"http://listed\"}]",
	    "orchestrator", "url = \"http://listed\"" },
	{ "MULTI_ORCHESTRATOR_MODE", "ROUND_ROBIN", "worker",
	    "orchestrator_mode = round_robin" },
	{ "WORKER_TOKEN", "t0ken", "orchestrator.token", "t0ken" },
	{ "WORKER_INDIVIDUAL_TOKEN", "own", "orchestrator.token", "own" },
	{ "ORCHESTRATOR_SECRET_KEY", "k", "orchestrator.task_key", "k" },
	{ "SECRET_KEY", "k2", "orchestrator.task_key", "k2" },
	{ "REQUIRE_TASK_SIGNATURE", "false", "orchestrator",
	    "require_signature = no" },
	{ "TLS_CA_PATH", "/ca.pem", "orchestrator",
	    "tls_ca_file = \"/ca.pem\"" },
	{ "TLS_CERT_PATH", "/w.pem", "orchestrator", "tls_cert = \"/w.pem\"" },
	{ "TLS_KEY_PATH", "/w.key", "orchestrator", "tls_key = \"/w.key\"" },
	{ "WORKER_ENABLE_WEBSOCKETS", "false", "orchestrator",
	    "websocket = no" },
	{ "REGISTRATION_RETRY_INITIAL_DELAY", "0.25", "orchestrator",
	    "registration_backoff_initial = 250ms" },
	{ "REGISTRATION_RETRY_MAX_DELAY", "90.0", "orchestrator",
	    "registration_backoff_max = 90s" },
	{ "POLL_BACKOFF_INITIAL", "3", "orchestrator",
	    "poll_backoff_initial = 3s" },
	{ "TASK_POLL_ERROR_DELAY", "5.0", "orchestrator",
	    "poll_backoff_initial = 5s" },
	{ "POLL_BACKOFF_MAX", "180.0", "orchestrator",
	    "poll_backoff_max = 3m" },
	{ "POLL_BACKOFF_FACTOR", "1.5", "orchestrator",
	    "poll_backoff_factor = 1.5" },
	{ "RESULT_RETRY_INITIAL_DELAY", "2", "orchestrator",
	    "result_backoff_initial = 2s" },
	{ "TASK_POLL_TIMEOUT", "60.5", "orchestrator", "poll_timeout = 71s" },
	{ "WORKER_ID", "w-7", "worker", "id = \"w-7\"" },
	{ "WORKER_TYPE", "gpu worker", "worker", "type = \"gpu worker\"" },
	{ "MAX_CONCURRENT_TASKS", "3", "worker", "max_concurrent_tasks = 3" },
	{ "HEARTBEAT_INTERVAL", "15", "worker", "heartbeat_interval = 15s" },
	{ "WORKER_HEARTBEAT_DEBOUNCE_DELAY", "0.1", "worker",
	    "heartbeat_debounce = 100ms" },
	{ "WORKER_HEARTBEAT_COOLDOWN", "4.5", "worker",
	    "heartbeat_cooldown = 4500ms" },
	{ "WORKER_TELEMETRY_DEADBAND", "12.5", "worker",
	    "usage_deadband = 12.5" },
	{ "WORKER_TELEMETRY_FORCE_INTERVAL", "60.0", "worker",
	    "usage_interval = 1m" },
	{ "POLL_INTERVAL", "2", "worker", "poll_interval = 2s" },
	{ "IDLE_POLL_DELAY", "0.01", "worker", "poll_interval = 10ms" },
	{ "WORKER_SHUTDOWN_TIMEOUT", "40", "worker", "shutdown_timeout = 40s" },
	{ "TASK_FILES_DIR", "/files", "worker", "task_files_dir = \"/files\"" },
	{ "WORKER_PAYLOAD_DIR", "/payloads", "worker",
	    "task_files_dir = \"/payloads\"" },
	{ "CPU_CORES", "6", "resources", "cpu = 6" },
	{ "RAM_GB", "15.6", "resources", "memory_gb = 16" },
	{ "GPU_MODEL", "RTX 4090", "resources", "gpu_model = \"RTX 4090\"" },
	{ "GPU_MODEL", "RTX 4090", "resources", "gpu = yes" },
	{ "GPU_VRAM_GB", "24", "resources", "gpu_memory_gb = 24" },
	{ "GPU_ID", "1", "resources", "gpu_id = \"1\"" },
	{ "WORKER_DEVICES", "[{\"type\":\n\"npu\"}]", "resources",
	    "devices = \"[{\\\"type\\\": \\\"npu\\\"}]\"" },
	{ "WORKER_EXTRA_RACK_NO", "7", "resources", "extra = \"rack_no=7\"" },
	{ "COST_PER_SKILL", "{\"echo\": 0.5}", "resources",
	    "costs = \"echo=0.5\"" },
	{ "INSTALLED_SOFTWARE", "{\"python\": \"3.11\"}", "resources",
	    "software = \"python=3.11\"" },
	{ "INSTALLED_MODELS", "[{\"name\": \"llama\"}]", "resources",
	    "models = \"llama\"" },
	{ "INSTALLED_ARTIFACTS", "[{\"name\": \"a\", \"version\": \"2\"}]",
	    "resources", "models = \"a=2\"" },
	{ "S3_ENDPOINT_URL", "http://s3", "storage",
	    "endpoint = \"http://s3\"" },
	{ "S3_ACCESS_KEY", "a", "storage", "access_key = \"a\"" },
	{ "S3_DEFAULT_BUCKET", "b", "storage", "bucket = \"b\"" },
	{ "LOG_LEVEL", "CRITICAL", "log", "level = error" },
	{ "LOG_FORMAT", "json", "log", "format = json" },
	{ "WORKER_ENABLE_METRICS", "false", "metrics", "enabled = no" },
	{ "WORKER_PORT", "9000", "metrics", "port = 9000" },
	{ "RESULT_MAX_RETRIES", "5", NULL, NULL },
	{ "RATE_LIMIT_BACKOFF_FLOOR", "30", NULL, NULL },
	{ "STRICT_EVENT_VALIDATION", "true", NULL, NULL },
	{ "WORKER_SKILLS_DIR", "skills", NULL, NULL },
	{ "S3_SECRET_KEY", "s", NULL, NULL },
	{ "S3_REGION", "us-east-1", NULL, NULL },
	{ "WORKER_BLOB_CACHE_DIR", "/cache", NULL, NULL },
	{ "OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel", NULL, NULL },
};
#define NVARIABLES (sizeof(variables) / sizeof(variables[0]))

/* The configuration of a worker in whose environment v is, and what else every
 * worker needs. */
static struct conf *
build(const struct variable *v, char *environment[4])
{
	static const char needed[][2][32] = {
		{ "ORCHESTRATOR_URL", "http://h" }, { "WORKER_TOKEN", "s3cret" }
	};
	struct conf_source source = { .environment = environment };
	struct conf_problems problems;
	struct conf *conf;
	size_t i, n = 0;

	ASSERT(asprintf(&environment[n++], "%s=%s", v->name, v->value) > 0);
	for (i = 0; i < 2; i++)
		if (strcmp(needed[i][0], v->name) != 0)
			ASSERT(asprintf(&environment[n++], "%s=%s",
				   needed[i][0], needed[i][1]) > 0);
	environment[n] = NULL;
	conf_problems_init(&problems);
	conf = conf_new(&source, &problems);
	if (conf == NULL)
		test_fail(__FILE__, __LINE__, "%s is refused: %s", v->name,
		    TAILQ_FIRST(&problems.list)->text);
	conf_problems_fini(&problems);
	return (conf);
}

/* That block as -T writes it. */
static char *
dump(const struct conf *conf, const char *section)
{
	char *text = NULL, *block, *end, begin[64];
	FILE *f;
	size_t len;

	f = open_memstream(&text, &len);
	ASSERT(f != NULL);
	(void)fputc('\n', f);
	conf_dump(conf, f);
	ASSERT(fclose(f) == 0);
	(void)snprintf(begin, sizeof(begin), "\n%s ", section);
	ASSERT((block = strstr(text, begin)) != NULL);
	ASSERT((end = strstr(block, "\n}")) != NULL);
	end[1] = '\0';
	memmove(text, block, strlen(block) + 1);
	return (text);
}

static void
is_in_effect(const struct variable *v, const struct conf *conf)
{
	char *text = dump(conf, v->section), setting[256];

	(void)snprintf(setting, sizeof(setting), "\t%s\n", v->setting);
	if (strstr(text, setting) == NULL)
		test_fail(__FILE__, __LINE__, "%s=%s: %s has not%s", v->name,
		    v->value, text, setting);
	free(text);
}

/* A secret is not shown. */
static void
is_the_secret(const struct variable *v, const struct conf *conf)
{
	const struct conf_key *key =
	    conf_key_find("orchestrator", v->section + strlen("orchestrator."));
	const char *text;

	ASSERT(key != NULL && key->secret);
	memcpy(&text,
	    (const char *)TAILQ_FIRST(&conf->orchestrators) + key->offset,
	    sizeof(text));
	ASSERT_STR(text, v->setting);
}

static void
note(const struct conf_variable *v, void *arg)
{
	const char **name = arg;

	ASSERT(*name == NULL);
	*name = v->name;
}

static void
each_one_sets_a_key_or_is_answered(void)
{
	char *environment[4];
	const char *answered;
	struct conf *conf;
	size_t i, j;

	for (i = 0; i < NVARIABLES; i++) {
		const struct variable *v = &variables[i];

		conf = build(v, environment);
		answered = NULL;
		conf_variables_without_use(conf, environment, note, &answered);
		if (v->section == NULL)
			ASSERT_STR(answered, v->name);
		else
			ASSERT(answered == NULL);
		if (v->section != NULL && strchr(v->section, '.') != NULL)
			is_the_secret(v, conf);
		else if (v->section != NULL)
			is_in_effect(v, conf);
		conf_free(conf);
		for (j = 0; environment[j] != NULL; j++)
			free(environment[j]);
	}
}

static bool
is_tested(const char *name)
{
	const size_t len = strcspn(name, "*");
	size_t i;

	for (i = 0; i < NVARIABLES; i++)
		if (strncmp(variables[i].name, name, len) == 0 &&
		    (name[len] == '*' || variables[i].name[len] == '\0'))
			return (true);
	return (false);
}

static void
there_are_no_others(void)
{
	const struct conf_key *key;
	size_t i;

	for (i = 0; (key = conf_key_at(i)) != NULL; i++) {
		if (key->environment != NULL && !is_tested(key->environment))
			test_fail(__FILE__, __LINE__, "%s", key->environment);
		if (key->environment_first != NULL &&
		    !is_tested(key->environment_first))
			test_fail(
			    __FILE__, __LINE__, "%s", key->environment_first);
	}
	for (i = 0; i < conf_variables_len; i++)
		if (!is_tested(conf_variables[i].name))
			test_fail(
			    __FILE__, __LINE__, "%s", conf_variables[i].name);
}

/* Two that set the same key. */
static void
the_older_name_gives_way(void)
{
	static const char *const pairs[][2] = {
		{ "POLL_INTERVAL=7", "IDLE_POLL_DELAY=1" },
		{ "TASK_FILES_DIR=/a", "WORKER_PAYLOAD_DIR=/b" },
		{ "POLL_BACKOFF_INITIAL=7", "TASK_POLL_ERROR_DELAY=1" },
		{ "ORCHESTRATOR_SECRET_KEY=a", "SECRET_KEY=b" },
	};
	const struct conf_orchestrator *o;
	char *environment[11] = { NULL };
	struct conf_source source = { .environment = environment };
	struct conf_problems problems;
	struct conf *conf;
	size_t i, n = 0;

	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		environment[n++] = (char *)pairs[i][1];
		environment[n++] = (char *)pairs[i][0];
	}
	environment[n++] = (char *)"ORCHESTRATOR_URL=http://h";
	environment[n++] = (char *)"WORKER_TOKEN=t";
	conf_problems_init(&problems);
	conf = conf_new(&source, &problems);
	ASSERT(conf != NULL);
	o = TAILQ_FIRST(&conf->orchestrators);
	ASSERT_INT(conf->worker.poll_interval_ms, 7000);
	ASSERT_STR(conf->worker.task_files_dir, "/a");
	ASSERT_INT(o->poll_backoff_initial_ms, 7000);
	ASSERT_STR(o->task_key, "a");
	conf_free(conf);
	conf_problems_fini(&problems);
}

static void
a_short_poll_timeout_shortens_nothing(void)
{
	static const struct variable v = { "TASK_POLL_TIMEOUT", "30",
		"orchestrator", "poll_timeout = 40s" };
	char *environment[4];
	struct conf *conf = build(&v, environment);
	size_t i;

	is_in_effect(&v, conf);
	conf_free(conf);
	for (i = 0; environment[i] != NULL; i++)
		free(environment[i]);
}

static void
extra_capabilities_are_all_told(void)
{
	char *environment[] = { "WORKER_EXTRA_A={\"b\": [1, 2]}",
		"WORKER_EXTRA_EMPTY=", "WORKER_EXTRA_C=a, b", NULL };
	struct conf_source source = { .environment = environment,
		.local = true };
	struct conf_problems problems;
	struct conf *conf;

	conf_problems_init(&problems);
	conf = conf_new(&source, &problems);
	ASSERT(conf != NULL && conf->resources.extra != NULL);
	ASSERT_STR(conf->resources.extra[0], "a={\"b\": [1, 2]}");
	ASSERT_STR(conf->resources.extra[1], "c=a, b");
	ASSERT(conf->resources.extra[2] == NULL);
	conf_free(conf);
	conf_problems_fini(&problems);
}

static void
refuses(const char *text, const char *want)
{
	char *environment[] = { (char *)text,
		(char *)"ORCHESTRATOR_URL=http://h", (char *)"WORKER_TOKEN=t",
		NULL };
	struct conf_source source = { .environment = environment };
	struct conf_problems problems;

	conf_problems_init(&problems);
	if (conf_new(&source, &problems) != NULL)
		test_fail(__FILE__, __LINE__, "%s is taken", text);
	if (strstr(TAILQ_FIRST(&problems.list)->text, want) == NULL)
		test_fail(__FILE__, __LINE__, "%s: %s", text,
		    TAILQ_FIRST(&problems.list)->text);
	conf_problems_fini(&problems);
}

static void
what_cannot_be_told_is_refused(void)
{
	refuses("POLL_BACKOFF_FACTOR=0.5",
	    "POLL_BACKOFF_FACTOR is \"0.5\"; expected a number such as 1.5, "
	    "from 1 to 100");
	refuses("POLL_BACKOFF_FACTOR=2x", "expected a number");
	refuses("WORKER_TELEMETRY_DEADBAND=-1", "expected a number");
	refuses("TASK_POLL_TIMEOUT=forever", "TASK_POLL_TIMEOUT is not usable");
	refuses("WORKER_DEVICES=npu", "WORKER_DEVICES is not usable");
	refuses("WORKER_DEVICES={}", "WORKER_DEVICES is \"{}\"; expected");
	refuses("WORKER_DEVICES=[{\"id\": \"1\"}]", "a \"type\"");
	refuses("WORKER_DEVICES=[{\"type\": 1}]", "a \"type\"");
	refuses("WORKER_DEVICES=[{\"type\": \"a\", \"properties\": []}]",
	    "a \"type\"");
	refuses("WORKER_DEVICES=[{\"type\": \"a\", \"properties\": {}}]",
	    "an empty object");
	refuses("WORKER_EXTRA_A={\"b\": [{}]}", "an empty object");
	refuses("WORKER_EXTRA_A B=1", "WORKER_EXTRA_* is \"a b=1\"; expected");
}

static const struct test tests[] = {
	{ "each sets a key, or a line says why not",
	    each_one_sets_a_key_or_is_answered },
	{ "there are no others", there_are_no_others },
	{ "of two that set a key, the older name gives way",
	    the_older_name_gives_way },
	{ "a short poll timeout shortens nothing",
	    a_short_poll_timeout_shortens_nothing },
	{ "extra capabilities are all told", extra_capabilities_are_all_told },
	{ "what cannot be told is refused", what_cannot_be_told_is_refused },
};

TEST_MAIN(tests)
