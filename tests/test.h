/* SPDX-License-Identifier: ISC */
/*
 * test.h: the unit tests' only helper. Each case runs in a process of its own
 * with a time limit and prints one TAP line. A case fails on an assertion, a
 * signal, a leak (under sanitizers), or a log line at warn or above that it
 * did not announce with expect_log().
 */
#ifndef AVTOWORKER_TEST_H
#define AVTOWORKER_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test {
	const char *name; /* a claim: "refuses a lone surrogate" */
	void (*run)(void);
};

/* Runs every case; returns main()'s exit status. */
int test_main(const struct test *, size_t count);
#define TEST_MAIN(tests) \
	int main(void) \
	{ \
		return (test_main(tests, sizeof(tests) / sizeof((tests)[0]))); \
	}

/* Announces that a line at warn or above containing text will come; the case
 * fails when it does not. */
void expect_log(const char *text);

void test_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((__format__(printf, 3, 4), __noreturn__));
void test_same_int(
    const char *file, int line, const char *what, int64_t got, int64_t want);
void test_same_str(const char *file, int line, const char *what,
    const char *got, const char *want);
void test_same_mem(const char *file, int line, const char *what,
    const void *got, size_t got_len, const void *want, size_t want_len);

#define ASSERT(claim) \
	do { \
		if (!(claim)) \
			test_fail(__FILE__, __LINE__, "%s", #claim); \
	} while (0)
#define ASSERT_INT(got, want) \
	test_same_int(__FILE__, __LINE__, #got, (int64_t)(got), (int64_t)(want))
#define ASSERT_STR(got, want) test_same_str(__FILE__, __LINE__, #got, got, want)
#define ASSERT_MEM(got, got_len, want, want_len) \
	test_same_mem(__FILE__, __LINE__, #got, got, got_len, want, want_len)

#endif
