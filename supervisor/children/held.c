/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "child/json_scan.h"
#include "supervisor/children/held.h"
#include "supervisor/children/names.h"
#include "supervisor/task.h"
#include "supervisor/used.h"

static void
replace(char **old, char *new)
{
	if (new == NULL)
		return;
	free(*old);
	*old = new;
}

/* What a frame has; what it has not is NULL. */
static int
read_members(const struct jslice *root, struct held *said, struct why *why)
{
	struct jslice value;

	if (names_read(root, "hot_cache", &said->cache, why) == -1 ||
	    names_read(root, "hot_skills", &said->skills, why) == -1 ||
	    names_read(root, "full", &said->full, why) == -1)
		return (-1);
	if (!jscan_get(root, "usage", &value))
		return (0);
	if ((said->used = calloc(1, sizeof(*said->used))) == NULL) {
		why_errno(why, "usage");
		return (-1);
	}
	return (used_read(&value, said->used, why));
}

int
held_read(const char *payload, size_t len, struct held *held, struct why *why)
{
	struct held said = { 0 };
	struct jscan_error error;
	struct jslice root, value;

	if (jscan_check(payload, len, &jscan_payload_limits, &root, &error) ==
	    -1) {
		why_set(why, "%s at byte %zu", error.text, error.at);
		return (-1);
	}
	if (root.type != JSCAN_OBJECT) {
		why_set(why, "not an object");
		return (-1);
	}
	if (read_members(&root, &said, why) == -1) {
		held_fini(&said);
		return (-1);
	}
	replace(&held->cache, said.cache);
	replace(&held->skills, said.skills);
	replace(&held->full, said.full);
	if (said.used != NULL) {
		used_free(held->used);
		held->used = said.used;
	}
	if (jscan_get(&root, "leaving", &value))
		held->leaving = value.type == JSCAN_TRUE;
	return (0);
}

bool
held_has_skill(const struct held *held, const char *type)
{
	return (held->skills == NULL || names_have(held->skills, type));
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
	names_begin(&it, held->cache);
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
	free(held->full);
	used_free(held->used);
	*held = (struct held){ 0 };
}
