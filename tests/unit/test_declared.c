/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "child/json_scan.h"
#include "supervisor/declared.h"
#include "tests/test.h"

static int
read_text(const char *text, struct declared *d, struct why *why)
{
	struct jscan_error error;
	struct jslice root;

	ASSERT_INT(jscan_check(text, strlen(text), &jscan_payload_limits, &root,
		       &error),
	    0);
	return (declared_read(&root, d, why));
}

static void
check_all(const struct declared *d)
{
	ASSERT_STR(d->version, "2.1.0-rc+1");
	ASSERT_STR(d->description, "makes \"thumbs\" \xd1\x91");
	ASSERT_STR(d->kind, "gpu:big");
	ASSERT_STR(d->cost, "2.5e-1");
	ASSERT_STR(d->input_schema, "{ \"type\":\"object\" }");
	ASSERT_STR(d->output_schema, "{}");
	ASSERT_STR(d->events_schema, "{\"half\":{\"type\":\"object\"}}");
	ASSERT_STR(d->output_statuses, "[\"needs_review\"]");
	ASSERT_STR(d->dependencies, "[\"stable diffusion\"]");
}

static void
reads_and_copies(void)
{
	struct declared d, copy;
	struct why why;

	ASSERT_INT(read_text("{\"type\":\"thumb\",\"later\":7,"
			     "\"version\":\"2.1.0-rc+1\",\"description\":"
			     "\"makes \\\"thumbs\\\" \\u0451\","
			     "\"kind\":\"gpu:big\",\"cost\":2.5e-1,"
			     "\"input_schema\": { \"type\":\"object\" } ,"
			     "\"output_schema\":{},\"events_schema\":"
			     "{\"half\":{\"type\":\"object\"}},"
			     "\"output_statuses\":[\"needs_review\"],"
			     "\"dependencies\":[\"stable diffusion\"]}",
		       &d, &why),
	    0);
	check_all(&d);
	ASSERT_INT(declared_copy(&d, &copy), 0);
	declared_fini(&d);
	ASSERT(d.version == NULL && d.dependencies == NULL);
	check_all(&copy);
	declared_fini(&copy);
}

static void
may_be_nothing(void)
{
	struct declared d;
	struct why why;

	ASSERT_INT(read_text("{\"version\":null,\"cost\":null}", &d, &why), 0);
	ASSERT(d.version == NULL && d.cost == NULL && d.input_schema == NULL);
	declared_fini(&d);
}

static const struct {
	const char *text;
	const char *why;
} refused[] = {
	{ "{\"version\":1}", "its version is not 1 to 64 letters" },
	{ "{\"version\":\"\"}", "its version is not" },
	{ "{\"version\":\"1 0\"}", "its version is not" },
	{ "{\"description\":{}}", "its description is not a string" },
	{ "{\"description\":\"a\\u0000b\"}", "its description is not" },
	{ "{\"kind\":\"a b\"}", "its kind is not 1 to 128" },
	{ "{\"cost\":\"1\"}", "its cost is not a number" },
	{ "{\"cost\":-1}", "its cost is not a number from 0 to 2^53" },
	{ "{\"cost\":1e999}", "its cost is not" },
	{ "{\"cost\":1e20}", "its cost is not" },
	{ "{\"input_schema\":true}", "its input_schema is not an object" },
	{ "{\"output_schema\":[]}", "its output_schema is not an object" },
	{ "{\"events_schema\":{\"a\":{},\"b\":[]}}",
	    "its events_schema is not an object of objects" },
	{ "{\"output_statuses\":[\"a\",\"b c\"]}",
	    "its output_statuses is not a list of words" },
	{ "{\"output_statuses\":{}}", "its output_statuses is not" },
	{ "{\"dependencies\":[\"\"]}", "its dependencies is not a list" },
	{ "{\"version\":\"1\",\"dependencies\":[7]}", "its dependencies" },
};

static void
refuses(void)
{
	struct declared d;
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		test_same_int(__FILE__, __LINE__, refused[i].text,
		    read_text(refused[i].text, &d, &why), -1);
		if (strstr(why.text, refused[i].why) == NULL)
			test_fail(__FILE__, __LINE__, "%s: %s", refused[i].text,
			    why.text);
		ASSERT(d.version == NULL);
	}
}

static const struct test tests[] = {
	{ "what is declared is read, and copied", reads_and_copies },
	{ "nothing need be declared", may_be_nothing },
	{ "a member that an orchestrator would refuse is named", refuses },
};
TEST_MAIN(tests)
