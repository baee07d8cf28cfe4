/* SPDX-License-Identifier: ISC */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "supervisor/base/reserve.h"
#include "tests/test.h"

static void
allocates(void)
{
	char *p = reserve_strdup("text");
	unsigned char *zero = reserve_calloc(3, 5);
	size_t i;

	ASSERT_STR(p, "text");
	ASSERT((p = reserve_realloc(p, 1000)) != NULL);
	ASSERT_STR(p, "text");
	for (i = 0; i < 15; i++)
		ASSERT_INT(zero[i], 0);
	free(p);
	free(zero);
	ASSERT((p = reserve_malloc(0)) != NULL); /* NULL would be a failure */
	free(p);
	ASSERT(reserve_calloc(SIZE_MAX / 2, 3) == NULL);
}

/* The whole address space is taken, in ever smaller pieces. */
static void
take_all(void)
{
	const struct rlimit limit = { 256 << 20, 256 << 20 };
	size_t size;

	ASSERT_INT(setrlimit(RLIMIT_AS, &limit), 0);
	for (size = 64 << 20; size > 0; size /= 2)
		while (malloc(size) != NULL)
			continue;
}

static void
has_some_left(void)
{
	char *p;

	if (getenv("SANITIZERS") != NULL)
		return; /* they take terabytes of address space */
	free(reserve_malloc(1));
	take_all();
	ASSERT(malloc(100000) == NULL);
	ASSERT((p = reserve_malloc(100000)) != NULL);
	memset(p, 1, 100000);
	/* There is an end to it, too. */
	ASSERT(reserve_malloc(64 << 20) == NULL);
}

static const struct test tests[] = {
	{ "allocates like malloc()", allocates },
	{ "has some left when there is no more", has_some_left },
};
TEST_MAIN(tests)
