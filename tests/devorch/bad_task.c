/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "child/bytes.h"
#include "tests/devorch/bad_task.h"

#define IDS  "{\"job_id\":\"%J\",\"task_id\":\"%T\","
#define TYPE "\"type\":\"%Y\","
#define REST "\"tracing_context\":{}}"

static const struct bad_task bad_tasks[] = {
	{ "no-task-id", "task_id is missing",
	    "{\"job_id\":\"%J\"," TYPE "\"params\":{}," REST, false },
	{ "no-job-id", "job_id is missing",
	    "{\"task_id\":\"%T\"," TYPE "\"params\":{}," REST, false },
	{ "no-type", "type is missing", IDS "\"params\":{}," REST, true },
	{ "number-type", "type is a number",
	    IDS "\"type\":7,\"params\":{}," REST, true },
	{ "empty-type", "type is the empty string",
	    IDS "\"type\":\"\",\"params\":{}," REST, true },
	{ "unknown-type", "a type that nobody offers",
	    IDS "\"type\":\"no-such-type\",\"params\":{}," REST, true },
	{ "no-params", "params are missing", IDS TYPE REST, true },
	{ "params-null", "params are null", IDS TYPE "\"params\":null," REST,
	    true },
	{ "params-array", "params are an array",
	    IDS TYPE "\"params\":[1,2]," REST, true },
	{ "params-string", "params are a string",
	    IDS TYPE "\"params\":\"text\"," REST, true },
	{ "duplicate-key", "params hold a key twice",
	    IDS TYPE "\"params\":{\"a\":1,\"a\":2}," REST, true },
	{ "duplicate-id", "task_id stands there twice",
	    IDS "\"task_id\":\"other\"," TYPE "\"params\":{}," REST, true },
	{ "big-params", "params of 9 MB",
	    IDS TYPE "\"params\":{\"text\":\"%B\"}," REST, true },
	{ "deep-params", "params nested 500 deep",
	    IDS TYPE "\"params\":{\"deep\":%D}," REST, true },
	{ "big-number", "params hold a number beyond every double",
	    IDS TYPE "\"params\":{\"n\":1e999}," REST, true },
	{ "bad-utf8", "params hold bytes that are not UTF-8",
	    IDS TYPE "\"params\":{\"s\":\"\xc3\x28\xff\"}," REST, true },
	{ "lone-surrogate", "params hold half a surrogate pair",
	    IDS TYPE "\"params\":{\"s\":\"\\ud800\"}," REST, true },
	{ "nul", "params hold \\u0000, which is legal",
	    IDS TYPE "\"params\":{\"s\":\"a\\u0000b\"}," REST, true },
	{ "trailing", "text behind the task",
	    IDS TYPE "\"params\":{}," REST " and more", true },
	{ "cut", "the message ends in the middle", IDS TYPE "\"params\":{\"a",
	    true },
	{ "array", "the message is an array",
	    "[" IDS TYPE "\"params\":{}," REST "]", false },
	{ "path-id", "task_id climbs out of its directory",
	    "{\"job_id\":\"%J\",\"task_id\":\"../../tmp/%T\"," TYPE
	    "\"params\":{}," REST,
	    false },
	{ "header-id", "task_id holds CR and LF",
	    "{\"job_id\":\"%J\",\"task_id\":\"%T\\r\\nX-Evil: 1\"," TYPE
	    "\"params\":{}," REST,
	    false },
	{ "long-id", "task_id is 300 letters long",
	    "{\"job_id\":\"%J\",\"task_id\":\"%L\"," TYPE "\"params\":{}," REST,
	    false },
};
#define NBAD (sizeof(bad_tasks) / sizeof(bad_tasks[0]))

const struct bad_task *
bad_task_find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < NBAD; i++)
		if (strlen(bad_tasks[i].name) == len &&
		    memcmp(bad_tasks[i].name, name, len) == 0)
			return (&bad_tasks[i]);
	return (NULL);
}

static void
repeat(struct bytes *out, const char *text, size_t times)
{
	const size_t len = strlen(text);

	while (times-- > 0)
		bytes_append(out, text, len);
}

static void
expand(struct bytes *out, char what, const char *job_id, const char *task_id,
    const char *type)
{
	switch (what) {
	case 'J':
		bytes_puts(out, job_id);
		break;
	case 'T':
		bytes_puts(out, task_id);
		break;
	case 'Y':
		bytes_puts(out, type);
		break;
	case 'B':
		repeat(out, "0123456789abcde ", 9u * 1024 * 1024 / 16);
		break;
	case 'D':
		repeat(out, "[", 500);
		repeat(out, "]", 500);
		break;
	case 'L':
		repeat(out, "t", 300);
		break;
	default:
		bytes_append(out, &what, 1);
	}
}

void
bad_task_write(const struct bad_task *bad, const char *job_id,
    const char *task_id, const char *type, struct bytes *out)
{
	const char *p = bad->text, *percent;

	while ((percent = strchr(p, '%')) != NULL && percent[1] != '\0') {
		bytes_append(out, p, (size_t)(percent - p));
		expand(out, percent[1], job_id, task_id, type);
		p = percent + 2;
	}
	bytes_puts(out, p);
}

void
bad_task_help(FILE *f)
{
	size_t i;

	for (i = 0; i < NBAD; i++)
		fprintf(
		    f, "  %-16s %s\n", bad_tasks[i].name, bad_tasks[i].help);
}
