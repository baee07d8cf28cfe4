/* SPDX-License-Identifier: ISC */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/base/words.h"
#include "supervisor/children/environment.h"
#include "tests/test.h"

static char *const from[] = {
	(char *)"PATH=/bin",
	(char *)"HOME=/root",
	(char *)"LANG=C.UTF-8",
	(char *)"LANGUAGE=de:en",
	(char *)"LANGLEY=1",
	(char *)"LC_ALL=C",
	(char *)"LC_TIME=",
	(char *)"TZ=UTC",
	(char *)"TZDIR=/x",
	(char *)"MYPATH=/x",
	(char *)"path=/x",
	(char *)"WORKER_TOKEN=secret-1",
	(char *)"WORKER_TOKEN_FILE=/run/token",
	(char *)"WORKER_INDIVIDUAL_TOKEN=secret-2=a",
	(char *)"ORCHESTRATORS_CONFIG=[{\"token\":\"secret-3\"}]",
	(char *)"WORKER_ID=w-1",
	(char *)"NOTIFY_SOCKET=/run/systemd/notify",
	(char *)"WATCHDOG_USEC=1000",
	(char *)"WATCHDOG_PID=1",
	(char *)"LISTEN_FDS=1",
	(char *)"MODEL=a=b",
	(char *)"EMPTY=",
	(char *)"no equals sign",
	NULL,
};

static void
check(char **env, const char *const *want)
{
	size_t i;

	ASSERT(env != NULL);
	for (i = 0; env[i] != NULL && want[i] != NULL; i++)
		ASSERT_STR(env[i], want[i]);
	ASSERT_STR(env[i], want[i]);
	words_free(env);
}

static void
cleans(void)
{
	static const char *const want[] = {
		"PATH=/bin",
		"HOME=/root",
		"LANG=C.UTF-8",
		"LANGUAGE=de:en",
		"LC_ALL=C",
		"LC_TIME=",
		"TZ=UTC",
		NULL,
	};

	check(environment_clean(from), want);
}

static void
inherits(void)
{
	static const char *const want[] = {
		"PATH=/bin",
		"HOME=/root",
		"LANG=C.UTF-8",
		"LANGUAGE=de:en",
		"LANGLEY=1",
		"LC_ALL=C",
		"LC_TIME=",
		"TZ=UTC",
		"TZDIR=/x",
		"MYPATH=/x",
		"path=/x",
		"WORKER_TOKEN=withheld",
		"WORKER_TOKEN_FILE=/run/token",
		"WORKER_INDIVIDUAL_TOKEN=withheld",
		"ORCHESTRATORS_CONFIG=withheld",
		"WORKER_ID=w-1",
		"MODEL=a=b",
		"EMPTY=",
		"no equals sign",
		NULL,
	};

	check(environment_inherited(from), want);
}

static void
copies_nothing(void)
{
	static char *const none[] = { NULL };
	static const char *const want[] = { NULL };

	check(environment_clean(none), want);
	check(environment_inherited(none), want);
	words_free(NULL);
}

static char path[] = "/tmp/aw-env-XXXXXX";

/* The environment of a category whose env_file holds that. */
static char **
with_file(char *const base[], const char *text, size_t len, struct why *why)
{
	const int fd = mkstemp(path);
	char **env;

	ASSERT(fd != -1);
	ASSERT_INT(write(fd, text, len), len);
	ASSERT_INT(close(fd), 0);
	env = environment_of_category(base, "heavy", path, why);
	ASSERT_INT(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "/tmp/aw-env-XXXXXX");
	return (env);
}

static void
adds_a_file(void)
{
	static char *const base[] = {
		(char *)"PATH=/bin",
		(char *)"AVTOWORKER_CATEGORY=outer",
		(char *)"WORKER_TOKEN=withheld",
		(char *)"MODEL=old",
		NULL,
	};
	static const char text[] = "# a comment\n"
				   "\n"
				   "MODEL=a = b\n"
				   "EMPTY=\n"
				   "_x1=\"q\" #\n"
				   "MODELS=2\n"
				   "EMPTY=again";
	static const char *const want[] = {
		"PATH=/bin",
		"AVTOWORKER_CATEGORY=heavy",
		"WORKER_TOKEN=withheld",
		"MODEL=a = b",
		"EMPTY=again",
		"_x1=\"q\" #",
		"MODELS=2",
		NULL,
	};
	static const char *const alone[] = {
		"AVTOWORKER_CATEGORY=light",
		NULL,
	};
	static char *const none[] = { NULL };
	struct why why;

	check(with_file(base, text, sizeof(text) - 1, &why), want);
	check(environment_of_category(none, "light", NULL, &why), alone);
}

static void
refuses_a_line(void)
{
	static const struct {
		const char *text;
		const char *want; /* behind the file's name */
	} rows[] = {
		{ "A=1\nno name\n", ":2: expected NAME=VALUE" },
		{ "=1", ":1: expected NAME=VALUE" },
		{ " A=1", ":1: expected NAME=VALUE" },
		{ "A=1\n\n#\n1A=1", ":4: expected NAME=VALUE" },
		{ "A-B=1", ":1: expected NAME=VALUE" },
		{ "export A=1", ":1: expected NAME=VALUE" },
		{ "WORKER_TOKEN=x", ":1: this variable is the worker's own" },
		{ "A=\nORCHESTRATORS_CONFIG=", ":2: this variable is the" },
		{ "AVTOWORKER_CATEGORY=x", ":1: this variable is set by" },
	};
	static char *const none[] = { NULL };
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ASSERT(with_file(none, rows[i].text, strlen(rows[i].text),
			   &why) == NULL);
		ASSERT(strncmp(why.text, "/tmp/aw-env-", 12) == 0);
		why.text[sizeof(path) - 1 + strlen(rows[i].want)] = '\0';
		ASSERT_STR(why.text + sizeof(path) - 1, rows[i].want);
	}
}

static void
refuses_a_file(void)
{
	static char *const none[] = { NULL };
	static const size_t size = 256 * 1024 + 1;
	char *large = malloc(size);
	struct why why;

	ASSERT(large != NULL);
	memset(large, '#', size);
	ASSERT(with_file(none, large, size, &why) == NULL);
	ASSERT(strstr(why.text, "is larger than 262144 bytes") != NULL);
	free(large);
	ASSERT(with_file(none, "A=\0", 3, &why) == NULL);
	ASSERT(strstr(why.text, "holds a zero byte") != NULL);
	ASSERT(environment_of_category(none, "x", "/nowhere", &why) == NULL);
	ASSERT_STR(why.text, "env_file /nowhere: No such file or directory");
	ASSERT(environment_of_category(none, "x", "/dev/zero", &why) == NULL);
	ASSERT_STR(why.text, "env_file /dev/zero is no regular file");
	/* Nobody writes: to open it must not wait. */
	ASSERT_INT(close(mkstemp(path)), 0);
	ASSERT_INT(unlink(path), 0);
	ASSERT_INT(mkfifo(path, 0600), 0);
	ASSERT(environment_of_category(none, "x", path, &why) == NULL);
	ASSERT(strstr(why.text, "is no regular file") != NULL);
	ASSERT_INT(unlink(path), 0);
}

static void
sets_numbers(void)
{
	static char *const base[] = { (char *)"A=1", (char *)"LIMIT=7",
		(char *)"LIMITED=1", NULL };
	static const char *const without[] = { "A=1", "LIMITED=1",
		"AVTOWORKER_CATEGORY=x", NULL };
	static const char *const with[] = { "A=1", "LIMIT=8589934592",
		"LIMITED=1", "AVTOWORKER_CATEGORY=x", NULL };
	struct why why;
	char **env;

	env = environment_of_category(base, "x", NULL, &why);
	ASSERT_INT(environment_set_number(&env, "LIMIT", 0), 0);
	ASSERT_INT(environment_set_number(&env, "OTHER", 0), 0);
	check(env, without);
	env = environment_of_category(base, "x", NULL, &why);
	ASSERT_INT(environment_set_number(&env, "LIMIT", 8589934592), 0);
	check(env, with);
}

static const struct test tests[] = {
	{ "the clean one holds what any program may want, and no more",
	    cleans },
	{ "the inherited one holds everything but secrets and systemd's",
	    inherits },
	{ "an empty one stays empty", copies_nothing },
	{ "a category's file is added, wins, and its name is the last word",
	    adds_a_file },
	{ "a line that is wrong is refused by its number", refuses_a_line },
	{ "a file that is no such file is refused at once", refuses_a_file },
	{ "a number is set anew, and removed where it is none", sets_numbers },
};
TEST_MAIN(tests)
