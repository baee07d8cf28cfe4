/* SPDX-License-Identifier: ISC */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/children/environment.h"
#include "supervisor/conf.h"

#define WITHHELD "withheld"

/* A name that ends in "*" stands for everything that begins so. */
static const char *const allowed[] = {
	"PATH",
	"HOME",
	"USER",
	"LOGNAME",
	"SHELL",
	"LANG",
	"LANGUAGE",
	"LC_*",
	"TZ",
	"TMPDIR",
	"TERM",
	/* of the sanitizers, for children built with them */
	"ASAN_OPTIONS",
	"LSAN_OPTIONS",
	"UBSAN_OPTIONS",
	NULL,
};

static const char *const ours[] = {
	"NOTIFY_SOCKET",
	"WATCHDOG_*",
	"LISTEN_*",
	NULL,
};

static bool
is_named(const char *entry, const char *const *names)
{
	size_t len;

	for (; *names != NULL; names++) {
		len = strlen(*names);
		if ((*names)[len - 1] == '*') {
			if (strncmp(entry, *names, len - 1) == 0)
				return (true);
		} else if (strncmp(entry, *names, len) == 0 &&
		    entry[len] == '=')
			return (true);
	}
	return (false);
}

void
environment_free(char **env)
{
	char **p;

	for (p = env; p != NULL && *p != NULL; p++)
		free(*p);
	free(env);
}

static char **
copy(char *const from[], bool (*wanted)(const char *entry))
{
	char *const *p;
	char **env;
	size_t n = 0;

	for (p = from; *p != NULL; p++)
		n++;
	if ((env = calloc(n + 1, sizeof(*env))) == NULL)
		return (NULL);
	n = 0;
	for (p = from; *p != NULL; p++) {
		if (!wanted(*p))
			continue;
		if (is_named(*p, conf_secret_variables)) {
			const int len = (int)strcspn(*p, "=");

			if (asprintf(&env[n], "%.*s=%s", len, *p, WITHHELD) ==
			    -1)
				env[n] = NULL;
		} else
			env[n] = strdup(*p);
		if (env[n++] == NULL) {
			environment_free(env);
			return (NULL);
		}
	}
	return (env);
}

static bool
is_allowed(const char *entry)
{
	return (is_named(entry, allowed));
}

static bool
is_not_ours(const char *entry)
{
	return (!is_named(entry, ours));
}

char **
environment_clean(char *const from[])
{
	return (copy(from, is_allowed));
}

char **
environment_inherited(char *const from[])
{
	return (copy(from, is_not_ours));
}
