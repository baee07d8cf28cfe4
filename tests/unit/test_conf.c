/* SPDX-License-Identifier: ISC */
/* A configuration as a whole: defaults, what is in effect, what is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/conf.h"
#include "supervisor/conf_keys.h"
#include "tests/test.h"
#include "tests/unit/given_conf.h"

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
	struct conf *c = given_conf(&(struct given){ .text = NULL });

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
	struct conf *c = given_conf(&(struct given){
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
		struct conf *c = given_conf(cases[i]);
		char *first = dump(c), *second;

		conf_free(c);
		ASSERT(strstr(first, "s3cret") == NULL);
		cases[i]->text = first;
		c = given_conf(cases[i]);
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
	struct conf *c = given_conf(&(struct given){
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
bounds_the_list_of_problems(void)
{
	struct conf_problems problems;
	struct conf_problem *p;
	char text[20000];
	size_t n = 0, listed = 0;

	while (n < sizeof(text) - 40)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
		    "category a { children = 0 }\n");
	ASSERT(given_build(&(struct given){ .text = text }, &problems) == NULL);
	TAILQ_FOREACH(p, &problems.list, entry)
		listed++;
	ASSERT_INT(listed, 100);
	ASSERT(problems.count > 1000);
	conf_problems_fini(&problems);
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

static const struct test tests[] = {
	{ "has defaults", has_defaults },
	{ "reads a full file", reads_a_full_file },
	{ "dumps what parses to itself", dumps_what_parses_to_itself },
	{ "dumps every key", dumps_every_key },
	{ "lists all values and references", lists_all_values_and_references },
	{ "bounds the list of problems", bounds_the_list_of_problems },
	{ "lists every key", lists_every_key },
};

TEST_MAIN(tests)
