/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include "supervisor/orchestrator/command_read.h"
#include "tests/test.h"

static const struct {
	const char *text;
	const char *task_id; /* NULL: no command */
	const char *job_id;
	const char *why; /* a part of it, when there is none */
} rows[] = {
	{ "{\"command\":\"cancel_task\",\"task_id\":\"t-1\","
	  "\"job_id\":\"j-1\"}",
	    "t-1", "j-1", NULL },
	{ "{\"type\":\"cancel_task\",\"job_id\":\"j-1\",\"more\":{}}", "",
	    "j-1", NULL },
	{ " {\"command\":\"cancel_task\",\"task_id\":null,"
	  "\"job_id\":\"j-1\"}\n",
	    "", "j-1", NULL },
	{ "{\"command\":\"cancel_task\",\"task_id\":\"a/b\","
	  "\"job_id\":\"j-1\"}",
	    "", "j-1", NULL },
	{ "{\"command\":\"cancel_task\",\"task_id\":\"t\\u0000x\"}", NULL, NULL,
	    "names neither" },
	{ "{\"command\":\"cancel_task\",\"task_id\":7}", NULL, NULL,
	    "names neither" },
	{ "{\"command\":\"cancel_task\"}", NULL, NULL, "names neither" },
	{ "{\"command\":\"da\\nce\",\"task_id\":\"t-1\"}", NULL, NULL,
	    "whose name is none: da?ce" },
	{ "{\"command\":\"\"}", NULL, NULL, "whose name is none" },
	{ "{\"command\":\"a\\u0000b\"}", NULL, NULL, "whose name is none" },
	{ "{\"command\":7,\"type\":\"cancel_task\"}", NULL, NULL,
	    "no command" },
	{ "{\"task_id\":\"t-1\"}", NULL, NULL, "no command" },
	{ "[\"cancel_task\"]", NULL, NULL, "no command" },
	{ "null", NULL, NULL, "no command" },
	{ "", NULL, NULL, "no JSON" },
	{ "{\"command\":\"cancel_task\",\"task_id\":\"t\"}{}", NULL, NULL,
	    "no JSON" },
	{ "{\"command\":\"x\",\"command\":\"cancel_task\","
	  "\"task_id\":\"t-1\"}",
	    NULL, NULL, "no JSON" },
};

static void
reads_what_is_cancelled_and_nothing_else(void)
{
	struct command command;
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		switch (command_read(
		    rows[i].text, strlen(rows[i].text), &command, &why)) {
		case COMMAND_CANCEL:
			ASSERT_STR(command.task_id, rows[i].task_id);
			ASSERT_STR(command.job_id, rows[i].job_id);
			break;
		case COMMAND_NONE:
			ASSERT(rows[i].why != NULL);
			ASSERT(strstr(why.text, rows[i].why) != NULL);
			break;
		case COMMAND_OTHER:
			test_fail(__FILE__, __LINE__, "%s", rows[i].text);
		}
	}
}

static void
leaves_others_to_others(void)
{
	static const char text[] =
	    " {\"command\":\"d\\u0061nce\",\"params\":{\"n\":1e400}} ";
	char longest[TASK_ID_MAX + 32];
	struct command command;
	struct why why;

	ASSERT_INT(
	    command_read(text, strlen(text), &command, &why), COMMAND_OTHER);
	ASSERT_STR(command.name, "dance");
	ASSERT_INT(command.message.len, strlen(text) - 2);
	ASSERT(command.message.p == text + 1);
	(void)snprintf(
	    longest, sizeof(longest), "{\"type\":\"%0*d\"}", TASK_ID_MAX, 0);
	ASSERT_INT(command_read(longest, strlen(longest), &command, &why),
	    COMMAND_OTHER);
	ASSERT_INT(strlen(command.name), TASK_ID_MAX);
	(void)snprintf(longest, sizeof(longest), "{\"type\":\"%0*d\"}",
	    TASK_ID_MAX + 1, 0);
	ASSERT_INT(command_read(longest, strlen(longest), &command, &why),
	    COMMAND_NONE);
}

static const struct test tests[] = {
	{ "reads what is cancelled, and nothing else",
	    reads_what_is_cancelled_and_nothing_else },
	{ "other commands have a name, and stay as they came",
	    leaves_others_to_others },
};

TEST_MAIN(tests)
