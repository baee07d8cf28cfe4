/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <string.h>

#include "supervisor/base/why.h"
#include "tests/test.h"

static void
sets_a_sentence(void)
{
	struct why why;

	why_set(&why, "cannot start %s for the %dth time", "child", 4);
	ASSERT_STR(why.text, "cannot start child for the 4th time");
}

static void
cuts_what_does_not_fit(void)
{
	char text[2 * sizeof(struct why)];
	struct why why;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	why_set(&why, "%s", text);
	ASSERT_INT(strlen(why.text), sizeof(why.text) - 1);
	errno = ENOENT;
	why_errno(&why, "%s", text);
	ASSERT_INT(strlen(why.text), sizeof(why.text) - 1);
}

static void
adds_the_text_of_errno_and_keeps_it(void)
{
	struct why why;

	errno = ENOENT;
	why_errno(&why, "cannot open %s", "/x");
	ASSERT_STR(why.text, "cannot open /x: No such file or directory");
	ASSERT_INT(errno, ENOENT);
}

static const struct test tests[] = {
	{ "sets a sentence", sets_a_sentence },
	{ "cuts what does not fit", cuts_what_does_not_fit },
	{ "adds the text of errno and keeps it",
	    adds_the_text_of_errno_and_keeps_it },
};
TEST_MAIN(tests)
