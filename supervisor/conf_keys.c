/* SPDX-License-Identifier: ISC */
/*
 * The table of sections, and the keys of all of them, found by name. The keys'
 * rows are in the files conf_keys_*.c; nothing else in the program knows a
 * key's name, default, range or variable.
 */
#include <string.h>

#include "supervisor/conf_checks.h"
#include "supervisor/conf_keys.h"
#include "supervisor/conf_problem.h"
#include "supervisor/conf_rows.h"

const struct conf_section conf_sections[] = {
	{ .name = "worker",
	    .help = "This worker, as the orchestrator sees it." },
	{ .name = "resources",
	    .help = "What orchestrators are told that this worker has." },
	{ .name = "storage",
	    .help = "The object store that handlers use, as orchestrators "
		    "know it." },
	{ .name = "log", .help = "Where log lines go and how they look." },
	{ .name = "metrics", .help = "Figures and health, over HTTP." },
	{ .name = "orchestrator",
	    .title = "NAME",
	    .title_ok = conf_is_name,
	    .title_expects = NAME_EXPECTS,
	    .help = "An orchestrator to take tasks from." },
	{ .name = "category",
	    .title = "NAME",
	    .title_ok = conf_is_name,
	    .title_expects = NAME_EXPECTS,
	    .help = "A group of handlers that share children." },
	{ .name = "module",
	    .title = "NAME",
	    .title_ok = conf_is_name,
	    .title_expects = NAME_EXPECTS,
	    .help = "A file whose handlers are all offered." },
	{ .name = "handler",
	    .title = "TYPE",
	    .title_ok = conf_is_task_type,
	    .title_expects = TYPE_EXPECTS,
	    .help = "One task type, selected or overridden." },
	{ .name = "python",
	    .title = "NAME",
	    .title_ok = conf_is_name,
	    .title_expects = NAME_EXPECTS,
	    .help = "A Python script whose handlers are all offered." },
	{ .name = "channel",
	    .title = "NAME",
	    .title_ok = conf_is_name,
	    .title_expects = NAME_EXPECTS,
	    .help = "A program that speaks the channel by itself." },
};
const size_t conf_sections_len =
    sizeof(conf_sections) / sizeof(conf_sections[0]);

/* Keys of one section stand together. */
static const struct conf_rows *const tables[] = { &conf_rows_worker,
	&conf_rows_orchestrator, &conf_rows_category, &conf_rows_handlers };

const struct conf_key *
conf_key_at(size_t i)
{
	size_t t;

	for (t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
		if (i < tables[t]->len)
			return (&tables[t]->rows[i]);
		i -= tables[t]->len;
	}
	return (NULL);
}

const struct conf_section *
conf_section_find(const char *name)
{
	size_t i;

	for (i = 0; i < conf_sections_len; i++)
		if (strcmp(conf_sections[i].name, name) == 0)
			return (&conf_sections[i]);
	return (NULL);
}

const struct conf_key *
conf_key_find(const char *section, const char *name)
{
	const struct conf_key *key;
	size_t i;

	for (i = 0; (key = conf_key_at(i)) != NULL; i++)
		if (strcmp(key->section, section) == 0 &&
		    strcmp(key->name, name) == 0)
			return (key);
	return (NULL);
}

const char *
conf_section_nearest(const char *name)
{
	const char *nearest = NULL;
	size_t i, best = SIZE_MAX;

	for (i = 0; i < conf_sections_len; i++)
		if (conf_nearer(name, conf_sections[i].name, &best))
			nearest = conf_sections[i].name;
	return (nearest);
}

const char *
conf_key_nearest(const char *section, const char *name)
{
	const struct conf_key *key;
	const char *nearest = NULL;
	size_t i, best = SIZE_MAX;

	for (i = 0; (key = conf_key_at(i)) != NULL; i++)
		if (!key->secret && strcmp(key->section, section) == 0 &&
		    conf_nearer(name, key->name, &best))
			nearest = key->name;
	return (nearest);
}

const char *
conf_key_home(const char *name)
{
	const struct conf_key *key;
	size_t i;

	for (i = 0; (key = conf_key_at(i)) != NULL; i++)
		if (strcmp(key->name, name) == 0)
			return (key->section);
	return (NULL);
}
