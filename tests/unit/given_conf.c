/* SPDX-License-Identifier: ISC */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/conf.h"
#include "tests/test.h"
#include "tests/unit/given_conf.h"

static char dir[] = "/tmp/avtoworker-conf-XXXXXX";

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	(void)remove(path);
	return (0);
}

static void
remove_dir(void)
{
	(void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *
given_path(const char *name)
{
	static char paths[8][128];
	static unsigned next;
	char *path = paths[next++ % 8];

	if (strstr(dir, "XXXXXX") != NULL) {
		ASSERT(mkdtemp(dir) != NULL);
		ASSERT(atexit(remove_dir) == 0);
	}
	(void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return (path);
}

const char *
given_bytes(const char *name, const void *bytes, size_t len)
{
	const char *path = given_path(name);
	FILE *f = fopen(path, "w");

	ASSERT(f != NULL);
	ASSERT(fwrite(bytes, 1, len, f) == len);
	ASSERT(fclose(f) == 0);
	return (path);
}

const char *
given_file(const char *name, const char *text)
{
	return (given_bytes(name, text, strlen(text)));
}

struct conf *
given_build(const struct given *g, struct conf_problems *problems)
{
	static char *no_environment[] = { NULL };
	struct conf_source source = {
		.environment =
		    g->environment != NULL ? g->environment : no_environment,
		.options = g->options,
		.options_len = g->options_len,
		.handlers = g->handlers,
		.handlers_len = g->handlers_len,
		.local = !g->orchestrated,
	};

	if (g->text != NULL)
		source.file = given_file("main.conf", g->text);
	conf_problems_init(problems);
	return (conf_new(&source, problems));
}

struct conf *
given_conf(const struct given *g)
{
	struct conf_problems problems;
	struct conf *conf = given_build(g, &problems);

	if (conf == NULL)
		test_fail(__FILE__, __LINE__, "refused: %s",
		    TAILQ_FIRST(&problems.list)->text);
	ASSERT_INT(problems.count, 0);
	conf_problems_fini(&problems);
	return (conf);
}

void
given_refuses(const struct given *g, const char *const *want)
{
	struct conf_problems problems;
	struct conf_problem *p;
	const char *text;

	ASSERT(given_build(g, &problems) == NULL);
	TAILQ_FOREACH(p, &problems.list, entry) {
		const char *main_conf = given_path("main.conf");

		text = p->text;
		if (*want == NULL)
			test_fail(__FILE__, __LINE__, "also: %s", text);
		if (**want == '@') {
			if (strncmp(text, main_conf, strlen(main_conf)) != 0)
				test_fail(__FILE__, __LINE__,
				    "not in the file: %s", text);
			text += strlen(main_conf);
			if (strncmp(text, *want + 1, strlen(*want + 1)) != 0)
				test_fail(__FILE__, __LINE__,
				    "got \"%s\", want \"%s\"", text, *want + 1);
		} else if (strstr(text, *want) == NULL)
			test_fail(__FILE__, __LINE__, "got \"%s\", want \"%s\"",
			    text, *want);
		if (strstr(text, "s3cret") != NULL)
			test_fail(__FILE__, __LINE__, "leaked: %s", text);
		want++;
	}
	if (*want != NULL)
		test_fail(__FILE__, __LINE__, "not said: %s", *want);
	conf_problems_fini(&problems);
}
