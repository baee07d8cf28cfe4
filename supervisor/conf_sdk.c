/* SPDX-License-Identifier: ISC */
/*
 * conf_sdk.c: variables of the Python SDK that say what a key says, in another
 * way: in JSON, as a fraction, or two things at once. Each is turned into the
 * text that the key's own check then judges.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "child/bytes.h"
#include "child/json_scan.h"
#include "supervisor/conf_block.h"
#include "supervisor/conf_json.h"
#include "supervisor/conf_problem.h"

#define EXTRA "WORKER_EXTRA_"

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

static bool
one_line(const struct jslice *value, struct bytes *out)
{
	conf_json_line(value, out);
	return (true);
}

/* Of a poll that the orchestrator lets wait so long: a limit that is not below
 * it, and never less than the usual one, which would cost tasks (S7). */
static bool
poll_timeout(const struct jslice *value, struct bytes *out)
{
	double seconds;

	if (jscan_double(value, &seconds) == -1 || seconds < 0 || seconds > 500)
		return (false);
	if (seconds > 30)
		bytes_printf(out, "%d", (int)(seconds + 10.999));
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
	const char *section;
	const char *key;
	translate *translate;
	const char *expects;
} rows[] = {
	{ "COST_PER_SKILL", "resources", "costs", costs,
	    "a JSON object of numbers" },
	{ "INSTALLED_SOFTWARE", "resources", "software", software,
	    "a JSON object of versions" },
	{ "INSTALLED_MODELS", "resources", "models", models,
	    "a JSON list of objects with \"name\" and \"version\"" },
	{ "INSTALLED_ARTIFACTS", "resources", "models", models,
	    "a JSON list of objects with \"name\" and \"version\"" },
	{ "RAM_GB", "resources", "memory_gb", conf_json_whole,
	    "a number of gigabytes" },
	{ "GPU_VRAM_GB", "resources", "gpu_memory_gb", conf_json_whole,
	    "a number of gigabytes" },
	/* Its value is the key gpu_model's. */
	{ "GPU_MODEL", "resources", "gpu", yes, NULL },
	{ "WORKER_DEVICES", "resources", "devices", one_line,
	    "a JSON list of objects" },
	{ "TASK_POLL_TIMEOUT", "orchestrator", "poll_timeout", poll_timeout,
	    "a number of seconds, 500 at most" },
};
#define NROWS (sizeof(rows) / sizeof(rows[0]))

/* Sets a key to the text, when there is any. */
static void
set(const struct conf_source *source, struct conf_blocks *blocks,
    const char *section, const char *key, const char *variable,
    struct bytes *text, struct conf_problems *problems)
{
	if (text->len == 0)
		return;
	bytes_append(text, "", 1);
	if (bytes_failed(text))
		conf_problem_memory(problems);
	else
		conf_environment_set(source, blocks,
		    conf_key_find(section, key), variable, text->p, problems);
}

static void
translate_one(const struct conf_source *source, size_t i, const char *value,
    struct conf_blocks *blocks, struct conf_problems *problems)
{
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
	else
		set(source, blocks, rows[i].section, rows[i].key,
		    rows[i].variable, &text, problems);
	bytes_fini(&text);
}

/* Each variable whose name begins so is a capability, called by the rest. */
static void
read_extra(const struct conf_source *source, struct conf_blocks *blocks,
    struct conf_problems *problems)
{
	const char sep[] = { CONF_WORDS_END, '\0' };
	const size_t len = strlen(EXTRA);
	char **e = source->environment;
	struct bytes text = { 0 };
	const char *p;

	for (; e != NULL && *e != NULL; e++) {
		if (strncmp(*e, EXTRA, len) != 0 ||
		    (p = strchr(*e, '=')) == NULL || p[1] == '\0')
			continue;
		bytes_puts(&text, text.len > 0 ? sep : "");
		for (p = *e + len; *p != '='; p++)
			bytes_printf(&text, "%c", tolower((unsigned char)*p));
		bytes_puts(&text, p);
	}
	set(source, blocks, "resources", "extra", EXTRA "*", &text, problems);
	bytes_fini(&text);
}

void
conf_sdk_read(const struct conf_source *source, struct conf_blocks *blocks,
    struct conf_problems *problems)
{
	const char *value;
	size_t i;

	for (i = 0; i < NROWS; i++)
		if ((value = conf_variable(
			 source->environment, rows[i].variable)) != NULL)
			translate_one(source, i, value, blocks, problems);
	read_extra(source, blocks, problems);
}

bool
conf_sdk_knows(const char *variable)
{
	size_t i;

	for (i = 0; i < NROWS; i++)
		if (strcmp(rows[i].variable, variable) == 0)
			return (true);
	return (strcmp(EXTRA "*", variable) == 0);
}
