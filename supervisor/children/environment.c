/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child/bytes.h"
#include "supervisor/base/text.h"
#include "supervisor/base/words.h"
#include "supervisor/children/environment.h"
#include "supervisor/conf.h"

#define WITHHELD  "withheld"
#define FILE_MAX  ((size_t)256 * 1024) /* bytes of an env_file */
#define NAME_HEAD "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"

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

static char **
copy(char *const from[], bool (*wanted)(const char *entry))
{
	struct words w = { 0 };
	char *const *p;

	for (p = from; *p != NULL; p++) {
		if (!wanted(*p))
			continue;
		if (is_named(*p, conf_secret_variables))
			words_add(&w,
			    text_format("%.*s=%s", (int)strcspn(*p, "="), *p,
				WITHHELD));
		else
			words_add(&w, strdup(*p));
	}
	return (words_take(&w));
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

/* Puts a NAME=VALUE, which it takes, at the place of one of the same name, or
 * behind the others. -1: no memory. */
static int
set(char ***env, char *entry)
{
	size_t len, n;
	char **grown;

	if (entry == NULL)
		return (-1);
	len = strcspn(entry, "=") + 1;
	for (n = 0; (*env)[n] != NULL; n++)
		if (strncmp((*env)[n], entry, len) == 0) {
			free((*env)[n]);
			(*env)[n] = entry;
			return (0);
		}
	if ((grown = reallocarray(*env, n + 2, sizeof(*grown))) == NULL) {
		free(entry);
		return (-1);
	}
	grown[n] = entry;
	grown[n + 1] = NULL;
	*env = grown;
	return (0);
}

/* The whole file, terminated; caller frees. Never waits: what is no regular
 * file is refused. */
static char *
read_text(const char *path, size_t *len, struct why *why)
{
	char *text = NULL;
	struct stat st;
	ssize_t n = -1;
	int fd;

	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &st) == -1)
		why_errno(why, "env_file %s", path);
	else if (!S_ISREG(st.st_mode))
		why_set(why, "env_file %s is no regular file", path);
	else if (st.st_size > (off_t)FILE_MAX)
		why_set(why, "env_file %s is larger than %zu bytes", path,
		    FILE_MAX);
	else if ((text = malloc((size_t)st.st_size + 1)) == NULL ||
	    (n = read(fd, text, (size_t)st.st_size)) == -1)
		why_errno(why, "env_file %s", path);
	if (fd != -1)
		(void)close(fd);
	if (n == -1) {
		free(text);
		return (NULL);
	}
	text[n] = '\0';
	*len = (size_t)n;
	return (text);
}

/* Returns what is wrong with a line, or NULL. */
static const char *
fault_of(const char *line)
{
	static const char *const mark[] = { ENVIRONMENT_MARK, NULL };
	const size_t len = strspn(line, NAME_HEAD "0123456789");

	if (line[len] != '=' || len == 0 || strchr(NAME_HEAD, line[0]) == NULL)
		return ("expected NAME=VALUE; a name is made of letters, "
			"digits and \"_\"");
	if (is_named(line, conf_secret_variables))
		return ("this variable is the worker's own secret, which "
			"children do not get");
	if (is_named(line, mark))
		return ("this variable is set by avtoworkerd itself");
	return (NULL);
}

static int
add_file(char ***env, const char *path, struct why *why)
{
	const char *fault;
	char *text, *rest, *line;
	unsigned number = 0;
	size_t len;
	int rc = -1;

	if ((text = read_text(path, &len, why)) == NULL)
		return (-1);
	if (strlen(text) != len) {
		why_set(why, "env_file %s holds a zero byte", path);
		goto out;
	}
	for (rest = text; (line = strsep(&rest, "\n")) != NULL;) {
		number++;
		if (*line == '\0' || *line == '#')
			continue;
		if ((fault = fault_of(line)) != NULL) {
			why_set(why, "%s:%u: %s", path, number, fault);
			goto out;
		}
		if (set(env, strdup(line)) == -1) {
			why_errno(why, "env_file %s", path);
			goto out;
		}
	}
	rc = 0;
out:
	/* The values may be secrets of the handlers'. */
	explicit_bzero(text, len);
	free(text);
	return (rc);
}

char **
environment_of_category(
    char *const base[], const char *category, const char *file, struct why *why)
{
	char **env;

	if ((env = words_copy(base)) == NULL) {
		why_errno(why, "category %s", category);
		return (NULL);
	}
	if (file != NULL && add_file(&env, file, why) == -1)
		goto fail;
	if (set(&env, text_format("%s=%s", ENVIRONMENT_MARK, category)) == -1) {
		why_errno(why, "category %s", category);
		goto fail;
	}
	return (env);

fail:
	words_free(env);
	return (NULL);
}

int
environment_add(char ***env, const char *name, const char *value)
{
	const size_t len = strlen(name);
	char **e;

	for (e = *env; *e != NULL; e++)
		if (strncmp(*e, name, len) == 0 && (*e)[len] == '=')
			return (0);
	return (set(env, text_format("%s=%s", name, value)));
}

int
environment_set_number(char ***env, const char *name, int64_t value)
{
	const size_t len = strlen(name);
	char **e;

	if (value != 0)
		return (
		    set(env, text_format("%s=%lld", name, (long long)value)));
	for (e = *env; *e != NULL; e++)
		if (strncmp(*e, name, len) == 0 && (*e)[len] == '=') {
			free(*e);
			do
				e[0] = e[1];
			while (*e++ != NULL);
			break;
		}
	return (0);
}

static int
add_file_setting(
    char ***env, struct bytes *files, const char *setting, struct why *why)
{
	const int len = (int)strcspn(setting, "=");
	const char *path = setting + len + 1;
	struct stat st;

	if (access(path, R_OK) == -1 || stat(path, &st) == -1) {
		why_errno(why, "set_file %s", setting);
		return (-1);
	}
	bytes_printf(files, "%llu:%llu:%lld:%lld.%09ld\n",
	    (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
	    (long long)st.st_size, (long long)st.st_mtim.tv_sec,
	    st.st_mtim.tv_nsec);
	if (bytes_failed(files) ||
	    set(env, text_format("%.*s_FILE=%s", len, setting, path)) == -1) {
		why_errno(why, "set_file");
		return (-1);
	}
	return (0);
}

int
environment_add_settings(char ***env, struct bytes *files,
    const struct conf_settings *settings, struct why *why)
{
	char *const *s;

	for (s = settings->set; s != NULL && *s != NULL; s++)
		if (set(env, strdup(*s)) == -1) {
			why_errno(why, "set");
			return (-1);
		}
	for (s = settings->set_file; s != NULL && *s != NULL; s++)
		if (add_file_setting(env, files, *s, why) == -1)
			return (-1);
	return (0);
}
