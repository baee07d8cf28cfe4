/* SPDX-License-Identifier: ISC */
/*
 * Builds a struct conf: collects blocks from file, command line and
 * environment, turns their texts into values by the table of keys, and checks
 * what no single value can show. Everything that is wrong is listed before it
 * gives up. Nothing here is read again later.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/conf.h"
#include "supervisor/conf_block.h"
#include "supervisor/conf_keys.h"
#include "supervisor/conf_problem.h"
#include "supervisor/conf_value.h"

static void
free_values(const char *section, void *base)
{
	const struct conf_key *key;
	size_t i;

	for (i = 0; (key = conf_key_at(i)) != NULL; i++)
		if (strcmp(key->section, section) == 0)
			conf_value_free(key, base);
}

/* One titled struct and its place in the list of its kind. */
#define DEFINE_KIND(kind, list) \
	static struct conf_##kind *kind##_new( \
	    struct conf *conf, const char *name) \
	{ \
		struct conf_##kind *new; \
		if ((new = calloc(1, sizeof(*new))) == NULL) \
			return (NULL); \
		if ((new->name = strdup(name)) == NULL) { \
			free(new); \
			return (NULL); \
		} \
		TAILQ_INSERT_TAIL(&conf->list, new, entry); \
		return (new); \
	} \
	static void list##_free(struct conf *conf) \
	{ \
		struct conf_##kind *old; \
		while ((old = TAILQ_FIRST(&conf->list)) != NULL) { \
			TAILQ_REMOVE(&conf->list, old, entry); \
			free_values(#kind, old); \
			free(old->name); \
			free(old); \
		} \
	}

DEFINE_KIND(orchestrator, orchestrators)
DEFINE_KIND(category, categories)
DEFINE_KIND(module, modules)
DEFINE_KIND(handler, handlers)
DEFINE_KIND(python, pythons)
DEFINE_KIND(channel, channels)

static struct conf *
conf_alloc(void)
{
	struct conf *conf;

	if ((conf = calloc(1, sizeof(*conf))) == NULL)
		return (NULL);
	TAILQ_INIT(&conf->orchestrators);
	TAILQ_INIT(&conf->categories);
	TAILQ_INIT(&conf->modules);
	TAILQ_INIT(&conf->handlers);
	TAILQ_INIT(&conf->pythons);
	TAILQ_INIT(&conf->channels);
	return (conf);
}

void
conf_free(struct conf *conf)
{
	if (conf == NULL)
		return;
	free_values("worker", &conf->worker);
	free_values("resources", &conf->resources);
	free_values("storage", &conf->storage);
	free_values("log", &conf->log);
	free_values("metrics", &conf->metrics);
	free_values("category", &conf->category_defaults);
	orchestrators_free(conf);
	categories_free(conf);
	modules_free(conf);
	handlers_free(conf);
	pythons_free(conf);
	channels_free(conf);
	conf_told_fini(&conf->secrets);
	if (conf->orchestrators_config != NULL)
		explicit_bzero(conf->orchestrators_config,
		    strlen(conf->orchestrators_config));
	free(conf->orchestrators_config);
	free(conf);
}

void *
conf_struct(struct conf *conf, const char *section, const char *title)
{
	if (strcmp(section, "worker") == 0)
		return (&conf->worker);
	if (strcmp(section, "resources") == 0)
		return (&conf->resources);
	if (strcmp(section, "storage") == 0)
		return (&conf->storage);
	if (strcmp(section, "log") == 0)
		return (&conf->log);
	if (strcmp(section, "metrics") == 0)
		return (&conf->metrics);
	if (strcmp(section, "orchestrator") == 0)
		return (orchestrator_new(conf, title));
	if (strcmp(section, "category") == 0)
		return (category_new(conf, title));
	if (strcmp(section, "module") == 0)
		return (module_new(conf, title));
	if (strcmp(section, "python") == 0)
		return (python_new(conf, title));
	if (strcmp(section, "channel") == 0)
		return (channel_new(conf, title));
	return (handler_new(conf, title));
}

/* URLs may hold a password where none belongs, so they are not repeated. */
static void
report_value(const struct conf_setting *s, struct conf_problems *problems)
{
	const bool hidden = s->key->secret || s->key->type == CONF_TYPE_URL;
	struct conf_shown shown;
	char expects[256];

	conf_value_expects(s->key, expects, sizeof(expects));
	conf_problem_add(problems, "%s: %s is %s; expected %s", s->where,
	    s->label, hidden ? "not usable" : conf_show(s->value, &shown),
	    expects);
}

static void
set_value(const struct conf_block *b, const struct conf_key *key, void *base,
    struct conf_problems *problems)
{
	const struct conf_setting *s = conf_block_get(b, key);
	const char *text = s != NULL ? s->value : key->def;

	if (text == NULL) {
		if (key->required)
			conf_problem_add(problems,
			    "%s: %s %s has no %s; it must be set", b->where,
			    b->section->name, b->title, key->name);
		return;
	}
	if (conf_value_set(key, text, base) == 0)
		return;
	if (errno == ENOMEM || s == NULL)
		conf_problem_memory(problems);
	else
		report_value(s, problems);
}

static void
build_block(struct conf *conf, const struct conf_block *b,
    struct conf_problems *problems)
{
	const struct conf_key *key;
	struct conf_shown shown;
	void *base;
	size_t i;

	if (b->title != NULL && !b->section->title_ok(b->title))
		conf_problem_add(problems,
		    "%s: the name of a block %s is %s; expected %s", b->where,
		    b->section->name, conf_show(b->title, &shown),
		    b->section->title_expects);
	if ((base = conf_struct(conf, b->section->name, b->title)) == NULL) {
		conf_problem_memory(problems);
		return;
	}
	for (i = 0; (key = conf_key_at(i)) != NULL; i++)
		if (strcmp(key->section, b->section->name) == 0)
			set_value(b, key, base, problems);
}

/* What a block of that section without any key would hold. */
static void
set_defaults(const char *section, void *base, struct conf_problems *problems)
{
	const struct conf_key *key;
	size_t i;

	for (i = 0; (key = conf_key_at(i)) != NULL; i++)
		if (strcmp(key->section, section) == 0 && key->def != NULL &&
		    conf_value_set(key, key->def, base) != 0)
			conf_problem_memory(problems);
}

/* The sections without title are always there, in the file or not. */
static int
add_untitled(struct conf_blocks *blocks)
{
	size_t i;

	for (i = 0; i < conf_sections_len; i++) {
		const struct conf_section *s = &conf_sections[i];

		if (s->title == NULL &&
		    conf_block_find(blocks, s, NULL) == NULL &&
		    conf_block_add(blocks, s, NULL, "defaults") == NULL)
			return (-1);
	}
	return (0);
}

/* A category is named in two places, so a typing mistake in one of them would
 * quietly make another category. "default" needs no block. */
static void
check_category(struct conf *conf, const struct conf_block *b,
    const char *category, struct conf_problems *problems)
{
	const struct conf_key *key;
	const struct conf_category *c;
	const char *nearest = NULL;
	size_t best = SIZE_MAX;

	if (category == NULL || strcmp(category, CONF_DEFAULT_CATEGORY) == 0 ||
	    conf_category(conf, category) != NULL)
		return;
	TAILQ_FOREACH(c, &conf->categories, entry)
		if (conf_nearer(category, c->name, &best))
			nearest = c->name;
	key = conf_key_find(b->section->name, "category");
	conf_problem_add(problems, "%s: there is no category \"%s\"; %s%s%s",
	    conf_block_where(b, key), category,
	    nearest != NULL ? "did you mean \"" : "add a block: category ",
	    nearest != NULL ? nearest : category,
	    nearest != NULL ? "\"?" : " { }");
}

static void
check_categories(struct conf *conf, struct conf_blocks *blocks,
    struct conf_problems *problems)
{
	const struct conf_key *key;
	const struct conf_setting *s;
	const struct conf_block *b;

	TAILQ_FOREACH(b, blocks, entry) {
		key = conf_key_find(b->section->name, "category");
		if (key != NULL && (s = conf_block_get(b, key)) != NULL)
			check_category(conf, b, s->value, problems);
	}
}

/* children says it all; min and max must not contradict each other. */
static void
check_sizes(struct conf *conf, struct conf_blocks *blocks,
    struct conf_problems *problems)
{
	const struct conf_key *all = conf_key_find("category", "children");
	const struct conf_key *min = conf_key_find("category", "min_children");
	const struct conf_category *c;

	TAILQ_FOREACH(c, &conf->categories, entry) {
		const struct conf_block *b = conf_block_find(
		    blocks, conf_section_find("category"), c->name);

		if (c->children > 0 && c->max_children > 0)
			conf_problem_add(problems,
			    "%s: category %s has children and max_children; "
			    "remove one of them",
			    conf_block_where(b, all), c->name);
		else if (c->min_children >
			(c->children > 0 ? c->children : c->max_children) &&
		    (c->children > 0 || c->max_children > 0))
			conf_problem_add(problems,
			    "%s: category %s has min_children above what it "
			    "may have at most",
			    conf_block_where(b, min), c->name);
	}
}

static void
check_limit_pair(int64_t soft, int64_t hard, const struct conf_block *b,
    struct conf_problems *problems)
{
	if (soft > 0 && hard > 0 && soft >= hard)
		conf_problem_add(problems,
		    "%s: soft_time_limit is not less than time_limit",
		    conf_block_where(
			b, conf_key_find(b->section->name, "soft_time_limit")));
}

/* A task is asked to stop before it is ended. */
static void
check_limits(struct conf *conf, struct conf_blocks *blocks,
    struct conf_problems *problems)
{
	const struct conf_category *c;
	const struct conf_handler *h;

	TAILQ_FOREACH(c, &conf->categories, entry)
		check_limit_pair(c->soft_time_limit_ms, c->time_limit_ms,
		    conf_block_find(
			blocks, conf_section_find("category"), c->name),
		    problems);
	TAILQ_FOREACH(h, &conf->handlers, entry)
		check_limit_pair(h->soft_time_limit_ms, h->time_limit_ms,
		    conf_block_find(
			blocks, conf_section_find("handler"), h->name),
		    problems);
}

/* One thing runs a handler. */
static void
check_runners(struct conf *conf, struct conf_blocks *blocks,
    struct conf_problems *problems)
{
	const struct conf_handler *h;

	TAILQ_FOREACH(h, &conf->handlers, entry)
		if (h->module != NULL && h->exec != NULL)
			conf_problem_add(problems,
			    "%s: handler %s has module and exec; remove one "
			    "of them",
			    conf_block_where(
				conf_block_find(blocks,
				    conf_section_find("handler"), h->name),
				conf_key_find("handler", "exec")),
			    h->name);
}

/* Fills blocks from everywhere; -1 when the file's syntax ends it. */
static int
collect(const struct conf_source *source, struct conf_blocks *blocks,
    struct conf_problems *problems)
{
	if (source->file != NULL &&
	    conf_file_read(source->file, blocks, problems) == -1)
		return (-1);
	if (add_untitled(blocks) == -1) {
		conf_problem_memory(problems);
		return (-1);
	}
	conf_options_read(
	    source->options, source->options_len, blocks, problems);
	if (source->told != NULL && !source->local &&
	    conf_orchestrators_list(source) == NULL)
		conf_told_prepare(source->told, blocks, problems);
	conf_environment_read(source, blocks, problems);
	if (source->told != NULL)
		conf_told_apply(source->told, blocks, problems);
	return (0);
}

static void
build(struct conf *conf, const struct conf_source *source,
    struct conf_blocks *blocks, struct conf_problems *problems)
{
	const struct conf_block *b;
	size_t i;

	set_defaults("category", &conf->category_defaults, problems);
	conf_secrets_keep(conf, source, problems);
	TAILQ_FOREACH(b, blocks, entry)
		build_block(conf, b, problems);
	for (i = 0; i < source->handlers_len; i++)
		conf_argument_add(conf, source->handlers[i], problems);
	check_categories(conf, blocks, problems);
	check_sizes(conf, blocks, problems);
	check_limits(conf, blocks, problems);
	check_runners(conf, blocks, problems);
	if (source->local)
		orchestrators_free(conf);
	else
		conf_orchestrators_check(conf, blocks, source, problems);
}

struct conf *
conf_new(const struct conf_source *source, struct conf_problems *problems)
{
	const unsigned before = problems->count;
	struct conf_blocks blocks;
	struct conf *conf;

	conf_blocks_init(&blocks);
	if ((conf = conf_alloc()) == NULL)
		conf_problem_memory(problems);
	else if (collect(source, &blocks, problems) == 0)
		build(conf, source, &blocks, problems);
	conf_blocks_fini(&blocks);
	if (problems->count == before)
		return (conf);
	conf_free(conf);
	return (NULL);
}

bool
conf_has_scripts(const struct conf *conf)
{
	return (!TAILQ_EMPTY(&conf->pythons) || !TAILQ_EMPTY(&conf->channels));
}

bool
conf_inherits(const struct conf *conf)
{
	const struct conf_handler *h;
	const struct conf_module *m;

	TAILQ_FOREACH(m, &conf->modules, entry)
		if (m->from_argv)
			return (true);
	TAILQ_FOREACH(h, &conf->handlers, entry)
		if (h->from_argv)
			return (true);
	return (false);
}

const struct conf_handler *
conf_handler(const struct conf *conf, const char *type)
{
	const struct conf_handler *h;

	TAILQ_FOREACH(h, &conf->handlers, entry)
		if (strcmp(h->name, type) == 0)
			return (h);
	return (NULL);
}

const struct conf_category *
conf_category(const struct conf *conf, const char *name)
{
	const struct conf_category *c;

	TAILQ_FOREACH(c, &conf->categories, entry)
		if (strcmp(c->name, name) == 0)
			return (c);
	return (NULL);
}

const struct conf_category *
conf_category_or_default(const struct conf *conf, const char *name)
{
	const struct conf_category *c = conf_category(conf, name);

	return (c != NULL ? c : &conf->category_defaults);
}

unsigned
conf_category_limit(const struct conf_category *c)
{
	if (c->max_tasks > 0)
		return ((unsigned)c->max_tasks);
	return ((unsigned)((c->children > 0 ? c->children : c->max_children) *
	    (c->tasks_per_child > 1 ? c->tasks_per_child : 1)));
}

void
conf_category_sizes(
    const struct conf_category *c, unsigned usual, unsigned *min, unsigned *max)
{
	if (c->children > 0) {
		*min = *max = (unsigned)c->children;
		return;
	}
	*min = (unsigned)c->min_children;
	*max = c->max_children > 0 ? (unsigned)c->max_children : usual;
	if (c->max_children == 0 && *max < *min)
		*max = *min;
	if (*min > *max)
		*min = *max;
}
