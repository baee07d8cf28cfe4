/* SPDX-License-Identifier: ISC */
/* The values of numbers: exact integers, and doubles in any locale. */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "child/json_scan.h"
#include "tests/test.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A number on the heap with nothing behind it. */
static struct jslice
number(const char *text)
{
	const size_t len = strlen(text);
	struct jslice root;
	struct jscan_error error;
	char *copy = malloc(len);

	ASSERT(copy != NULL);
	memcpy(copy, text, len);
	ASSERT_INT(
	    jscan_check(copy, len, &jscan_payload_limits, &root, &error), 0);
	return (root);
}

static void
release(struct jslice *slice)
{
	free((void *)(uintptr_t)slice->p);
}

static const struct {
	const char *text;
	int64_t want;
	int error; /* 0: none */
} integers[] = {
	{ "0", 0, 0 },
	{ "-0", 0, 0 },
	{ "0.000", 0, 0 },
	{ "0e999999999999999999999", 0, 0 },
	{ "-0.0e-5", 0, 0 },
	{ "7", 7, 0 },
	{ "-7", -7, 0 },
	{ "3.0", 3, 0 },
	{ "1e2", 100, 0 },
	{ "1E+02", 100, 0 },
	{ "1.5e1", 15, 0 },
	{ "1200e-2", 12, 0 },
	{ "0.00012e5", 12, 0 },
	{ "102030.0", 102030, 0 },
	{ "9223372036854775807", INT64_MAX, 0 },
	{ "-9223372036854775808", INT64_MIN, 0 },
	{ "9223372036854775807.0", INT64_MAX, 0 },
	{ "9.223372036854775807e18", INT64_MAX, 0 },
	{ "9007199254740993", 9007199254740993, 0 },
	{ "9007199254740993.0", 9007199254740993, 0 },
	{ "1e18", 1000000000000000000, 0 },
	{ "10000000000000000000000e-4", 1000000000000000000, 0 },
	{ "9223372036854775808", 0, ERANGE },
	{ "-9223372036854775809", 0, ERANGE },
	{ "9999999999999999999", 0, ERANGE },
	{ "1e19", 0, ERANGE },
	{ "-1e19", 0, ERANGE },
	{ "1e999999999999999999999", 0, ERANGE },
	{ "123456789012345678901234567890", 0, ERANGE },
	{ "0.5", 0, EINVAL },
	{ "-1.25", 0, EINVAL },
	{ "1e-1", 0, EINVAL },
	{ "1e-999999999999999999999", 0, EINVAL },
	{ "9223372036854775807.1", 0, EINVAL },
	{ "\"1\"", 0, EINVAL },
	{ "true", 0, EINVAL },
	{ "null", 0, EINVAL },
	{ "[1]", 0, EINVAL },
};

static void
reads_integers_exactly(void)
{
	struct jslice n;
	int64_t value;
	size_t i;

	for (i = 0; i < COUNT(integers); i++) {
		n = number(integers[i].text);
		value = errno = 0;
		test_same_int(__FILE__, __LINE__, integers[i].text,
		    jscan_int64(&n, &value), integers[i].error ? -1 : 0);
		test_same_int(__FILE__, __LINE__, integers[i].text, errno,
		    integers[i].error);
		test_same_int(__FILE__, __LINE__, integers[i].text, value,
		    integers[i].want);
		release(&n);
	}
}

static const struct {
	const char *text;
	double want;
	int error;
} doubles[] = {
	{ "0", 0, 0 },
	{ "-1.5", -1.5, 0 },
	{ "0.1", 0.1, 0 },
	{ "1e2", 100, 0 },
	{ "9007199254740993", 9007199254740992, 0 },
	{ "1.7976931348623157e308", 1.7976931348623157e308, 0 },
	{ "5e-324", 5e-324, 0 },
	{ "1e-400", 0, 0 },
	{ "0.100000000000000000000000000000000000000000000000000000000000001",
	    0.1, 0 },
	{ "1e400", 0, ERANGE },
	{ "-1e400", 0, ERANGE },
	{ "false", 0, EINVAL },
	{ "\"0.1\"", 0, EINVAL },
};

static void
check_doubles(void)
{
	struct jslice n;
	double value;
	size_t i;

	for (i = 0; i < COUNT(doubles); i++) {
		n = number(doubles[i].text);
		value = 0;
		test_same_int(__FILE__, __LINE__, doubles[i].text,
		    jscan_double(&n, &value), doubles[i].error ? -1 : 0);
		if (doubles[i].error != 0)
			ASSERT_INT(errno, doubles[i].error);
		test_same_mem(__FILE__, __LINE__, doubles[i].text, &value,
		    sizeof(value), &doubles[i].want, sizeof(value));
		release(&n);
	}
}

static void
reads_doubles(void)
{
	check_doubles();
}

/* As far as this machine has a locale that writes a comma. */
static void
reads_doubles_in_any_locale(void)
{
	static const char *const names[] = { "de_DE.UTF-8", "ru_RU.UTF-8",
		"fr_FR.UTF-8" };
	size_t i;

	for (i = 0; i < COUNT(names); i++)
		if (setlocale(LC_ALL, names[i]) != NULL)
			break;
	check_doubles();
}

static void
reads_numbers_of_any_length(void)
{
	char text[5000];
	struct jslice n;
	int64_t integer;
	double value;

	memset(text, '0', sizeof(text));
	text[0] = '1';
	text[4000] = '.';
	text[sizeof(text) - 1] = '\0';
	n = number(text);
	ASSERT_INT(jscan_int64(&n, &integer), -1);
	ASSERT_INT(errno, ERANGE);
	ASSERT_INT(jscan_double(&n, &value), -1);
	ASSERT_INT(errno, ERANGE);
	release(&n);
	memcpy(text + sizeof(text) - 7, "e-3999", 6);
	n = number(text);
	ASSERT_INT(jscan_int64(&n, &integer), 0);
	ASSERT_INT(integer, 1);
	ASSERT_INT(jscan_double(&n, &value), 0);
	ASSERT(value == 1);
	release(&n);
}

static const struct test tests[] = {
	{ "reads integers exactly", reads_integers_exactly },
	{ "reads doubles", reads_doubles },
	{ "reads doubles in any locale", reads_doubles_in_any_locale },
	{ "reads numbers of any length", reads_numbers_of_any_length },
};
TEST_MAIN(tests)
