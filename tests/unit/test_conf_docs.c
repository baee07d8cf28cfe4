/* SPDX-License-Identifier: ISC */
/*
 * The table of keys, avtoworker.conf(5) and the example in etc/ say the same:
 * every key and variable is in all of them, and none has one more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/conf.h"
#include "supervisor/conf_keys.h"
#include "supervisor/conf_value.h"
#include "tests/test.h"

/* A whole file of the source tree. Caller frees. */
static char *
read_source(const char *name)
{
	const char *top = getenv("top_srcdir");
	char path[4096], *text = NULL;
	size_t size = 0;
	FILE *f;

	(void)snprintf(
	    path, sizeof(path), "%s/%s", top != NULL ? top : ".", name);
	if ((f = fopen(path, "r")) == NULL)
		test_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
	ASSERT(getdelim(&text, &size, '\0', f) > 0);
	(void)fclose(f);
	return (text);
}

static char *
read_man_page(void)
{
	return (read_source("supervisor/avtoworker.conf.5"));
}

/* One ".It Cm KEY" or ".It Ev VARIABLE" of the page. */
struct item {
	char section[64]; /* of the ".Ss SECTION" it stands under */
	char heading[64]; /* of the ".Sh HEADING" */
	char macro[8];
	char name[64];
	const char *text; /* from its own line on; ends with the next item */
	size_t text_len;
};

/* Steps to the next item from *at on; false at the end. */
static bool
next_item(const char **at, struct item *it)
{
	const char *line = *at, *next;

	for (; *line != '\0'; line = next) {
		next = line + strcspn(line, "\n");
		next += *next == '\n';
		if (sscanf(line, ".Sh %63[^\n]", it->heading) == 1)
			it->section[0] = '\0';
		(void)sscanf(line, ".Ss %63s", it->section);
		if (sscanf(line, ".It %7s %63s", it->macro, it->name) != 2)
			continue;
		if (strcmp(it->macro, "Cm") != 0 &&
		    strcmp(it->macro, "Ev") != 0)
			continue;
		it->text = line;
		*at = next;
		next = strstr(next, "\n.It ");
		it->text_len =
		    next != NULL ? (size_t)(next - line) : strlen(line);
		return (true);
	}
	return (false);
}

static bool
item_has(const struct item *it, const char *text)
{
	const char *found = strstr(it->text, text);

	return (found != NULL && found < it->text + it->text_len);
}

static bool
find_item(
    const char *page, const char *section, const char *name, struct item *it)
{
	memset(it, 0, sizeof(*it));
	while (next_item(&page, it))
		if (strcmp(it->section, section) == 0 &&
		    strcmp(it->name, name) == 0)
			return (true);
	return (false);
}

/* A key's default and range as the page should have them. */
static void
check_item(const struct conf_key *key, const struct item *it)
{
	const struct conf_choice *c;
	char expects[256], range[128], *from;

	if (key->def != NULL && !item_has(it, key->def))
		test_fail(__FILE__, __LINE__, "%s.%s: the page lacks %s",
		    key->section, key->name, key->def);
	if (key->restart != item_has(it, "Needs a restart"))
		test_fail(__FILE__, __LINE__, "%s.%s: %s a restart",
		    key->section, key->name,
		    key->restart ? "needs" : "does not need");
	if (key->required && !item_has(it, "Must be set"))
		test_fail(__FILE__, __LINE__, "%s.%s must be set", key->section,
		    key->name);
	for (c = key->choices; c != NULL && c->word != NULL; c++)
		if (!item_has(it, c->word))
			test_fail(__FILE__, __LINE__, "%s.%s: no word %s",
			    key->section, key->name, c->word);
	conf_value_expects(key, expects, sizeof(expects));
	if (key->max == 0 || (from = strstr(expects, "from ")) == NULL)
		return;
	(void)snprintf(range, sizeof(range), "%s", from + strlen("from "));
	if (!item_has(it, range))
		test_fail(__FILE__, __LINE__, "%s.%s: the page lacks %s",
		    key->section, key->name, range);
}

static void
every_key_is_in_the_man_page(void)
{
	const struct conf_key *key;
	char *page = read_man_page();
	struct item it;
	size_t i;

	for (i = 0; (key = conf_key_at(i)) != NULL; i++) {
		if (key->secret)
			continue;
		if (!find_item(page, key->section, key->name, &it))
			test_fail(__FILE__, __LINE__, "%s.%s is missing",
			    key->section, key->name);
		check_item(key, &it);
	}
	free(page);
}

static void
the_man_page_has_no_other_keys(void)
{
	const struct conf_key *key;
	char *page = read_man_page();
	const char *at = page;
	struct item it = { .text = NULL };
	size_t n = 0, want = 0, i;

	while (next_item(&at, &it)) {
		if (strcmp(it.macro, "Cm") != 0)
			continue;
		n++;
		if (conf_key_find(it.section, it.name) == NULL)
			test_fail(__FILE__, __LINE__, "there is no %s.%s",
			    it.section, it.name);
	}
	for (i = 0; (key = conf_key_at(i)) != NULL; i++)
		want += !key->secret;
	ASSERT_INT(n, want);
	free(page);
}

static void
every_variable_is_in_the_man_page(void)
{
	const struct conf_key *key;
	char *page = read_man_page(), name[128];
	struct item it;
	size_t i;

	for (i = 0; (key = conf_key_at(i)) != NULL; i++) {
		if (key->environment == NULL)
			continue;
		if (!find_item(page, "", key->environment, &it))
			test_fail(__FILE__, __LINE__, "%s is missing",
			    key->environment);
		(void)snprintf(
		    name, sizeof(name), "%s.%s", key->section, key->name);
		if (conf_section_find(key->section)->title == NULL &&
		    !item_has(&it, name))
			test_fail(__FILE__, __LINE__,
			    "%s is not said to set %s", key->environment, name);
		if (key->environment_first != NULL)
			ASSERT(
			    find_item(page, "", key->environment_first, &it));
	}
	free(page);
}

static bool
is_variable(const char *name)
{
	const struct conf_key *key;
	size_t i;

	for (i = 0; (key = conf_key_at(i)) != NULL; i++) {
		if ((key->environment != NULL &&
			strcmp(key->environment, name) == 0) ||
		    (key->environment_first != NULL &&
			strcmp(key->environment_first, name) == 0))
			return (true);
	}
	return (strcmp(name, CONF_ORCHESTRATORS) == 0 || conf_sdk_knows(name));
}

static void
the_man_page_has_no_other_variables(void)
{
	char *page = read_man_page();
	const char *at = page;
	struct item it = { .text = NULL };

	while (next_item(&at, &it))
		if (strcmp(it.macro, "Ev") == 0 &&
		    strcmp(it.section, "Other") != 0 && !is_variable(it.name))
			test_fail(
			    __FILE__, __LINE__, "nothing reads %s", it.name);
	free(page);
}

/* Text as mdoc fills it: any white space is one blank. */
static bool
item_says(const struct item *it, const char *text)
{
	const char *p = strchr(it->text, '\n'), *end = it->text + it->text_len;

	/* A sentence of the page begins with a capital letter. */
	for (p++, text++, p++; *text != '\0' && p < end; text++, p++)
		if (*p != *text && !(*p == '\n' && *text == ' '))
			return (false);
	return (*text == '\0');
}

static void
every_variable_without_use_is_in_the_man_page(void)
{
	char *page = read_man_page();
	const char *at = page;
	size_t i, n = 0;
	struct item it;

	for (i = 0; i < conf_variables_len; i++) {
		const struct conf_variable *v = &conf_variables[i];

		if (is_variable(v->name))
			test_fail(__FILE__, __LINE__,
			    "%s sets a key: take it out of conf_variables.c",
			    v->name);
		if (!find_item(page, "Other", v->name, &it))
			test_fail(__FILE__, __LINE__, "%s is missing", v->name);
		if (!item_says(&it, v->instead))
			test_fail(__FILE__, __LINE__, "%s: the page lacks: %s",
			    v->name, v->instead);
	}
	memset(&it, 0, sizeof(it));
	while (next_item(&at, &it))
		n += strcmp(it.section, "Other") == 0;
	ASSERT_INT(n, conf_variables_len);
	free(page);
}

static struct conf *
build_text(const char *text, bool local)
{
	char *environment[] = { "WORKER_TOKEN=x", "ORCHESTRATOR_SECRET_KEY=x",
		NULL };
	struct conf_source source = { .environment = environment,
		.local = local };
	char path[] = "/tmp/avtoworker-conf-XXXXXX";
	struct conf_problems problems;
	struct conf *conf;
	int fd = mkstemp(path);

	ASSERT(fd != -1);
	ASSERT(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	(void)close(fd);
	source.file = path;
	conf_problems_init(&problems);
	conf = conf_new(&source, &problems);
	(void)unlink(path);
	if (conf == NULL)
		test_fail(__FILE__, __LINE__, "%s",
		    TAILQ_FIRST(&problems.list)->text);
	return (conf);
}

/* Takes away the "#" of settings; those of sentences have a blank after. */
static void
uncomment(char *text)
{
	char *line;

	for (line = text; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (line[0] == '#' && line[1] != '\n' &&
		    (line[1] != ' ' || line[2] == ' '))
			line[0] = ' ';
	}
}

static void
the_example_changes_nothing_as_it_is(void)
{
	char *text = read_source("etc/avtoworker.conf");
	struct conf *conf = build_text(text, true);

	ASSERT(TAILQ_EMPTY(&conf->categories));
	ASSERT(TAILQ_EMPTY(&conf->modules));
	ASSERT(conf->worker.id == NULL);
	conf_free(conf);
	free(text);
}

static char *
dump(const struct conf *conf)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ASSERT(f != NULL);
	conf_dump(conf, f);
	ASSERT(fclose(f) == 0);
	return (text);
}

static void
the_example_shows_every_key_with_its_default(void)
{
	const struct conf_key *key;
	char *text = read_source("etc/avtoworker.conf"), *dumped;
	char setting[128];
	struct conf *conf;
	size_t i;

	uncomment(text);
	conf = build_text(text, false);
	dumped = dump(conf);
	for (i = 0; (key = conf_key_at(i)) != NULL; i++) {
		if (key->secret)
			continue;
		(void)snprintf(setting, sizeof(setting), " %s = %s", key->name,
		    key->def != NULL ? key->def : "");
		if (strstr(text, setting) == NULL)
			test_fail(__FILE__, __LINE__, "no%s for %s", setting,
			    key->section);
		(void)snprintf(setting, sizeof(setting), "\t%s = ", key->name);
		if (strstr(dumped, setting) == NULL)
			test_fail(__FILE__, __LINE__, "not in effect: %s.%s",
			    key->section, key->name);
	}
	free(dumped);
	conf_free(conf);
	free(text);
}

static const struct test tests[] = {
	{ "every key is in the man page", every_key_is_in_the_man_page },
	{ "the man page has no other keys", the_man_page_has_no_other_keys },
	{ "every variable is in the man page",
	    every_variable_is_in_the_man_page },
	{ "the man page has no other variables",
	    the_man_page_has_no_other_variables },
	{ "every variable without use is in the man page",
	    every_variable_without_use_is_in_the_man_page },
	{ "the example changes nothing as it is",
	    the_example_changes_nothing_as_it_is },
	{ "the example shows every key with its default",
	    the_example_shows_every_key_with_its_default },
};

TEST_MAIN(tests)
