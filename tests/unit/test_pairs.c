/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "child/bytes.h"
#include "supervisor/base/pairs.h"
#include "tests/test.h"

static const struct {
	const char *text;
	const char *want;
} rows[] = {
	{ "a=1", "[a][1]" },
	{ "a=1,b = two words ,\tc=x=y", "[a][1] [b][two words] [c][x=y]" },
	{ "name, other=2", "[name] [other][2]" },
	{ "a=", "[a][]" },
	{ "=1", "[][1]" },
	{ "", "[]" },
	{ "a,", "[a] []" },
	{ " , ", "[] []" },
};

static void
cuts_lists(void)
{
	struct bytes got;
	struct pair pair;
	const char *at;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		got = (struct bytes){ 0 };
		for (at = rows[i].text; pairs_next(&at, &pair) == 1;) {
			bytes_printf(&got, "%s[%.*s]", got.len > 0 ? " " : "",
			    (int)pair.name_len, pair.name);
			if (pair.value != NULL)
				bytes_printf(&got, "[%.*s]",
				    (int)pair.value_len, pair.value);
		}
		ASSERT_INT(pairs_next(&at, &pair), 0);
		bytes_append(&got, "", 1);
		ASSERT_STR(got.p, rows[i].want);
		bytes_fini(&got);
	}
}

static const struct test tests[] = {
	{ "lists of pairs are cut up", cuts_lists },
};
TEST_MAIN(tests)
