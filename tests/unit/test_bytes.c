/* SPDX-License-Identifier: ISC */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "child/bytes.h"
#include "tests/test.h"

static void
appends_in_order(void)
{
	struct bytes b = { 0 };

	bytes_append(&b, "a\0b", 3);
	bytes_append(&b, NULL, 0);
	bytes_puts(&b, "");
	bytes_puts(&b, "cd");
	bytes_printf(&b, "-%d-%s", 42, "e");
	ASSERT(!bytes_failed(&b));
	ASSERT_MEM(b.p, b.len, "a\0bcd-42-e", 10);
	bytes_fini(&b);
	ASSERT(b.p == NULL && b.len == 0 && b.size == 0);
	bytes_fini(&b);
}

static void
grows_as_far_as_needed(void)
{
	struct bytes b = { 0 };
	unsigned i, n = 0;
	char *long_text;

	for (i = 0; i < 20000; i++)
		bytes_printf(&b, "%05u", i);
	ASSERT_INT(b.len, 100000);
	for (i = 0; i < 20000; i++)
		n += strncmp(b.p + (size_t)i * 5 + 4, &"0123456789"[i % 10],
			 1) == 0;
	ASSERT_INT(n, 20000);
	ASSERT((long_text = malloc(100001)) != NULL);
	memset(long_text, 'x', 100000);
	long_text[100000] = '\0';
	bytes_printf(&b, "%s", long_text);
	ASSERT_INT(b.len, 200000);
	ASSERT(b.size > b.len && b.size < 4 * b.len);
	free(long_text);
	bytes_fini(&b);
}

static void
remembers_a_failure(void)
{
	struct bytes b = { 0 };

	bytes_puts(&b, "kept");
	/* No such amount can be had; nothing is read from the text. */
	bytes_append(&b, "x", SIZE_MAX - 2);
	ASSERT(bytes_failed(&b));
	bytes_puts(&b, "more");
	bytes_printf(&b, "%d", 1);
	bytes_put_json(&b, "x", 1);
	ASSERT_MEM(b.p, b.len, "kept", 4);
	bytes_fini(&b);
	ASSERT(!bytes_failed(&b));
}

static void
moves_its_content(void)
{
	struct bytes from = { 0 }, to;

	bytes_puts(&from, "text");
	to = bytes_take(&from);
	ASSERT(from.p == NULL && from.len == 0 && from.size == 0);
	ASSERT_MEM(to.p, to.len, "text", 4);
	bytes_puts(&from, "new");
	ASSERT_MEM(to.p, to.len, "text", 4);
	bytes_fini(&from);
	bytes_fini(&to);
}

static const struct {
	const char *text;
	size_t len;
	const char *want;
} strings[] = {
	{ "", 0, "\"\"" },
	{ "plain /", 7, "\"plain /\"" },
	{ "\"\\", 2, "\"\\\"\\\\\"" },
	{ "a\nb\tc\x01\x1f\x7f", 8, "\"a\\nb\\u0009c\\u0001\\u001f\x7f\"" },
	{ "a\0b", 3, "\"a\\u0000b\"" },
	{ "\xd0\x96\xe2\x82\xac\xf0\x9f\x98\x80", 9,
	    "\"\xd0\x96\xe2\x82\xac\xf0\x9f\x98\x80\"" },
	{ "\xff", 1, "\"\xef\xbf\xbd\"" },
	{ "a\xd0", 2, "\"a\xef\xbf\xbd\"" },
	{ "\xc0\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "\xf4\x90\x80\x80", 4,
	    "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
	{ "\xe2\x82 ", 3, "\"\xef\xbf\xbd\xef\xbf\xbd \"" },
};

static void
writes_json_strings(void)
{
	struct bytes b = { 0 };
	size_t i;

	for (i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		bytes_put_json(&b, strings[i].text, strings[i].len);
		test_same_mem(__FILE__, __LINE__, strings[i].want, b.p, b.len,
		    strings[i].want, strlen(strings[i].want));
		b.len = 0;
	}
	bytes_put_json(&b, NULL, 0);
	ASSERT_MEM(b.p, b.len, "null", 4);
	bytes_fini(&b);
}

static const struct test tests[] = {
	{ "appends in order", appends_in_order },
	{ "grows as far as needed", grows_as_far_as_needed },
	{ "remembers a failure", remembers_a_failure },
	{ "moves its content", moves_its_content },
	{ "writes JSON strings", writes_json_strings },
};
TEST_MAIN(tests)
