/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "supervisor/result.h"
#include "supervisor/task.h"
#include "tests/test.h"

static const struct {
	const char *text;
	const char *why; /* a part of it */
} malformed[] = {
	{ "", "at byte 0" },
	{ "{", "at byte" },
	{ "{\"status\":\"success\"} x", "at byte" },
	{ "{\"status\":\"success\",\"status\":\"failure\"}", "at byte" },
	{ "{\"status\":\"success\",\"data\":{\"a\":\"\xff\"}}", "at byte" },
	{ "null", "not an object" },
	{ "[]", "not an object" },
	{ "\"success\"", "not an object" },
	{ "{}", "\"status\" is missing" },
	{ "{\"data\":{}}", "\"status\" is missing" },
	{ "{\"status\":null}", "\"status\" is no string" },
	{ "{\"status\":1}", "\"status\" is no string" },
	{ "{\"status\":{}}", "\"status\" is no string" },
	{ "{\"status\":\"\"}", "\"status\" is not a word" },
	{ "{\"status\":\"a b\"}", "\"status\" is not a word" },
	{ "{\"status\":\"a\\\"b\"}", "\"status\" is not a word" },
	{ "{\"status\":\"a\\u0000b\"}", "\"status\" is no string" },
	{ "{\"status\":\"success\",\"data\":[]}", "\"data\" is not" },
	{ "{\"status\":\"success\",\"data\":\"x\"}", "\"data\" is not" },
	{ "{\"status\":\"success\",\"data\":1}", "\"data\" is not" },
	{ "{\"status\":\"failure\",\"error\":\"x\"}", "\"error\" is not" },
	{ "{\"status\":\"failure\",\"error\":[]}", "\"error\" is not" },
	{ "{\"status\":\"failure\",\"error\":{}}", "\"code\" is missing" },
	{ "{\"status\":\"failure\",\"error\":{\"code\":1}}",
	    "\"code\" is no string" },
	{ "{\"status\":\"failure\",\"error\":{\"code\":\"X\"}}",
	    "\"message\" is missing" },
	{ "{\"status\":\"failure\",\"error\":{\"message\":\"x\"}}",
	    "\"code\" is missing" },
	{ "{\"status\":\"failure\",\"error\":{\"code\":\"X\","
	  "\"message\":null}}",
	    "\"message\" is no string" },
	{ "{\"status\":\"failure\",\"data\":{\"a\":1},\"error\":{\"code\":"
	  "\"X\",\"message\":\"\",\"details\":[]}}",
	    "\"details\" is not an object" },
	{ "{\"status\":\"a b\",\"data\":{},\"error\":{\"code\":\"X\","
	  "\"message\":\"m\",\"details\":{\"a\":1}}}",
	    "\"status\" is not a word" },
};

static void
refuses(const char *text, size_t len, const char *want)
{
	char untouched[] = "untouched";
	struct result r = { .status = untouched };
	struct why why = { "" };

	ASSERT_INT(result_read(text, len, &r, &why), -1);
	if (strstr(why.text, want) == NULL)
		test_fail(__FILE__, __LINE__, "%s: \"%s\" has no \"%s\"", text,
		    why.text, want);
	ASSERT(r.status == untouched && r.code == NULL && r.data.p == NULL);
}

static void
refuses_what_is_malformed(void)
{
	size_t i;

	for (i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
		refuses(malformed[i].text, strlen(malformed[i].text),
		    malformed[i].why);
}

/* {BEFORE xxx... AFTER, n of them */
static struct bytes
filled(const char *before, size_t n, const char *after)
{
	struct bytes b = { 0 };

	bytes_puts(&b, before);
	while (n-- > 0)
		bytes_append(&b, "x", 1);
	bytes_puts(&b, after);
	ASSERT(!bytes_failed(&b));
	return (b);
}

static void
check_limit(const char *before, size_t max, const char *after, const char *name)
{
	struct bytes b = filled(before, max, after);
	struct result r = { 0 };
	struct why why = { "" };

	ASSERT_INT(result_read(b.p, b.len, &r, &why), 0);
	result_fini(&r);
	bytes_fini(&b);
	b = filled(before, max + 1, after);
	refuses(b.p, b.len, name);
	bytes_fini(&b);
}

static void
limits_its_strings(void)
{
	check_limit("{\"status\":\"", TASK_ID_MAX, "\"}", "\"status\"");
	check_limit(
	    "{\"status\":\"a\",\"error\":{\"message\":\"m\",\"code\":\"", 128,
	    "\"}}", "\"code\"");
	check_limit(
	    "{\"status\":\"a\",\"error\":{\"code\":\"c\",\"message\":\"", 16384,
	    "\"}}", "\"message\"");
}

static struct result
read_text(const char *text)
{
	struct result r = { 0 };
	struct why why = { "" };

	if (result_read(text, strlen(text), &r, &why) == -1)
		test_fail(__FILE__, __LINE__, "%s: %s", text, why.text);
	return (r);
}

static void
reads_a_success(void)
{
	struct result r = read_text(
	    " {\"status\" : \"success\", \"data\": { \"a\" : 1e20 } , \"x\":1}");

	ASSERT_STR(r.status, "success");
	ASSERT_MEM(r.data.p, r.data.len, "{ \"a\" : 1e20 }", 14);
	ASSERT(r.code == NULL && r.message == NULL);
	ASSERT_INT(r.details.len, 0);
	result_fini(&r);
	ASSERT(r.status == NULL && r.data.p == NULL);
}

static void
takes_null_for_nothing(void)
{
	struct result r = read_text(
	    "{\"status\":\"needs_review\",\"data\":null,\"error\":null}");

	ASSERT_STR(r.status, "needs_review");
	ASSERT_INT(r.data.len, 0);
	ASSERT(r.code == NULL);
	result_fini(&r);
}

static void
reads_a_failure(void)
{
	struct result r =
	    read_text("{\"status\":\"failure\",\"error\":{\"code\":"
		      "\"OUT_OF_INK\",\"message\":\"caf\\u00e9\","
		      "\"details\":{\"page\":3}}}");

	ASSERT_STR(r.status, "failure");
	ASSERT_STR(r.code, "OUT_OF_INK");
	ASSERT_STR(r.message, "caf\xc3\xa9");
	ASSERT_MEM(r.details.p, r.details.len, "{\"page\":3}", 10);
	ASSERT_INT(r.data.len, 0);
	result_fini(&r);
}

static void
check_error_and_tail(const struct result *r, size_t tail_max, const char *want)
{
	struct bytes out = { 0 };

	bytes_puts(&out, "{}");
	result_put_error(r, NULL, tail_max, &out);
	ASSERT(!bytes_failed(&out));
	ASSERT_MEM(out.p + 2, out.len - 2, want, strlen(want));
	bytes_fini(&out);
}

static void
check_error(const struct result *r, const char *want)
{
	check_error_and_tail(r, 0, want);
}

static void
writes_the_tail_where_it_is_asked_for(void)
{
	struct result r = result_failure(CODE_TRANSIENT, "gone");

	check_error_and_tail(&r, 100,
	    ",\"error\":{\"code\":\"TRANSIENT_ERROR\","
	    "\"message\":\"gone\"}");
	ASSERT((r.tail = strdup("one\nt\xffo")) != NULL);
	check_error(&r,
	    ",\"error\":{\"code\":\"TRANSIENT_ERROR\","
	    "\"message\":\"gone\"}");
	check_error_and_tail(&r, 100,
	    ",\"error\":{\"code\":\"TRANSIENT_ERROR\",\"message\":\"gone\","
	    "\"details\":{\"stderr\":\"one\\nt\xef\xbf\xbdo\"}}");
	bytes_puts(&r.details, "{\"signal\":9}");
	check_error_and_tail(&r, 1,
	    ",\"error\":{\"code\":\"TRANSIENT_ERROR\",\"message\":\"gone\","
	    "\"details\":{\"signal\":9,\"stderr\":\"o\"}}");
	result_fini(&r);
}

static void
writes_its_error(void)
{
	struct result r = result_failure(CODE_TRANSIENT, "say \"%s\"\n", "no");

	check_error(&r,
	    ",\"error\":{\"code\":\"TRANSIENT_ERROR\","
	    "\"message\":\"say \\\"no\\\"\\n\"}");
	bytes_puts(&r.details, "{\"signal\":9}");
	check_error(&r,
	    ",\"error\":{\"code\":\"TRANSIENT_ERROR\",\"message\":"
	    "\"say \\\"no\\\"\\n\",\"details\":{\"signal\":9}}");
	free(r.message);
	r.message = NULL;
	bytes_fini(&r.details);
	check_error(
	    &r, ",\"error\":{\"code\":\"TRANSIENT_ERROR\",\"message\":\"\"}");
	result_fini(&r);
	check_error(&r, "");
}

static void
finalises(void)
{
	static char *codes[] = { (char *)"GONE", (char *)"NOT_FOUND", NULL };
	struct result r = result_failure("NOT_FOUND", "no such user");
	struct result other = result_failure("BUSY", "later");

	result_finalise(&r, NULL);
	ASSERT_STR(r.code, "NOT_FOUND");
	result_finalise(&r, codes);
	ASSERT_STR(r.code, CODE_INVALID_INPUT);
	ASSERT_STR(r.message, "no such user");
	ASSERT_MEM(r.details.p, r.details.len, "{\"code\":\"NOT_FOUND\"}", 20);
	result_finalise(&other, codes);
	ASSERT_STR(other.code, "BUSY");
	bytes_puts(&other.details, "{\"a\":1}");
	free(other.code);
	ASSERT((other.code = strdup("GONE")) != NULL);
	result_finalise(&other, codes);
	ASSERT_MEM(other.details.p, other.details.len,
	    "{\"code\":\"GONE\",\"details\":{\"a\":1}}", 33);
	result_fini(&r);
	result_fini(&other);
}

static const struct test tests[] = {
	{ "every malformed result is refused with its reason",
	    refuses_what_is_malformed },
	{ "strings are taken up to their limits", limits_its_strings },
	{ "a success keeps its data byte for byte", reads_a_success },
	{ "null data and error are none", takes_null_for_nothing },
	{ "a failure is read whole", reads_a_failure },
	{ "an error is written as JSON, and none as nothing",
	    writes_its_error },
	{ "the last output is in it where it is asked for",
	    writes_the_tail_where_it_is_asked_for },
	{ "codes that end the job are sent as one that does", finalises },
};
TEST_MAIN(tests)
