/* SPDX-License-Identifier: ISC */
/* The configuration: what is accepted, what is refused, and in which words. */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/conf.h"
#include "supervisor/conf_keys.h"
#include "supervisor/conf_value.h"
#include "tests/test.h"

#define MAX_PROBLEMS 8
#define ORCHESTRATOR "ORCHESTRATOR_URL=http://h:8080", "WORKER_TOKEN=s3cret"

static char dir[] = "/tmp/avtoworker-conf-XXXXXX";

static void
remove_dir(void)
{
	char path[sizeof(dir) + 32];
	static const char *const names[] = { "main.conf", "one.conf",
		"two.conf", "token", "d/a.conf", "d/b.conf", "d", "d[1]/a.conf",
		"d[1]/main.conf", "d[1]" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)remove(path);
	}
	(void)rmdir(dir);
}

/* The path of a file in this case's own directory, which goes with the case.
 * Not to be freed. */
static const char *
path_of(const char *name)
{
	static char paths[8][128];
	static unsigned next;
	char *path = paths[next++ % 8];

	if (strstr(dir, "XXXXXX") != NULL) {
		ASSERT(mkdtemp(dir) != NULL);
		ASSERT(atexit(remove_dir) == 0);
	}
	(void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return (path);
}

static const char *
write_bytes(const char *name, const void *bytes, size_t len)
{
	const char *path = path_of(name);
	FILE *f = fopen(path, "w");

	ASSERT(f != NULL);
	ASSERT(fwrite(bytes, 1, len, f) == len);
	ASSERT(fclose(f) == 0);
	return (path);
}

static const char *
write_file(const char *name, const char *text)
{
	return (write_bytes(name, text, strlen(text)));
}

static char *no_environment[] = { NULL };

/* Builds from text, environment and options; the file is main.conf. */
struct given {
	const char *text; /* NULL: no file */
	char **environment;
	const char **options;
	size_t options_len;
	const char **handlers;
	size_t handlers_len;
	bool orchestrated; /* not local */
};

static struct conf *
build(const struct given *g, struct conf_problems *problems)
{
	struct conf_source source = {
		.environment =
		    g->environment != NULL ? g->environment : no_environment,
		.options = g->options,
		.options_len = g->options_len,
		.handlers = g->handlers,
		.handlers_len = g->handlers_len,
		.local = !g->orchestrated,
	};

	if (g->text != NULL)
		source.file = write_file("main.conf", g->text);
	conf_problems_init(problems);
	return (conf_new(&source, problems));
}

static struct conf *
build_well(const struct given *g)
{
	struct conf_problems problems;
	struct conf *conf = build(g, &problems);

	if (conf == NULL)
		test_fail(__FILE__, __LINE__, "refused: %s",
		    TAILQ_FIRST(&problems.list)->text);
	ASSERT_INT(problems.count, 0);
	conf_problems_fini(&problems);
	return (conf);
}

/* Every wanted text is part of its problem, in order, and there are no more.
 * A file's own problems start with "@", which stands for its path. */
static void
refuses(const struct given *g, const char *const *want)
{
	struct conf_problems problems;
	struct conf_problem *p;
	const char *text;

	ASSERT(build(g, &problems) == NULL);
	TAILQ_FOREACH(p, &problems.list, entry) {
		const char *main_conf = path_of("main.conf");

		text = p->text;
		if (*want == NULL)
			test_fail(__FILE__, __LINE__, "also: %s", text);
		if (**want == '@') {
			if (strncmp(text, main_conf, strlen(main_conf)) != 0)
				test_fail(__FILE__, __LINE__,
				    "not in the file: %s", text);
			text += strlen(main_conf);
			if (strncmp(text, *want + 1, strlen(*want + 1)) != 0)
				test_fail(__FILE__, __LINE__,
				    "got \"%s\", want \"%s\"", text, *want + 1);
		} else if (strstr(text, *want) == NULL)
			test_fail(__FILE__, __LINE__, "got \"%s\", want \"%s\"",
			    text, *want);
		if (strstr(text, "s3cret") != NULL)
			test_fail(__FILE__, __LINE__, "leaked: %s", text);
		want++;
	}
	if (*want != NULL)
		test_fail(__FILE__, __LINE__, "not said: %s", *want);
	conf_problems_fini(&problems);
}

#define REFUSES(given, ...) \
	refuses(given, (const char *const[]){ __VA_ARGS__, NULL })
#define REFUSES_TEXT(t, ...) \
	REFUSES(&(struct given){ .text = (t) }, __VA_ARGS__)

static char *
dump(const struct conf *conf)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ASSERT(f != NULL);
	conf_dump(conf, f);
	ASSERT(fclose(f) == 0);
	return (text);
}

static void
has_defaults(void)
{
	struct conf *c = build_well(&(struct given){ .text = NULL });

	ASSERT(c->worker.id == NULL);
	ASSERT_STR(c->worker.type, "avtoworker");
	ASSERT_INT(c->worker.max_concurrent_tasks, 10);
	ASSERT_INT(c->worker.heartbeat_interval_ms, 30000);
	ASSERT_INT(c->worker.poll_interval_ms, 1000);
	ASSERT_INT(c->worker.shutdown_timeout_ms, 25000);
	ASSERT(c->worker.state_dir == NULL);
	ASSERT_STR(c->log.destination, "stderr");
	ASSERT_INT(c->log.level, LOG_LEVEL_INFO);
	ASSERT_INT(c->log.format, LOG_FORMAT_TEXT);
	ASSERT(TAILQ_EMPTY(&c->orchestrators));
	ASSERT(TAILQ_EMPTY(&c->categories));
	ASSERT(TAILQ_EMPTY(&c->modules));
	ASSERT(TAILQ_EMPTY(&c->handlers));
	ASSERT(conf_category(c, "default") == NULL);
	conf_free(c);
}

static const char full[] =
    "# a comment with \"quotes' and { braces\n"
    "worker {\n"
    "    id = parser-worker-1   # another\n"
    "    type = 'a \"kind\" of \\\\ worker'\n"
    "    max_concurrent_tasks = 3\n"
    "    heartbeat_interval = 1.5\n"
    "    poll_interval = 250ms\n"
    "    shutdown_timeout = 2m\n"
    "    state_dir = /var/lib/avtoworker\n"
    "}\n"
    "resources {\n"
    "    properties = '{\"a\": [1, \"b, c\"]}'\n"
    "    devices = '[{\"type\": \"npu\"}]'\n"
    "    extra = { \"rack=7\", 'zones=[\"a\"]' }\n"
    "}\n"
    "log { destination = \"/var/log/\\$x.log\" level = WARNING format = JSON "
    "}\n"
    "/* over\n two lines */ orchestrator main {\n"
    "    url = https://h.example:8443/base//\n"
    "    protocol = rxon  retry_status = passthrough\n"
    "    poll_timeout = 1m request_timeout = 5\n"
    "}\n"
    "category heavy { children = 2 } category light { }\n"
    "module one { file = one.so }\n"
    "handler img:resize.v2 { module = \"/opt/x y.so\" category = heavy }\n"
    "handler plain { exec = { /bin/cat, '-', \"a \\\"b\" } }\n"
    "python one { script = '-m x.y' app = w }\n"
    "channel one { exec = /bin/one category = light }\n";

static void
reads_a_full_file(void)
{
	char *environment[] = { "WORKER_TOKEN=s3cret", NULL };
	struct conf *c = build_well(&(struct given){
	    .text = full, .environment = environment, .orchestrated = true });
	struct conf_orchestrator *o = TAILQ_FIRST(&c->orchestrators);
	struct conf_handler *h = TAILQ_FIRST(&c->handlers);

	ASSERT_STR(c->worker.id, "parser-worker-1");
	ASSERT_STR(c->resources.properties, "{\"a\": [1, \"b, c\"]}");
	ASSERT_STR(c->resources.devices, "[{\"type\": \"npu\"}]");
	ASSERT_STR(c->resources.extra[1], "zones=[\"a\"]");
	ASSERT_STR(c->worker.type, "a \"kind\" of \\ worker");
	ASSERT_INT(c->worker.max_concurrent_tasks, 3);
	ASSERT_INT(c->worker.heartbeat_interval_ms, 1500);
	ASSERT_INT(c->worker.poll_interval_ms, 250);
	ASSERT_INT(c->worker.shutdown_timeout_ms, 120000);
	ASSERT_STR(c->worker.state_dir, "/var/lib/avtoworker");
	ASSERT_STR(c->log.destination, "/var/log/$x.log");
	ASSERT_INT(c->log.level, LOG_LEVEL_WARN);
	ASSERT_INT(c->log.format, LOG_FORMAT_JSON);
	ASSERT_STR(o->name, "main");
	ASSERT_STR(o->url, "https://h.example:8443/base");
	ASSERT_STR(o->token, "s3cret");
	ASSERT(o->token_file == NULL);
	ASSERT_INT(o->protocol, CONF_RXON);
	ASSERT_INT(o->retry_status, CONF_RETRY_PASSTHROUGH);
	ASSERT_INT(o->poll_timeout_ms, 60000);
	ASSERT_INT(o->request_timeout_ms, 5000);
	ASSERT_INT(conf_category(c, "heavy")->children, 2);
	ASSERT_INT(conf_category(c, "light")->children, 0);
	ASSERT_STR(TAILQ_FIRST(&c->modules)->file, "one.so");
	ASSERT(!TAILQ_FIRST(&c->modules)->from_argv);
	ASSERT_STR(h->name, "img:resize.v2");
	ASSERT_STR(h->module, "/opt/x y.so");
	ASSERT_STR(h->category, "heavy");
	ASSERT(TAILQ_NEXT(h, entry)->module == NULL);
	conf_free(c);
}

static void
dumps_what_parses_to_itself(void)
{
	char *environment[] = { "WORKER_TOKEN=s3cret", NULL };
	struct given g = {
		.text = full, .environment = environment, .orchestrated = true
	};
	struct given defaults = { .text = NULL };
	struct given *const cases[] = { &g, &defaults };
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct conf *c = build_well(cases[i]);
		char *first = dump(c), *second;

		conf_free(c);
		ASSERT(strstr(first, "s3cret") == NULL);
		cases[i]->text = first;
		c = build_well(cases[i]);
		second = dump(c);
		conf_free(c);
		ASSERT_STR(second, first);
		free(first);
		free(second);
	}
}

static void
dumps_every_key(void)
{
	const struct conf_key *key;
	char *environment[] = { "WORKER_TOKEN=s3cret", NULL };
	struct conf *c = build_well(&(struct given){
	    .text = full, .environment = environment, .orchestrated = true });
	char *text = dump(c), needle[64];
	size_t i;

	for (i = 0; (key = conf_key_at(i)) != NULL; i++) {
		if (key->secret || key->required)
			continue;
		(void)snprintf(needle, sizeof(needle), "\t%s = ", key->name);
		if (strstr(text, needle) != NULL)
			continue;
		(void)snprintf(
		    needle, sizeof(needle), "# %s is not set", key->name);
		if (strstr(text, needle) == NULL)
			test_fail(
			    __FILE__, __LINE__, "no %s in %s", key->name, text);
	}
	ASSERT(strstr(text, "# token is set by the environment") != NULL);
	free(text);
	conf_free(c);
}

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
	struct conf *c = build_well(&(struct given){
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
makes_an_orchestrator_from_the_environment(void)
{
	char *environment[] = { ORCHESTRATOR, "WORKER_INDIVIDUAL_TOKEN=own",
		NULL };
	struct conf *c = build_well(&(struct given){
	    .environment = environment, .orchestrated = true });
	struct conf_orchestrator *o = TAILQ_FIRST(&c->orchestrators);

	ASSERT_STR(o->name, "main");
	ASSERT_STR(o->url, "http://h:8080");
	ASSERT_STR(o->token, "own");
	ASSERT_INT(o->poll_timeout_ms, 40000);
	conf_free(c);
	c = build_well(&(struct given){ .environment = environment });
	ASSERT(TAILQ_EMPTY(&c->orchestrators));
	conf_free(c);
}

static void
overrides_the_one_orchestrator(void)
{
	char *environment[] = { ORCHESTRATOR, NULL };
	struct conf *c = build_well(&(struct given){
	    .text = "orchestrator eu { url = http://file protocol = rxon }\n",
	    .environment = environment,
	    .orchestrated = true });

	ASSERT_STR(TAILQ_FIRST(&c->orchestrators)->name, "eu");
	ASSERT_STR(TAILQ_FIRST(&c->orchestrators)->url, "http://h:8080");
	ASSERT_INT(TAILQ_FIRST(&c->orchestrators)->protocol, CONF_RXON);
	conf_free(c);
}

static void
wants_an_orchestrator_and_its_token(void)
{
	char *token_only[] = { "WORKER_TOKEN=s3cret", NULL };
	char *url_only[] = { "ORCHESTRATOR_URL=http://h", NULL };

	REFUSES((&(struct given){ .orchestrated = true }),
	    "set ORCHESTRATOR_URL and WORKER_TOKEN");
	REFUSES((&(struct given){
		    .orchestrated = true, .environment = token_only }),
	    "set ORCHESTRATOR_URL and WORKER_TOKEN");
	REFUSES(
	    (&(struct given){ .orchestrated = true, .environment = url_only }),
	    "environment: orchestrator main has no token; set token_file");
	REFUSES((&(struct given){ .text = "\norchestrator a {\n}\n",
		    .orchestrated = true,
		    .environment = token_only }),
	    "@:2: orchestrator a has no url; it must be set");
}

static void
takes_several_orchestrators(void)
{
	char *environment[] = { "WORKER_TOKEN=s3cret", NULL };
	char *url_too[] = { ORCHESTRATOR, NULL };
	struct given given = { .text = "orchestrator a { url = http://a }\n"
				       "orchestrator b { url = http://b\n"
				       "priority = 2\n"
				       "token_file = /etc/passwd }\n"
				       "orchestrator c { url = http://c }\n",
		.environment = environment,
		.orchestrated = true };
	const struct conf_orchestrator *o;
	struct conf *conf = build_well(&given);

	o = TAILQ_FIRST(&conf->orchestrators);
	ASSERT_STR(o->name, "b");
	ASSERT(o->token == NULL);
	o = TAILQ_NEXT(o, entry);
	ASSERT_STR(o->name, "a");
	ASSERT_STR(o->token, "s3cret");
	ASSERT_INT(o->priority, 10);
	ASSERT_INT(o->weight, 1);
	o = TAILQ_NEXT(o, entry);
	ASSERT_STR(o->name, "c");
	ASSERT_STR(o->token, "s3cret");
	conf_free(conf);
	given.environment = url_too;
	REFUSES(&given,
	    "environment: ORCHESTRATOR_URL could mean orchestrator a (");
	given.text = "orchestrator a { url = http://a }\n"
		     "orchestrator b { url = http://a/ }\n";
	given.environment = environment;
	REFUSES(&given,
	    "@:2: orchestrator b has the url of orchestrator a; remove one "
	    "of them");
}

#define LIST "ORCHESTRATORS_CONFIG="

static void
takes_a_list_of_orchestrators(void)
{
	char *environment[] = { LIST "[{\"url\": \"http://b\"},"
				     "{\"url\": \"http://z/\", \"priority\": 1,"
				     " \"weight\": 3, \"token\": \"own\"},"
				     "{\"url\": \"http://a\", \"more\": []}]",
		"ORCHESTRATOR_URL=http://unused", "WORKER_TOKEN=s3cret", NULL };
	struct given given = { .environment = environment,
		.orchestrated = true };
	const struct conf_orchestrator *o;
	struct conf *conf = build_well(&given);

	o = TAILQ_FIRST(&conf->orchestrators);
	ASSERT_STR(o->url, "http://z");
	ASSERT_STR(o->token, "own");
	ASSERT_INT(o->weight, 3);
	o = TAILQ_NEXT(o, entry);
	ASSERT_STR(o->url, "http://a");
	ASSERT_STR(o->token, "s3cret");
	o = TAILQ_NEXT(o, entry);
	ASSERT_STR(o->url, "http://b");
	ASSERT(TAILQ_NEXT(o, entry) == NULL);
	conf_free(conf);
	environment[0] = LIST "[{\"url\": \"http://z\", \"token\": \"own\"}]";
	conf = build_well(&given);
	ASSERT_STR(TAILQ_FIRST(&conf->orchestrators)->token, "own");
	conf_free(conf);
}

static void
refuses_a_list_that_is_none(void)
{
	char *environment[] = { NULL, "WORKER_TOKEN=s3cret", NULL };
	struct given given = { .environment = environment,
		.orchestrated = true };

	environment[0] = LIST "[{\"url\": \"http://a\", \"token\": \"s3cret\"";
	REFUSES(
	    &given, "environment: ORCHESTRATORS_CONFIG is no JSON (character ");
	environment[0] = LIST "[]";
	REFUSES(&given,
	    "environment: ORCHESTRATORS_CONFIG is not usable; expected a JSON "
	    "list of 1 to 100 objects");
	environment[0] = LIST "[{\"url\": \"http://a\"}, {\"url\": 1}]";
	REFUSES(&given,
	    "environment: entry 2 of ORCHESTRATORS_CONFIG is not usable; ");
	environment[0] = LIST "[{\"url\": \"http://a\", \"weight\": 0}]";
	REFUSES(
	    &given, "environment: ORCHESTRATORS_CONFIG is \"0\"; expected ");
	environment[0] = LIST "[{\"url\": \"http://a\"}]";
	given.text = "orchestrator a { url = http://a }\n";
	REFUSES(&given,
	    "environment: ORCHESTRATORS_CONFIG names orchestrators, and so "
	    "does ");
}

static void
checks_the_token_file(void)
{
	char text[512];
	struct given g = { .text = text, .orchestrated = true };
	struct conf *c;

	(void)snprintf(text, sizeof(text),
	    "orchestrator a { url = http://a token_file = %s }\n",
	    path_of("token"));
	REFUSES(&g, "token cannot be read: No such file");
	(void)write_file("token", "s3cret\n");
	c = build_well(&g);
	ASSERT(TAILQ_FIRST(&c->orchestrators)->token == NULL);
	ASSERT_STR(
	    TAILQ_FIRST(&c->orchestrators)->token_file, path_of("token"));
	conf_free(c);
	g.text = "orchestrator a { url = http://a token_file = /tmp }\n";
	REFUSES(&g, "token_file /tmp is not a file");
	g.text = "orchestrator a { url = http://a token_file = token }\n";
	REFUSES(&g, "@:1: token_file is \"token\"; expected an absolute path");
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

	c = build_well(&(struct given){ .environment = environment });
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
	c = build_well(&(struct given){ .environment = nothing });
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
refuses_secret_variables_in_the_file(void)
{
	ASSERT(setenv("WORKER_TOKEN", "s3cret", 1) == 0);
	ASSERT(setenv("CONF_TEST_NAME", "from-$-variable", 1) == 0);
	REFUSES_TEXT("worker {\n type = \"x${WORKER_TOKEN}\" }",
	    "@:2: ${WORKER_TOKEN} is a secret");
	REFUSES_TEXT("worker { type = ${WORKER_TOKEN:-x} }",
	    "@:1: ${WORKER_TOKEN} is a secret");
	REFUSES_TEXT("worker { type = ${NOT_IN_THE_ENVIRONMENT} }",
	    "@:1: the environment has no NOT_IN_THE_ENVIRONMENT; set it");
	REFUSES_TEXT("worker { type = \"${a b}\" }", "@:1: expected ${a} or");
	REFUSES_TEXT("worker { type = a${CONF_TEST_NAME} }",
	    "@:1: \"${\" in the middle of a word");
	{
		struct conf *c = build_well(&(struct given){
		    .text = "worker { id = ${CONF_TEST_NONE:-w1}\n"
			    "type = \"a-${CONF_TEST_NAME}-\\${X}\" }\n"
			    "log { destination = '/${WORKER_TOKEN}' }" });

		ASSERT_STR(c->worker.id, "w1");
		ASSERT_STR(c->worker.type, "a-from-$-variable-${X}");
		ASSERT_STR(c->log.destination, "/${WORKER_TOKEN}");
		conf_free(c);
	}
}

static void
stops_at_syntax_and_unknown_names(void)
{
	static const struct {
		const char *text;
		const char *want;
	} cases[] = {
		{ "worker {\n # c\n /* c\n c */ # c\n  heartbeat = 1\n}\nx",
		    "@:5: unknown key \"heartbeat\" in block worker; did you "
		    "mean \"heartbeat_interval\"?" },
		{ "categry heavy { }",
		    "@:1: unknown block \"categry\"; did "
		    "you mean \"category\"?" },
		{ "zzzzzz { }",
		    "@:1: unknown block \"zzzzzz\"; "
		    "avtoworker.conf(5) lists all" },
		{ "worker { zzzzzz = 1 }",
		    "@:1: unknown key \"zzzzzz\" in block worker; "
		    "avtoworker.conf(5) lists all" },
		{ "children = 4",
		    "@:1: key \"children\" belongs into a block "
		    "category { }" },
		{ "worker {\n log {\n } }",
		    "@:2: a block cannot stand inside the block opened in "
		    "line 1" },
		{ "worker {\n log = x }",
		    "@:2: \"log\" cannot stand inside "
		    "block worker; is a \"}\" missing?" },
		{ "\nworker {\n id = x\n",
		    "@:2: the block opened here has no end; expected \"}\"" },
		{ "worker { }\n}", "@:2: unexpected \"}\"; no block is open" },
		{ "worker { id x }", "@:1: expected \"=\" after \"id\"" },
		{ "worker { id += x }",
		    "@:1: expected \"=\" instead of \"+=\"" },
		{ "worker { id = a=b }", "@:1: unexpected \"=\"" },
		{ "worker { id = a b }",
		    "@:1: unknown key \"b\" in block worker" },
		{ "worker { id = a*b }",
		    "@:1: unexpected \"*\"; values that "
		    "contain it are quoted" },
		{ "worker { id = a+b }", "@:1: unexpected \"+\"" },
		{ "worker { id = }", "@:1: unexpected \"}\"" },
		{ "category { children = 4 }",
		    "@:1: expected a name between \"category\" and \"{\"" },
		{ "worker main { }",
		    "@:1: expected \"{\" to open block \"worker\"" },
		{ "worker {\n\n id = \"x\n}", "@:3: a quoted value must end" },
		{ "worker {\n id = 'x }", "@:2: a quoted value must end" },
		{ "worker { id = \"\\0\" }", "@:1: \"\\0\" means nothing" },
		{ "\n/* never", "@:2: this comment has no end" },
		{ "worker { id = x\f }",
		    "@:1: unexpected control character "
		    "0x0c" },
		{ "include x", "@:1: expected \"include\" followed by" },
		{ "include()", "@:1: expected one file name" },
		{ "include(\"a\" \"b\")", "@:1: expected one file name" },
		{ "include(\"a\", \"b\")", "@:1: expected one file name" },
		{ "include(a'b')", "@:1: expected one file name" },
		{ "\ninclude(a /* b */ ${HOME:-x} )",
		    "@:2: expected one file name" },
		{ "include(=", "@:1: expected one file name" },
		{ "include(\"a\"", "@:1: the \"(\" here has no end" },
		{ "worker { id = x }\nlog",
		    "@:2: the file ends in the middle "
		    "of a setting" },
		{ "\"\" = 4", "@:1: syntax error; expected a block or a key" },
		{ "log { } \"log|level\" = debug",
		    "@:1: a key must stand in its block, here \"log\"" },
		{ "\xef\xbb\xbfworker { i = 4 }", "@:1: unknown key \"i\"" },
		{ "worker { }\r\nlog { leve = x }\r\n",
		    "@:2: unknown key \"leve\" in block log; did you mean "
		    "\"level\"?" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		REFUSES_TEXT(cases[i].text, cases[i].want);
}

static void
lists_all_values_and_references(void)
{
	char *environment[] = { "MAX_CONCURRENT_TASKS=0",
		"LOG_FORMAT=\033[31mxml", NULL };
	const char *options[] = { "worker.poll_interval=6m",
		"category.children=4", "categry/x.children=4", "worker.idd=1",
		"worker.id", "category/a b.children=0" };

	REFUSES((&(struct given){
		    .text = "worker {\n id = ghost\n heartbeat_interval = 5x\n"
			    "  heartbeat_interval = 5\n}\n"
			    "log { level = loud destination = relative }\n"
			    "category heavy { children = 10001 }\n"
			    "handler x { category = haevy }\n"
			    "handler y { category = other module = \"\" }\n"
			    "module m { }\n"
			    "handler 'a b' { category = default }\n"
			    "handler z { exec = '' }\n"
			    "handler w { exec = /x module = m.so }\n"
			    "worker { }\n"
			    "category heavy { }\n",
		    .environment = environment,
		    .options = options,
		    .options_len = sizeof(options) / sizeof(options[0]) }),
	    "@:4: heartbeat_interval is set twice; the first is at ",
	    "@:14: block worker stands here again; the first is at ",
	    "@:15: block category heavy stands here again; the first is at ",
	    "-o: \"category\".\"children\": expected category/NAME.children=",
	    "-o: unknown block \"categry\"; did you mean category",
	    "-o: unknown key \"idd\" in block worker; did you mean id",
	    "-o: expected SECTION.KEY=VALUE",
	    "@:2: id is \"ghost\"; expected 1 to 64 letters",
	    "environment: MAX_CONCURRENT_TASKS is \"0\"; expected a whole "
	    "number from 1 to 10000",
	    "@:3: heartbeat_interval is \"5x\"; expected a time such as "
	    "500ms, 30s or 2m, from 1s to 5m",
	    "-o worker.poll_interval: the value is \"6m\"; expected a time",
	    "@:6: destination is \"relative\"; expected stderr, syslog or",
	    "@:6: level is \"loud\"; expected debug, info, warn, warning, "
	    "error or critical",
	    "environment: LOG_FORMAT is \"?[31mxml\"; expected text or json",
	    "@:7: children is \"10001\"; expected a whole number from 1 to 10000",
	    "@:9: module is \"\"; expected a path",
	    "@:10: module m has no file",
	    "@:11: the name of a block handler is \"a b\"; expected 1 to 128",
	    "@:12: exec is \"\"; expected a path, or {PATH, ARGUMENT",
	    "-o category/a b.children: the name of a block category is",
	    "-o category/a b.children: the value is \"0\"; expected",
	    "@:8: there is no category \"haevy\"; did you mean \"heavy\"?",
	    "@:9: there is no category \"other\"; add a block: category "
	    "other { }",
	    "@:13: handler w has module and exec; remove one of them");
}

static void
refuses_lists_that_are_none(void)
{
	REFUSES_TEXT("handler z {\n exec = {}\n}\n",
	    "@:2: an empty list; expected {WORD, ...}");
	REFUSES_TEXT("handler z { exec = {a, {b}} }\n",
	    "@:1: a list has words, and no lists");
	REFUSES_TEXT("handler z { exec = /a exec = {b, c} }\n",
	    "@:1: exec is set twice");
	REFUSES_TEXT("handler z { exec = {a, b }\n",
	    "@:1: the block opened here has no end; expected \"}\"");
}

static void
names_both_places_of_an_empty_block(void)
{
	REFUSES_TEXT("category a { } category b { }\n\ncategory a { }\n",
	    "@:3: block category a stands here again; the first is at ");
}

static void
includes_files(void)
{
	struct conf *c;

	(void)write_file("main.conf", "");
	ASSERT(mkdir(path_of("d"), 0700) == 0);
	(void)write_file("d/b.conf", "category b { }\nlog { level = debug }");
	(void)write_file(
	    "d/a.conf", "category a { }\ninclude(\"../one.conf\")");
	(void)write_file("one.conf", "category one { }");
	c = build_well(&(struct given){
	    .text = "include(\"d/*.conf\")\ninclude(\"none/*.conf\")\n"
		    "include('d/*.none')\nworker { id = x }\n" });
	ASSERT_STR(TAILQ_FIRST(&c->categories)->name, "a");
	ASSERT_STR(TAILQ_NEXT(TAILQ_FIRST(&c->categories), entry)->name, "one");
	ASSERT(conf_category(c, "b") != NULL);
	ASSERT_INT(c->log.level, LOG_LEVEL_DEBUG);
	ASSERT_STR(c->worker.id, "x");
	conf_free(c);
}

static void
includes_beside_a_directory_with_wildcards_in_its_name(void)
{
	struct conf_problems problems;
	struct conf_source source = { .local = true };
	struct conf *c;

	(void)path_of("");
	ASSERT(mkdir(path_of("d[1]"), 0700) == 0);
	(void)write_file("d[1]/a.conf", "category a { }\n");
	source.file = write_file("d[1]/main.conf", "include(\"?.conf\")\n");
	conf_problems_init(&problems);
	ASSERT((c = conf_new(&source, &problems)) != NULL);
	ASSERT(conf_category(c, "a") != NULL);
	conf_free(c);
}

static void
names_the_included_file(void)
{
	(void)write_file("one.conf", "\n\nworker { idd = 4 }\n");
	REFUSES_TEXT("include(one.conf)\n",
	    "/one.conf:3: unknown key \"idd\" in block worker; did you mean "
	    "\"id\"?");
	(void)write_file("one.conf", "\nlog { }\n");
	REFUSES_TEXT("include(\"one.conf\") log { }\n",
	    "/one.conf:2: block log stands here again; the first is at ");
	REFUSES_TEXT("include(\"two.conf\")\n",
	    "/two.conf: cannot be opened: No such file or directory");
}

static void
refuses_loops(void)
{
	(void)write_file("one.conf", "include(\"two.conf\")");
	(void)write_file("two.conf", "include(\"*.conf\")");
	REFUSES_TEXT(
	    "include(\"one.conf\")\n", "@: includes itself, by way of ");
	REFUSES_TEXT(
	    "include(\"main.conf\")\n", "@: includes itself, by way of ");
}

static void
refuses_what_is_no_text_file(void)
{
	static char big[2 * 1024 * 1024];
	struct conf_problems problems;
	struct conf_source source = { .local = true };

	(void)write_bytes("one.conf", "worker {\n id = a\0b }", 20);
	REFUSES_TEXT("include(\"one.conf\")", "one.conf:2: NUL byte");
	memset(big, 'x', sizeof(big));
	(void)write_bytes("one.conf", big, sizeof(big));
	REFUSES_TEXT(
	    "include(\"one.conf\")", "one.conf: too large for a configuration");
	source.file = "/tmp";
	conf_problems_init(&problems);
	ASSERT(conf_new(&source, &problems) == NULL);
	ASSERT_STR(TAILQ_FIRST(&problems.list)->text,
	    "/tmp: is a directory; expected a file");
	conf_problems_fini(&problems);
}

static void
refuses_huge_values(void)
{
	const size_t len = 10 * 1024 * 1024;
	char *variable = malloc(len);
	char *environment[] = { variable, NULL };

	ASSERT(variable != NULL);
	memset(variable, 'x', len);
	memcpy(variable, "WORKER_ID=", 10);
	variable[len - 1] = '\0';
	REFUSES((&(struct given){ .environment = environment }),
	    "...\"; expected 1 to 64 letters");
	memset(variable + 10, 'x', len - 11);
	memcpy(variable, "worker { id = ", 14);
	memcpy(variable + 900000, " }", 3);
	REFUSES_TEXT(variable, "@:1: id is \"xxxx");
	free(variable);
}

/* A failed parse must not change how the next file is read. */
static void
reads_well_after_failures(void)
{
	static const char *const bad[] = { "worker { id = \"x", "/* x",
		"worker { \"", "include(\"none.conf\")", "worker { id = 'x }",
		"x", "worker { x", "\"\\777\" {" };
	struct conf_problems problems;
	struct conf *c;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ASSERT(build(&(struct given){ .text = bad[i] }, &problems) ==
		    NULL);
		conf_problems_fini(&problems);
		c = build_well(&(struct given){ .text = "worker { id = x }" });
		ASSERT_STR(c->worker.id, "x");
		conf_free(c);
	}
}

static void
bounds_the_list_of_problems(void)
{
	struct conf_problems problems;
	struct conf_problem *p;
	char text[20000];
	size_t n = 0, listed = 0;

	while (n < sizeof(text) - 40)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
		    "category a { children = 0 }\n");
	ASSERT(build(&(struct given){ .text = text }, &problems) == NULL);
	TAILQ_FOREACH(p, &problems.list, entry)
		listed++;
	ASSERT_INT(listed, 100);
	ASSERT(problems.count > 1000);
	conf_problems_fini(&problems);
}

static void
names_modules_of_the_command_line(void)
{
	const char *handlers[] = {
		"./echo.so",
		"/opt/echo.so",
		"a b.so",
		".so",
		"0123456789012345678901234567890123456789012345678901234567.so",
	};
	const char *const names[] = { "echo-2", "echo-3", "a_b", "module",
		"01234567890123456789012345678901234567890123456789012345" };
	struct conf *c =
	    build_well(&(struct given){ .text = "module echo { file = x.so }\n",
		.handlers = handlers,
		.handlers_len = sizeof(handlers) / sizeof(handlers[0]) });
	struct conf_module *m = TAILQ_FIRST(&c->modules);
	size_t i;

	ASSERT(!m->from_argv);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		m = TAILQ_NEXT(m, entry);
		ASSERT_STR(m->name, names[i]);
		ASSERT_STR(m->file, handlers[i]);
		ASSERT(m->from_argv);
	}
	conf_free(c);
}

static void
names_executables_of_the_command_line(void)
{
	const char *handlers[] = { "send", "../img.resize.sh", "./moved.py.x" };
	const char *const types[] = { "moved.py", "send", "img.resize" };
	const char *const paths[] = { "./moved.py.x", "./send",
		"../img.resize.sh" };
	struct conf *c = build_well(
	    &(struct given){ .text = "category heavy { }\n"
				     "handler moved.py { category = heavy }\n",
		.handlers = handlers,
		.handlers_len = sizeof(handlers) / sizeof(handlers[0]) });
	struct conf_handler *h = TAILQ_FIRST(&c->handlers);
	size_t i;

	ASSERT_STR(h->category, "heavy");
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		ASSERT_STR(h->name, types[i]);
		ASSERT_STR(h->exec[0], paths[i]);
		ASSERT(h->exec[1] == NULL);
		ASSERT(h->from_argv);
		h = TAILQ_NEXT(h, entry);
	}
	ASSERT(conf_inherits(c));
	conf_free(c);
}

static void
names_scripts_of_the_command_line(void)
{
	const char *handlers[] = { "a.py", "/x/a.py", "pkg.mod:worker" };
	const char *const names[] = { "a", "a-2", "pkg" };
	const char *const scripts[] = { "./a.py", "/x/a.py", "pkg.mod:worker" };
	struct conf *c = build_well(&(struct given){ .handlers = handlers,
	    .handlers_len = sizeof(handlers) / sizeof(handlers[0]) });
	struct conf_python *py = TAILQ_FIRST(&c->pythons);
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ASSERT_STR(py->name, names[i]);
		ASSERT_STR(py->script[0], scripts[i]);
		ASSERT(py->script[1] == NULL);
		py = TAILQ_NEXT(py, entry);
	}
	ASSERT(py == NULL);
	conf_free(c);
}

static void
reads_lists_of_words(void)
{
	struct conf *c = build_well(&(struct given){
	    .text =
		"handler a { exec = /bin/a }\n"
		"handler b { exec = { \"/bin/b c\", '', \"-x \\\"y\" } }\n" });
	struct conf_handler *h = TAILQ_FIRST(&c->handlers);

	ASSERT_STR(h->exec[0], "/bin/a");
	ASSERT(h->exec[1] == NULL);
	h = TAILQ_NEXT(h, entry);
	ASSERT_STR(h->exec[0], "/bin/b c");
	ASSERT_STR(h->exec[1], "");
	ASSERT_STR(h->exec[2], "-x \"y");
	ASSERT(h->exec[3] == NULL);
	conf_free(c);
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

static void
reads_times(void)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} cases[] = { { "30", 30000 }, { "0", 0 }, { "1.5", 1500 },
		{ "250ms", 250 }, { "0.5s", 500 }, { "1.5m", 90000 },
		{ "2h", 7200000 }, { "0.0001", 1 }, { "0.0", 0 },
		{ "999999999999h", 3599999999996400000 }, { "", -1 },
		{ "-1", -1 }, { "+1", -1 }, { " 1", -1 }, { "1 ", -1 },
		{ "1 s", -1 }, { ".5", -1 }, { "1.", -1 }, { "1.s", -1 },
		{ "5x", -1 }, { "1d", -1 }, { "1S", -1 }, { "1e3", -1 },
		{ "9999999999999", -1 }, { "0.1234567890", -1 },
		{ "inf", -1 } };
	int64_t ms;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ms = -1;
		ASSERT_INT(conf_parse_time(cases[i].text, &ms),
		    cases[i].ms == -1 ? -1 : 0);
		ASSERT_INT(ms, cases[i].ms);
	}
}

static void
reads_sizes_numbers_and_flags(void)
{
	int64_t n;
	bool flag;

	ASSERT(conf_parse_size("12", &n) == 0 && n == 12);
	ASSERT(conf_parse_size("12k", &n) == 0 && n == 12 * 1024);
	ASSERT(conf_parse_size("12M", &n) == 0 && n == 12 * 1024 * 1024);
	ASSERT(conf_parse_size("2G", &n) == 0 && n == 2LL << 30);
	ASSERT(conf_parse_size("999999999999G", &n) == -1);
	ASSERT(conf_parse_size("1T", &n) == -1);
	ASSERT(conf_parse_size("1KB", &n) == -1);
	ASSERT(conf_parse_size("K", &n) == -1);
	ASSERT(conf_parse_size("", &n) == -1);
	ASSERT(conf_parse_number("7", &n) == 0 && n == 7);
	ASSERT(conf_parse_number("0x7", &n) == -1);
	ASSERT(conf_parse_number("1.0", &n) == -1);
	ASSERT(conf_parse_number("99999999999999999999", &n) == -1);
	ASSERT(conf_parse_flag("Yes", &flag) == 0 && flag);
	ASSERT(conf_parse_flag("off", &flag) == 0 && !flag);
	ASSERT(conf_parse_flag("1", &flag) == -1);
}

/* Sizes and flags have no key yet, so they are written by rows of the test. */
static void
writes_sizes_and_flags(void)
{
	static const struct conf_key size = {
		.type = CONF_TYPE_SIZE, .max = INT64_MAX, .def = "0"
	};
	static const struct conf_key flag = { .type = CONF_TYPE_FLAG };
	static const char *const sizes[] = { "0", "1023", "1K", "1536M", "2G",
		"2048G" };
	char *text;
	size_t i, len;
	int64_t bytes;
	bool on;
	FILE *f;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		f = open_memstream(&text, &len);
		ASSERT(f != NULL);
		ASSERT(conf_value_set(&size, sizes[i], &bytes) == 0);
		conf_value_print(&size, &bytes, f);
		ASSERT(conf_value_set(&flag, "on", &on) == 0);
		conf_value_print(&flag, &on, f);
		ASSERT(fclose(f) == 0);
		ASSERT(strncmp(text, sizes[i], strlen(sizes[i])) == 0);
		ASSERT_STR(text + strlen(sizes[i]), "yes");
		free(text);
	}
}

static void
checks_urls(void)
{
	static const struct {
		const char *text;
		const char *url; /* NULL: refused */
	} cases[] = { { "http://h", "http://h" }, { "HTTP://h/", "HTTP://h" },
		{ "https://h.example:65535/a/b%20c//",
		    "https://h.example:65535/a/b%20c" },
		{ "http://[::1]:8080", "http://[::1]:8080" },
		{ "http://", NULL }, { "http:///x", NULL }, { "ftp://h", NULL },
		{ "h:80", NULL }, { "http://u@h", NULL },
		{ "http://u:s3cret@h", NULL }, { "http://h:0", NULL },
		{ "http://h:65536", NULL }, { "http://h:", NULL },
		{ "http://h:8x", NULL }, { "http://h?q", NULL },
		{ "http://h/?q", NULL }, { "http://h/#f", NULL },
		{ "http://h/a b", NULL }, { "http://h/\n", NULL },
		{ "http://[::1", NULL }, { "http://[]", NULL },
		{ "http://\xd1\x85", NULL }, { "http://h/a@b", NULL },
		{ "http://h\\@x", NULL }, { "", NULL } };
	const struct conf_key *key = conf_key_find("orchestrator", "url");
	struct conf_orchestrator o = { .url = NULL };
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (conf_value_set(key, cases[i].text, &o) == -1) {
			if (cases[i].url != NULL)
				test_fail(__FILE__, __LINE__, "refused %s",
				    cases[i].text);
			continue;
		}
		ASSERT_STR(o.url, cases[i].url);
	}
	conf_value_free(key, &o);
}

static void
lists_every_key(void)
{
	const struct conf_key *key;
	char *text = NULL, needle[64];
	size_t i, len;
	FILE *f = open_memstream(&text, &len);

	ASSERT(f != NULL);
	conf_print_keys(f);
	ASSERT(fclose(f) == 0);
	for (i = 0; (key = conf_key_at(i)) != NULL; i++) {
		(void)snprintf(needle, sizeof(needle), ".%s ", key->name);
		ASSERT(strstr(text, needle) != NULL);
		ASSERT(conf_section_find(key->section) != NULL);
		if (key->environment != NULL)
			ASSERT(strstr(text, key->environment) != NULL);
	}
	free(text);
}

/* libConfuse would otherwise write there by itself. */
static void
writes_nothing_to_standard_error(void)
{
	const char *path = path_of("one.conf");
	struct stat st;

	ASSERT(freopen(path, "w", stderr) != NULL);
	REFUSES_TEXT("worker { id = a=b }", "@:1: unexpected");
	REFUSES_TEXT("zzz { }", "@:1: unknown block");
	REFUSES_TEXT("worker { \"a|b\" = c }", "@:1: ");
	ASSERT(fflush(stderr) == 0);
	ASSERT(stat(path, &st) == 0);
	ASSERT_INT(st.st_size, 0);
}

static const struct test tests[] = {
	{ "has defaults", has_defaults },
	{ "reads a full file", reads_a_full_file },
	{ "dumps what parses to itself", dumps_what_parses_to_itself },
	{ "dumps every key", dumps_every_key },
	{ "prefers the environment to the file, and -o to both",
	    prefers_the_environment_to_the_file_and_options_to_both },
	{ "makes an orchestrator from the environment",
	    makes_an_orchestrator_from_the_environment },
	{ "overrides the one orchestrator", overrides_the_one_orchestrator },
	{ "wants an orchestrator and its token",
	    wants_an_orchestrator_and_its_token },
	{ "takes several orchestrators", takes_several_orchestrators },
	{ "takes a list of orchestrators", takes_a_list_of_orchestrators },
	{ "refuses a list that is none", refuses_a_list_that_is_none },
	{ "checks the token file", checks_the_token_file },
	{ "translates variables of the Python SDK",
	    translates_variables_of_the_sdk },
	{ "refuses variables of the Python SDK that make no sense",
	    refuses_variables_of_the_sdk_that_make_no_sense },
	{ "keeps secrets out of files and lines",
	    keeps_secrets_out_of_files_and_lines },
	{ "refuses secret variables in the file",
	    refuses_secret_variables_in_the_file },
	{ "stops at syntax and unknown names",
	    stops_at_syntax_and_unknown_names },
	{ "lists all values and references", lists_all_values_and_references },
	{ "names both places of an empty block",
	    names_both_places_of_an_empty_block },
	{ "includes files, sorted and relative", includes_files },
	{ "includes beside a directory with wildcards in its name",
	    includes_beside_a_directory_with_wildcards_in_its_name },
	{ "names the included file", names_the_included_file },
	{ "refuses loops of includes", refuses_loops },
	{ "refuses what is no text file", refuses_what_is_no_text_file },
	{ "refuses huge values", refuses_huge_values },
	{ "reads well after failures", reads_well_after_failures },
	{ "bounds the list of problems", bounds_the_list_of_problems },
	{ "names modules of the command line",
	    names_modules_of_the_command_line },
	{ "executables of the command line are handlers of their base name",
	    names_executables_of_the_command_line },
	{ "scripts of the command line are files, or attributes of modules",
	    names_scripts_of_the_command_line },
	{ "lists that are none", refuses_lists_that_are_none },
	{ "lists of words, or one word", reads_lists_of_words },
	{ "wipes secrets from the environment",
	    wipes_secrets_from_the_environment },
	{ "reads times", reads_times },
	{ "reads sizes, numbers and flags", reads_sizes_numbers_and_flags },
	{ "writes sizes and flags", writes_sizes_and_flags },
	{ "checks URLs", checks_urls },
	{ "lists every key", lists_every_key },
	{ "writes nothing to standard error",
	    writes_nothing_to_standard_error },
};

TEST_MAIN(tests)
