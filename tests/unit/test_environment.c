/* SPDX-License-Identifier: ISC */
#include <stddef.h>
#include <string.h>

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
	environment_free(env);
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
	environment_free(NULL);
}

static const struct test tests[] = {
	{ "the clean one holds what any program may want, and no more",
	    cleans },
	{ "the inherited one holds everything but secrets and systemd's",
	    inherits },
	{ "an empty one stays empty", copies_nothing },
};
TEST_MAIN(tests)
