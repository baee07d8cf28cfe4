/* SPDX-License-Identifier: ISC */
/* Settings and secrets from the environment, and settings from -o. */
#include "supervisor/conf.h"
#include "tests/test.h"
#include "tests/unit/given_conf.h"

static void
prefers_the_environment_to_the_file_and_options_to_both(void)
{
	char *environment[] = { "WORKER_ID=from-env", "WORKER_TYPE=from-env",
		"LOG_LEVEL=Error", "HEARTBEAT_INTERVAL=20",
		"POLL_INTERVAL=", ORCHESTRATOR, NULL };
	const char *options[] = { "worker.type=from-option",
		"category/heavy.children=4", "category/v1.2.children=7",
		"orchestrator/main.url=http://other", "log.format=json",
		"log.format=text" };
	struct conf *c = given_conf(&(struct given){
	    .text = "worker { id = a type = b poll_interval = 9 }\n"
		    "category heavy { children = 2 }\n",
	    .environment = environment,
	    .options = options,
	    .options_len = sizeof(options) / sizeof(options[0]),
	    .orchestrated = true });

	ASSERT_STR(c->worker.id, "from-env");
	ASSERT_STR(c->worker.type, "from-option");
	ASSERT_INT(c->worker.heartbeat_interval_ms, 20000);
	ASSERT_INT(c->worker.poll_interval_ms, 9000);
	ASSERT_INT(c->log.level, LOG_LEVEL_ERR);
	ASSERT_INT(c->log.format, LOG_FORMAT_TEXT);
	ASSERT_INT(conf_category(c, "heavy")->children, 4);
	ASSERT_INT(conf_category(c, "v1.2")->children, 7);
	ASSERT_STR(TAILQ_FIRST(&c->orchestrators)->url, "http://other");
	ASSERT_STR(TAILQ_FIRST(&c->orchestrators)->token, "s3cret");
	conf_free(c);
}

static void
translates_variables_of_the_sdk(void)
{
	char *environment[] = { ORCHESTRATOR, "CPU_CORES=6", "RAM_GB=15.6",
		"GPU_MODEL=RTX 4090", "GPU_VRAM_GB=24",
		"COST_PER_SKILL={\"echo\": 0.5, \"a.b\": 2}",
		"INSTALLED_SOFTWARE={\"python\":\"3.11\"}",
		"INSTALLED_MODELS=[{\"name\":\"llama\"},"
		"{\"name\":\"whisper\",\"version\":\"2\",\"path\":\"/m\"}]",
		"S3_ENDPOINT_URL=http://s3", "S3_ACCESS_KEY=k", NULL };
	char *nothing[] = { ORCHESTRATOR, "RAM_GB=0.0", "GPU_VRAM_GB=0",
		"COST_PER_SKILL={}", "INSTALLED_ARTIFACTS=[]", NULL };
	struct conf *c;

	c = given_conf(&(struct given){ .environment = environment });
	ASSERT_INT(c->resources.cpu, 6);
	ASSERT_INT(c->resources.memory_gb, 16);
	ASSERT(c->resources.gpu);
	ASSERT_STR(c->resources.gpu_model, "RTX 4090");
	ASSERT_INT(c->resources.gpu_memory_gb, 24);
	ASSERT_STR(c->resources.costs, "echo=0.5, a.b=2");
	ASSERT_STR(c->resources.software, "python=3.11");
	ASSERT_STR(c->resources.models, "llama, whisper=2");
	ASSERT_STR(c->storage.endpoint, "http://s3");
	ASSERT_STR(c->storage.access_key, "k");
	ASSERT_STR(c->storage.bucket, "avtomatika-payloads");
	conf_free(c);
	c = given_conf(&(struct given){ .environment = nothing });
	ASSERT_INT(c->resources.memory_gb, 0);
	ASSERT_INT(c->resources.gpu_memory_gb, 0);
	ASSERT(c->resources.costs == NULL && c->resources.models == NULL);
	conf_free(c);
}

static void
refuses_variables_of_the_sdk_that_make_no_sense(void)
{
	char *environment[] = { ORCHESTRATOR, "CPU_CORES=many", "RAM_GB=-1",
		"GPU_VRAM_GB=x", "COST_PER_SKILL={\"echo\":\"cheap\"}",
		"INSTALLED_SOFTWARE=python", "INSTALLED_MODELS={}",
		"INSTALLED_ARTIFACTS=[{\"name\":\"a,b\"}]", NULL };

	REFUSES((&(struct given){ .environment = environment }),
	    "environment: COST_PER_SKILL is not usable; expected a JSON object",
	    "environment: INSTALLED_SOFTWARE is not usable",
	    "environment: INSTALLED_MODELS is not usable",
	    "environment: INSTALLED_ARTIFACTS is not usable",
	    "environment: RAM_GB is not usable; expected a number",
	    "environment: GPU_VRAM_GB is not usable; expected a number",
	    "environment: CPU_CORES is \"many\"; expected a whole number");
}

static void
keeps_secrets_out_of_files_and_lines(void)
{
	char *bad[] = { "ORCHESTRATOR_URL=http://u:s3cret@h",
		"WORKER_TOKEN=s3cret with spaces", NULL };
	const char *options[] = { "orchestrator/a.token=s3cret" };

	REFUSES_TEXT("orchestrator a { url = http://a\n token = s3cret }\n",
	    "@:2: orchestrator.token is not read from here, where others "
	    "would see it; put it in a file and set token_file, or in the "
	    "environment as WORKER_TOKEN");
	REFUSES((&(struct given){ .options = options, .options_len = 1 }),
	    "-o orchestrator/a.token: orchestrator.token is not read",
	    "orchestrator a has no url");
	REFUSES((&(struct given){ .environment = bad, .orchestrated = true }),
	    "environment: ORCHESTRATOR_URL is not usable; expected http://",
	    "environment: WORKER_TOKEN is not usable; expected 1 to 4096");
}

static void
wipes_secrets_from_the_environment(void)
{
	char token[] = "WORKER_TOKEN=s3cret", own[] = "WORKER_TOKENS=x";
	char s3[] = "S3_SECRET_KEY=s3cret", path[] = "PATH=/bin";
	char *environment[] = { token, path, s3, own, NULL };

	conf_wipe_environment(environment);
	ASSERT_STR(environment[0], "PATH=/bin");
	ASSERT_STR(environment[1], "WORKER_TOKENS=x");
	ASSERT(environment[2] == NULL);
	ASSERT_MEM(
	    token, sizeof(token), "WORKER_TOKEN=\0\0\0\0\0\0", sizeof(token));
	ASSERT_MEM(s3, sizeof(s3), "S3_SECRET_KEY=\0\0\0\0\0\0", sizeof(s3));
	conf_wipe_environment(NULL);
}

static const struct test tests[] = {
	{ "prefers the environment to the file, and -o to both",
	    prefers_the_environment_to_the_file_and_options_to_both },
	{ "translates variables of the Python SDK",
	    translates_variables_of_the_sdk },
	{ "refuses variables of the Python SDK that make no sense",
	    refuses_variables_of_the_sdk_that_make_no_sense },
	{ "keeps secrets out of files and lines",
	    keeps_secrets_out_of_files_and_lines },
	{ "wipes secrets from the environment",
	    wipes_secrets_from_the_environment },
};

TEST_MAIN(tests)
