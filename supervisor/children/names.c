/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "child/json_scan.h"
#include "supervisor/children/names.h"
#include "supervisor/task.h"

#define NAMES_MAX 1000

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

int
names_read(
    const struct jslice *object, const char *name, char **out, struct why *why)
{
	struct jslice list;

	*out = NULL;
	if (!jscan_get(object, name, &list))
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

void
names_begin(struct jscan_iter *it, const char *list)
{
	const struct jslice slice = { list, strlen(list), JSCAN_ARRAY };

	jscan_begin(it, &slice);
}

bool
names_have(const char *list, const char *name)
{
	struct jscan_iter it;
	struct jslice value;

	if (list == NULL)
		return (false);
	names_begin(&it, list);
	while (jscan_next(&it, NULL, &value))
		if (jscan_string_is(&value, name))
			return (true);
	return (false);
}
