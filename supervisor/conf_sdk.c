/* SPDX-License-Identifier: ISC */
/*
 * conf_sdk.c: variables of the Python SDK that say what a key says, in another
 * way: in JSON, as a fraction, or two things at once. Each is turned into the
 * text that the key's own check then judges.
 */
#include <stdlib.h>
#include <string.h>

#include "child/bytes.h"
#include "child/json_scan.h"
#include "supervisor/conf_block.h"
#include "supervisor/conf_problem.h"

/* Appends the text of the key; nothing when the value says nothing. False when
 * it is not as the SDK wants it. */
typedef bool translate(const struct jslice *, struct bytes *out);

static bool
put_pair(struct bytes *out, const struct jslice *name, const char *value)
{
	char *text;

	if ((text = jscan_strdup(name, 128)) == NULL ||
	    strpbrk(text, ",=") != NULL || text[0] == '\0' ||
	    (value != NULL && strpbrk(value, ",=") != NULL)) {
		free(text);
		return (false);
	}
	bytes_printf(out, "%s%s%s%s", out->len > 0 ? ", " : "", text,
	    value != NULL ? "=" : "", value != NULL ? value : "");
	free(text);
	return (true);
}

/* {"TYPE": NUMBER} */
static bool
costs(const struct jslice *object, struct bytes *out)
{
	struct jslice name, value;
	struct jscan_iter it;
	char text[32];

	if (object->type != JSCAN_OBJECT)
		return (false);
	jscan_begin(&it, object);
	while (jscan_next(&it, &name, &value)) {
		if (value.type != JSCAN_NUMBER || value.len >= sizeof(text))
			return (false);
		memcpy(text, value.p, value.len);
		text[value.len] = '\0';
		if (!put_pair(out, &name, text))
			return (false);
	}
	return (true);
}

static bool
put_versioned(
    struct bytes *out, const struct jslice *name, const struct jslice *version)
{
	char *text = NULL;
	bool ok;

	if (version != NULL && version->type != JSCAN_NULL &&
	    (text = jscan_strdup(version, 128)) == NULL)
		return (false);
	ok = put_pair(out, name, text != NULL && text[0] != '\0' ? text : NULL);
	free(text);
	return (ok);
}

/* {"NAME": "VERSION"} */
static bool
software(const struct jslice *object, struct bytes *out)
{
	struct jslice name, value;
	struct jscan_iter it;

	if (object->type != JSCAN_OBJECT)
		return (false);
	jscan_begin(&it, object);
	while (jscan_next(&it, &name, &value))
		if (!put_versioned(out, &name, &value))
			return (false);
	return (true);
}

/* [{"name": "NAME", "version": "VERSION"}]; what else there is of each is not
 * told. */
static bool
models(const struct jslice *list, struct bytes *out)
{
	struct jslice one, name, version;
	struct jscan_iter it;

	if (list->type != JSCAN_ARRAY)
		return (false);
	jscan_begin(&it, list);
	while (jscan_next(&it, NULL, &one))
		if (!jscan_get(&one, "name", &name) ||
		    !put_versioned(out, &name,
			jscan_get(&one, "version", &version) ? &version : NULL))
			return (false);
	return (true);
}

/* Whole ones, and none at all says nothing. */
static bool
gigabytes(const struct jslice *value, struct bytes *out)
{
	double gb;

	if (jscan_double(value, &gb) == -1 || gb < 0 || gb > 1e6)
		return (false);
	if (gb > 0)
		bytes_printf(out, "%d", gb < 1 ? 1 : (int)(gb + 0.5));
	return (true);
}

static bool
yes(const struct jslice *value, struct bytes *out)
{
	(void)value;
	bytes_puts(out, "yes");
	return (true);
}

static const struct {
	const char *variable;
	const char *key; /* of resources */
	translate *translate;
	const char *expects;
} rows[] = {
	{ "COST_PER_SKILL", "costs", costs, "a JSON object of numbers" },
	{ "INSTALLED_SOFTWARE", "software", software,
	    "a JSON object of versions" },
	{ "INSTALLED_MODELS", "models", models,
	    "a JSON list of objects with \"name\" and \"version\"" },
	{ "INSTALLED_ARTIFACTS", "models", models,
	    "a JSON list of objects with \"name\" and \"version\"" },
	{ "RAM_GB", "memory_gb", gigabytes, "a number of gigabytes" },
	{ "GPU_VRAM_GB", "gpu_memory_gb", gigabytes, "a number of gigabytes" },
	/* Its value is the key gpu_model's. */
	{ "GPU_MODEL", "gpu", yes, NULL },
};
#define NROWS (sizeof(rows) / sizeof(rows[0]))

static void
translate_one(size_t i, const char *value, struct conf_blocks *blocks,
    struct conf_problems *problems)
{
	const struct conf_section *section = conf_section_find("resources");
	struct bytes text = { 0 };
	struct jscan_error error;
	struct jslice root = { 0 };

	if ((rows[i].expects != NULL &&
		jscan_check(value, strlen(value), &jscan_payload_limits, &root,
		    &error) == -1) ||
	    !rows[i].translate(&root, &text))
		conf_problem_add(problems,
		    "environment: %s is not usable; expected %s",
		    rows[i].variable, rows[i].expects);
	else if (text.len > 0) {
		bytes_append(&text, "", 1);
		if (bytes_failed(&text))
			conf_problem_memory(problems);
		else
			conf_block_set(conf_block_find(blocks, section, NULL),
			    conf_key_find("resources", rows[i].key), text.p,
			    "environment", rows[i].variable,
			    CONF_RANK_ENVIRONMENT, problems);
	}
	bytes_fini(&text);
}

void
conf_sdk_read(char **environment, struct conf_blocks *blocks,
    struct conf_problems *problems)
{
	const char *value;
	size_t i;

	for (i = 0; i < NROWS; i++)
		if ((value = conf_variable(environment, rows[i].variable)) !=
		    NULL)
			translate_one(i, value, blocks, problems);
}

bool
conf_sdk_knows(const char *variable)
{
	size_t i;

	for (i = 0; i < NROWS; i++)
		if (strcmp(rows[i].variable, variable) == 0)
			return (true);
	return (false);
}
