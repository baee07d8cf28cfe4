/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	free(h);
}

void
handler_table_init(struct handler_table *t)
{
	RB_INIT(&t->tree);
	t->count = 0;
}

void
handler_table_fini(struct handler_table *t)
{
	struct handler *h;

	while ((h = RB_ROOT(&t->tree)) != NULL) {
		(void)RB_REMOVE(handler_tree, &t->tree, h);
		handler_free(h);
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

static int
replace(char **field, const char *value)
{
	char *copy;

	if ((copy = strdup(value)) == NULL)
		return (-1);
	free(*field);
	*field = copy;
	return (0);
}

int
handler_set_category(struct handler *h, const char *category)
{
	return (replace(&h->category, category));
}

int
handler_set_file(struct handler *h, const char *file)
{
	return (replace(&h->file, file));
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
