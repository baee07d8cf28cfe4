/* SPDX-License-Identifier: ISC */
/*
 * category.h: what limits running tasks: those of its task types, whichever
 * programs run them. Owned by its generation; a task that an old generation
 * still runs counts there.
 */
#ifndef AVTOWORKER_CATEGORY_H
#define AVTOWORKER_CATEGORY_H

#include <stdbool.h>

#include <bsd/sys/queue.h>

struct conf_category;

struct category {
	TAILQ_ENTRY(category) entry; /* of its generation */
	char *name;
	const struct conf_category *conf; /* borrowed */
	unsigned limit; /* running tasks; 0: none of its own */
	unsigned running;
	unsigned left; /* room that is not given away yet, while places are
			  counted */
	bool paused; /* none of its tasks is given to a child */
};

TAILQ_HEAD(category_list, category);

/* NULL with errno. */
struct category *category_new(const char *name, const struct conf_category *);
void category_free(struct category *); /* NULL is fine */
struct category *category_find(const struct category_list *, const char *name);
/* Tasks that may be added to the running ones. */
unsigned category_room(const struct category *);

#endif
