/* SPDX-License-Identifier: ISC */
/*
 * The configuration in words: -T writes what is in effect, --help what there
 * is to set. Both walk the table of keys.
 */
#include <stdio.h>
#include <string.h>

#include "supervisor/conf.h"
#include "supervisor/conf_keys.h"
#include "supervisor/conf_value.h"

static void
dump_key(const struct conf_key *key, const void *base, FILE *f)
{
	if (!conf_value_is_set(key, base)) {
		if (key->unset != NULL)
			(void)fprintf(f, "\t# %s is not set: %s\n", key->name,
			    key->unset);
		return;
	}
	if (key->secret) {
		(void)fprintf(f,
		    "\t# %s is set by the environment, and not "
		    "shown\n",
		    key->name);
		return;
	}
	(void)fprintf(f, "\t%s = ", key->name);
	conf_value_print(key, base, f);
	(void)fputc('\n', f);
}

static void
dump_block(const char *section, const char *title, const void *base, FILE *f)
{
	const struct conf_key *key;
	size_t i;

	if (title != NULL)
		(void)fprintf(f, "\n%s %s {\n", section, title);
	else
		(void)fprintf(f, "%s {\n", section);
	for (i = 0; (key = conf_key_at(i)) != NULL; i++)
		if (strcmp(key->section, section) == 0)
			dump_key(key, base, f);
	(void)fputs("}\n", f);
}

void
conf_dump(const struct conf *conf, FILE *f)
{
	const struct conf_orchestrator *o;
	const struct conf_category *c;
	const struct conf_module *m;
	const struct conf_handler *h;
	const struct conf_python *py;
	const struct conf_channel *ch;

	dump_block("worker", NULL, &conf->worker, f);
	(void)fputc('\n', f);
	dump_block("resources", NULL, &conf->resources, f);
	(void)fputc('\n', f);
	dump_block("storage", NULL, &conf->storage, f);
	(void)fputc('\n', f);
	dump_block("log", NULL, &conf->log, f);
	(void)fputc('\n', f);
	dump_block("metrics", NULL, &conf->metrics, f);
	TAILQ_FOREACH(o, &conf->orchestrators, entry)
		dump_block("orchestrator", o->name, o, f);
	TAILQ_FOREACH(c, &conf->categories, entry)
		dump_block("category", c->name, c, f);
	TAILQ_FOREACH(m, &conf->modules, entry)
		dump_block("module", m->name, m, f);
	TAILQ_FOREACH(h, &conf->handlers, entry)
		dump_block("handler", h->name, h, f);
	TAILQ_FOREACH(py, &conf->pythons, entry)
		dump_block("python", py->name, py, f);
	TAILQ_FOREACH(ch, &conf->channels, entry)
		dump_block("channel", ch->name, ch, f);
}

/* What a key holds, in as few words as possible. */
static void
print_kind(const struct conf_key *key, FILE *f)
{
	static const char *const kinds[] = {
		[CONF_TYPE_TEXT] = "text",
		[CONF_TYPE_URL] = "URL",
		[CONF_TYPE_WORDS] = "list of words",
		[CONF_TYPE_NUMBER] = "number",
		[CONF_TYPE_DECIMAL] = "number",
		[CONF_TYPE_SIZE] = "size",
		[CONF_TYPE_TIME] = "time",
		[CONF_TYPE_FLAG] = "yes or no",
	};
	char words[256];

	if (key->type != CONF_TYPE_CHOICE) {
		(void)fputs(kinds[key->type], f);
		return;
	}
	conf_value_expects(key, words, sizeof(words));
	(void)fputs(words, f);
}

static void
print_key(const struct conf_section *s, const struct conf_key *key, FILE *f)
{
	char name[80];

	(void)snprintf(name, sizeof(name), "%s%s%s.%s", s->name,
	    s->title != NULL ? "/" : "", s->title != NULL ? s->title : "",
	    key->name);
	(void)fprintf(f, "  %-38s ", name);
	print_kind(key, f);
	if (key->required)
		(void)fputs("; must be set", f);
	else
		(void)fprintf(f, "; default: %s",
		    key->def != NULL ? key->def : key->unset);
	if (key->environment_first != NULL)
		(void)fprintf(f, "; $%s", key->environment_first);
	if (key->environment != NULL)
		(void)fprintf(f, "; $%s", key->environment);
	(void)fprintf(f, ". %s\n", key->help);
}

void
conf_print_keys(FILE *f)
{
	const struct conf_key *key;
	size_t i;

	for (i = 0; (key = conf_key_at(i)) != NULL; i++)
		print_key(conf_section_find(key->section), key, f);
}
