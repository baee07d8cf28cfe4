/* SPDX-License-Identifier: ISC */
/*
 * Settings from the environment and from -o, and the wiping of secrets from
 * the environment block once they have been read.
 */
#include <stdlib.h>
#include <string.h>

#include "supervisor/conf_block.h"
#include "supervisor/conf_problem.h"

const char *const conf_secret_variables[] = {
	"WORKER_TOKEN",
	"WORKER_INDIVIDUAL_TOKEN",
	"ORCHESTRATOR_SECRET_KEY",
	"SECRET_KEY",
	"S3_SECRET_KEY",
	CONF_ORCHESTRATORS,
	NULL,
};

const char *
conf_variable(char **environment, const char *name)
{
	const size_t len = name != NULL ? strlen(name) : 0;
	size_t i;

	if (name == NULL || environment == NULL)
		return (NULL);
	for (i = 0; environment[i] != NULL; i++) {
		if (strncmp(environment[i], name, len) != 0 ||
		    environment[i][len] != '=')
			continue;
		return (environment[i][len + 1] != '\0' ?
			&environment[i][len + 1] :
			NULL);
	}
	return (NULL);
}

/* A secret that was wiped from the environment since the start; or NULL. */
static const char *
kept_secret(const struct conf *previous, const struct conf_key *key)
{
	const struct conf_tolds *kept;
	size_t i;

	if (previous == NULL || !key->secret)
		return (NULL);
	kept = &previous->secrets;
	for (i = 0; i < kept->len; i++)
		if (kept->list[i].key == key)
			return (kept->list[i].value);
	return (NULL);
}

/* The variable that sets a key, and its name; or NULL. */
static const char *
variable_of(const struct conf_source *source, const struct conf_key *key,
    const char **name)
{
	const char *value;

	*name = key->environment_first;
	if ((value = conf_variable(source->environment, *name)) != NULL)
		return (value);
	*name = key->environment;
	if ((value = conf_variable(source->environment, *name)) != NULL)
		return (value);
	return (kept_secret(source->previous, key));
}

void
conf_secrets_keep(struct conf *conf, const struct conf_source *source,
    struct conf_problems *problems)
{
	const struct conf_key *key;
	const char *value, *name;
	struct why why;
	size_t i;

	for (i = 0; (key = conf_key_at(i)) != NULL; i++) {
		if (!key->secret ||
		    (value = variable_of(source, key, &name)) == NULL)
			continue;
		if (conf_told_add(
			&conf->secrets, name, key, strdup(value), &why) == -1)
			conf_problem_memory(problems);
	}
}

const char *
conf_orchestrators_list(const struct conf_source *source)
{
	const char *list =
	    conf_variable(source->environment, CONF_ORCHESTRATORS);

	if (list == NULL && source->previous != NULL)
		list = source->previous->orchestrators_config;
	return (list);
}

/* The next orchestrator block, after b or the first with NULL. */
static struct conf_block *
next_block(struct conf_blocks *blocks, const struct conf_section *section,
    struct conf_block *b)
{
	if (b == NULL)
		return (conf_block_find(blocks, section, NULL));
	while ((b = TAILQ_NEXT(b, entry)) != NULL && b->section != section)
		continue;
	return (b);
}

/* True when the list of orchestrators says it. */
static bool
is_listed(const struct conf_block *b, const struct conf_key *key)
{
	const struct conf_setting *s = conf_block_get(b, key);

	return (s != NULL && s->rank == CONF_RANK_ENVIRONMENT);
}

/* True when a block says itself what a variable would say for all of them. */
static bool
has_its_own(const struct conf_block *b, const struct conf_key *key)
{
	return (conf_block_get(b, key) != NULL ||
	    (key->secret &&
		conf_block_get(b, conf_key_find(key->section, key->file)) !=
		    NULL));
}

/*
 * Variables name no block. When there is only one they mean that one; of
 * several they mean all that say nothing themselves, but for the url, which
 * can be nobody's then.
 */
static void
set_titled(struct conf_blocks *blocks, const struct conf_section *section,
    const struct conf_key *key, const char *name, const char *value,
    struct conf_problems *problems)
{
	struct conf_block *first = next_block(blocks, section, NULL), *b;

	if (first == NULL) {
		first = conf_block_add(blocks, section, "main", "environment");
		if (first == NULL) {
			conf_problem_memory(problems);
			return;
		}
	}
	if ((b = next_block(blocks, section, first)) == NULL) {
		if (!is_listed(first, key))
			conf_block_set(first, key, value, "environment", name,
			    CONF_RANK_ENVIRONMENT, problems);
		return;
	}
	if (key->required)
		conf_problem_add(problems,
		    "environment: %s could mean %s %s (%s) or %s (%s); unset "
		    "it and write the setting into the blocks",
		    name, section->name, first->title, first->where, b->title,
		    b->where);
	else
		for (b = first; b != NULL; b = next_block(blocks, section, b))
			if (!has_its_own(b, key))
				conf_block_set(b, key, value, "environment",
				    name, CONF_RANK_ENVIRONMENT, problems);
}

/* A variable that belongs to orchestrators. */
static void
read_titled(const struct conf_source *source, struct conf_blocks *blocks,
    const struct conf_key *key, const char *name, const char *value,
    struct conf_problems *problems)
{
	const struct conf_section *section = conf_section_find(key->section);
	const bool listed = conf_orchestrators_list(source) != NULL;

	/* Nobody needs one in local mode; the list says better than
	 * ORCHESTRATOR_URL, which alone makes one. */
	if (source->local || (listed && key->required) ||
	    (!key->required && next_block(blocks, section, NULL) == NULL))
		return;
	set_titled(blocks, section, key, name, value, problems);
}

void
conf_environment_set(const struct conf_source *source,
    struct conf_blocks *blocks, const struct conf_key *key, const char *name,
    const char *value, struct conf_problems *problems)
{
	const struct conf_section *section = conf_section_find(key->section);

	if (section->title != NULL)
		read_titled(source, blocks, key, name, value, problems);
	else
		conf_block_set(conf_block_find(blocks, section, NULL), key,
		    value, "environment", name, CONF_RANK_ENVIRONMENT,
		    problems);
}

void
conf_environment_read(const struct conf_source *source,
    struct conf_blocks *blocks, struct conf_problems *problems)
{
	const struct conf_key *key;
	const char *list = conf_orchestrators_list(source), *value, *name;
	size_t i;

	if (list != NULL && !source->local)
		conf_orchestrators_read(list, blocks, problems);
	for (i = 0; (key = conf_key_at(i)) != NULL; i++)
		if ((value = variable_of(source, key, &name)) != NULL)
			conf_environment_set(
			    source, blocks, key, name, value, problems);
	conf_sdk_read(source, blocks, problems);
}

/* SECTION.KEY or SECTION/TITLE.KEY, cut into its parts. */
struct option {
	char *section;
	char *title; /* NULL: none */
	char *key;
	const char *value;
};

/* Cuts up text, which is a copy. Titles may have dots, keys have none. */
static int
cut_option(char *text, struct option *o)
{
	char *equals, *dot, *slash;

	if ((equals = strchr(text, '=')) == NULL)
		return (-1);
	*equals = '\0';
	o->value = equals + 1;
	if ((dot = strrchr(text, '.')) == NULL)
		return (-1);
	*dot = '\0';
	o->key = dot + 1;
	o->section = text;
	if ((slash = strchr(text, '/')) != NULL)
		*slash++ = '\0';
	o->title = slash;
	return (0);
}

/* The rows that an option names; -1 and a problem when there are none. */
static int
find_rows(const struct option *o, const struct conf_section **section,
    const struct conf_key **key, struct conf_problems *problems)
{
	struct conf_shown a, b;
	const char *nearest;

	if ((*section = conf_section_find(o->section)) == NULL) {
		nearest = conf_section_nearest(o->section);
		conf_problem_add(problems, "-o: unknown block %s%s%s",
		    conf_show(o->section, &a),
		    nearest != NULL ? "; did you mean " : "",
		    nearest != NULL ? nearest : "");
		return (-1);
	}
	if ((*key = conf_key_find(o->section, o->key)) == NULL) {
		nearest = conf_key_nearest(o->section, o->key);
		conf_problem_add(problems, "-o: unknown key %s in block %s%s%s",
		    conf_show(o->key, &a), o->section,
		    nearest != NULL ? "; did you mean " : "",
		    nearest != NULL ? nearest : "");
		return (-1);
	}
	if ((o->title != NULL) == ((*section)->title != NULL))
		return (0);
	conf_problem_add(problems, "-o: %s.%s: expected %s%s%s.%s=VALUE",
	    conf_show(o->section, &a), conf_show(o->key, &b), o->section,
	    (*section)->title != NULL ? "/" : "",
	    (*section)->title != NULL ? (*section)->title : "", o->key);
	return (-1);
}

static void
read_option(const char *option, struct conf_blocks *blocks,
    struct conf_problems *problems)
{
	const struct conf_section *section;
	const struct conf_key *key;
	struct conf_block *block;
	struct option o;
	char *text, *where = NULL;

	if ((text = strdup(option)) == NULL)
		goto memory;
	if (cut_option(text, &o) == -1) {
		conf_problem_add(problems,
		    "-o: expected SECTION.KEY=VALUE or "
		    "SECTION/NAME.KEY=VALUE");
		goto done;
	}
	if (find_rows(&o, &section, &key, problems) == -1)
		goto done;
	if (asprintf(&where, "-o %.*s", (int)(o.value - text - 1), option) ==
	    -1) {
		where = NULL;
		goto memory;
	}
	block = conf_block_find(blocks, section, o.title);
	if (block == NULL)
		block = conf_block_add(blocks, section, o.title, where);
	if (block == NULL)
		goto memory;
	conf_block_set(block, key, o.value, where, "the value",
	    CONF_RANK_OPTION, problems);
	goto done;

memory:
	conf_problem_memory(problems);
done:
	free(where);
	free(text);
}

void
conf_options_read(const char **options, size_t options_len,
    struct conf_blocks *blocks, struct conf_problems *problems)
{
	size_t i;

	for (i = 0; i < options_len; i++)
		read_option(options[i], blocks, problems);
}

static size_t
secret_name_len(const char *entry)
{
	size_t i, len;

	for (i = 0; conf_secret_variables[i] != NULL; i++) {
		len = strlen(conf_secret_variables[i]);
		if (strncmp(entry, conf_secret_variables[i], len) == 0 &&
		    entry[len] == '=')
			return (len);
	}
	return (0);
}

void
conf_wipe_environment(char **environment)
{
	char **from, **to = environment;
	size_t len;

	if (environment == NULL)
		return;
	for (from = environment; *from != NULL; from++) {
		if ((len = secret_name_len(*from)) == 0) {
			*to++ = *from;
			continue;
		}
		explicit_bzero(*from + len + 1, strlen(*from + len + 1));
	}
	*to = NULL;
}
