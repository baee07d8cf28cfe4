/* SPDX-License-Identifier: ISC */
/*
 * Blocks of settings as they were written. Values are still text here; conf.c
 * turns them into a struct conf and throws the blocks away.
 */
#include <stdlib.h>
#include <string.h>

#include "supervisor/base/text.h"
#include "supervisor/conf_block.h"
#include "supervisor/conf_problem.h"

void
conf_blocks_init(struct conf_blocks *blocks)
{
	TAILQ_INIT(blocks);
}

static void
setting_free(struct conf_setting *s)
{
	if (s == NULL)
		return;
	if (s->value != NULL && s->key->secret)
		explicit_bzero(s->value, strlen(s->value));
	free(s->value);
	free(s->where);
	free(s);
}

static void
block_free(struct conf_block *b)
{
	struct conf_setting *s;

	if (b == NULL)
		return;
	while ((s = TAILQ_FIRST(&b->settings)) != NULL) {
		TAILQ_REMOVE(&b->settings, s, entry);
		setting_free(s);
	}
	free(b->title);
	free(b->where);
	free(b);
}

void
conf_blocks_fini(struct conf_blocks *blocks)
{
	struct conf_block *b;

	while ((b = TAILQ_FIRST(blocks)) != NULL) {
		TAILQ_REMOVE(blocks, b, entry);
		block_free(b);
	}
}

struct conf_block *
conf_block_add(struct conf_blocks *blocks, const struct conf_section *section,
    const char *title, const char *where)
{
	struct conf_block *b;

	if ((b = calloc(1, sizeof(*b))) == NULL)
		return (NULL);
	TAILQ_INIT(&b->settings);
	b->section = section;
	if ((b->where = strdup(where)) == NULL ||
	    (title != NULL && (b->title = strdup(title)) == NULL)) {
		block_free(b);
		return (NULL);
	}
	TAILQ_INSERT_TAIL(blocks, b, entry);
	return (b);
}

struct conf_block *
conf_block_find(struct conf_blocks *blocks, const struct conf_section *section,
    const char *title)
{
	struct conf_block *b;

	TAILQ_FOREACH(b, blocks, entry) {
		if (b->section != section)
			continue;
		if (title == NULL || strcmp(b->title, title) == 0)
			return (b);
	}
	return (NULL);
}

static struct conf_setting *
find(const struct conf_block *b, const struct conf_key *key)
{
	struct conf_setting *s;

	TAILQ_FOREACH(s, &b->settings, entry)
		if (s->key == key)
			return (s);
	return (NULL);
}

const struct conf_setting *
conf_block_get(const struct conf_block *b, const struct conf_key *key)
{
	return (find(b, key));
}

const char *
conf_block_where(const struct conf_block *b, const struct conf_key *key)
{
	const struct conf_setting *s = find(b, key);

	return (s != NULL ? s->where : b->where);
}

static struct conf_setting *
setting_new(const struct conf_key *key, const char *value, const char *where,
    const char *label, enum conf_rank rank)
{
	struct conf_setting *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return (NULL);
	s->key = key;
	s->label = label;
	s->rank = rank;
	if ((s->value = strdup(value)) == NULL ||
	    (s->where = strdup(where)) == NULL) {
		setting_free(s);
		return (NULL);
	}
	return (s);
}

void
conf_block_set(struct conf_block *b, const struct conf_key *key,
    const char *value, const char *where, const char *label,
    enum conf_rank rank, struct conf_problems *problems)
{
	struct conf_setting *s, *old = find(b, key);

	if (key->secret && rank != CONF_RANK_ENVIRONMENT &&
	    rank != CONF_RANK_SCRIPT) {
		conf_problem_add(problems,
		    "%s: %s.%s is not read from here, where others would see "
		    "it; put it in a file and set %s, or in the environment "
		    "as %s",
		    where, key->section, key->name, key->file,
		    key->environment);
		return;
	}
	if (old != NULL && rank == CONF_RANK_FILE) {
		conf_problem_add(problems,
		    "%s: %s is set twice; the first is at %s", where, key->name,
		    old->where);
		return;
	}
	if (old != NULL && old->rank > rank)
		return;
	if ((s = setting_new(key, value, where, label, rank)) == NULL) {
		conf_problem_memory(problems);
		return;
	}
	if (old != NULL) {
		TAILQ_REMOVE(&b->settings, old, entry);
		setting_free(old);
	}
	TAILQ_INSERT_TAIL(&b->settings, s, entry);
}

void
conf_block_add_word(struct conf_block *b, const struct conf_key *key,
    const char *word, struct conf_problems *problems)
{
	struct conf_setting *s = find(b, key);
	char *longer;

	longer = text_format("%s%c%s", s->value, CONF_WORDS_END, word);
	if (longer == NULL) {
		conf_problem_memory(problems);
		return;
	}
	free(s->value);
	s->value = longer;
}
