/* SPDX-License-Identifier: ISC */
#include "ctl/show.h"
#include "tests/test.h"

static void
shows_lengths_of_time(void)
{
	const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
		{ 0, "0s" },
		{ 999, "0s" },
		{ 12000, "12s" },
		{ 59999, "59s" },
		{ 60000, "1m00s" },
		{ 184000, "3m04s" },
		{ 3600000, "1h00m" },
		{ 7500000, "2h05m" },
		{ 86400000, "1d00h" },
		{ 273600000, "3d04h" },
	};
	char text[32];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		show_time(text, rows[i].ms);
		ASSERT_STR(text, rows[i].text);
	}
}

static const struct test tests[] = {
	{ "shows lengths of time", shows_lengths_of_time },
};

TEST_MAIN(tests)
