/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include "supervisor/orchestrator/task_read.h"
#include "supervisor/task.h"
#include "tests/test.h"

#define IDS "\"job_id\":\"j-1\",\"task_id\":\"t-1\""

struct row {
	const char *body;
	enum task_reading reading;
	const char *params; /* when read whole */
	const char *type;
	const char *why; /* a part of it, when not */
};

static const struct row whole[] = {
	{ "{" IDS ",\"type\":\"echo\",\"params\":{\"x\":1}}", TASK_READ,
	    "{\"x\":1}", "echo", NULL },
	{ " {\"params\": { \"x\" : [1e400, 1.0] } , \"type\":\"a.b:c-d_E\", " IDS
	  "}\n",
	    TASK_READ, "{ \"x\" : [1e400, 1.0] }", "a.b:c-d_E", NULL },
	{ "{" IDS ",\"type\":\"echo\",\"params\":{},\"priority\":0.0,"
	  "\"timestamp\":1790000000.5776,\"deadline\":1790000060.5775,"
	  "\"tracing_context\":{},\"metadata\":{\"m\":1}}",
	    TASK_READ, "{}", "echo", NULL },
	{ "{" IDS ",\"type\":\"echo\"}", TASK_READ, "{}", "echo", NULL },
	{ "{" IDS ",\"type\":\"echo\",\"params\":null}", TASK_READ, "{}",
	    "echo", NULL },
	{ "{\"\\u006aob_id\":\"\\u006a-1\",\"task_id\":\"t-1\","
	  "\"type\":\"echo\"}",
	    TASK_READ, "{}", "echo", NULL },
	{ "{\"params\":{\"job_id\":\"no\",\"task_id\":\"no\",\"type\":\"no\"}," IDS
	  ",\"type\":\"echo\"}",
	    TASK_READ, "{\"job_id\":\"no\",\"task_id\":\"no\",\"type\":\"no\"}",
	    "echo", NULL },
};

static const struct row unrunnable[] = {
	{ "{" IDS ",\"type\":\"echo\",\"params\":[1]}", TASK_UNRUNNABLE, NULL,
	    "echo", "params are not an object" },
	{ "{" IDS ",\"type\":\"echo\",\"params\":\"{}\"}", TASK_UNRUNNABLE,
	    NULL, "echo", "params are not an object" },
	{ "{" IDS ",\"params\":{}}", TASK_UNRUNNABLE, NULL, NULL,
	    "the task has no type" },
	{ "{" IDS ",\"type\":\"a/b\"}", TASK_UNRUNNABLE, NULL, NULL,
	    "the task's type is not of the form" },
	{ "{" IDS ",\"type\":null}", TASK_UNRUNNABLE, NULL, NULL,
	    "the task's type is not of the form" },
	/* No JSON that we take, but the ids stand there. */
	{ "{" IDS ",\"type\":\"echo\",\"params\":{\"a\":1,\"a\":2}}",
	    TASK_UNRUNNABLE, NULL, "echo", "the task is no JSON we can take" },
	{ "{ \"job_id\" : \"j-1\" , \"task_id\" : \"t-1\" , \"params\": {",
	    TASK_UNRUNNABLE, NULL, NULL, "no JSON" },
	{ "{" IDS ",\"type\":\"echo\",\"params\":{\"a\":\"\xff\"}}",
	    TASK_UNRUNNABLE, NULL, "echo", "no JSON" },
	{ "{" IDS ",\"type\":\"echo\",\"params\":{\"a\":NaN}}", TASK_UNRUNNABLE,
	    NULL, "echo", "no JSON" },
	{ "{" IDS ",\"type\":\"a/b\",", TASK_UNRUNNABLE, NULL, NULL,
	    "no JSON" },
	{ "{" IDS, TASK_UNRUNNABLE, NULL, NULL, "no JSON" },
	{ "{\"params\":{\"job_id\":\"no\",\"task_id\":\"no\"}," IDS ",",
	    TASK_UNRUNNABLE, NULL, NULL, "no JSON" },
	{ "{\"note\":\"\\\"task_id\\\":\\\"no\\\" {[\\\\\"," IDS ",",
	    TASK_UNRUNNABLE, NULL, NULL, "no JSON" },
	{ "{\"note\":\"task_id\"," IDS ",\"type\":\"type\",", TASK_UNRUNNABLE,
	    NULL, "type", "no JSON" },
};

static const struct row lost[] = {
	{ "", TASK_LOST, NULL, NULL, "no JSON" },
	{ "<html>" IDS "</html>", TASK_LOST, NULL, NULL, "no JSON" },
	{ "null", TASK_LOST, NULL, NULL, "the task has no job_id" },
	{ "[{" IDS "}]", TASK_LOST, NULL, NULL, "the task has no job_id" },
	{ "{}", TASK_LOST, NULL, NULL, "the task has no job_id" },
	{ "{\"job_id\":\"j-1\",\"type\":\"echo\"}", TASK_LOST, NULL, NULL,
	    "the task has no task_id" },
	{ "{\"task_id\":\"t-1\",\"type\":\"echo\"}", TASK_LOST, NULL, NULL,
	    "the task has no job_id" },
	{ "{\"job_id\":\"j-1\",\"task_id\":7,\"type\":\"echo\"}", TASK_LOST,
	    NULL, NULL, "the task's task_id is not of the form" },
	{ "{\"job_id\":\"j-1\",\"task_id\":null}", TASK_LOST, NULL, NULL,
	    "the task's task_id is not of the form" },
	{ "{\"job_id\":\"j-1\",\"task_id\":\"\"}", TASK_LOST, NULL, NULL,
	    "the task's task_id is not of the form" },
	{ "{\"job_id\":\"j-1\",\"task_id\":\"../t\"}", TASK_LOST, NULL, NULL,
	    "the task's task_id is not of the form [A-Za-z0-9._:-]{1,128}" },
	{ "{\"job_id\":\"j\\u0000\",\"task_id\":\"t-1\"}", TASK_LOST, NULL,
	    NULL, "the task's job_id is not of the form" },
	{ "{\"type\":\"echo\",\"params\":{" IDS "}}", TASK_LOST, NULL, NULL,
	    "the task has no job_id" },
	/* Cut before the ids were whole, or ids of something else. */
	{ "{\"job_id\":\"j-1\",\"task_id\":\"t-", TASK_LOST, NULL, NULL,
	    "no JSON" },
	{ "{\"job_id\":\"j-1\",\"task_id\"", TASK_LOST, NULL, NULL, "no JSON" },
	{ "{\"job_id\":\"j-1\",\"task_id\":", TASK_LOST, NULL, NULL,
	    "no JSON" },
	{ "{\"params\":{" IDS "},", TASK_LOST, NULL, NULL, "no JSON" },
	{ "{\"params\":[" IDS "],", TASK_LOST, NULL, NULL, "no JSON" },
	{ "{\"note\":\"\\\"job_id\\\":\\\"j\\\",\\\"task_id\\\":\\\"t\\\"\",",
	    TASK_LOST, NULL, NULL, "no JSON" },
	{ "{\"job_id\":\"j-1\",\"task_id\":7,", TASK_LOST, NULL, NULL,
	    "no JSON" },
	{ "{\"job_id\":\"j-1\",\"task_id\":\"a/b\",", TASK_LOST, NULL, NULL,
	    "no JSON" },
	{ "{\"job_id\":\"j-1\",\"task_id\":\"a\\\"b\",", TASK_LOST, NULL, NULL,
	    "no JSON" },
	{ "{\"job_id\":\"j-1\\", TASK_LOST, NULL, NULL, "no JSON" },
};

static void
check(const struct row *row)
{
	struct why why = { "" };
	struct task task;
	enum task_reading got;

	got = task_read(row->body, strlen(row->body), &task, &why);
	test_same_int(__FILE__, __LINE__, row->body, got, row->reading);
	ASSERT_STR(task.task_id, got == TASK_LOST ? NULL : "t-1");
	ASSERT_STR(task.job_id, got == TASK_LOST ? NULL : "j-1");
	ASSERT_STR(task.type, row->type);
	if (row->params != NULL)
		ASSERT_MEM(task.params.p, task.params.len, row->params,
		    strlen(row->params));
	else
		ASSERT_INT(task.params.len, 0);
	if (row->why != NULL && strstr(why.text, row->why) == NULL)
		test_fail(__FILE__, __LINE__, "%s: \"%s\" has no \"%s\"",
		    row->body, why.text, row->why);
	task_fini(&task);
}

#define CHECK_ROWS(rows) \
	do { \
		size_t i; \
\
		for (i = 0; i < sizeof(rows) / sizeof((rows)[0]); i++) \
			check(&(rows)[i]); \
	} while (0)

static void
reads_whole_tasks(void)
{
	CHECK_ROWS(whole);
}

static void
salvages_ids(void)
{
	CHECK_ROWS(unrunnable);
}

static void
loses_what_cannot_be_answered(void)
{
	CHECK_ROWS(lost);
}

/* A task whose task_id is that long; cut: with its last brace missing. */
static void
check_long(int len, bool cut, enum task_reading want)
{
	char body[512];
	struct task task;
	struct why why;
	int n;

	n = snprintf(body, sizeof(body),
	    "{\"job_id\":\"j\",\"type\":\"echo\",\"task_id\":\"%0*d\"%s", len,
	    0, cut ? "" : "}");
	ASSERT_INT(task_read(body, (size_t)n, &task, &why), want);
	if (want != TASK_LOST)
		ASSERT_INT(strlen(task.task_id), len);
	task_fini(&task);
}

static void
limits_ids(void)
{
	check_long(TASK_ID_MAX, false, TASK_READ);
	check_long(TASK_ID_MAX + 1, false, TASK_LOST);
	check_long(TASK_ID_MAX, true, TASK_UNRUNNABLE);
	check_long(TASK_ID_MAX + 1, true, TASK_LOST);
}

/* Wherever the reply is cut: never an id that is not a task's own. */
static void
survives_every_cut(void)
{
	const char *body = "{\"params\":{\"task_id\":\"no\",\"a\":[\"\\\"\"]},"
			   "\"job_id\":\"j-1\",\"type\":\"echo\","
			   "\"task_id\":\"t-1\"}";
	const size_t len = strlen(body);
	struct task task;
	struct why why;
	size_t n;

	for (n = 0; n <= len; n++) {
		const enum task_reading got = task_read(body, n, &task, &why);

		ASSERT_INT(got,
		    n == len         ? TASK_READ :
			n == len - 1 ? TASK_UNRUNNABLE :
				       TASK_LOST);
		if (got != TASK_LOST)
			ASSERT_STR(task.task_id, "t-1");
		task_fini(&task);
	}
}

static void
answers_what_is_too_deep(void)
{
	struct bytes body = { 0 };
	struct task task;
	struct why why;
	int i;

	bytes_puts(&body, "{" IDS ",\"type\":\"echo\",\"params\":{\"a\":");
	for (i = 0; i < 200; i++)
		bytes_puts(&body, "[");
	for (i = 0; i < 200; i++)
		bytes_puts(&body, "]");
	bytes_puts(&body, "}}");
	ASSERT_INT(task_read(body.p, body.len, &task, &why), TASK_UNRUNNABLE);
	ASSERT_STR(task.task_id, "t-1");
	ASSERT_STR(task.type, "echo");
	task_fini(&task);
	bytes_fini(&body);
}

static const struct {
	const char *text;
	int64_t deadline_ms;
} deadlines[] = {
	{ "", 0 },
	{ ",\"deadline\":1790000060.5", INT64_C(1790000060500) },
	{ ",\"deadline\":1790000060", INT64_C(1790000060000) },
	{ ",\"deadline\":null", 0 },
	{ ",\"deadline\":\"soon\"", 0 },
	{ ",\"deadline\":-5", 0 },
	{ ",\"deadline\":0", 0 },
	{ ",\"deadline\":1e300", 0 },
};

static void
reads_deadlines(void)
{
	struct bytes body = { 0 };
	struct task task;
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++) {
		bytes_printf(
		    &body, "{" IDS ",\"type\":\"echo\"%s}", deadlines[i].text);
		ASSERT_INT(task_read(body.p, body.len, &task, &why), TASK_READ);
		ASSERT_INT(task.deadline_ms, deadlines[i].deadline_ms);
		task_fini(&task);
		bytes_fini(&body);
	}
}

/* Reads a task and compares it as a child would get it. */
static void
check_handed_on(const char *more, const char *want)
{
	struct bytes body = { 0 }, frame = { 0 };
	struct task task;
	struct why why;

	bytes_printf(&body, "{" IDS ",\"type\":\"echo\"%s}", more);
	ASSERT_INT(task_read(body.p, body.len, &task, &why), TASK_READ);
	task_put(&task, "", &frame);
	bytes_append(&frame, "", 1);
	ASSERT(!bytes_failed(&frame));
	ASSERT_STR(frame.p, want);
	task_fini(&task);
	bytes_fini(&frame);
	bytes_fini(&body);
}

#define HANDED "{\"task_id\":\"t-1\",\"job_id\":\"j-1\",\"type\":\"echo\""

static void
hands_members_on(void)
{
	check_handed_on("", HANDED ",\"params\":{}}");
	check_handed_on(",\"priority\":2.50,\"step\":1,\"depth\":0,"
			"\"security\":{\"signer_id\":\"c\"},\"sig\":\"00\","
			"\"tracing_context\":{\"traceparent\":\"00-a-b-01\"},"
			"\"deadline\":1790000060.5,\"metadata\":{ \"m\":1 },"
			"\"params\":{\"f\":\"s3://b/k\"},\"params_metadata\":"
			"{\"f\":{\"size\":18446744073709551616}},"
			"\"policy\":{\"allowed_skills\":[\"x\",\"echo\"]}",
	    HANDED ",\"priority\":2.50,\"deadline_ms\":1790000060500,"
		   "\"tracing_context\":{\"traceparent\":\"00-a-b-01\"},"
		   "\"metadata\":{ \"m\":1 },\"params_metadata\":"
		   "{\"f\":{\"size\":18446744073709551616}},"
		   "\"params\":{\"f\":\"s3://b/k\"}}");
	/* Nested ones of those names are somebody else's. */
	check_handed_on(",\"params\":{\"metadata\":{}},\"x\":{\"priority\":1}",
	    HANDED ",\"params\":{\"metadata\":{}}}");
}

static void
leaves_out_what_has_another_form(void)
{
	check_handed_on(",\"priority\":\"high\",\"tracing_context\":[],"
			"\"metadata\":null,\"params_metadata\":\"x\","
			"\"deadline\":{},\"policy\":7",
	    HANDED ",\"params\":{}}");
	check_handed_on(",\"policy\":{\"allowed_skills\":null,\"more\":[]}",
	    HANDED ",\"params\":{}}");
}

static const char *const forbidding[] = {
	"[]",
	"[\"other\"]",
	"[\"ech\",\"echo2\",[\"echo\"],null]",
	"\"echo\"",
	"{\"echo\":true}",
	"false",
};

static void
obeys_allowed_skills(void)
{
	struct bytes body = { 0 };
	struct task task;
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(forbidding) / sizeof(forbidding[0]); i++) {
		bytes_printf(&body,
		    "{" IDS ",\"type\":\"echo\",\"policy\":"
		    "{\"allowed_skills\":%s}}",
		    forbidding[i]);
		test_same_int(__FILE__, __LINE__, forbidding[i],
		    task_read(body.p, body.len, &task, &why), TASK_FORBIDDEN);
		ASSERT_STR(task.task_id, "t-1");
		ASSERT(strstr(why.text, "allowed_skills") != NULL);
		task_fini(&task);
		bytes_fini(&body);
	}
}

static const struct test tests[] = {
	{ "whole tasks are read, whatever else they carry", reads_whole_tasks },
	{ "a task with ids can be answered, whatever is wrong with it",
	    salvages_ids },
	{ "a task without its ids is lost", loses_what_cannot_be_answered },
	{ "ids of 128 characters are taken, not of 129", limits_ids },
	{ "a reply may be cut anywhere", survives_every_cut },
	{ "deadlines are read, and what is none is not", reads_deadlines },
	{ "deadline, priority, tracing context and metadata are handed on",
	    hands_members_on },
	{ "members of another form are left out",
	    leaves_out_what_has_another_form },
	{ "policy.allowed_skills without the type forbids the task",
	    obeys_allowed_skills },
	{ "params that are nested too deep are answered",
	    answers_what_is_too_deep },
};
TEST_MAIN(tests)
