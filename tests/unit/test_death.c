/* SPDX-License-Identifier: ISC */
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "supervisor/children/death.h"
#include "tests/test.h"

#define CORE 0x80 /* what WCOREDUMP() looks at */

static const struct {
	int status;
	int signal;
	int exit_status;
	const char *text;
	const char *details;
} rows[] = {
	{ 0, 0, 0, "exited with status 0",
	    "{\"cause\":\"crash\",\"signal\":null,\"exit_status\":0,\"core\":false,"
	    "\"max_rss_kb\":4096,\"user_ms\":1500,\"system_ms\":20,\"wall_ms\":null,\"stage\":\"starting\",\"child_pid\":17}" },
	{ 78 << 8, 0, 78, "exited with status 78",
	    "{\"cause\":\"crash\",\"signal\":null,\"exit_status\":78,\"core\":false,"
	    "\"max_rss_kb\":4096,\"user_ms\":1500,\"system_ms\":20,\"wall_ms\":null,\"stage\":\"starting\",\"child_pid\":17}" },
	{ 255 << 8, 0, 255, "exited with status 255",
	    "{\"cause\":\"crash\",\"signal\":null,\"exit_status\":255,\"core\":false,"
	    "\"max_rss_kb\":4096,\"user_ms\":1500,\"system_ms\":20,\"wall_ms\":null,\"stage\":\"starting\",\"child_pid\":17}" },
	{ SIGKILL, SIGKILL, 0,
	    "was killed by signal 9 (Killed), not by us; perhaps for lack of "
	    "memory",
	    "{\"cause\":\"crash\",\"signal\":9,\"exit_status\":null,\"core\":false,"
	    "\"max_rss_kb\":4096,\"user_ms\":1500,\"system_ms\":20,\"wall_ms\":null,\"stage\":\"starting\",\"child_pid\":17}" },
	{ SIGSEGV | CORE, SIGSEGV, 0,
	    "was killed by signal 11 (Segmentation fault), core dumped",
	    "{\"cause\":\"crash\",\"signal\":11,\"exit_status\":null,\"core\":true,"
	    "\"max_rss_kb\":4096,\"user_ms\":1500,\"system_ms\":20,\"wall_ms\":null,\"stage\":\"starting\",\"child_pid\":17}" },
};

static void
reports(void)
{
	struct rusage usage;
	struct death r;
	struct bytes out = { 0 };
	size_t i;

	memset(&usage, 0, sizeof(usage));
	usage.ru_maxrss = 4096;
	usage.ru_utime = (struct timeval){ 1, 500000 };
	usage.ru_stime = (struct timeval){ 0, 20999 };
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(&r, 0xff, sizeof(r));
		death_read(&r, 17, rows[i].status, &usage);
		ASSERT_INT(r.pid, 17);
		ASSERT_INT(r.signal, rows[i].signal);
		ASSERT_INT(r.exit_status, rows[i].exit_status);
		ASSERT_STR(r.text, rows[i].text);
		death_put_details(&r, &out);
		ASSERT_MEM(
		    out.p, out.len, rows[i].details, strlen(rows[i].details));
		bytes_fini(&out);
	}
}

static struct death
death_of(int status)
{
	struct rusage usage;
	struct death d;

	memset(&usage, 0, sizeof(usage));
	usage.ru_maxrss = 10240;
	usage.ru_utime = (struct timeval){ 0, 300000 };
	usage.ru_stime = (struct timeval){ 0, 10000 };
	death_read(&d, 17, status, &usage);
	ASSERT_STR(d.tail, "");
	return (d);
}

static void
blames(void)
{
	struct death d = death_of(SIGKILL);

	death_blame(&d, DEATH_TIME_LIMIT, "ran longer");
	ASSERT_INT(d.cause, DEATH_TIME_LIMIT);
	ASSERT_STR(d.text, "ran longer");
	ASSERT_STR(death_code(d.cause), CODE_TIMEOUT);
	d = death_of(3 << 8);
	death_asked(&d, DEATH_CANCELLED);
	ASSERT_INT(d.cause, DEATH_CANCELLED);
	ASSERT_STR(d.text, "exited with status 3 after it was asked to stop");
}

static void
knows_the_cpu_limit(void)
{
	struct death d = death_of(SIGXCPU);

	death_judge_cpu(&d, 0); /* none was set: somebody sent it */
	ASSERT_INT(d.cause, DEATH_CRASH);
	death_judge_cpu(&d, 2000);
	ASSERT_INT(d.cause, DEATH_CPU_LIMIT);
	ASSERT_STR(
	    d.text, "used more processor time than cpu_time_limit (2 s)");
	ASSERT_STR(death_code(d.cause), CODE_EXHAUSTED);
	d = death_of(SIGSEGV);
	death_judge_cpu(&d, 2000);
	ASSERT_INT(d.cause, DEATH_CRASH);
}

static void
formats(void)
{
	struct death d = death_of(SIGSEGV | CORE);
	char text[512];

	d.stage = DEATH_STAGE_HANDLER;
	d.wall_ms = 1204;
	death_format(&d, text, sizeof(text));
	ASSERT_STR(text,
	    "was killed by signal 11 (Segmentation fault), core dumped; in "
	    "the handler, cause crash, wall 1.204 s, cpu 0.31 s, at most "
	    "10240 kB resident");
	d.wall_ms = -1;
	d.stage = DEATH_STAGE_IDLE;
	death_format(&d, text, sizeof(text));
	ASSERT(strstr(text, "; idle, cause crash, cpu 0.31 s") != NULL);
}

static const struct test tests[] = {
	{ "an end is told in words and as details", reports },
	{ "what we did, or asked for, is our doing", blames },
	{ "SIGXCPU is the limit's doing when there is one",
	    knows_the_cpu_limit },
	{ "the record is one line", formats },
};
TEST_MAIN(tests)
