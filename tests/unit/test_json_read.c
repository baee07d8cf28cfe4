/* SPDX-License-Identifier: ISC */
/* Reading checked text in place: members, paths, strings. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "child/json_scan.h"
#include "tests/test.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The root of text, which has to pass the check. */
static struct jslice
read_json(const char *text)
{
	struct jscan_error error;
	struct jslice root;

	if (jscan_check(
		text, strlen(text), &jscan_payload_limits, &root, &error) == -1)
		test_fail(__FILE__, __LINE__, "%s: %s at %zu", text, error.text,
		    error.at);
	return (root);
}

static void
walks_an_object(void)
{
	struct jslice root, key, value;
	struct jscan_iter it;

	root = read_json(" { \"a\" : 1 , \"\\\"\":[ {\"x\":\"}\\\\\"} , 2 ] ,"
			 "\"c\":\"\\\\\\\"]\"} ");
	jscan_begin(&it, &root);
	ASSERT(jscan_next(&it, &key, &value));
	ASSERT_MEM(key.p, key.len, "\"a\"", 3);
	ASSERT_MEM(value.p, value.len, "1", 1);
	ASSERT_INT(value.type, JSCAN_NUMBER);
	ASSERT(jscan_next(&it, &key, &value));
	ASSERT_INT(key.type, JSCAN_STRING);
	ASSERT_MEM(key.p, key.len, "\"\\\"\"", 4);
	ASSERT_MEM(value.p, value.len, "[ {\"x\":\"}\\\\\"} , 2 ]", 19);
	ASSERT_INT(value.type, JSCAN_ARRAY);
	ASSERT(jscan_next(&it, NULL, &value));
	ASSERT_MEM(value.p, value.len, "\"\\\\\\\"]\"", 7);
	ASSERT(!jscan_next(&it, &key, &value));
	ASSERT(!jscan_next(&it, &key, &value));
}

static void
walks_an_array(void)
{
	static const char *const want[] = { "null", "true", "false", "-1e5",
		"\"s\"", "[[]]", "{\"a\":[]}" };
	struct jslice root, key, value;
	struct jscan_iter it;
	size_t i;

	root = read_json("[null,true , false,-1e5\n,\"s\",[[]],{\"a\":[]}]");
	jscan_begin(&it, &root);
	for (i = 0; i < COUNT(want); i++) {
		ASSERT(jscan_next(&it, &key, &value));
		ASSERT(key.p == NULL);
		ASSERT_MEM(value.p, value.len, want[i], strlen(want[i]));
		ASSERT_INT(value.type,
		    ((const enum jscan_type[]){ JSCAN_NULL, JSCAN_TRUE,
			JSCAN_FALSE, JSCAN_NUMBER, JSCAN_STRING, JSCAN_ARRAY,
			JSCAN_OBJECT })[i]);
	}
	ASSERT(!jscan_next(&it, &key, &value));
}

static void
finds_nothing_to_walk_in_other_values(void)
{
	static const char *const texts[] = { "[]", "{}", "[ ]", "{\n}", "1",
		"\"a,b\"", "null" };
	struct jslice root, key, value;
	struct jscan_iter it;
	size_t i;

	for (i = 0; i < COUNT(texts); i++) {
		root = read_json(texts[i]);
		jscan_begin(&it, &root);
		ASSERT(!jscan_next(&it, &key, &value));
	}
}

static void
finds_members_by_their_decoded_name(void)
{
	struct jslice root, value;

	root = read_json("{\"a\":1,\"\\u0062\\/\":2,\"\":3,"
			 "\"\\ud83d\\ude00\":4,\"ab\":{\"c\":5}}");
	ASSERT(jscan_get(&root, "a", &value) && *value.p == '1');
	ASSERT(jscan_get(&root, "b/", &value) && *value.p == '2');
	ASSERT(jscan_get(&root, "", &value) && *value.p == '3');
	ASSERT(jscan_get(&root, "\xf0\x9f\x98\x80", &value) && *value.p == '4');
	ASSERT(!jscan_get(&root, "c", &value));
	ASSERT(!jscan_get(&root, "b", &value));
	ASSERT(!jscan_get(&root, "\\u0062\\/", &value));
	ASSERT(jscan_get(&root, "ab", &value));
	ASSERT(!jscan_get(&value, "a", &root));
	root = read_json("[\"a\"]");
	ASSERT(!jscan_get(&root, "a", &value));
}

static void
knows_a_string(void)
{
	struct jslice s;

	s = read_json("\"a\\n\\u00e4\"");
	ASSERT(jscan_string_is(&s, "a\n\xc3\xa4"));
	ASSERT(!jscan_string_is(&s, "a\n\xc3"));
	ASSERT(!jscan_string_is(&s, "a\n\xc3\xa4 "));
	s = read_json("\"a\\u0000\"");
	ASSERT(!jscan_string_is(&s, "a"));
	s = read_json("\"\"");
	ASSERT(jscan_string_is(&s, ""));
	ASSERT(!jscan_string_is(&s, "a"));
	s = read_json("1");
	ASSERT(!jscan_string_is(&s, "1"));
}

static const struct {
	const char *path;
	const char *want; /* NULL: there is none */
} paths[] = {
	{ "user.tags[0].name", "\"x\"" },
	{ "user", "{\"tags\":[{\"name\":\"x\"},[1,[2,3]]],\"\":0}" },
	{ "user.tags[1]", "[1,[2,3]]" },
	{ "user.tags[1][1][0]", "2" },
	{ "user.tags[1][01]", "[2,3]" },
	{ "list[2]", "null" },
	{ "list[3]", NULL },
	{ "list[18446744073709551616]", NULL },
	{ "list[99999999999999999999999999999999999999999]", NULL },
	{ "list[]", NULL },
	{ "list[-1]", NULL },
	{ "list[0", NULL },
	{ "list[0]x", NULL },
	{ "list[0x]", NULL },
	{ "list.0", NULL },
	{ "list[0].a", NULL },
	{ "[0]", NULL },
	{ "user[0]", NULL },
	{ "user.", NULL },
	{ "user..tags", NULL },
	{ ".user", NULL },
	{ "use", NULL },
	{ "users", NULL },
	{ "user.tags[0].name.x", NULL },
};

static void
follows_paths(void)
{
	struct jslice root, value;
	size_t i;

	root = read_json("{\"user\":{\"tags\":[{\"name\":\"x\"},[1,[2,3]]],"
			 "\"\":0},\"list\":[1,2,null]}");
	for (i = 0; i < COUNT(paths); i++) {
		if (jscan_path(&root, paths[i].path, &value) !=
		    (paths[i].want != NULL))
			test_fail(__FILE__, __LINE__, "path %s", paths[i].path);
		if (paths[i].want != NULL)
			test_same_mem(__FILE__, __LINE__, paths[i].path,
			    value.p, value.len, paths[i].want,
			    strlen(paths[i].want));
	}
	ASSERT(jscan_path(&root, "", &value));
	ASSERT(value.p == root.p && value.len == root.len);
	root = read_json("[[7]]");
	ASSERT(jscan_path(&root, "[0][0]", &value) && *value.p == '7');
}

static const struct {
	const char *json;
	const char *want;
	size_t want_len;
} strings[] = {
	{ "\"\"", "", 0 },
	{ "\"abc\"", "abc", 3 },
	{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8 },
	{ "\"a\\u0000b\"", "a\0b", 3 },
	{ "\"\\u007f\\u0080\\u07ff\\u0800\\uFFFF\"",
	    "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", 11 },
	{ "\"\\ud800\\udc00\\uDBFF\\uDFFF\"",
	    "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8 },
	{ "\"\xd0\x96\\u0416\xd0\x96\"", "\xd0\x96\xd0\x96\xd0\x96", 6 },
};

static void
decodes_strings(void)
{
	struct jslice s;
	char buf[64];
	size_t i;

	for (i = 0; i < COUNT(strings); i++) {
		s = read_json(strings[i].json);
		ASSERT_INT(
		    jscan_string(&s, buf, sizeof(buf)), strings[i].want_len);
		ASSERT_MEM(buf, strings[i].want_len, strings[i].want,
		    strings[i].want_len);
		ASSERT_INT(buf[strings[i].want_len], '\0');
	}
	s = read_json("12");
	ASSERT_INT(jscan_string(&s, buf, sizeof(buf)), -1);
}

/* Every size of buffer, each on the heap for the sanitizer: what comes out is
 * the longest run of whole characters that fits. */
static void
cuts_strings_at_a_character(void)
{
	static const char text[] = "a\xd0\x96\xe2\x82\xac"
				   "b\xf0\x9f\x98\x80"
				   "c";
	static const size_t ends[] = { 0, 1, 3, 6, 7, 11, 12 };
	static const char *const spellings[] = {
		"\"a\xd0\x96\xe2\x82\xac"
		"b\xf0\x9f\x98\x80"
		"c\"",
		"\"a\\u0416\\u20acb\\ud83d\\ude00c\"",
		"\"a\xd0\x96\\u20acb\xf0\x9f\x98\x80\\u0063\"",
	};
	size_t size, fits, i, j;
	struct jslice s;
	char *buf;

	for (i = 0; i < COUNT(spellings); i++) {
		s = read_json(spellings[i]);
		ASSERT_INT(jscan_string(&s, NULL, 0), 12);
		for (size = 1; size <= 14; size++) {
			ASSERT((buf = malloc(size)) != NULL);
			ASSERT_INT(jscan_string(&s, buf, size), 12);
			for (fits = 0, j = 0; j < COUNT(ends); j++)
				if (ends[j] <= size - 1)
					fits = ends[j];
			ASSERT_MEM(buf, strlen(buf), text, fits);
			free(buf);
		}
	}
}

static void
copies_strings(void)
{
	struct jslice s;
	char *copy;

	s = read_json("\"a\\u0416\"");
	ASSERT_STR(copy = jscan_strdup(&s, 3), "a\xd0\x96");
	free(copy);
	ASSERT(jscan_strdup(&s, 2) == NULL);
	ASSERT_INT(errno, EMSGSIZE);
	s = read_json("\"\"");
	ASSERT_STR(copy = jscan_strdup(&s, 0), "");
	free(copy);
	s = read_json("\"a\\u0000\"");
	ASSERT(jscan_strdup(&s, 100) == NULL);
	ASSERT_INT(errno, EILSEQ);
	s = read_json("null");
	ASSERT(jscan_strdup(&s, 100) == NULL);
	ASSERT_INT(errno, EINVAL);
}

/* Ascending by decoded bytes. */
static const char *const ordered[] = {
	"\"\"",
	"\"\\u0000\"",
	"\"\\u0000a\"",
	"\"!\"",
	"\"\\\"\"",
	"\"Z\"",
	"\"\\u0061\"",
	"\"a\\u0000\"",
	"\"ab\"",
	"\"b\"",
	"\"\xc3\xa4\"",
	"\"\\u20ac\"",
	"\"\xef\xbf\xbf\"",
	"\"\\ud83d\\ude00\"",
};

static int
sign(int n)
{
	return ((n > 0) - (n < 0));
}

static void
orders_strings_by_their_decoded_bytes(void)
{
	struct jslice a, b;
	size_t i, j;

	for (i = 0; i < COUNT(ordered); i++)
		for (j = 0; j < COUNT(ordered); j++) {
			a = read_json(ordered[i]);
			b = read_json(ordered[j]);
			ASSERT_INT(
			    sign(jscan_compare(&a, &b)), sign((int)i - (int)j));
		}
}

static const struct test tests[] = {
	{ "walks an object", walks_an_object },
	{ "walks an array", walks_an_array },
	{ "finds nothing to walk in other values",
	    finds_nothing_to_walk_in_other_values },
	{ "finds members by their decoded name",
	    finds_members_by_their_decoded_name },
	{ "knows a string", knows_a_string },
	{ "follows paths", follows_paths },
	{ "decodes strings", decodes_strings },
	{ "cuts strings at a character", cuts_strings_at_a_character },
	{ "copies strings", copies_strings },
	{ "orders strings by their decoded bytes",
	    orders_strings_by_their_decoded_bytes },
};
TEST_MAIN(tests)
