/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "supervisor/base/words.h"
#include "tests/test.h"

static void
makes_lists(void)
{
	struct words w = { 0 };
	char **list;

	words_add(&w, strdup("one"));
	words_add(&w, strdup(""));
	list = words_take(&w);
	ASSERT(list != NULL);
	ASSERT_STR(list[0], "one");
	ASSERT_STR(list[1], "");
	ASSERT(list[2] == NULL);
	words_free(list);

	list = words_take(&w); /* it begins anew, and nothing is a list too */
	ASSERT(list != NULL);
	ASSERT(list[0] == NULL);
	words_free(list);
}

static void
fails_as_a_whole(void)
{
	struct words w = { 0 };

	words_add(&w, strdup("one"));
	errno = ENOMEM;
	words_add(&w, NULL);
	words_add(&w, strdup("three"));
	ASSERT(w.failed);
	ASSERT(words_take(&w) == NULL);
	ASSERT_INT(errno, ENOMEM);
	ASSERT(!w.failed);
}

static void
copies(void)
{
	char one[] = "one", two[] = "two";
	char *const from[] = { one, two, NULL };
	char **list = words_copy(from);

	ASSERT(list != NULL);
	one[0] = 'x';
	ASSERT_STR(list[0], "one");
	ASSERT_STR(list[1], "two");
	ASSERT(list[2] == NULL);
	words_free(list);
	words_free(NULL);
}

static const struct test tests[] = {
	{ "a list holds what was added, and may be empty", makes_lists },
	{ "one word that fails is the end of all", fails_as_a_whole },
	{ "a copy has words of its own", copies },
};
TEST_MAIN(tests)
