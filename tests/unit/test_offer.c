/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "supervisor/children/offer.h"
#include "tests/test.h"

static const struct {
	const char *text;
	const char *why; /* a part of it */
} refused[] = {
	{ "", "ready frame: " },
	{ "{\"version\":1,", "ready frame: " },
	{ "[]", "ready frame without version" },
	{ "{}", "ready frame without version" },
	{ "{\"version\":\"1\",\"handlers\":[]}", "without version" },
	{ "{\"version\":1.5,\"handlers\":[]}", "without version" },
	{ "{\"version\":2,\"handlers\":[]}",
	    "it speaks channel version 2, not 1; install" },
	{ "{\"version\":2,\"error\":\"no\"}", "channel version 2" },
	{ "{\"version\":1}", "ready frame without handlers" },
	{ "{\"version\":1,\"handlers\":{}}", "ready frame without handlers" },
	{ "{\"version\":1,\"handlers\":null}", "ready frame without handlers" },
	{ "{\"version\":1,\"handlers\":[1]}", "malformed handler" },
	{ "{\"version\":1,\"handlers\":[{}]}", "malformed handler" },
	{ "{\"version\":1,\"handlers\":[{\"type\":1}]}", "malformed handler" },
	{ "{\"version\":1,\"handlers\":[{\"type\":\"\"}]}",
	    "malformed handler" },
	{ "{\"version\":1,\"handlers\":[{\"type\":\"a\"},{\"type\":\"b/c\"}]}",
	    "malformed handler" },
	{ "{\"version\":1,\"handlers\":[{\"type\":\"a\",\"category\":\"\"}]}",
	    "malformed handler" },
	{ "{\"version\":1,\"handlers\":[{\"type\":\"a\",\"category\":7}]}",
	    "malformed handler" },
	{ "{\"version\":1,\"handlers\":[{\"type\":\"a\"},{\"type\":\"b\","
	  "\"version\":1}]}",
	    "handler b: its version is not" },
	{ "{\"version\":1,\"error\":\"x.so: no such file\"}",
	    "x.so: no such file" },
	{ "{\"version\":1,\"error\":7}", "an error that is no string" },
	{ "{\"version\":1,\"error\":\"no\",\"handlers\":[]}", "no" },
};

static void
refuses(void)
{
	struct offer offer;
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		const char *text = refused[i].text;

		offer = (struct offer){ .count = 77 };
		ASSERT_INT(offer_read(text, strlen(text), &offer, &why), -1);
		if (strstr(why.text, refused[i].why) == NULL)
			test_fail(__FILE__, __LINE__,
			    "%s: \"%s\" has no \"%s\"", text, why.text,
			    refused[i].why);
		ASSERT_INT(offer.count, 77);
	}
}

static void
reads(void)
{
	const char *text = "{\"version\":1,\"handlers\":[{\"type\":\"echo\"},"
			   "{\"category\":\"gpu\",\"type\":\"a.b:c\","
			   "\"later\":{},\"kind\":\"big\"}],\"later\":1}";
	struct offer offer, copy;
	struct why why;

	ASSERT_INT(offer_read(text, strlen(text), &offer, &why), 0);
	ASSERT_INT(offer.count, 2);
	ASSERT_STR(offer.handlers[0].type, "echo");
	ASSERT_STR(offer.handlers[0].category, NULL);
	ASSERT_STR(offer.handlers[1].type, "a.b:c");
	ASSERT_STR(offer.handlers[1].category, "gpu");
	ASSERT_INT(offer_copy(&offer, &copy), 0);
	offer_fini(&offer);
	ASSERT_INT(offer.count, 0);
	ASSERT(offer.handlers == NULL);
	ASSERT_INT(copy.count, 2);
	ASSERT_STR(copy.handlers[0].type, "echo");
	ASSERT_STR(copy.handlers[1].category, "gpu");
	ASSERT_STR(copy.handlers[1].declared.kind, "big");
	offer_fini(&copy);
}

static void
may_be_empty(void)
{
	const char *text = "{\"version\":1,\"handlers\":[]}";
	struct offer offer;
	struct why why;

	ASSERT_INT(offer_read(text, strlen(text), &offer, &why), 0);
	ASSERT_INT(offer.count, 0);
	offer_fini(&offer);
}

static const struct test tests[] = {
	{ "a malformed offer is refused, an error is handed on", refuses },
	{ "types and categories are read", reads },
	{ "an offer may be empty", may_be_empty },
};
TEST_MAIN(tests)
