/* SPDX-License-Identifier: ISC */
/*
 * declared.c: what handlers declare, member by member. An orchestrator refuses
 * a registration whole when one member of one skill has the wrong type, so none
 * gets there: the program that declares it does not start, and says why.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "child/json_scan.h"
#include "supervisor/base/reserve.h"
#include "supervisor/declared.h"
#include "supervisor/task.h"

#define VERSION_MAX     64
#define DESCRIPTION_MAX 1024
#define LIST_MAX        1000
#define COST_MAX        9007199254740992.0 /* 2^53: signatures have a limit */

static bool
is_version(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.+-";
	const size_t len = strlen(text);

	return (len > 0 && len <= VERSION_MAX && strspn(text, allowed) == len);
}

static bool
is_description(const char *text)
{
	return (strlen(text) <= DESCRIPTION_MAX);
}

static bool
is_cost(const struct jslice *value)
{
	double cost;

	return (
	    jscan_double(value, &cost) == 0 && cost >= 0 && cost <= COST_MAX);
}

static bool
is_object(const struct jslice *value)
{
	return (value->type == JSCAN_OBJECT);
}

static bool
is_object_of_objects(const struct jslice *value)
{
	struct jslice key, member;
	struct jscan_iter it;

	if (!is_object(value))
		return (false);
	jscan_begin(&it, value);
	while (jscan_next(&it, &key, &member))
		if (!is_object(&member))
			return (false);
	return (true);
}

static bool
is_list(const struct jslice *value, bool (*ok)(const char *))
{
	struct jslice element;
	struct jscan_iter it;
	bool good = true;
	unsigned n = 0;
	char *text;

	if (value->type != JSCAN_ARRAY)
		return (false);
	jscan_begin(&it, value);
	while (good && jscan_next(&it, NULL, &element)) {
		text = jscan_strdup(&element, TASK_ID_MAX);
		good = text != NULL && ok(text) && ++n <= LIST_MAX;
		free(text);
	}
	return (good);
}

static bool
is_list_of_words(const struct jslice *value)
{
	return (is_list(value, task_id_ok));
}

static bool
is_name(const char *text)
{
	return (text[0] != '\0');
}

static bool
is_list_of_names(const struct jslice *value)
{
	return (is_list(value, is_name));
}

/* The members: a string, decoded; or JSON text. */
static const struct {
	const char *name;
	size_t offset; /* in struct declared */
	bool (*string_ok)(const char *); /* or NULL: the next */
	bool (*json_ok)(const struct jslice *);
	const char *expects;
} members[] = {
	{ "version", offsetof(struct declared, version), is_version, NULL,
	    "1 to 64 letters, digits, \"_\", \".\", \"+\" or \"-\"" },
	{ "description", offsetof(struct declared, description), is_description,
	    NULL, "a string of 1024 bytes at most" },
	{ "kind", offsetof(struct declared, kind), task_id_ok, NULL,
	    "1 to 128 letters, digits, \".\", \"_\", \":\" or \"-\"" },
	{ "cost", offsetof(struct declared, cost), NULL, is_cost,
	    "a number from 0 to 2^53" },
	{ "input_schema", offsetof(struct declared, input_schema), NULL,
	    is_object, "an object" },
	{ "output_schema", offsetof(struct declared, output_schema), NULL,
	    is_object, "an object" },
	{ "events_schema", offsetof(struct declared, events_schema), NULL,
	    is_object_of_objects, "an object of objects" },
	{ "output_statuses", offsetof(struct declared, output_statuses), NULL,
	    is_list_of_words, "a list of words" },
	{ "dependencies", offsetof(struct declared, dependencies), NULL,
	    is_list_of_names, "a list of names" },
};
#define NMEMBERS (sizeof(members) / sizeof(members[0]))

static char **
field(const struct declared *d, size_t i)
{
	return ((char **)((char *)d + members[i].offset));
}

static char *
read_member(const struct jslice *value, size_t i)
{
	char *text;

	if (members[i].string_ok == NULL)
		return (members[i].json_ok(value) ?
			strndup(value->p, value->len) :
			NULL);
	text = jscan_strdup(value, DESCRIPTION_MAX);
	if (text != NULL && members[i].string_ok(text))
		return (text);
	free(text);
	return (NULL);
}

int
declared_read(
    const struct jslice *object, struct declared *out, struct why *why)
{
	struct jslice value;
	size_t i;

	*out = (struct declared){ 0 };
	for (i = 0; i < NMEMBERS; i++) {
		if (!jscan_get(object, members[i].name, &value) ||
		    value.type == JSCAN_NULL)
			continue;
		if ((*field(out, i) = read_member(&value, i)) == NULL) {
			why_set(why, "its %s is not %s", members[i].name,
			    members[i].expects);
			declared_fini(out);
			return (-1);
		}
	}
	return (0);
}

int
declared_copy(const struct declared *from, struct declared *copy)
{
	size_t i;

	*copy = (struct declared){ 0 };
	for (i = 0; i < NMEMBERS; i++)
		if (*field(from, i) != NULL &&
		    (*field(copy, i) = reserve_strdup(*field(from, i))) ==
			NULL) {
			declared_fini(copy);
			return (-1);
		}
	return (0);
}

void
declared_fini(struct declared *d)
{
	size_t i;

	for (i = 0; i < NMEMBERS; i++)
		free(*field(d, i));
	*d = (struct declared){ 0 };
}
