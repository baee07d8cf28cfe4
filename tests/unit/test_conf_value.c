/* SPDX-License-Identifier: ISC */
/* Values, as texts become them and they are written again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/conf.h"
#include "supervisor/conf_keys.h"
#include "supervisor/conf_value.h"
#include "tests/test.h"

static void
reads_times(void)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} cases[] = { { "30", 30000 }, { "0", 0 }, { "1.5", 1500 },
		{ "250ms", 250 }, { "0.5s", 500 }, { "1.5m", 90000 },
		{ "2h", 7200000 }, { "0.0001", 1 }, { "0.0", 0 },
		{ "999999999999h", 3599999999996400000 }, { "", -1 },
		{ "-1", -1 }, { "+1", -1 }, { " 1", -1 }, { "1 ", -1 },
		{ "1 s", -1 }, { ".5", -1 }, { "1.", -1 }, { "1.s", -1 },
		{ "5x", -1 }, { "1d", -1 }, { "1S", -1 }, { "1e3", -1 },
		{ "9999999999999", -1 }, { "0.1234567890", -1 },
		{ "inf", -1 } };
	int64_t ms;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ms = -1;
		ASSERT_INT(conf_parse_time(cases[i].text, &ms),
		    cases[i].ms == -1 ? -1 : 0);
		ASSERT_INT(ms, cases[i].ms);
	}
}

static void
reads_sizes_numbers_and_flags(void)
{
	int64_t n;
	bool flag;

	ASSERT(conf_parse_size("12", &n) == 0 && n == 12);
	ASSERT(conf_parse_size("12k", &n) == 0 && n == 12 * 1024);
	ASSERT(conf_parse_size("12M", &n) == 0 && n == 12 * 1024 * 1024);
	ASSERT(conf_parse_size("2G", &n) == 0 && n == 2LL << 30);
	ASSERT(conf_parse_size("999999999999G", &n) == -1);
	ASSERT(conf_parse_size("1T", &n) == -1);
	ASSERT(conf_parse_size("1KB", &n) == -1);
	ASSERT(conf_parse_size("K", &n) == -1);
	ASSERT(conf_parse_size("", &n) == -1);
	ASSERT(conf_parse_number("7", &n) == 0 && n == 7);
	ASSERT(conf_parse_number("0x7", &n) == -1);
	ASSERT(conf_parse_number("1.0", &n) == -1);
	ASSERT(conf_parse_number("99999999999999999999", &n) == -1);
	ASSERT(conf_parse_flag("Yes", &flag) == 0 && flag);
	ASSERT(conf_parse_flag("off", &flag) == 0 && !flag);
	ASSERT(conf_parse_flag("1", &flag) == -1);
}

/* Sizes and flags have no key yet, so they are written by rows of the test. */
static void
writes_sizes_and_flags(void)
{
	static const struct conf_key size = {
		.type = CONF_TYPE_SIZE, .max = INT64_MAX, .def = "0"
	};
	static const struct conf_key flag = { .type = CONF_TYPE_FLAG };
	static const char *const sizes[] = { "0", "1023", "1K", "1536M", "2G",
		"2048G" };
	char *text;
	size_t i, len;
	int64_t bytes;
	bool on;
	FILE *f;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		f = open_memstream(&text, &len);
		ASSERT(f != NULL);
		ASSERT(conf_value_set(&size, sizes[i], &bytes) == 0);
		conf_value_print(&size, &bytes, f);
		ASSERT(conf_value_set(&flag, "on", &on) == 0);
		conf_value_print(&flag, &on, f);
		ASSERT(fclose(f) == 0);
		ASSERT(strncmp(text, sizes[i], strlen(sizes[i])) == 0);
		ASSERT_STR(text + strlen(sizes[i]), "yes");
		free(text);
	}
}

static void
checks_urls(void)
{
	static const struct {
		const char *text;
		const char *url; /* NULL: refused */
	} cases[] = { { "http://h", "http://h" }, { "HTTP://h/", "HTTP://h" },
		{ "https://h.example:65535/a/b%20c//",
		    "https://h.example:65535/a/b%20c" },
		{ "http://[::1]:8080", "http://[::1]:8080" },
		{ "http://", NULL }, { "http:///x", NULL }, { "ftp://h", NULL },
		{ "h:80", NULL }, { "http://u@h", NULL },
		{ "http://u:s3cret@h", NULL }, { "http://h:0", NULL },
		{ "http://h:65536", NULL }, { "http://h:", NULL },
		{ "http://h:8x", NULL }, { "http://h?q", NULL },
		{ "http://h/?q", NULL }, { "http://h/#f", NULL },
		{ "http://h/a b", NULL }, { "http://h/\n", NULL },
		{ "http://[::1", NULL }, { "http://[]", NULL },
		{ "http://\xd1\x85", NULL }, { "http://h/a@b", NULL },
		{ "http://h\\@x", NULL }, { "", NULL } };
	const struct conf_key *key = conf_key_find("orchestrator", "url");
	struct conf_orchestrator o = { .url = NULL };
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (conf_value_set(key, cases[i].text, &o) == -1) {
			if (cases[i].url != NULL)
				test_fail(__FILE__, __LINE__, "refused %s",
				    cases[i].text);
			continue;
		}
		ASSERT_STR(o.url, cases[i].url);
	}
	conf_value_free(key, &o);
}

static const struct test tests[] = {
	{ "reads times", reads_times },
	{ "reads sizes, numbers and flags", reads_sizes_numbers_and_flags },
	{ "writes sizes and flags", writes_sizes_and_flags },
	{ "checks URLs", checks_urls },
};

TEST_MAIN(tests)
