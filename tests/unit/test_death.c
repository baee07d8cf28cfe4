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
	    "\"max_rss_kb\":4096,\"user_ms\":1500,\"system_ms\":20,\"child_pid\":17}" },
	{ 78 << 8, 0, 78, "exited with status 78",
	    "{\"cause\":\"crash\",\"signal\":null,\"exit_status\":78,\"core\":false,"
	    "\"max_rss_kb\":4096,\"user_ms\":1500,\"system_ms\":20,\"child_pid\":17}" },
	{ 255 << 8, 0, 255, "exited with status 255",
	    "{\"cause\":\"crash\",\"signal\":null,\"exit_status\":255,\"core\":false,"
	    "\"max_rss_kb\":4096,\"user_ms\":1500,\"system_ms\":20,\"child_pid\":17}" },
	{ SIGKILL, SIGKILL, 0, "was killed by signal 9 (Killed)",
	    "{\"cause\":\"crash\",\"signal\":9,\"exit_status\":null,\"core\":false,"
	    "\"max_rss_kb\":4096,\"user_ms\":1500,\"system_ms\":20,\"child_pid\":17}" },
	{ SIGSEGV | CORE, SIGSEGV, 0,
	    "was killed by signal 11 (Segmentation fault), core dumped",
	    "{\"cause\":\"crash\",\"signal\":11,\"exit_status\":null,\"core\":true,"
	    "\"max_rss_kb\":4096,\"user_ms\":1500,\"system_ms\":20,\"child_pid\":17}" },
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

static const struct test tests[] = {
	{ "an end is told in words and as details", reports },
};
TEST_MAIN(tests)
