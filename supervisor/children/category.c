/* SPDX-License-Identifier: ISC */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/children/category.h"
#include "supervisor/conf.h"

struct category *
category_new(const char *name, const struct conf_category *conf)
{
	struct category *cat;

	if ((cat = calloc(1, sizeof(*cat))) == NULL ||
	    (cat->name = strdup(name)) == NULL) {
		free(cat);
		return (NULL);
	}
	cat->conf = conf;
	cat->limit = conf_category_limit(conf);
	return (cat);
}

void
category_free(struct category *cat)
{
	if (cat == NULL)
		return;
	free(cat->name);
	free(cat);
}

struct category *
category_find(const struct category_list *list, const char *name)
{
	struct category *cat;

	TAILQ_FOREACH(cat, list, entry)
		if (strcmp(cat->name, name) == 0)
			return (cat);
	return (NULL);
}

unsigned
category_room(const struct category *cat)
{
	if (cat->paused)
		return (0);
	if (cat->limit == 0)
		return (UINT_MAX);
	return (cat->limit > cat->running ? cat->limit - cat->running : 0);
}
