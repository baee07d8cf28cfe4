/* SPDX-License-Identifier: ISC */
/* How a handler ends its task: results, and the data writer. */
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "child/channel.h"
#include "child/handler.h"
#include "child/task.h"
#include "tests/test.h"

static struct aw_task task;

static void
begin(void)
{
	static const char payload[] =
	    "{\"task_id\":\"t\",\"job_id\":\"j\",\"type\":\"x\",\"params\":{}}";
	struct bytes why = { 0 };

	ASSERT_INT(task_begin(&task, payload, sizeof(payload) - 1, &why), 0);
}

/* Compares the result with want, then makes room for the next. */
static void
check(const char *want)
{
	const char *got;
	size_t len;

	got = task_result(&task, &len);
	ASSERT_MEM(got, len, want, strlen(want));
	task_end(&task);
	begin();
}

/* The result is an error of that code whose message holds part. */
static void
check_error(const char *code, const char *part)
{
	struct jslice root, error, value;
	struct jscan_error fault;
	const char *got;
	char *text;
	size_t len;

	got = task_result(&task, &len);
	ASSERT(len <= CHANNEL_FROM_CHILD_MAX);
	ASSERT_INT(
	    jscan_check(got, len, &jscan_payload_limits, &root, &fault), 0);
	ASSERT(jscan_get(&root, "error", &error));
	ASSERT(jscan_get(&error, "code", &value));
	ASSERT((text = jscan_strdup(&value, len)) != NULL);
	ASSERT_STR(text, code);
	free(text);
	ASSERT(jscan_get(&error, "message", &value));
	ASSERT((text = jscan_strdup(&value, len)) != NULL);
	ASSERT(strlen(text) <= TASK_MESSAGE_MAX);
	if (strstr(text, part) == NULL)
		test_fail(
		    __FILE__, __LINE__, "\"%s\" lacks \"%s\"", text, part);
	free(text);
	task_end(&task);
	begin();
}

static void
finish(void)
{
	task_end(&task);
	task_fini(&task);
}

static void
sends_results(void)
{
	begin();
	aw_success(&task, "{\"a\": 1}");
	check("{\"status\":\"success\",\"data\":{\"a\": 1}}");
	aw_success_data(&task);
	check("{\"status\":\"success\",\"data\":{}}");
	aw_failure(&task, "A_1", "%d \"%s\"", 5, "q");
	check("{\"status\":\"failure\",\"error\":{\"code\":\"A_1\","
	      "\"message\":\"5 \\\"q\\\"\"}}");
	aw_retry(&task, "LATER", "wait");
	check("{\"status\":\"retry\",\"error\":{\"code\":\"LATER\","
	      "\"message\":\"wait\"}}");
	aw_invalid_input(&task, "no %s", "x");
	check("{\"status\":\"failure\",\"error\":{\"code\":"
	      "\"INVALID_INPUT_ERROR\",\"message\":\"no x\"}}");
	check("{\"status\":\"failure\",\"error\":{\"code\":\"TRANSIENT_ERROR\","
	      "\"message\":\"handler \\\"x\\\" returned without a result\"}}");
	finish();
}

static void
replaces_results(void)
{
	begin();
	aw_failure(&task, "A", "a");
	aw_success(&task, "{}");
	check("{\"status\":\"success\",\"data\":{}}");
	aw_success(&task, "{}");
	aw_success(&task, "nonsense");
	check_error("CONTRACT_VIOLATION_ERROR", "handler \"x\" returned data");
	aw_success(&task, "nonsense");
	aw_json_int64(aw_data(&task), "n", 1);
	aw_success_data(&task);
	check("{\"status\":\"success\",\"data\":{\"n\":1}}");
	finish();
}

/* Which it may not do; but the next task must not pay for it. */
static void
forgets_between_tasks(void)
{
	begin();
	task_end(&task);
	aw_success(&task, "{\"late\": 1}");
	aw_status(&task, "late");
	aw_result_metadata(&task, "{\"late\": 1}");
	aw_json_int64(aw_data(&task), "late", 1);
	begin();
	ASSERT(!task.has_result);
	check_error("TRANSIENT_ERROR", "returned without a result");
	aw_data(&task);
	task_end(&task);
	aw_json_int64(aw_data(&task), "late", 1);
	begin();
	aw_success_data(&task);
	check("{\"status\":\"success\",\"data\":{}}");
	finish();
}

static void
refuses_data(void)
{
	static const char *const texts[] = {
		"",
		"[]",
		"1",
		"{",
		"{}}",
		"{} {}",
		"{\"a\":1,\"a\":2}",
		"{\"a\":\"\xc3\"}",
		"{\"a\":NaN}",
		"{a:1}",
		"null",
	};
	size_t i;

	begin();
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		aw_success(&task, texts[i]);
		check_error("CONTRACT_VIOLATION_ERROR", "handler \"x\"");
	}
	aw_success(&task, NULL);
	check_error("CONTRACT_VIOLATION_ERROR", "a null pointer");
	finish();
}

static void
bounds_messages(void)
{
	char code[TASK_CODE_MAX + 2];
	char *text;
	size_t i;

	ASSERT((text = malloc(3 * TASK_MESSAGE_MAX)) != NULL);
	begin();
	/* Characters of two bytes, beginning at even and at odd places. */
	for (i = 0; i < 2; i++) {
		memset(text, 'x', i);
		memset(text + i, '\xc3', 3 * TASK_MESSAGE_MAX - i);
		for (size_t j = i + 1; j < 3 * TASK_MESSAGE_MAX; j += 2)
			text[j] = '\xa9';
		text[2 * TASK_MESSAGE_MAX] = '\0';
		aw_failure(&task, "X", "%s", text);
		check_error("X", "\xc3\xa9");
		aw_failure(&task, "x y", "%s", text);
		check_error("TRANSIENT_ERROR", "malformed error code \"x y\")");
	}
	memset(code, 'C', sizeof(code));
	code[TASK_CODE_MAX + 1] = '\0';
	aw_failure(&task, code, "long");
	check_error("TRANSIENT_ERROR", "long (the handler gave the malformed");
	code[TASK_CODE_MAX] = '\0';
	aw_failure(&task, code, "long");
	check_error(code, "long");
	aw_failure(&task, NULL, "none");
	check_error("TRANSIENT_ERROR", "none (the handler gave");
	aw_failure(&task, "X", "\xff\x01");
	check("{\"status\":\"failure\",\"error\":{\"code\":\"X\","
	      "\"message\":\"\xef\xbf\xbd\\u0001\"}}");
	free(text);
	finish();
}

static void
bounds_results(void)
{
	const size_t around = strlen("{\"status\":\"success\",\"data\":}");
	const size_t room = CHANNEL_FROM_CHILD_MAX - around;
	char *text;
	size_t len;

	ASSERT((text = malloc(room + 2)) != NULL);
	memset(text, ' ', room + 1);
	text[0] = '{';
	text[room - 1] = '}';
	text[room] = '\0';
	begin();
	aw_success(&task, text);
	(void)task_result(&task, &len);
	ASSERT_INT(len, CHANNEL_FROM_CHILD_MAX);
	text[room] = ' ';
	text[room + 1] = '\0';
	aw_success(&task, text);
	check_error("PERMANENT_ERROR",
	    "handler \"x\" is 1048577 bytes, the limit is 1048576");
	free(text);
	finish();
}

static void
survives_no_memory(void)
{
	begin();
	aw_json_int64(aw_data(&task), "n", 1);
	task.data.text.failed = true;
	aw_success_data(&task);
	check_error("RESOURCE_EXHAUSTED_ERROR", "out of memory");
	aw_failure(&task, "X", "x");
	task.result.failed = true;
	check_error("RESOURCE_EXHAUSTED_ERROR", "out of memory");
	aw_failure(&task, "X", "and the next is fine");
	check_error("X", "fine");
	finish();
}

static void
writes_values(void)
{
	struct aw_json *json;

	begin();
	json = aw_data(&task);
	aw_json_string(json, "s", "a\"\xc3\xa9");
	aw_json_string(json, "none", NULL);
	aw_json_bytes(json, "b", "x\0y", 3);
	aw_json_int64(json, "min", INT64_MIN);
	aw_json_bool(json, "yes", true);
	aw_json_bool(json, "no", false);
	aw_json_null(json, "null");
	aw_json_text(json, "t", "[1, 2]", 6);
	aw_json_object(json, "o");
	aw_json_end(json);
	aw_json_array(json, "l");
	aw_json_int64(json, NULL, 1);
	aw_json_object(json, NULL);
	aw_json_int64(json, "k\n", 2);
	aw_json_end(json);
	aw_json_array(json, NULL);
	aw_json_end(json);
	aw_json_end(json);
	aw_json_int64(json, "last", 3);
	aw_success_data(&task);
	check("{\"status\":\"success\",\"data\":{\"s\":\"a\\\"\xc3\xa9\","
	      "\"none\":null,\"b\":\"x\\u0000y\",\"min\":-9223372036854775808,"
	      "\"yes\":true,\"no\":false,\"null\":null,\"t\":[1, 2],\"o\":{},"
	      "\"l\":[1,{\"k\\n\":2},[]],\"last\":3}}");
	finish();
}

static void
writes_doubles(void)
{
	static const struct {
		double value;
		const char *want;
	} table[] = {
		{ 0.1, "0.1" },
		{ 1, "1" },
		{ -2.5, "-2.5" },
		{ 1e300, "1e+300" },
		{ 1.0 / 3, "0.3333333333333333" },
		{ 5e-324, "4.94065645841247e-324" },
		{ -0.0, "-0" },
	};
	struct aw_json json = { 0 };
	size_t i;

	/* Whatever the handler's locale; the test runs without one too. */
	(void)setlocale(LC_ALL, "de_DE.UTF-8");
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		json_writer_begin(&json, "");
		aw_json_double(&json, "d", table[i].value);
		ASSERT(json_writer_end(&json) == NULL);
		ASSERT_MEM(json.text.p + 5, json.text.len - 6, table[i].want,
		    strlen(table[i].want));
	}
	bytes_fini(&json.text);
}

static void
tells_mistakes(void)
{
	struct aw_json *json;
	int i;

	begin();
	aw_json_int64(aw_data(&task), NULL, 1);
	aw_success_data(&task);
	check_error("CONTRACT_VIOLATION_ERROR", "a key was missing");
	json = aw_data(&task);
	aw_json_array(json, "a");
	aw_json_int64(json, "b", 1);
	aw_success_data(&task);
	check_error("CONTRACT_VIOLATION_ERROR", "a key was given");
	aw_json_end(aw_data(&task));
	aw_success_data(&task);
	check_error("CONTRACT_VIOLATION_ERROR", "more was closed");
	aw_json_object(aw_data(&task), "o");
	aw_success_data(&task);
	check_error("CONTRACT_VIOLATION_ERROR", "was left open");
	aw_json_double(aw_data(&task), "d", NAN);
	aw_success_data(&task);
	check_error("CONTRACT_VIOLATION_ERROR", "infinite or not a number");
	aw_json_text(aw_data(&task), "t", "{", 1);
	aw_success_data(&task);
	check_error("CONTRACT_VIOLATION_ERROR", "not a valid JSON object");
	json = aw_data(&task);
	aw_json_int64(json, "same", 1);
	aw_json_int64(json, "same", 2);
	aw_success_data(&task);
	check_error("CONTRACT_VIOLATION_ERROR", "not a valid JSON object");
	json = aw_data(&task);
	for (i = 0; i <= JSON_WRITER_DEPTH; i++)
		aw_json_array(json, i == 0 ? "deep" : NULL);
	aw_success_data(&task);
	check_error("CONTRACT_VIOLATION_ERROR", "nested too deeply");
	/* A mistake does not outlive its result. */
	json = aw_data(&task);
	for (i = 0; i < JSON_WRITER_DEPTH; i++)
		aw_json_array(json, i == 0 ? "deep" : NULL);
	for (i = 0; i < JSON_WRITER_DEPTH; i++)
		aw_json_end(json);
	aw_success_data(&task);
	ASSERT_MEM(
	    task.result.p, 30, "{\"status\":\"success\",\"data\":{\"d", 30);
	finish();
}

static const struct test tests[] = {
	{ "each kind of result has its message", sends_results },
	{ "a second result replaces the first", replaces_results },
	{ "what is said between two tasks is forgotten",
	    forgets_between_tasks },
	{ "data that is no JSON object is a failure", refuses_data },
	{ "messages and codes are bounded and valid UTF-8", bounds_messages },
	{ "a result may be as large as the limit, not larger", bounds_results },
	{ "without memory there is still a result", survives_no_memory },
	{ "the writer writes every kind of value", writes_values },
	{ "doubles are the shortest that read back", writes_doubles },
	{ "the writer's mistakes are told", tells_mistakes },
};
TEST_MAIN(tests)
