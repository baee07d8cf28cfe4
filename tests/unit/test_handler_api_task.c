/* SPDX-License-Identifier: ISC */
/* What a handler is told about its task: ids, params, getters. */
#include <stdlib.h>
#include <string.h>

#include "child/channel.h"
#include "child/handler.h"
#include "child/task.h"
#include "tests/test.h"

#define HEAD "{\"task_id\":\"t-1\",\"job_id\":\"j\\u002d1\",\"type\":\"x\""

static struct aw_task task;

/* Borrows payload until end(). */
static void
begin(const char *payload)
{
	struct bytes why = { 0 };

	if (task_begin(&task, payload, strlen(payload), &why) == -1)
		test_fail(__FILE__, __LINE__, "%.*s: %s", (int)why.len, why.p,
		    payload);
}

static void
end(void)
{
	task_end(&task);
	task_fini(&task);
}

static void
tells_ids(void)
{
	const char *params;
	size_t len;

	begin(HEAD ",\"params\": {\"a\": [1, 2]} }");
	ASSERT_STR(aw_task_id(&task), "t-1");
	ASSERT_STR(aw_job_id(&task), "j-1");
	ASSERT_STR(aw_task_type(&task), "x");
	params = aw_params(&task, &len);
	ASSERT_MEM(params, len, "{\"a\": [1, 2]}", 13);
	end();
}

static void
gets_strings(void)
{
	const char *a, *b, *c;
	size_t len;

	begin(HEAD ",\"params\":{\"a\":\"plain\",\"b\":[\"\\u00e9\\n\"],"
		   "\"c\":{\"d\":\"x\\u0000y\"},\"e\":\"\"}}");
	ASSERT_INT(aw_get_string(&task, "a", &a, NULL), AW_GOT);
	ASSERT_INT(aw_get_string(&task, "b[0]", &b, &len), AW_GOT);
	ASSERT_INT(len, 3);
	ASSERT_INT(aw_get_string(&task, "c.d", &c, &len), AW_GOT);
	ASSERT_MEM(c, len, "x\0y", 3);
	/* All of them at once, and the params still as they came. */
	ASSERT_STR(a, "plain");
	ASSERT_STR(b, "\xc3\xa9\n");
	ASSERT_INT(aw_get_string(&task, "a", &c, NULL), AW_GOT);
	ASSERT_STR(c, "plain");
	ASSERT_INT(aw_get_string(&task, "e", &c, &len), AW_GOT);
	ASSERT_INT(len, 0);
	ASSERT_STR(c, "");
	ASSERT(strstr(aw_params(&task, &len), "\\u00e9") != NULL);
	ASSERT_INT(aw_get_string(&task, "c.d", &c, NULL), AW_WRONG_TYPE);
	end();
}

static void
gets_numbers(void)
{
	int64_t n = 42;
	double d = 4.5;
	bool b = true;

	begin(HEAD ",\"params\":{\"min\":-9223372036854775808,\"big\":1e30,"
		   "\"f\":2.5,\"three\":3.0,\"no\":false,\"yes\":true}}");
	ASSERT_INT(aw_get_int64(&task, "big", &n), AW_WRONG_TYPE);
	ASSERT_INT(aw_get_int64(&task, "f", &n), AW_WRONG_TYPE);
	ASSERT_INT(aw_get_int64(&task, "no", &n), AW_WRONG_TYPE);
	ASSERT_INT(n, 42);
	ASSERT_INT(aw_get_int64(&task, "three", &n), AW_GOT);
	ASSERT_INT(n, 3);
	ASSERT_INT(aw_get_int64(&task, "min", &n), AW_GOT);
	ASSERT_INT(n, INT64_MIN);
	ASSERT_INT(aw_get_double(&task, "yes", &d), AW_WRONG_TYPE);
	ASSERT(d == 4.5);
	ASSERT_INT(aw_get_double(&task, "f", &d), AW_GOT);
	ASSERT(d == 2.5);
	ASSERT_INT(aw_get_double(&task, "big", &d), AW_GOT);
	ASSERT(d == 1e30);
	ASSERT_INT(aw_get_bool(&task, "three", &b), AW_WRONG_TYPE);
	ASSERT_INT(aw_get_bool(&task, "no", &b), AW_GOT);
	ASSERT(!b);
	ASSERT_INT(aw_get_bool(&task, "yes", &b), AW_GOT);
	ASSERT(b);
	end();
}

static void
tells_missing(void)
{
	const char *s = "kept";
	size_t len = 7;
	int64_t n;
	double d;
	bool b;

	begin(HEAD ",\"params\":{\"null\":null,\"a\":[1],\"s\":\"x\"}}");
	ASSERT_INT(aw_get_string(&task, "nope", &s, &len), AW_MISSING);
	ASSERT_INT(aw_get_string(&task, "null", &s, &len), AW_MISSING);
	ASSERT_INT(aw_get_string(&task, NULL, &s, &len), AW_MISSING);
	ASSERT_INT(aw_get_string(&task, "a[1]", &s, &len), AW_MISSING);
	ASSERT_INT(aw_get_string(&task, "s.x", &s, &len), AW_MISSING);
	ASSERT_INT(aw_get_string(&task, "a", &s, &len), AW_WRONG_TYPE);
	ASSERT_INT(aw_get_string(&task, "", &s, &len), AW_WRONG_TYPE);
	ASSERT_INT(aw_get_string(&task, "a[0]", &s, &len), AW_WRONG_TYPE);
	ASSERT_INT(aw_get_int64(&task, "nope", &n), AW_MISSING);
	ASSERT_INT(aw_get_double(&task, "null", &d), AW_MISSING);
	ASSERT_INT(aw_get_bool(&task, "nope", &b), AW_MISSING);
	ASSERT_INT(aw_get_json(&task, "nope", &s, &len), AW_MISSING);
	ASSERT_STR(s, "kept");
	ASSERT_INT(len, 7);
	ASSERT_INT(aw_get_json(&task, "null", &s, &len), AW_GOT);
	ASSERT_MEM(s, len, "null", 4);
	ASSERT_INT(aw_get_json(&task, "a", &s, &len), AW_GOT);
	ASSERT_MEM(s, len, "[1]", 3);
	ASSERT_STR(aw_got_text(AW_MISSING), "is missing");
	ASSERT_STR(aw_got_text(AW_WRONG_TYPE), "has the wrong type");
	end();
}

static void
refuses_no_tasks(void)
{
	static const char *const payloads[] = {
		"",
		"[]",
		"{\"task_id\":\"t\",\"job_id\":\"j\"",
		"{\"task_id\":\"t\",\"job_id\":\"j\",\"params\":{}}",
		"{\"task_id\":\"\",\"job_id\":\"j\",\"type\":\"x\"}",
		"{\"task_id\":1,\"job_id\":\"j\",\"type\":\"x\"}",
		"{\"task_id\":\"a\\u0000\",\"job_id\":\"j\",\"type\":\"x\"}",
		HEAD ",\"params\":{}} x",
		HEAD ",\"params\":{},\"params\":{}}",
		HEAD ",\"params\":{\"a\":\"\xff\"}}",
	};
	struct bytes why = { 0 };
	size_t i;

	for (i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		ASSERT_INT(
		    task_begin(&task, payloads[i], strlen(payloads[i]), &why),
		    -1);
		ASSERT(why.len > 0);
		bytes_fini(&why);
		end();
	}
}

static void
answers_odd_params(void)
{
	static const char want[] = "{\"status\":\"failure\",\"error\":{"
				   "\"code\":\"INVALID_INPUT_ERROR\","
				   "\"message\":\"params must be an object\"}}";
	const char *result;
	size_t len;

	begin(HEAD ",\"params\":[1]}");
	ASSERT(task.has_result);
	result = task_result(&task, &len);
	ASSERT_MEM(result, len, want, sizeof(want) - 1);
	task_end(&task);
	begin(HEAD "}");
	ASSERT(task.has_result);
	end();
}

/* 128 levels are what the design allows params; the task is around them. */
static void
allows_deep_params(void)
{
	struct bytes payload = { 0 };
	struct bytes why = { 0 };
	int levels, i;

	for (levels = 128; levels <= 129; levels++) {
		bytes_puts(&payload, HEAD ",\"params\":{\"a\":");
		for (i = 1; i < levels; i++)
			bytes_puts(&payload, "[");
		for (i = 1; i < levels; i++)
			bytes_puts(&payload, "]");
		bytes_puts(&payload, "}}");
		ASSERT_INT(task_begin(&task, payload.p, payload.len, &why),
		    levels == 128 ? 0 : -1);
		task_end(&task);
		bytes_fini(&payload);
	}
	bytes_fini(&why);
	end();
}

static void
gives_large_buffers_back(void)
{
	const size_t size = 200000;
	struct bytes payload = { 0 };
	struct bytes why = { 0 };
	const char *text;
	char *filler;
	size_t len;

	ASSERT((filler = malloc(size)) != NULL);
	memset(filler, 'x', size);
	bytes_puts(&payload, HEAD ",\"params\":{\"a\":\"");
	bytes_append(&payload, filler, size);
	bytes_puts(&payload, "\"}}");
	ASSERT_INT(task_begin(&task, payload.p, payload.len, &why), 0);
	ASSERT_INT(aw_get_string(&task, "a", &text, &len), AW_GOT);
	ASSERT_MEM(text, len, filler, size);
	ASSERT_INT(text[len], '\0');
	aw_json_bytes(aw_data(&task), "a", text, len);
	aw_success_data(&task);
	task_end(&task);
	ASSERT_INT(task.decoded_size, 0);
	ASSERT_INT(task.data.text.size, 0);
	ASSERT_INT(task.result.size, 0);
	free(filler);
	bytes_fini(&payload);
	end();
}

static const struct test tests[] = {
	{ "a task tells its ids, type and params", tells_ids },
	{ "strings are decoded, each stays while others are asked for",
	    gets_strings },
	{ "numbers and booleans are taken exactly or not at all",
	    gets_numbers },
	{ "missing, null and wrong types are told apart", tells_missing },
	{ "a payload that is no task is refused", refuses_no_tasks },
	{ "params that are no object get an answer", answers_odd_params },
	{ "params may be as deep as the design allows", allows_deep_params },
	{ "large buffers are given back after the task",
	    gives_large_buffers_back },
};
TEST_MAIN(tests)
