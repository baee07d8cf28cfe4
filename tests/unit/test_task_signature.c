/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "supervisor/orchestrator/task_signature.h"
#include "tests/test.h"

/* Signed by the package rxon 1.0b17, as orchestrators 1.0b30 do. */
#define KEY "the orchestrator's own key"
#define SIG "b4e5631884853c3c32bbf9309bb443b7ee63ae7f8d696b15439e26b6ec03f1b2"
#define TASK \
	"\"deadline\":1790000060.5775,\"job_id\":\"j-1\",\"metadata\":" \
	"{\"m\":1},\"params\":{\"e\":{},\"f\":2.5,\"g\":3,\"l\":[null,1]," \
	"\"u\":\"\xd1\x91\\n\\\"\",\"x\":1},\"policy\":{\"allowed_skills\":" \
	"[\"echo\"]},\"priority\":0,\"step\":1,\"task_id\":\"task-1\"," \
	"\"timestamp\":1790000000,\"tracing_context\":{},\"type\":\"echo\""

static const char *const genuine[] = {
	"{" TASK ",\"sig\":\"" SIG "\",\"security\":{\"signer_id\":\"c\"}}",
	/* What a signature does not cover: order, white space, nulls, how a
	 * number is written, and a few members. */
	"{ \"sig\" :\"" SIG "\", " TASK "}",
	"{" TASK ",\"sig\":\"" SIG "\",\"parent_hash\":null}",
	"{" TASK ",\"orchestrator_signature\":\"" SIG "\"}",
	"{" TASK ",\"sig\":\"" SIG "\",\"_signature\":\"x\","
	"\"orchestrator_signature\":\"x\"}",
	"{\"job_id\":\"j-1\",\"task_id\":\"t-1\",\"type\":\"echo\",\"sig\":"
	"\"1177e5688dbfdb685625afa4086644901f532eb9943efc02cc0efc9f59372ad2"
	"\"}",
};

static const struct {
	const char *body;
	const char *why; /* a part of it */
} forged[] = {
	{ "{" TASK "}", "not signed" },
	{ "{" TASK ",\"sig\":null}", "not signed" },
	{ "{" TASK ",\"sig\":7}", "not signed" },
	{ "{" TASK ",\"params2\":{\"sig\":\"" SIG "\"}}", "not signed" },
	{ "{" TASK ",\"sig\":\"\"}", "is wrong" },
	{ "{" TASK ",\"sig\":\"b4e5\"}", "is wrong" },
	{ "{" TASK ",\"sig\":\"" SIG "0\"}", "is wrong" },
	{ "{" TASK ",\"sig\":\"" SIG "\\u0000\"}", "is wrong" },
	{ "{" TASK ",\"more\":0,\"sig\":\"" SIG "\"}", "is wrong" },
	{ "{\"job_id\":\"j-1\",\"task_id\":\"t-2\",\"type\":\"echo\",\"sig\":"
	  "\"1177e5688dbfdb685625afa4086644901f532eb9943efc02cc0efc9f59372ad2"
	  "\"}",
	    "is wrong" },
	/* Lower case alone is one (S19). */
	{ "{\"job_id\":\"j-1\",\"task_id\":\"t-1\",\"type\":\"echo\",\"sig\":"
	  "\"1177E5688DBFDB685625AFA4086644901F532EB9943EFC02CC0EFC9F59372AD2"
	  "\"}",
	    "is wrong" },
	{ "{" TASK ",\"more\":1e20,\"sig\":\"" SIG "\"}", "cannot" },
	{ "[]", "not signed" },
	{ "", "not signed" },
};

static void
takes_what_the_orchestrator_signed(void)
{
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(genuine) / sizeof(genuine[0]); i++)
		test_same_int(__FILE__, __LINE__, genuine[i],
		    task_signature_check(
			genuine[i], strlen(genuine[i]), KEY, &why),
		    0);
}

static void
refuses_anything_else(void)
{
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
		test_same_int(__FILE__, __LINE__, forged[i].body,
		    task_signature_check(
			forged[i].body, strlen(forged[i].body), KEY, &why),
		    -1);
		if (strstr(why.text, forged[i].why) == NULL)
			test_fail(__FILE__, __LINE__, "%s: %s", forged[i].body,
			    why.text);
	}
	for (i = 0; i < sizeof(genuine) / sizeof(genuine[0]); i++)
		ASSERT_INT(task_signature_check(genuine[i], strlen(genuine[i]),
			       "another key", &why),
		    -1);
}

static const struct test tests[] = {
	{ "a task that the orchestrator signed is taken",
	    takes_what_the_orchestrator_signed },
	{ "any other is refused", refuses_anything_else },
};
TEST_MAIN(tests)
