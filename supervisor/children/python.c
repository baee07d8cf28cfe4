/* SPDX-License-Identifier: ISC */
/*
 * python.c: "python = INTERPRETER", else what the script itself names behind
 * "#!", else $VIRTUAL_ENV, else a .venv beside the script, else python3. A
 * script runs under avtoworker_run.py, which sees to it that the script finds
 * our module rather than another of that name.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bsd/string.h>

#include "supervisor/base/log.h"
#include "supervisor/base/text.h"
#include "supervisor/base/words.h"
#include "supervisor/children/python.h"
#include "supervisor/conf.h"

#define RUNNER    "avtoworker_run.py"
#define LINE_MAX_ 256 /* of what stands behind "#!" */

/* What the script is. */
struct target {
	const char *file; /* or NULL: a module, found by Python */
	const char *option; /* "-m", or NULL */
	const char *name; /* what is given to the runner */
	size_t used; /* words of the script that it stands for */
};

static bool
is_executable(const char *path)
{
	struct stat st;

	return (stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    access(path, X_OK) == 0);
}

/* A program by its name, as a shell finds it; caller frees; or NULL. */
static char *
find_in_path(const char *name)
{
	const char *path = getenv("PATH");
	size_t len;
	char *file;

	if (path == NULL)
		path = "/usr/local/bin:/usr/bin:/bin";
	for (;; path += len + 1) {
		len = strcspn(path, ":");
		file = text_format("%.*s/%s", (int)len, path, name);
		if (len > 0 && file != NULL && is_executable(file))
			return (file);
		free(file);
		if (path[len] == '\0')
			return (NULL);
	}
}

/* Not realpath(3): what an environment's python is a link to knows nothing of
 * the environment. */
static char *
absolute(const char *path)
{
	char here[PATH_MAX];

	if (path[0] == '/' || getcwd(here, sizeof(here)) == NULL)
		return (strdup(path));
	if (strncmp(path, "./", 2) == 0)
		path += 2;
	return (text_format("%s/%s", here, path));
}

/* The first line of a script behind "#!"; false when it has none. */
static bool
read_shebang(const char *file, char line[LINE_MAX_])
{
	const int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n;

	if (fd == -1)
		return (false);
	n = read(fd, line, LINE_MAX_ - 1);
	(void)close(fd);
	if (n < 3 || line[0] != '#' || line[1] != '!')
		return (false);
	line[n] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	memmove(line, line + 2, strlen(line + 2) + 1);
	return (true);
}

static bool
is_python(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash != NULL ? slash + 1 : path;

	return (
	    strncmp(base, "python", 6) == 0 || strncmp(base, "pypy", 4) == 0);
}

/* What stands behind "#!", if that is a Python: by its path or by env(1), with
 * options. */
static bool
add_shebang(struct words *w, const char *file)
{
	char line[LINE_MAX_], *rest = line, *word, *path;

	if (!read_shebang(file, line))
		return (false);
	do
		word = strsep(&rest, " \t");
	while (word != NULL &&
	    (*word == '\0' || strcmp(word, "-S") == 0 ||
		(strlen(word) >= 4 &&
		    strcmp(word + strlen(word) - 4, "/env") == 0)));
	if (word == NULL || !is_python(word))
		return (false);
	path = strchr(word, '/') != NULL ? strdup(word) : find_in_path(word);
	if (path == NULL || !is_executable(path)) {
		free(path);
		return (false);
	}
	words_add(w, path);
	while ((word = strsep(&rest, " \t")) != NULL)
		if (*word != '\0')
			words_add(w, strdup(word));
	return (true);
}

/* An environment's Python; false when there is none. */
static bool
add_environment(struct words *w, const char *folder, size_t len)
{
	char *path = text_format("%.*s/bin/python", (int)len, folder);

	if (path == NULL || !is_executable(path)) {
		free(path);
		return (false);
	}
	words_add(w, path);
	return (true);
}

static bool
add_beside(struct words *w, const char *file)
{
	const char *slash = strrchr(file, '/');
	char *folder;
	bool found;

	folder =
	    text_format("%.*s/.venv", slash != NULL ? (int)(slash - file) : 1,
		slash != NULL ? file : ".");
	found = folder != NULL && add_environment(w, folder, strlen(folder));
	free(folder);
	return (found);
}

/* The interpreter that is asked for; -1 and why when it is not there. */
static int
add_configured(struct words *w, const char *python, struct why *why)
{
	char *path = strchr(python, '/') != NULL ? absolute(python) :
						   find_in_path(python);

	if (path == NULL || !is_executable(path)) {
		why_set(why, "python %s: no such executable file", python);
		free(path);
		return (-1);
	}
	words_add(w, path);
	return (0);
}

/* Sets *from to what the interpreter was found by. */
static int
add_interpreter(struct words *w, const struct conf_python *py,
    const struct target *t, const char **from, struct why *why)
{
	const char *venv = getenv("VIRTUAL_ENV");
	char *path;

	if (py->python != NULL) {
		*from = "python =";
		return (add_configured(w, py->python, why));
	}
	if (t->file != NULL && add_shebang(w, t->file)) {
		*from = "its #!";
		return (0);
	}
	if (venv != NULL && venv[0] == '/' &&
	    add_environment(w, venv, strlen(venv))) {
		*from = "$VIRTUAL_ENV";
		return (0);
	}
	if (t->file != NULL && add_beside(w, t->file)) {
		*from = ".venv beside it";
		return (0);
	}
	*from = "$PATH";
	if ((path = find_in_path("python3")) == NULL) {
		why_set(why,
		    "no python3 in $PATH; install it, or set python = PATH");
		return (-1);
	}
	words_add(w, path);
	return (0);
}

/* "-m MODULE" may be one word or two. */
static int
find_target(const struct conf_python *py, struct target *t, struct why *why)
{
	char *const *script = py->script;
	struct stat st;

	*t = (struct target){ .name = script[0], .used = 1 };
	if (strncmp(script[0], "-m", 2) == 0) {
		t->option = "-m";
		t->name = script[0] + 2 + strspn(script[0] + 2, " ");
		if (*t->name != '\0')
			return (0);
		if (script[1] == NULL) {
			why_set(why, "script -m: expected -m MODULE");
			return (-1);
		}
		t->name = script[1];
		t->used = 2;
		return (0);
	}
	if (stat(script[0], &st) == 0 && S_ISREG(st.st_mode) &&
	    access(script[0], R_OK) == 0) {
		t->file = script[0];
		return (0);
	}
	if (strchr(script[0], '/') == NULL && strchr(script[0], ':') != NULL)
		return (0); /* MODULE:ATTRIBUTE */
	if (stat(script[0], &st) == 0 && !S_ISREG(st.st_mode))
		why_set(why, "%s: not a file", script[0]);
	else
		why_errno(why, "%s", script[0]);
	return (-1);
}

char **
python_command(const struct conf_python *py, const char *folder, bool compiles,
    struct why *why)
{
	struct words w = { 0 };
	const char *from = NULL;
	struct target t;
	char **words;
	size_t i;

	if (find_target(py, &t, why) == -1 ||
	    add_interpreter(&w, py, &t, &from, why) == -1)
		goto fail;
	if (!w.failed)
		log_info("python %s: runs under %s, found by %s", py->name,
		    w.list[0], from);
	words_add(&w, text_format("%s/" RUNNER, folder));
	if (compiles)
		words_add(&w, strdup("--compile"));
	if (py->app != NULL) {
		words_add(&w, strdup("--app"));
		words_add(&w, strdup(py->app));
	}
	if (t.option != NULL)
		words_add(&w, strdup(t.option));
	words_add(&w, t.file != NULL ? absolute(t.file) : strdup(t.name));
	for (i = t.used; py->script[i] != NULL; i++)
		words_add(&w, strdup(py->script[i]));
	if ((words = words_take(&w)) == NULL)
		why_errno(why, "python %s", py->name);
	return (words);

fail:
	words_free(words_take(&w));
	return (NULL);
}
