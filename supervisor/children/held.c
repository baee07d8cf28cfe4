/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "child/json_scan.h"
#include "supervisor/children/held.h"
#include "supervisor/task.h"

#define NAMES_MAX 1000

/* A text that jscan_check() has passed before. */
static void
begin(struct jscan_iter *it, const char *text)
{
	const struct jslice list = { text, strlen(text), JSCAN_ARRAY };

	jscan_begin(it, &list);
}

static bool
is_list_of_names(const struct jslice *list)
{
	struct jscan_iter it;
	struct jslice name;
	unsigned n = 0;
	char *text;

	if (list->type != JSCAN_ARRAY)
		return (false);
	jscan_begin(&it, list);
	while (jscan_next(&it, NULL, &name)) {
		text = jscan_strdup(&name, TASK_ID_MAX);
		free(text);
		if (text == NULL || ++n > NAMES_MAX)
			return (false);
	}
	return (true);
}

/* A copy of a list that is there; NULL and why when it is none. */
static int
read_list(
    const struct jslice *root, const char *name, char **out, struct why *why)
{
	struct jslice list;

	*out = NULL;
	if (!jscan_get(root, name, &list))
		return (0);
	if (!is_list_of_names(&list)) {
		why_set(why, "its %s is not a list of at most %d names", name,
		    NAMES_MAX);
		return (-1);
	}
	if ((*out = strndup(list.p, list.len)) == NULL) {
		why_errno(why, "%s", name);
		return (-1);
	}
	return (0);
}

static void
replace(char **old, char *new)
{
	if (new == NULL)
		return;
	free(*old);
	*old = new;
}

int
held_read(const char *payload, size_t len, struct held *held, struct why *why)
{
	struct jscan_error error;
	struct jslice root, value;
	char *cache, *skills;

	if (jscan_check(payload, len, &jscan_payload_limits, &root, &error) ==
	    -1) {
		why_set(why, "%s at byte %zu", error.text, error.at);
		return (-1);
	}
	if (root.type != JSCAN_OBJECT) {
		why_set(why, "not an object");
		return (-1);
	}
	if (read_list(&root, "hot_cache", &cache, why) == -1)
		return (-1);
	if (read_list(&root, "hot_skills", &skills, why) == -1) {
		free(cache);
		return (-1);
	}
	replace(&held->cache, cache);
	replace(&held->skills, skills);
	if (jscan_get(&root, "leaving", &value))
		held->leaving = value.type == JSCAN_TRUE;
	return (0);
}

bool
held_has_skill(const struct held *held, const char *type)
{
	struct jscan_iter it;
	struct jslice name;

	if (held->skills == NULL)
		return (true);
	begin(&it, held->skills);
	while (jscan_next(&it, NULL, &name))
		if (jscan_string_is(&name, type))
			return (true);
	return (false);
}

static bool
is_among(const char *name, char **names, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return (true);
	return (false);
}

size_t
held_add_cache(const struct held *held, char **names, size_t count, size_t max)
{
	struct jscan_iter it;
	struct jslice name;
	char *text;

	if (held->cache == NULL)
		return (count);
	begin(&it, held->cache);
	while (count < max && jscan_next(&it, NULL, &name)) {
		text = jscan_strdup(&name, TASK_ID_MAX);
		if (text == NULL || is_among(text, names, count))
			free(text);
		else
			names[count++] = text;
	}
	return (count);
}

void
held_fini(struct held *held)
{
	free(held->cache);
	free(held->skills);
	*held = (struct held){ 0 };
}
