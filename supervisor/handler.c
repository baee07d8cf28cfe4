/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/base/words.h"
#include "supervisor/handler.h"

static int
compare(const struct handler *a, const struct handler *b)
{
	return (strcmp(a->type, b->type));
}

#define UNUSED_STATIC static __attribute__((__unused__))
RB_GENERATE_INTERNAL(handler_tree, handler, entry, compare, UNUSED_STATIC)

static void
handler_free(struct handler *h)
{
	free(h->type);
	free(h->category);
	free(h->file);
	declared_fini(&h->declared);
	free(h);
}

void
handler_table_init(struct handler_table *t)
{
	RB_INIT(&t->tree);
	TAILQ_INIT(&t->files);
	TAILQ_INIT(&t->sources);
	t->count = 0;
}

static void
source_free(struct handler_source *s)
{
	words_free(s->words);
	free(s->category);
	free(s->name);
	free(s);
}

void
handler_table_fini(struct handler_table *t)
{
	struct handler_source *s;
	struct handler_file *f;
	struct handler *h;

	while ((h = RB_ROOT(&t->tree)) != NULL) {
		(void)RB_REMOVE(handler_tree, &t->tree, h);
		handler_free(h);
	}
	while ((f = TAILQ_FIRST(&t->files)) != NULL) {
		TAILQ_REMOVE(&t->files, f, entry);
		(void)close(f->fd);
		free(f->path);
		free(f);
	}
	while ((s = TAILQ_FIRST(&t->sources)) != NULL) {
		TAILQ_REMOVE(&t->sources, s, entry);
		source_free(s);
	}
	t->count = 0;
}

struct handler *
handler_add(struct handler_table *t, const char *type, const char *category,
    const char *file)
{
	struct handler *h;

	if ((h = calloc(1, sizeof(*h))) == NULL)
		return (NULL);
	h->type = strdup(type);
	h->category = strdup(category);
	h->file = strdup(file);
	if (h->type == NULL || h->category == NULL || h->file == NULL) {
		handler_free(h);
		errno = ENOMEM;
		return (NULL);
	}
	if (RB_INSERT(handler_tree, &t->tree, h) != NULL) {
		handler_free(h);
		errno = EEXIST;
		return (NULL);
	}
	t->count++;
	return (h);
}

int
handler_set_category(struct handler *h, const char *category)
{
	char *copy;

	if ((copy = strdup(category)) == NULL)
		return (-1);
	free(h->category);
	h->category = copy;
	return (0);
}

struct handler_source *
handler_source_add(struct handler_table *t, enum source_kind kind,
    const char *name, const char *category, char **words)
{
	struct handler_source *s;

	if ((s = calloc(1, sizeof(*s))) == NULL) {
		words_free(words);
		return (NULL);
	}
	s->kind = kind;
	s->words = words;
	s->name = strdup(name);
	s->category = strdup(category);
	if (s->name == NULL || s->category == NULL) {
		source_free(s);
		errno = ENOMEM;
		return (NULL);
	}
	TAILQ_INSERT_TAIL(&t->sources, s, entry);
	return (s);
}

char **
handler_source_remove(struct handler_table *t, struct handler_source *s)
{
	char **words = s->words;
	struct handler *h, *next;

	for (h = handler_next(t, NULL); h != NULL; h = next) {
		next = handler_next(t, h);
		if (h->source != s)
			continue;
		(void)RB_REMOVE(handler_tree, &t->tree, h);
		t->count--;
		handler_free(h);
	}
	TAILQ_REMOVE(&t->sources, s, entry);
	s->words = NULL;
	source_free(s);
	return (words);
}

int
handler_declare(struct handler *h, const struct declared *declared)
{
	struct declared copy;

	if (declared_copy(declared, &copy) == -1)
		return (-1);
	declared_fini(&h->declared);
	h->declared = copy;
	return (0);
}

struct handler_file *
handler_file_keep(
    struct handler_table *t, const char *path, int fd, const struct stat *st)
{
	struct handler_file *f;

	if ((f = calloc(1, sizeof(*f))) == NULL ||
	    (f->path = strdup(path)) == NULL) {
		free(f);
		(void)close(fd);
		errno = ENOMEM;
		return (NULL);
	}
	f->fd = fd;
	f->st = *st;
	TAILQ_INSERT_TAIL(&t->files, f, entry);
	return (f);
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return (a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	    a->st_size == b->st_size &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	    a->st_mtim.tv_nsec == b->st_mtim.tv_nsec);
}

bool
handler_file_is_current(const struct handler_file *f)
{
	struct stat now;

	return (stat(f->path, &now) == 0 && same_file(&now, &f->st));
}

bool
handler_file_was_overwritten(const struct handler_file *f)
{
	struct stat now;

	return (fstat(f->fd, &now) == 0 && !same_file(&now, &f->st));
}

static bool
same_pinned(const struct handler_file *a, const struct handler_file *b)
{
	if (a == NULL || b == NULL)
		return (a == b);
	return (same_file(&a->st, &b->st));
}

bool
handler_source_stays(const struct handler_source *s)
{
	return (s != NULL && s->kind != SOURCE_EXEC);
}

bool
handler_source_equal(
    const struct handler_source *a, const struct handler_source *b)
{
	if (a == NULL || b == NULL)
		return (a == b);
	return (a->kind == b->kind && strcmp(a->name, b->name) == 0);
}

bool
handler_equal(const struct handler *a, const struct handler *b)
{
	return (strcmp(a->type, b->type) == 0 &&
	    strcmp(a->category, b->category) == 0 &&
	    strcmp(a->file, b->file) == 0 &&
	    handler_source_equal(a->source, b->source) &&
	    same_pinned(a->pinned, b->pinned) &&
	    a->time_limit_ms == b->time_limit_ms &&
	    a->soft_time_limit_ms == b->soft_time_limit_ms);
}

struct handler *
handler_find(const struct handler_table *t, const char *type)
{
	struct handler key = { .type = (char *)type };

	return (RB_FIND(handler_tree, (struct handler_tree *)&t->tree, &key));
}

struct handler *
handler_next(const struct handler_table *t, struct handler *h)
{
	if (h == NULL)
		return (RB_MIN(handler_tree, (struct handler_tree *)&t->tree));
	return (RB_NEXT(handler_tree, &t->tree, h));
}
