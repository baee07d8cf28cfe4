/* SPDX-License-Identifier: ISC */
/* What an orchestrator's answers mean. */
#include <string.h>

#include "supervisor/orchestrator/dialect.h"
#include "tests/test.h"

#define OWN        "{\"error\":\"Unauthorized: bad\\ntoken\"}"
#define PAGE       "<html>\r\n<b>nginx</b>"
#define PAGE_SHOWN "<html>  <b>nginx</b>"

static const struct {
	long status;
	const char *body;
	enum verdict verdict;
	const char *why;
} replies[] = {
	{ 200, "{}", VERDICT_DONE, "" },
	/* Whether the body makes sense is the asker's to say. */
	{ 200, PAGE, VERDICT_DONE, "" },
	{ 204, "", VERDICT_DONE, "" },
	{ 400, OWN, VERDICT_REFUSED, "HTTP 400: Unauthorized: bad\ntoken" },
	{ 400, PAGE, VERDICT_LATER, "HTTP 400: " PAGE_SHOWN },
	{ 400, "", VERDICT_LATER, "HTTP 400" },
	{ 401, OWN, VERDICT_DENIED, "HTTP 401: Unauthorized: bad\ntoken" },
	{ 401, PAGE, VERDICT_DENIED, "HTTP 401: " PAGE_SHOWN },
	{ 403, OWN, VERDICT_DENIED, "HTTP 403: Unauthorized: bad\ntoken" },
	{ 403, "", VERDICT_DENIED, "HTTP 403" },
	{ 404, "{\"error\":{\"code\":1}}", VERDICT_REFUSED,
	    "HTTP 404: {\"code\":1}" },
	{ 404, PAGE, VERDICT_LATER, "HTTP 404: " PAGE_SHOWN },
	{ 404, "404: Not Found", VERDICT_LATER, "HTTP 404: 404: Not Found" },
	{ 404, "{\"detail\":\"x\"}", VERDICT_LATER,
	    "HTTP 404: {\"detail\":\"x\"}" },
	{ 413, OWN, VERDICT_REFUSED, "HTTP 413: Unauthorized: bad\ntoken" },
	{ 413, PAGE, VERDICT_LATER, "HTTP 413: " PAGE_SHOWN },
	{ 429, OWN, VERDICT_LIMITED, "HTTP 429: Unauthorized: bad\ntoken" },
	{ 429, "", VERDICT_LIMITED, "HTTP 429" },
	/* JSON in JSON, as RXON has it, and plain text, as classic has it. */
	{ 429, "{\"error\":\"{\\\"error\\\": \\\"Too Many Requests\\\"}\"}",
	    VERDICT_LIMITED, "HTTP 429: {\"error\": \"Too Many Requests\"}" },
	{ 500, "500 Internal Server Error\n\nServer got itself in trouble",
	    VERDICT_LATER,
	    "HTTP 500: 500 Internal Server Error  Server got itself in "
	    "trouble" },
	{ 301, "", VERDICT_LATER, "HTTP 301" },
	{ 409, OWN, VERDICT_LATER, "HTTP 409: Unauthorized: bad\ntoken" },
	{ 500, OWN, VERDICT_LATER, "HTTP 500: Unauthorized: bad\ntoken" },
	{ 502, PAGE, VERDICT_LATER, "HTTP 502: " PAGE_SHOWN },
	{ 503, "\x01\xff", VERDICT_LATER, "HTTP 503:   " },
};

static void
judges_replies(void)
{
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		why.text[0] = '\0';
		test_same_int(__FILE__, __LINE__, replies[i].why,
		    dialect_judge(replies[i].status, replies[i].body,
			strlen(replies[i].body), &why),
		    replies[i].verdict);
		if (replies[i].verdict != VERDICT_DONE)
			ASSERT_STR(why.text, replies[i].why);
	}
}

static bool
is_too_deep(long status, const char *body)
{
	return (dialect_is_too_deep(status, body, strlen(body)));
}

static void
knows_what_is_too_deep(void)
{
	static const char said[] =
	    "{\"error\":\"Maximum recursion depth (30) exceeded in to_dict\"}";

	ASSERT(is_too_deep(500, said));
	ASSERT(!is_too_deep(503, said));
	ASSERT(!is_too_deep(500, "{\"error\":\"Something else\"}"));
	ASSERT(!is_too_deep(500, "Maximum recursion depth (30) exceeded"));
	ASSERT(!is_too_deep(500, ""));
}

static void
shortens_foreign_texts(void)
{
	static const char *const parts[][2] = {
		{ "{\"error\":\"", "\"}" },
		{ "{\"error\":[\"", "\"]}" },
		{ "<html>", "" },
	};
	struct bytes body;
	struct why why;
	size_t i;
	int n;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		body = (struct bytes){ 0 };
		bytes_puts(&body, parts[i][0]);
		for (n = 0; n < 2000; n++)
			bytes_puts(&body, "ab");
		bytes_puts(&body, parts[i][1]);
		(void)dialect_judge(500, body.p, body.len, &why);
		ASSERT(strlen(why.text) < 200);
		ASSERT(strstr(why.text, "abab") != NULL);
		bytes_fini(&body);
	}
}

static const struct {
	const char *body;
	enum verdict verdict;
	const char *why;
} receipts[] = {
	{ "{\"status\":\"accepted\"}", VERDICT_DONE, "accepted" },
	{ "{\"status\":\"result_accepted_success\"}", VERDICT_DONE,
	    "accepted" },
	{ "{}", VERDICT_DONE, "accepted" },
	{ "{\"message\":\"Result ignored: it is late.\","
	  "\"reason\":\"stale_task\",\"status\":\"ignored\"}",
	    VERDICT_REFUSED, "stale_task" },
	{ "{\"status\":\"ignored\"}", VERDICT_REFUSED, "ignored" },
	{ "{\"status\":\"ignored\",\"reason\":null}", VERDICT_REFUSED,
	    "ignored" },
};

static void
reads_receipts(void)
{
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(receipts) / sizeof(receipts[0]); i++) {
		const size_t len = strlen(receipts[i].body);

		ASSERT_INT(dialect_rxon.taken(receipts[i].body, len, &why),
		    receipts[i].verdict);
		ASSERT_STR(why.text, receipts[i].why);
		ASSERT_INT(dialect_classic.taken(receipts[i].body, len, &why),
		    VERDICT_DONE);
		ASSERT_STR(why.text, "accepted");
	}
}

static void
knows_when_it_is_unknown(void)
{
	ASSERT(dialect_is_unknown("null", 4));
	ASSERT(!dialect_is_unknown("", 0));
	ASSERT(!dialect_is_unknown("nul", 3));
	ASSERT(!dialect_is_unknown("{\"status\":\"ttl_refreshed\"}", 26));
}

static const struct test tests[] = {
	{ "replies are judged by status and body", judges_replies },
	{ "what is too deep is known by the error", knows_what_is_too_deep },
	{ "a foreign text is shortened", shortens_foreign_texts },
	{ "accepted is done, ignored is final", reads_receipts },
	{ "null says that nobody knows us", knows_when_it_is_unknown },
};

TEST_MAIN(tests)
