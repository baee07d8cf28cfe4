/* SPDX-License-Identifier: ISC */
/*
 * conf_told.c: what a script says of its worker, turned into texts of keys,
 * which the keys' own checks then judge; and these put beside the settings of
 * the other sources, once those are all there.
 */
#include <stdlib.h>
#include <string.h>

#include "child/bytes.h"
#include "child/json_scan.h"
#include "supervisor/base/log.h"
#include "supervisor/base/text.h"
#include "supervisor/conf_block.h"
#include "supervisor/conf_checks.h"
#include "supervisor/conf_json.h"
#include "supervisor/conf_problem.h"
#include "supervisor/conf_told.h"

#define VALUE_MAX 4096

static const struct {
	const char *member;
	const char *section;
	const char *key;
	const char *unit; /* behind a number */
} members[] = {
	{ "orchestrator_url", "orchestrator", "url", "" },
	{ "worker_token", "orchestrator", "token", "" },
	{ "worker_id", "worker", "id", "" },
	{ "worker_type", "worker", "type", "" },
	{ "max_concurrent_tasks", "worker", "max_concurrent_tasks", "" },
	{ "heartbeat_interval_ms", "worker", "heartbeat_interval", "ms" },
	{ "poll_interval_ms", "worker", "poll_interval", "ms" },
};

/* Of "resources"; anything else is a property. */
static const struct resource {
	const char *member;
	const char *key;
	bool is_number; /* perhaps with a fraction */
	bool is_list;
} resources[] = {
	{ "cpu", "cpu", true, false },
	{ "cpu_cores", "cpu", true, false },
	{ "memory_gb", "memory_gb", true, false },
	{ "ram_gb", "memory_gb", true, false },
	{ "gpu", "gpu", false, false },
	{ "gpu_model", "gpu_model", false, false },
	{ "gpu_memory_gb", "gpu_memory_gb", true, false },
	{ "devices", "devices", false, true },
};

static void
told_fini(struct conf_told *t)
{
	free(t->from);
	if (t->value != NULL)
		explicit_bzero(t->value, strlen(t->value));
	free(t->value);
	free(t->winner);
}

void
conf_told_fini(struct conf_tolds *tolds)
{
	while (tolds->len > 0)
		told_fini(&tolds->list[--tolds->len]);
	free(tolds->list);
	*tolds = (struct conf_tolds){ 0 };
}

int
conf_told_add(struct conf_tolds *tolds, const char *from,
    const struct conf_key *key, char *value, struct why *why)
{
	struct conf_told *grown;

	grown = reallocarray(tolds->list, tolds->len + 1, sizeof(*tolds->list));
	if (grown != NULL)
		tolds->list = grown;
	if (grown == NULL || value == NULL) {
		why_errno(why, "%s", from);
		free(value);
		return (-1);
	}
	grown[tolds->len] = (struct conf_told){
		.from = strdup(from),
		.key = key,
		.value = value,
	};
	if (grown[tolds->len].from == NULL) {
		why_errno(why, "%s", from);
		told_fini(&grown[tolds->len]);
		return (-1);
	}
	tolds->len++;
	return (0);
}

static int
add(struct conf_tolds *tolds, const char *from, const char *section,
    const char *key, char *value, struct why *why)
{
	return (conf_told_add(
	    tolds, from, conf_key_find(section, key), value, why));
}

/* A word, a number or a flag as text; NULL and why, also without memory. */
static char *
text_of(const struct jslice *value, const char *unit, const char *from,
    const char *member, struct why *why)
{
	char *text = NULL;

	switch (value->type) {
	case JSCAN_STRING:
		text = jscan_strdup(value, VALUE_MAX);
		break;
	case JSCAN_NUMBER:
		text = text_format("%.*s%s", (int)value->len, value->p, unit);
		break;
	case JSCAN_TRUE:
	case JSCAN_FALSE:
		text = strdup(value->type == JSCAN_TRUE ? "yes" : "no");
		break;
	default:
		break;
	}
	if (text == NULL)
		why_set(why, "%s: worker: %s is not what it should be", from,
		    member);
	return (text);
}

static const struct resource *
find_resource(const struct jslice *name)
{
	size_t i;

	for (i = 0; i < sizeof(resources) / sizeof(resources[0]); i++)
		if (jscan_string_is(name, resources[i].member))
			return (&resources[i]);
	return (NULL);
}

/* One that has a key. -1 and why. */
static int
add_resource(struct conf_tolds *tolds, const char *from,
    const struct resource *resource, const struct jslice *value,
    struct why *why)
{
	struct bytes number = { 0 };
	char *text;

	if (resource->is_list)
		conf_json_line(value, &number);
	else if (!resource->is_number || !conf_json_whole(value, &number)) {
		text = text_of(value, "", from, resource->key, why);
		return (text == NULL ? -1 :
				       add(tolds, from, "resources",
					   resource->key, text, why));
	}
	if (number.len == 0)
		return (0);
	text = bytes_failed(&number) ? NULL : strndup(number.p, number.len);
	bytes_fini(&number);
	return (add(tolds, from, "resources", resource->key, text, why));
}

/* "NAME": VALUE behind the others of an object; what cannot be told is left
 * out. */
static void
put_property(struct bytes *out, const struct jslice *name,
    const struct jslice *value, const char *from)
{
	struct bytes one = { 0 };

	bytes_puts(&one, "{");
	bytes_append(&one, name->p, name->len);
	bytes_puts(&one, ": ");
	conf_json_line(value, &one);
	bytes_append(&one, "}", 2);
	if (bytes_failed(&one) || !conf_is_properties(one.p))
		log_warn("%s: its resource %.*s is not told: an orchestrator "
			 "would not take it",
		    from, (int)name->len, name->p);
	else {
		if (out->len > 0)
			out->len--; /* open it again */
		bytes_puts(out, out->len > 0 ? ", " : "{");
		bytes_append(out, one.p + 1, one.len - 2);
	}
	bytes_fini(&one);
}

static int
read_resources(struct conf_tolds *tolds, const char *from,
    const struct jslice *object, struct why *why)
{
	const struct resource *resource;
	struct bytes properties = { 0 };
	struct jslice name, value;
	struct jscan_iter it;
	int rc = 0;

	if (object->type != JSCAN_OBJECT) {
		why_set(why, "%s: worker: resources is no object", from);
		return (-1);
	}
	jscan_begin(&it, object);
	while (rc == 0 && jscan_next(&it, &name, &value)) {
		if (value.type == JSCAN_NULL)
			continue;
		if ((resource = find_resource(&name)) == NULL)
			put_property(&properties, &name, &value, from);
		else
			rc = add_resource(tolds, from, resource, &value, why);
	}
	if (rc == 0 && properties.len > 0)
		rc = add(tolds, from, "resources", "properties",
		    bytes_failed(&properties) ?
			NULL :
			strndup(properties.p, properties.len),
		    why);
	bytes_fini(&properties);
	return (rc);
}

int
conf_told_read(struct conf_tolds *tolds, const char *from, const char *json,
    struct why *why)
{
	struct jscan_error error;
	struct jslice root, value;
	char *text;
	size_t i;

	if (jscan_check(json, strlen(json), &jscan_payload_limits, &root,
		&error) == -1) {
		why_set(why, "%s: worker: %s", from, error.text);
		return (-1);
	}
	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		if (!jscan_get(&root, members[i].member, &value) ||
		    value.type == JSCAN_NULL)
			continue;
		text = text_of(
		    &value, members[i].unit, from, members[i].member, why);
		if (text == NULL ||
		    add(tolds, from, members[i].section, members[i].key, text,
			why) == -1)
			return (-1);
	}
	if (jscan_get(&root, "resources", &value) && value.type != JSCAN_NULL)
		return (read_resources(tolds, from, &value, why));
	return (0);
}

/* The block that a setting belongs to; NULL when there is none, as in local
 * mode, or several. */
static struct conf_block *
block_of(struct conf_blocks *blocks, const struct conf_told *t)
{
	const struct conf_section *section = conf_section_find(t->key->section);
	struct conf_block *first = conf_block_find(blocks, section, NULL), *b;

	if (section->title == NULL)
		return (first);
	if (first == NULL)
		return (NULL);
	for (b = TAILQ_NEXT(first, entry); b != NULL; b = TAILQ_NEXT(b, entry))
		if (b->section == section)
			return (NULL);
	return (first);
}

/* What is set already for the same purpose; or NULL. */
static const struct conf_setting *
other_setting(const struct conf_block *b, const struct conf_key *key)
{
	const struct conf_setting *s = conf_block_get(b, key);

	if (s == NULL && key->file != NULL)
		s = conf_block_get(b, conf_key_find(key->section, key->file));
	return (s);
}

static void
overrule(
    struct conf_told *t, const char *winner, struct conf_problems *problems)
{
	free(t->winner);
	if ((t->winner = strdup(winner)) == NULL)
		conf_problem_memory(problems);
}

void
conf_told_prepare(const struct conf_tolds *tolds, struct conf_blocks *blocks,
    struct conf_problems *problems)
{
	const struct conf_section *section;
	const struct conf_told *t;
	size_t i;

	for (i = 0; i < tolds->len; i++) {
		t = &tolds->list[i];
		section = conf_section_find(t->key->section);
		if (section->title != NULL && t->key->required &&
		    conf_block_find(blocks, section, NULL) == NULL &&
		    conf_block_add(blocks, section, "main", t->from) == NULL)
			conf_problem_memory(problems);
	}
}

void
conf_told_apply(struct conf_tolds *tolds, struct conf_blocks *blocks,
    struct conf_problems *problems)
{
	const struct conf_setting *s;
	struct conf_block *b;
	struct conf_told *t;
	size_t i;

	for (i = 0; i < tolds->len; i++) {
		t = &tolds->list[i];
		if ((b = block_of(blocks, t)) == NULL) {
			overrule(t, "there is another list", problems);
			continue;
		}
		if ((s = other_setting(b, t->key)) == NULL)
			conf_block_set(b, t->key, t->value, t->from,
			    t->key->name, CONF_RANK_SCRIPT, problems);
		else if (s->key != t->key || strcmp(s->value, t->value) != 0)
			overrule(t, s->where, problems);
	}
}
