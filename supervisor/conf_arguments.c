/* SPDX-License-Identifier: ISC */
/*
 * conf_arguments.c: handlers that are named on the command line, by files: a
 * module, a script, or an executable. Files are where the caller is, but for
 * modules without a slash.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>

#include "supervisor/conf_block.h"
#include "supervisor/conf_checks.h"
#include "supervisor/conf_problem.h"
#include "supervisor/conf_value.h"

/* Longest name that conf_is_name() allows. */
#define NAME_LEN 64
/* The same of conf_is_task_type(). */
#define TYPE_LEN 128

static bool
module_exists(const struct conf *conf, const char *name)
{
	const struct conf_module *m;

	TAILQ_FOREACH(m, &conf->modules, entry)
		if (strcmp(m->name, name) == 0)
			return (true);
	return (false);
}

/* Replaces what no name of a block has; other: for an empty one. */
static void
make_name(char *stem, const char *other)
{
	char *c;

	for (c = stem; *c != '\0'; c++)
		if (!conf_is_name((const char[]){ *c, '\0' }))
			*c = '_';
	if (*stem == '\0')
		(void)strlcpy(stem, other, NAME_LEN - 8);
}

/* The base name of a file without its extension. */
static void
stem_of(const char *file, char *stem, size_t size)
{
	const char *slash = strrchr(file, '/');
	const char *base = slash != NULL ? slash + 1 : file;
	const char *dot = strrchr(base, '.');
	const size_t len = dot != NULL ? (size_t)(dot - base) : strlen(base);

	(void)snprintf(
	    stem, size, "%.*s", len < size ? (int)len : (int)size - 1, base);
}

/* A name for a module of the command line: its file's own without ".so", with
 * a number when that is taken. */
static void
module_name(const struct conf *conf, const char *file, char *name, size_t size)
{
	char stem[NAME_LEN - 8 + 1];
	unsigned n = 1;

	stem_of(file, stem, sizeof(stem));
	make_name(stem, "module");
	(void)snprintf(name, size, "%s", stem);
	while (module_exists(conf, name))
		(void)snprintf(name, size, "%s-%u", stem, ++n);
}

static void
report_argument(const struct conf_key *key, const char *file,
    struct conf_problems *problems)
{
	struct conf_shown shown;
	char expects[256];

	conf_value_expects(key, expects, sizeof(expects));
	conf_problem_add(problems, "command line: HANDLER is %s; expected %s",
	    conf_show(file, &shown), expects);
}

static void
add_module(struct conf *conf, const char *file, struct conf_problems *problems)
{
	const struct conf_key *key = conf_key_find("module", "file");
	char name[NAME_LEN + 1];
	struct conf_module *m;

	module_name(conf, file, name, sizeof(name));
	if ((m = conf_struct(conf, "module", name)) == NULL) {
		conf_problem_memory(problems);
		return;
	}
	m->from_argv = true;
	if (conf_value_set(key, file, m) == -1)
		report_argument(key, file, problems);
}

/* A file of the command line, which is where the caller is. */
static void
set_command(const struct conf_key *key, const char *file, void *base,
    struct conf_problems *problems)
{
	char path[PATH_MAX];
	const int len = snprintf(path, sizeof(path), "%s%s",
	    strchr(file, '/') == NULL ? "./" : "", file);

	if (file[0] == '\0' || len >= (int)sizeof(path) ||
	    conf_value_set(key, path, base) == -1)
		report_argument(key, file, problems);
}

/* The handler of that task type; a block may say more about it. */
static void
add_executable(
    struct conf *conf, const char *file, struct conf_problems *problems)
{
	const struct conf_key *key = conf_key_find("handler", "exec");
	struct conf_shown shown;
	struct conf_handler *h;
	char type[TYPE_LEN + 2];

	stem_of(file, type, sizeof(type));
	if (!conf_is_task_type(type)) {
		conf_problem_add(problems,
		    "command line: the base name of HANDLER %s is no task "
		    "type; name it in a block: handler TYPE { exec = PATH }",
		    conf_show(file, &shown));
		return;
	}
	TAILQ_FOREACH(h, &conf->handlers, entry)
		if (strcmp(h->name, type) == 0)
			break;
	if (h == NULL && (h = conf_struct(conf, "handler", type)) == NULL) {
		conf_problem_memory(problems);
		return;
	}
	if (h->module != NULL || h->exec != NULL) {
		conf_problem_add(problems,
		    "command line: HANDLER %s: something else runs task type "
		    "%s already",
		    conf_show(file, &shown), type);
		return;
	}
	h->from_argv = true;
	set_command(key, file, h, problems);
}

/* MODULE:ATTRIBUTE, as the SDK's command has it, and no file. */
static bool
is_attribute(const char *text)
{
	const char *colon = strchr(text, ':');

	return (colon != NULL && colon != text && colon[1] != '\0' &&
	    strchr(text, '/') == NULL && access(text, F_OK) == -1);
}

/* A block for a script, named after it. */
static void
add_script(struct conf *conf, const char *file, struct conf_problems *problems)
{
	const struct conf_key *key = conf_key_find("python", "script");
	char name[NAME_LEN + 1], stem[NAME_LEN - 8 + 1];
	struct conf_python *py;
	unsigned n = 1;

	stem_of(file, stem, sizeof(stem));
	make_name(stem, "script");
	(void)snprintf(name, sizeof(name), "%s", stem);
	do {
		TAILQ_FOREACH(py, &conf->pythons, entry)
			if (strcmp(py->name, name) == 0)
				break;
		if (py != NULL)
			(void)snprintf(name, sizeof(name), "%s-%u", stem, ++n);
	} while (py != NULL);
	if ((py = conf_struct(conf, "python", name)) == NULL)
		conf_problem_memory(problems);
	else if (!is_attribute(file))
		set_command(key, file, py, problems);
	else if (conf_value_set(key, file, py) == -1)
		report_argument(key, file, problems);
}

static bool
ends_in(const char *file, const char *ending)
{
	const size_t len = strlen(file), n = strlen(ending);

	return (len >= n && strcmp(file + len - n, ending) == 0);
}

void
conf_argument_add(
    struct conf *conf, const char *file, struct conf_problems *problems)
{
	if (ends_in(file, ".so"))
		add_module(conf, file, problems);
	else if (ends_in(file, ".py") || is_attribute(file))
		add_script(conf, file, problems);
	else
		add_executable(conf, file, problems);
}
