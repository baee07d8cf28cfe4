/* SPDX-License-Identifier: ISC */
/* conf_compare.c: what has changed between two configurations. */
#include <stdio.h>
#include <string.h>

#include "supervisor/conf.h"
#include "supervisor/conf_keys.h"
#include "supervisor/conf_value.h"

bool
conf_category_equal(
    const struct conf_category *a, const struct conf_category *b)
{
	const struct conf_key *key;
	size_t i;

	for (i = 0; (key = conf_key_at(i)) != NULL; i++)
		if (strcmp(key->section, "category") == 0 &&
		    !conf_value_equal(key, a, b))
			return (false);
	return (true);
}

struct changes {
	void (*changed)(const char *key, void *arg);
	void *arg;
};

static void
compare(const char *section, const void *old, const void *new,
    const struct changes *to)
{
	const struct conf_key *key;
	char name[80];
	size_t i;

	for (i = 0; (key = conf_key_at(i)) != NULL; i++) {
		if (strcmp(key->section, section) != 0 || !key->restart ||
		    conf_value_equal(key, old, new))
			continue;
		(void)snprintf(name, sizeof(name), "%s.%s", section, key->name);
		to->changed(name, to->arg);
	}
}

void
conf_restart_keys(const struct conf *old, const struct conf *new,
    void (*changed)(const char *key, void *arg), void *arg)
{
	const struct changes to = { changed, arg };
	const struct conf_orchestrator *a, *b;

	compare("worker", &old->worker, &new->worker, &to);
	compare("resources", &old->resources, &new->resources, &to);
	compare("storage", &old->storage, &new->storage, &to);
	compare("metrics", &old->metrics, &new->metrics, &to);
	a = TAILQ_FIRST(&old->orchestrators);
	b = TAILQ_FIRST(&new->orchestrators);
	for (; a != NULL && b != NULL; a = TAILQ_NEXT(a, entry)) {
		compare("orchestrator", a, b, &to);
		b = TAILQ_NEXT(b, entry);
	}
	if (a != NULL || b != NULL)
		changed("the list of orchestrators", arg);
}
