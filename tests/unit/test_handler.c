/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/handler.h"
#include "tests/test.h"

static void
keeps_them_in_order(void)
{
	static const char *const types[] = { "mid", "a", "z", "a.b", "Z" };
	static const char *const sorted[] = { "Z", "a", "a.b", "mid", "z" };
	struct handler_table t;
	struct handler *h = NULL;
	size_t i;

	handler_table_init(&t);
	ASSERT(handler_next(&t, NULL) == NULL);
	ASSERT(handler_find(&t, "a") == NULL);
	for (i = 0; i < 5; i++)
		ASSERT(handler_add(&t, types[i], "cat", "/x.so") != NULL);
	ASSERT_INT(t.count, 5);
	for (i = 0; (h = handler_next(&t, h)) != NULL; i++) {
		ASSERT(i < 5);
		ASSERT_STR(h->type, sorted[i]);
		ASSERT(handler_find(&t, sorted[i]) == h);
	}
	ASSERT_INT(i, 5);
	ASSERT(handler_find(&t, "b") == NULL);
	ASSERT(handler_find(&t, "") == NULL);
	handler_table_fini(&t);
	ASSERT_INT(t.count, 0);
	ASSERT(handler_next(&t, NULL) == NULL);
	handler_table_fini(&t);
}

static void
holds_a_type_once(void)
{
	struct handler_table t;

	handler_table_init(&t);
	ASSERT(handler_add(&t, "a", "one", "/1.so") != NULL);
	errno = 0;
	ASSERT(handler_add(&t, "a", "two", "/2.so") == NULL);
	ASSERT_INT(errno, EEXIST);
	ASSERT_INT(t.count, 1);
	ASSERT_STR(handler_find(&t, "a")->category, "one");
	ASSERT_STR(handler_find(&t, "a")->file, "/1.so");
	handler_table_fini(&t);
}

static void
copies_and_replaces(void)
{
	char type[] = "a", category[] = "one", file[] = "/1.so";
	struct handler_table t;
	struct handler *h;

	handler_table_init(&t);
	ASSERT((h = handler_add(&t, type, category, file)) != NULL);
	type[0] = category[0] = file[0] = 'X';
	ASSERT_STR(h->type, "a");
	ASSERT_STR(h->category, "one");
	ASSERT_STR(h->file, "/1.so");
	ASSERT_INT(handler_set_category(h, "two"), 0);
	/* Its own value, too. */
	ASSERT_INT(handler_set_category(h, h->category), 0);
	ASSERT_STR(h->category, "two");
	ASSERT(handler_find(&t, "a") == h);
	handler_table_fini(&t);
}

static const struct test tests[] = {
	{ "handlers are found, and walked in order", keeps_them_in_order },
	{ "a type is there once", holds_a_type_once },
	{ "names are copied, and can be replaced", copies_and_replaces },
};
TEST_MAIN(tests)
