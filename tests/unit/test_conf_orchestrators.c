/* SPDX-License-Identifier: ISC */
/* Which orchestrators there are, from the file and from the environment. */
#include <stdio.h>

#include "supervisor/conf.h"
#include "tests/test.h"
#include "tests/unit/given_conf.h"

static void
makes_an_orchestrator_from_the_environment(void)
{
	char *environment[] = { ORCHESTRATOR, "WORKER_INDIVIDUAL_TOKEN=own",
		NULL };
	struct conf *c = given_conf(&(struct given){
	    .environment = environment, .orchestrated = true });
	struct conf_orchestrator *o = TAILQ_FIRST(&c->orchestrators);

	ASSERT_STR(o->name, "main");
	ASSERT_STR(o->url, "http://h:8080");
	ASSERT_STR(o->token, "own");
	ASSERT_INT(o->poll_timeout_ms, 40000);
	conf_free(c);
	c = given_conf(&(struct given){ .environment = environment });
	ASSERT(TAILQ_EMPTY(&c->orchestrators));
	conf_free(c);
}

static void
overrides_the_one_orchestrator(void)
{
	char *environment[] = { ORCHESTRATOR, NULL };
	struct conf *c = given_conf(&(struct given){
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
	struct conf *conf = given_conf(&given);

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
	struct conf *conf = given_conf(&given);

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
	conf = given_conf(&given);
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
	    given_path("token"));
	REFUSES(&g, "token cannot be read: No such file");
	(void)given_file("token", "s3cret\n");
	c = given_conf(&g);
	ASSERT(TAILQ_FIRST(&c->orchestrators)->token == NULL);
	ASSERT_STR(
	    TAILQ_FIRST(&c->orchestrators)->token_file, given_path("token"));
	conf_free(c);
	g.text = "orchestrator a { url = http://a token_file = /tmp }\n";
	REFUSES(&g, "token_file /tmp is not a file");
	g.text = "orchestrator a { url = http://a token_file = token }\n";
	REFUSES(&g, "@:1: token_file is \"token\"; expected an absolute path");
}

static const struct test tests[] = {
	{ "makes an orchestrator from the environment",
	    makes_an_orchestrator_from_the_environment },
	{ "overrides the one orchestrator", overrides_the_one_orchestrator },
	{ "wants an orchestrator and its token",
	    wants_an_orchestrator_and_its_token },
	{ "takes several orchestrators", takes_several_orchestrators },
	{ "takes a list of orchestrators", takes_a_list_of_orchestrators },
	{ "refuses a list that is none", refuses_a_list_that_is_none },
	{ "checks the token file", checks_the_token_file },
};

TEST_MAIN(tests)
