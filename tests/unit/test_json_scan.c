/* SPDX-License-Identifier: ISC */
/* The checker: what it takes, what it refuses, and where it says why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "child/bytes.h"
#include "child/json_scan.h"
#include "tests/test.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Checks a copy without a terminator, so that a sanitizer sees a read beyond
 * the end. */
static int
check(const char *text, size_t len, const struct jscan_limits *limits,
    struct jscan_error *error)
{
	char *copy = malloc(len > 0 ? len : 1);
	struct jslice root;
	int status;

	ASSERT(copy != NULL);
	memcpy(copy, text, len);
	status = jscan_check(copy, len, limits, &root, error);
	if (status == 0) {
		ASSERT(root.p >= copy && root.len > 0);
		ASSERT(root.p + root.len <= copy + len);
	}
	free(copy);
	return (status);
}

static void
expect_taken(const char *text, size_t len)
{
	struct jscan_error error;

	if (check(text, len, &jscan_payload_limits, &error) == -1)
		test_fail(__FILE__, __LINE__, "refuses %.60s: %s at %zu", text,
		    error.text, error.at);
}

static void
expect_refused(const char *text, size_t len, const char *why, size_t at)
{
	struct jscan_error error;

	if (check(text, len, &jscan_payload_limits, &error) == 0)
		test_fail(__FILE__, __LINE__, "takes %.60s", text);
	test_same_str(__FILE__, __LINE__, text, error.text, why);
	test_same_int(__FILE__, __LINE__, text, (int64_t)error.at, (int64_t)at);
}

static const char *const good[] = {
	"null",
	"true",
	"false",
	"0",
	"-0",
	"1",
	"-1",
	"10",
	"0.0",
	"0.5e1",
	"1E+2",
	"1e-2",
	"-12.34e+56",
	"1e400",
	"\"\"",
	"\"a\"",
	"[]",
	"{}",
	" [ ] ",
	"\t{\r\n}\n",
	"[1]",
	"[1,2]",
	"[[],[[]],{}]",
	"{\"a\":1}",
	"{\"\":1}",
	"{\"a\":1,\"b\":2}",
	" { \"a\" : [ 1 , null ] } ",
	"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
	"\"\\u0000\\uFFff\"",
	"\"\\ud800\\udc00\\uDBFF\\uDFFF\"",
	"\"\x7f\"",
	"\"\xc2\x80\"",
	"\"\xdf\xbf\"",
	"\"\xe0\xa0\x80\"",
	"\"\xed\x9f\xbf\"",
	"\"\xee\x80\x80\"",
	"\"\xef\xbf\xbf\"",
	"\"\xf0\x90\x80\x80\"",
	"\"\xf4\x8f\xbf\xbf\"",
	"\"0123456\xd0\x96x\xd0\x96\xd0\x96 789abcdef\"",
	"{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1}}",
	"{\"aa\":1,\"a\":2,\"aaa\":3,\"A\":4,\"\\u0000\":5,\"\\u0000a\":6}",
};

static void
takes_what_the_grammar_takes(void)
{
	size_t i;

	for (i = 0; i < COUNT(good); i++)
		expect_taken(good[i], strlen(good[i]));
}

static const char early[] = "the text ends early";
static const char in_string[] = "the text ends within a string";
static const char unexpected[] = "unexpected character";
static const char behind[] = "more text behind the value";
static const char control[] = "raw control character in a string";
static const char utf8[] = "invalid UTF-8";
static const char escape[] = "malformed escape in a string";
static const char surrogate[] = "lone surrogate escape in a string";
static const char twice[] = "key comes twice in an object";

static const struct {
	const char *text;
	const char *why;
	size_t at;
} bad[] = {
	{ "", early, 0 },
	{ " \n", early, 2 },
	{ "[", early, 1 },
	{ "[1", early, 2 },
	{ "[1,", early, 3 },
	{ "[,1]", unexpected, 1 },
	{ "[1,]", unexpected, 3 },
	{ "[1 2]", unexpected, 3 },
	{ "[1}", unexpected, 2 },
	{ "]", unexpected, 0 },
	{ "{", early, 1 },
	{ "{]", unexpected, 1 },
	{ "{\"a\"}", unexpected, 4 },
	{ "{\"a\":}", unexpected, 5 },
	{ "{\"a\" 1}", unexpected, 5 },
	{ "{\"a\":1,}", unexpected, 7 },
	{ "{\"a\":1 \"b\":2}", unexpected, 7 },
	{ "{,}", unexpected, 1 },
	{ "{1:2}", unexpected, 1 },
	{ "{null:2}", unexpected, 1 },
	{ "tru", early, 3 },
	{ "trux", unexpected, 3 },
	{ "True", unexpected, 0 },
	{ "nul", early, 3 },
	{ "NaN", unexpected, 0 },
	{ "Infinity", unexpected, 0 },
	{ "-Infinity", unexpected, 1 },
	{ "'a'", unexpected, 0 },
	{ "/* */1", unexpected, 0 },
	{ "\xef\xbb\xbf{}", unexpected, 0 },
	{ "-", early, 1 },
	{ "-a", unexpected, 1 },
	{ "+1", unexpected, 0 },
	{ "01", behind, 1 },
	{ "-01", behind, 2 },
	{ "[01]", unexpected, 2 },
	{ "1.", early, 2 },
	{ "1.e1", unexpected, 2 },
	{ ".5", unexpected, 0 },
	{ "1e", early, 2 },
	{ "1e+", early, 3 },
	{ "1e+x", unexpected, 3 },
	{ "0x10", behind, 1 },
	{ "1 2", behind, 2 },
	{ "{}{}", behind, 2 },
	{ "[]]", behind, 2 },
	{ "\"", in_string, 1 },
	{ "\"abc", in_string, 4 },
	{ "\"a\nb\"", control, 2 },
	{ "\"12345678\x01\"", control, 9 },
	{ "\"\x1f\"", control, 1 },
	{ "\"\\\"", in_string, 3 },
	{ "\"\\", escape, 1 },
	{ "\"\\x\"", escape, 1 },
	{ "\"\\U0041\"", escape, 1 },
	{ "\"\\u004\"", escape, 1 },
	{ "\"\\u00g0\"", escape, 1 },
	{ "\"\\u 041\"", escape, 1 },
	{ "\"\\u", escape, 1 },
	{ "\"\\ud800\"", surrogate, 1 },
	{ "\"\\ud800x\"", surrogate, 1 },
	{ "\"\\ud800\\n\"", surrogate, 1 },
	{ "\"\\ud800\\ud800\"", surrogate, 1 },
	{ "\"\\ud800\\u0041\"", surrogate, 1 },
	{ "\"\\udc00\"", surrogate, 1 },
	{ "\"a\\udfff\\ud800\"", surrogate, 2 },
	{ "\"\x80\"", utf8, 1 },
	{ "\"\xbf\"", utf8, 1 },
	{ "\"\xc0\x80\"", utf8, 1 },
	{ "\"\xc1\xbf\"", utf8, 1 },
	{ "\"\xc2\"", utf8, 1 },
	{ "\"\xc2\x41\"", utf8, 1 },
	{ "\"\xe0\x9f\xbf\"", utf8, 1 },
	{ "\"\xed\xa0\x80\"", utf8, 1 },
	{ "\"\xe1\x80\"", utf8, 1 },
	{ "\"\xf0\x8f\xbf\xbf\"", utf8, 1 },
	{ "\"\xf4\x90\x80\x80\"", utf8, 1 },
	{ "\"\xf5\x80\x80\x80\"", utf8, 1 },
	{ "\"\xf1\x80\x80\"", utf8, 1 },
	{ "\"\xff\"", utf8, 1 },
	{ "\"\xd0\x96\xd0\"", utf8, 3 },
	{ "{\"\x80\":1}", utf8, 2 },
	{ "{\"a\":1,\"a\":2}", twice, 7 },
	{ "{\"\":1,\"\":2}", twice, 6 },
	{ "{\"a\":1,\"\\u0061\":2}", twice, 7 },
	{ "{\"\\/\":1,\"/\":2}", twice, 8 },
	{ "{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", twice, 18 },
	{ "{\"a\\u0000\":1,\"\\u0061\\u0000\":2}", twice, 13 },
	{ "[{\"x\":{\"a\":[],\"b\":1,\"a\":1}}]", twice, 20 },
	{ "{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1,"
	  "\"9\":1,\"0\":1,\"\\u0033\":1}",
	    twice, 61 },
};

static void
refuses_what_is_wrong_and_says_where(void)
{
	size_t i;

	for (i = 0; i < COUNT(bad); i++)
		expect_refused(
		    bad[i].text, strlen(bad[i].text), bad[i].why, bad[i].at);
}

static void
refuses_nul_bytes(void)
{
	expect_refused("\"a\0b\"", 5, control, 2);
	expect_refused("1\0", 2, behind, 1);
	expect_refused("\0", 1, unexpected, 0);
	expect_refused("\"\\\0\"", 4, escape, 1);
}

/* Every kind of token, at every alignment of the eight-byte steps. */
static void
refuses_a_text_cut_anywhere(void)
{
	static const char text[] =
	    "{\"key\":[1,-2.5e+10,true,false,null,\"plain text of some "
	    "length\",\"\\u0041\\ud83d\\ude00\\n\",\"\xd0\x96\xe2\x82\xac"
	    "\xf0\x9f\x98\x80\"],\"\\u006fther\":{\"a\":{},\"b\":[[]]}}";
	struct jscan_error error;
	size_t len;

	expect_taken(text, sizeof(text) - 1);
	for (len = 0; len < sizeof(text) - 1; len++) {
		if (check(text, len, &jscan_payload_limits, &error) == 0)
			test_fail(__FILE__, __LINE__,
			    "takes the first %zu bytes", len);
		ASSERT(error.at <= len);
	}
}

static void
finds_what_is_special_at_every_alignment(void)
{
	static const char specials[] = { '"', '\\', 0x01, 0x1f, (char)0x80,
		(char)0xff };
	struct jscan_error error;
	char text[40];
	size_t at, i;

	for (i = 0; i < COUNT(specials); i++)
		for (at = 1; at < sizeof(text) - 2; at++) {
			memset(text, 'x', sizeof(text));
			text[0] = text[sizeof(text) - 1] = '"';
			text[at] = specials[i];
			ASSERT_INT(check(text, sizeof(text),
				       &jscan_payload_limits, &error),
			    -1);
			ASSERT_INT(error.at, at + (specials[i] == '"'));
		}
}

static int
check_nested(unsigned depth, char open, const struct jscan_limits *limits)
{
	struct jscan_error error;
	char *text = malloc((size_t)depth * 2);
	int status;

	ASSERT(text != NULL);
	memset(text, open, depth);
	memset(text + depth, open + 2, depth); /* ']' is '[' + 2 */
	status = check(text, (size_t)depth * 2, limits, &error);
	if (status == -1)
		ASSERT_STR(error.text, "nested too deeply");
	free(text);
	return (status);
}

static void
keeps_to_the_limit_of_depth(void)
{
	const struct jscan_limits two = { 1000, 2, 100 };
	const struct jscan_limits none = { 1000, 0, 100 };
	const struct jscan_limits most = { 100000, 5000, 100000 };
	struct jscan_error error;

	ASSERT_INT(check_nested(128, '[', &jscan_payload_limits), 0);
	ASSERT_INT(check_nested(129, '[', &jscan_payload_limits), -1);
	ASSERT_INT(check_nested(2, '[', &two), 0);
	ASSERT_INT(check_nested(3, '[', &two), -1);
	ASSERT_INT(check("{\"a\":[[]]}", 10, &two, &error), -1);
	ASSERT_INT(error.at, 6);
	ASSERT_INT(check("[[],[],{}]", 10, &two, &error), 0);
	ASSERT_INT(check("1", 1, &none, &error), 0);
	ASSERT_INT(check("[]", 2, &none, &error), -1);
	ASSERT_INT(check_nested(JSCAN_DEPTH_MAX, '[', &most), 0);
	ASSERT_INT(check_nested(JSCAN_DEPTH_MAX + 1, '[', &most), -1);
}

static void
keeps_to_the_limits_of_bytes_and_tokens(void)
{
	const struct jscan_limits limits = { 16, 10, 5 };
	struct jscan_error error;

	ASSERT_INT(check("[1,2,3,4]", 9, &limits, &error), 0);
	ASSERT_INT(check("[1,2,3,4,5]", 11, &limits, &error), -1);
	ASSERT_STR(error.text, "too many values");
	ASSERT_INT(error.at, 9);
	ASSERT_INT(check("{\"a\":1,\"b\":2}", 13, &limits, &error), 0);
	ASSERT_INT(check("{\"a\":[],\"b\":[1]}", 16, &limits, &error), -1);
	ASSERT_INT(check("               1", 16, &limits, &error), 0);
	ASSERT_INT(check("                1", 17, &limits, &error), -1);
	ASSERT_STR(error.text, "the text is longer than allowed");
	ASSERT_INT(error.at, 16);
}

static void
finds_the_root_between_white_space(void)
{
	static const char *const roots[] = { "null", "false", "true", "12",
		"\"x\"", "[1]", "{}" };
	struct jscan_error error;
	struct jslice root;
	char text[32];
	size_t i;
	int n;

	for (i = 0; i < COUNT(roots); i++) {
		n = snprintf(text, sizeof(text), " \n%s\t ", roots[i]);
		ASSERT_INT(jscan_check(text, (size_t)n, &jscan_payload_limits,
			       &root, &error),
		    0);
		ASSERT_MEM(root.p, root.len, roots[i], strlen(roots[i]));
		ASSERT_INT(root.type, (enum jscan_type)i);
	}
	ASSERT_INT(
	    jscan_check(NULL, 0, &jscan_payload_limits, &root, &error), -1);
}

/* Processor time: others may have the machine meanwhile. */
static double
now_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ((double)ts.tv_sec + (double)ts.tv_nsec / 1e9);
}

/* One object of so many keys made from fmt; twice: the first comes again,
 * spelled with an escape. */
static void
check_many_keys(unsigned count, const char *prefix, bool again)
{
	const struct jscan_limits limits = { SIZE_MAX, 128, 1000000 };
	struct jscan_error error;
	struct bytes b = { 0 };
	unsigned i;
	double begin;
	int status;

	bytes_puts(&b, "{");
	for (i = 0; i < count; i++)
		bytes_printf(
		    &b, "%s\"%s%u\":0", i > 0 ? "," : "", prefix, i * 7);
	if (again)
		bytes_printf(&b, ",\"%s\\u0037\":1", prefix);
	bytes_puts(&b, "}");
	ASSERT(!bytes_failed(&b));
	begin = now_s();
	status = check(b.p, b.len, &limits, &error);
	ASSERT(now_s() - begin < 2);
	ASSERT_INT(status, again ? -1 : 0);
	if (again) {
		ASSERT_STR(error.text, twice);
		ASSERT(error.at > b.len - strlen(prefix) - 16);
	}
	bytes_fini(&b);
}

static void
checks_100000_keys_in_no_time(void)
{
	check_many_keys(100000, "", false);
	check_many_keys(100000, "", true);
}

/* What keys share is more than what their hash looks at. */
static void
checks_keys_made_to_collide(void)
{
	char prefix[512];

	memset(prefix, 'x', sizeof(prefix) - 1);
	prefix[sizeof(prefix) - 1] = '\0';
	check_many_keys(16000, prefix, false);
	check_many_keys(16000, prefix, true);
	check_many_keys(16000, "\\u0061\\u0062\\u0063\\ud83d\\ude00", true);
}

static void
finds_twice_the_same_key_among_any_number(void)
{
	unsigned n;

	for (n = 2; n < 200; n++) {
		check_many_keys(n, "k", false);
		check_many_keys(n, "k", true);
	}
}

static const struct test tests[] = {
	{ "takes what the grammar takes", takes_what_the_grammar_takes },
	{ "refuses what is wrong and says where",
	    refuses_what_is_wrong_and_says_where },
	{ "refuses NUL bytes", refuses_nul_bytes },
	{ "refuses a text cut anywhere", refuses_a_text_cut_anywhere },
	{ "finds what is special at every alignment",
	    finds_what_is_special_at_every_alignment },
	{ "keeps to the limit of depth", keeps_to_the_limit_of_depth },
	{ "keeps to the limits of bytes and tokens",
	    keeps_to_the_limits_of_bytes_and_tokens },
	{ "finds the root between white space",
	    finds_the_root_between_white_space },
	{ "checks 100,000 keys in no time", checks_100000_keys_in_no_time },
	{ "checks keys made to collide", checks_keys_made_to_collide },
	{ "finds twice the same key among any number",
	    finds_twice_the_same_key_among_any_number },
};
TEST_MAIN(tests)
