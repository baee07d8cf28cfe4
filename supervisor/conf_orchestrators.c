/* SPDX-License-Identifier: ISC */
/*
 * conf_orchestrators.c: which orchestrators there are: the list in
 * ORCHESTRATORS_CONFIG, and what must hold for all of them.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "supervisor/conf_block.h"
#include "supervisor/conf_problem.h"

#define LIST             CONF_ORCHESTRATORS
#define LIST_MAX         100
#define DEFAULT_PRIORITY 10

/*
 * The list.
 */

struct listed {
	const char *url;
	const char *token; /* or NULL */
	json_int_t priority;
	json_int_t weight;
};

/* As the Python SDK sorts them. */
static int
compare_listed(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;

	if (x->priority != y->priority)
		return (x->priority < y->priority ? -1 : 1);
	return (strcmp(x->url, y->url));
}

/* One of the list; false when it is not as it should be. */
static bool
read_listed(json_t *value, struct listed *out)
{
	*out = (struct listed){ .priority = DEFAULT_PRIORITY, .weight = 1 };
	return (json_unpack(value, "{s:s, s?I, s?I, s?s}", "url", &out->url,
		    "priority", &out->priority, "weight", &out->weight, "token",
		    &out->token) == 0);
}

static void
set_text(struct conf_block *b, const char *name, const char *value,
    struct conf_problems *problems)
{
	conf_block_set(b, conf_key_find("orchestrator", name), value,
	    "environment", LIST, CONF_RANK_ENVIRONMENT, problems);
}

static void
set_number(struct conf_block *b, const char *name, json_int_t value,
    struct conf_problems *problems)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%lld", (long long)value);
	set_text(b, name, text, problems);
}

static void
add_listed(struct conf_blocks *blocks, size_t number, const struct listed *o,
    struct conf_problems *problems)
{
	struct conf_block *b;
	char title[24];

	(void)snprintf(title, sizeof(title), "%zu", number);
	b = conf_block_add(
	    blocks, conf_section_find("orchestrator"), title, "environment");
	if (b == NULL) {
		conf_problem_memory(problems);
		return;
	}
	set_text(b, "url", o->url, problems);
	set_number(b, "priority", o->priority, problems);
	set_number(b, "weight", o->weight, problems);
	if (o->token != NULL)
		set_text(b, "token", o->token, problems);
}

static void
read_list(
    json_t *list, struct conf_blocks *blocks, struct conf_problems *problems)
{
	struct listed listed[LIST_MAX];
	const size_t count = json_array_size(list);
	size_t i;

	if (count == 0 || count > LIST_MAX) {
		conf_problem_add(problems,
		    "environment: " LIST " is not usable; expected a JSON list "
		    "of 1 to %d objects",
		    LIST_MAX);
		return;
	}
	for (i = 0; i < count; i++)
		if (!read_listed(json_array_get(list, i), &listed[i])) {
			conf_problem_add(problems,
			    "environment: entry %zu of " LIST " is not usable; "
			    "expected {\"url\": TEXT, \"priority\": NUMBER, "
			    "\"weight\": NUMBER, \"token\": TEXT}, all but "
			    "the url optional",
			    i + 1);
			return;
		}
	qsort(listed, count, sizeof(*listed), compare_listed);
	for (i = 0; i < count; i++)
		add_listed(blocks, i + 1, &listed[i], problems);
}

void
conf_orchestrators_read(const char *json, struct conf_blocks *blocks,
    struct conf_problems *problems)
{
	const struct conf_block *b =
	    conf_block_find(blocks, conf_section_find("orchestrator"), NULL);
	json_error_t error;
	json_t *list;

	if (b != NULL) {
		conf_problem_add(problems,
		    "environment: " LIST " names orchestrators, and so does "
		    "%s; unset it, or remove the blocks",
		    b->where);
		return;
	}
	/* The text of an error would show a part of the list, maybe a token. */
	if ((list = json_loads(json, JSON_REJECT_DUPLICATES, &error)) == NULL)
		conf_problem_add(problems,
		    "environment: " LIST " is no JSON (character %d); expected "
		    "a list of objects",
		    error.position);
	else
		read_list(list, blocks, problems);
	json_decref(list);
}

/*
 * What must hold.
 */

static void
check_secret_file(const struct conf_key *key, const char *where,
    const char *path, struct conf_problems *problems)
{
	struct stat st;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1 || fstat(fd, &st) == -1)
		conf_problem_add(problems, "%s: %s %s cannot be read: %s",
		    where, key->name, path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		conf_problem_add(problems, "%s: %s %s is not a file", where,
		    key->name, path);
	else if (st.st_size == 0)
		conf_problem_add(
		    problems, "%s: %s %s is empty", where, key->name, path);
	if (fd != -1)
		close(fd);
}

/* The environment of a running worker holds no secrets any more. */
static void
keep_secret(char **secret, const char *old, struct conf_problems *problems)
{
	if (*secret == NULL && old != NULL && (*secret = strdup(old)) == NULL)
		conf_problem_memory(problems);
}

static void
keep_secrets(struct conf_orchestrator *o, const struct conf *previous,
    struct conf_problems *problems)
{
	const struct conf_orchestrator *old;

	if (previous == NULL)
		return;
	TAILQ_FOREACH(old, &previous->orchestrators, entry)
		if (strcmp(old->name, o->name) == 0) {
			keep_secret(&o->token, old->token, problems);
			keep_secret(&o->task_key, old->task_key, problems);
		}
}

static void
check_orchestrator(const struct conf_orchestrator *o,
    const struct conf_block *b, bool awaits, struct conf_problems *problems)
{
	const struct conf_key *token = conf_key_find("orchestrator", "token");
	const struct conf_key *file =
	    conf_key_find("orchestrator", token->file);
	const struct conf_key *key =
	    conf_key_find("orchestrator", "task_key_file");

	if (o->token_file != NULL && o->token == NULL)
		check_secret_file(
		    file, conf_block_where(b, file), o->token_file, problems);
	if (o->task_key_file != NULL && o->task_key == NULL)
		check_secret_file(
		    key, conf_block_where(b, key), o->task_key_file, problems);
	/* A token or file that was given but not usable is listed already. */
	if (o->token == NULL && !awaits && conf_block_get(b, file) == NULL &&
	    conf_block_get(b, token) == NULL)
		conf_problem_add(problems,
		    "%s: orchestrator %s has no token; set token_file in its "
		    "block, or %s in the environment",
		    b->where, o->name, token->environment);
}

/* One that is known to another twice would be there once. */
static void
check_alone(const struct conf *conf, const struct conf_orchestrator *o,
    const struct conf_block *b, struct conf_problems *problems)
{
	const struct conf_orchestrator *other;

	TAILQ_FOREACH(other, &conf->orchestrators, entry) {
		if (other == o)
			return;
		if (o->url != NULL && other->url != NULL &&
		    strcmp(o->url, other->url) == 0)
			conf_problem_add(problems,
			    "%s: orchestrator %s has the url of orchestrator "
			    "%s; remove one of them",
			    conf_block_where(
				b, conf_key_find("orchestrator", "url")),
			    o->name, other->name);
	}
}

/* By priority; those alike stay as they stand. */
static void
sort(struct conf *conf)
{
	TAILQ_HEAD(, conf_orchestrator) sorted;
	struct conf_orchestrator *o, *at;

	TAILQ_INIT(&sorted);
	while ((o = TAILQ_FIRST(&conf->orchestrators)) != NULL) {
		TAILQ_REMOVE(&conf->orchestrators, o, entry);
		TAILQ_FOREACH(at, &sorted, entry)
			if (at->priority > o->priority)
				break;
		if (at != NULL)
			TAILQ_INSERT_BEFORE(at, o, entry);
		else
			TAILQ_INSERT_TAIL(&sorted, o, entry);
	}
	TAILQ_CONCAT(&conf->orchestrators, &sorted, entry);
}

void
conf_orchestrators_check(struct conf *conf, struct conf_blocks *blocks,
    const struct conf_source *source, struct conf_problems *problems)
{
	const struct conf_section *section = conf_section_find("orchestrator");
	const char *list = conf_orchestrators_list(source);
	struct conf_orchestrator *o = TAILQ_FIRST(&conf->orchestrators);
	const bool awaits = source->awaits_scripts && conf_has_scripts(conf);
	const struct conf_block *b;

	/* The environment of a running worker holds no list any more. */
	if (list != NULL && (conf->orchestrators_config = strdup(list)) == NULL)
		conf_problem_memory(problems);
	if (o == NULL && list == NULL && !awaits)
		conf_problem_add(problems,
		    "%s: there is no orchestrator; set ORCHESTRATOR_URL and "
		    "WORKER_TOKEN in the environment, or add a block: "
		    "orchestrator main { url = ... token_file = ... }",
		    source->file != NULL ? source->file : "configuration");
	/* Blocks and structs stand in the same order. */
	b = conf_block_find(blocks, section, NULL);
	for (; b != NULL && o != NULL; b = TAILQ_NEXT(b, entry)) {
		if (b->section != section)
			continue;
		keep_secrets(o, source->previous, problems);
		check_orchestrator(o, b, awaits, problems);
		check_alone(conf, o, b, problems);
		o = TAILQ_NEXT(o, entry);
	}
	sort(conf);
}
