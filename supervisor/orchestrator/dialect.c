/* SPDX-License-Identifier: ISC */
/* dialect.c: what the two dialects share. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "child/json_scan.h"
#include "supervisor/base/pairs.h"
#include "supervisor/conf.h"
#include "supervisor/lease.h"
#include "supervisor/orchestrator/dialect.h"
#include "supervisor/orchestrator/dialect_json.h"
#include "supervisor/orchestrator/orchestrator.h"

#define SHOWN_MAX 160 /* bytes of a foreign text in one of our lines */

/* The orchestrator's own error text; false when the body is none of its. */
static bool
own_error(const char *body, size_t len, char *text, size_t size)
{
	struct jscan_error error;
	struct jslice root, value;

	if (jscan_check(body, len, &jscan_payload_limits, &root, &error) ==
		-1 ||
	    !jscan_get(&root, "error", &value))
		return (false);
	if (jscan_string(&value, text, size) == -1)
		(void)snprintf(text, size, "%.*s", (int)value.len, value.p);
	return (true);
}

/* The beginning of a body that is not ours to understand. */
static void
show(const char *body, size_t len, char *text, size_t size)
{
	size_t i, n = 0;

	for (i = 0; i < len && n + 1 < size; i++)
		text[n++] = isprint((unsigned char)body[i]) ? body[i] : ' ';
	text[n] = '\0';
}

enum verdict
dialect_judge(long status, const char *body, size_t len, struct why *why)
{
	char text[SHOWN_MAX];
	bool own;

	if (status == 200 || status == 204)
		return (VERDICT_DONE);
	own = own_error(body, len, text, sizeof(text));
	if (!own)
		show(body, len, text, sizeof(text));
	why_set(why, "HTTP %ld%s%s", status, text[0] != '\0' ? ": " : "", text);
	switch (status) {
	case 401:
	case 403:
		return (VERDICT_DENIED);
	case 404:
	case 400:
	case 413:
		/* A proxy's page says nothing about our message. */
		return (own ? VERDICT_REFUSED : VERDICT_LATER);
	case 429:
		return (VERDICT_LIMITED);
	default:
		return (VERDICT_LATER);
	}
}

bool
dialect_is_too_deep(long status, const char *body, size_t len)
{
	static const char said[] = "Maximum recursion depth";
	char text[SHOWN_MAX];

	return (status == 500 && own_error(body, len, text, sizeof(text)) &&
	    strncmp(text, said, sizeof(said) - 1) == 0);
}

bool
dialect_is_not_ours(long status, const char *body, size_t len)
{
	char text[SHOWN_MAX];

	return (status == 403 && own_error(body, len, text, sizeof(text)) &&
	    strstr(text, "is not assigned to") != NULL);
}

bool
dialect_is_unknown(const char *body, size_t len)
{
	return (len == 4 && memcmp(body, "null", 4) == 0);
}

/*
 * Parts of messages.
 */

json_t *
dialect_names(const struct worker_facts *facts, bool hot_only)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; list != NULL && i < facts->skills_count; i++) {
		const struct skill *skill = &facts->skills[i];

		if ((skill->hot || !hot_only) && !skill->full &&
		    json_array_append_new(list, json_string(skill->name)) ==
			-1) {
			json_decref(list);
			return (NULL);
		}
	}
	return (list);
}

json_t *
dialect_costs(const struct worker_facts *facts)
{
	json_t *costs = json_object();
	size_t i;

	for (i = 0; costs != NULL && i < facts->skills_count; i++) {
		const struct skill *skill = &facts->skills[i];

		if (skill->cost >= 0 &&
		    json_object_set_new(
			costs, skill->name, json_real(skill->cost)) == -1) {
			json_decref(costs);
			return (NULL);
		}
	}
	return (costs);
}

/* As a JSON number, true or false, if it is one of these; else a string. */
static json_t *
property_value(const struct pair *pair)
{
	json_t *value;

	value = json_loadb(pair->value, pair->value_len, JSON_DECODE_ANY, NULL);
	if (json_is_number(value) || json_is_boolean(value))
		return (value);
	json_decref(value);
	return (json_stringn(pair->value, pair->value_len));
}

int
dialect_put_pairs(json_t *object, const char *at)
{
	struct pair pair;
	char name[128];

	while (pairs_next(&at, &pair) != 0) {
		(void)snprintf(
		    name, sizeof(name), "%.*s", (int)pair.name_len, pair.name);
		if (json_object_set_new(object, name,
			json_stringn(pair.value, pair.value_len)) == -1)
			return (-1);
	}
	return (0);
}

json_t *
dialect_properties(const struct worker_facts *facts)
{
	const char *at =
	    facts->resources != NULL ? facts->resources->properties : NULL;
	json_t *object;
	struct pair pair;
	char name[128];

	if (at != NULL && *at == '{')
		return (json_loads(at, 0, NULL));
	object = json_object();
	while (object != NULL && pairs_next(&at, &pair) != 0) {
		(void)snprintf(
		    name, sizeof(name), "%.*s", (int)pair.name_len, pair.name);
		if (json_object_set_new(object, name, property_value(&pair)) ==
		    -1) {
			json_decref(object);
			return (NULL);
		}
	}
	return (object);
}

static json_t *
model(const struct pair *pair, const char *type)
{
	json_t *object = json_object();

	if (object == NULL ||
	    json_object_set_new(object, "name",
		json_stringn(pair->name, pair->name_len)) == -1 ||
	    (pair->value != NULL &&
		json_object_set_new(object, "version",
		    json_stringn(pair->value, pair->value_len)) == -1) ||
	    (type != NULL &&
		json_object_set_new(object, "type", json_string(type)) == -1)) {
		json_decref(object);
		return (NULL);
	}
	return (object);
}

json_t *
dialect_models(const struct worker_facts *facts, const char *type)
{
	const char *at =
	    facts->resources != NULL ? facts->resources->models : NULL;
	json_t *list = json_array();
	struct pair pair;

	while (list != NULL && pairs_next(&at, &pair) != 0)
		if (json_array_append_new(list, model(&pair, type)) == -1) {
			json_decref(list);
			return (NULL);
		}
	return (list);
}

json_int_t
dialect_cores(const struct worker_facts *facts)
{
	return (facts->resources != NULL && facts->resources->cpu > 0 ?
		(json_int_t)facts->resources->cpu :
		(json_int_t)facts->cores);
}

json_int_t
dialect_memory_gb(const struct worker_facts *facts)
{
	return (facts->resources != NULL && facts->resources->memory_gb > 0 ?
		(json_int_t)facts->resources->memory_gb :
		(json_int_t)facts->memory_gb);
}

json_t *
dialect_tenths(double value)
{
	return (json_real((double)(int64_t)(value * 10 + 0.5) / 10));
}

int
dialect_set_filled(json_t *object, const char *name, json_t *value)
{
	if (value == NULL)
		return (-1);
	if (json_object_size(value) == 0 && json_array_size(value) == 0) {
		json_decref(value);
		return (0);
	}
	return (json_object_set_new(object, name, value));
}

int
dialect_put_message(json_t *message, struct bytes *out, struct why *why)
{
	char *text = NULL;

	if (message != NULL)
		text =
		    json_dumps(message, JSON_COMPACT | JSON_REAL_PRECISION(15));
	if (text != NULL)
		bytes_puts(out, text);
	free(text);
	json_decref(message);
	if (text == NULL || bytes_failed(out)) {
		why_set(why, "no memory for a message");
		return (-1);
	}
	return (0);
}

static void
put_string(struct bytes *out, const char *text)
{
	bytes_put_json(out, text, strlen(text));
}

/* ,"error":{...} of a retry that is sent as a transient failure; the
 * handler's own code and message stay readable. */
static void
put_retry(const struct result *r, struct bytes *out)
{
	const char *code = r->code != NULL ? r->code : "RETRY";
	const char *message = r->message != NULL ? r->message : "";
	struct bytes text = { 0 };

	bytes_printf(&text, "%s: %s", code, message);
	bytes_puts(
	    out, ",\"error\":{\"code\":\"" CODE_TRANSIENT "\",\"message\":");
	if (bytes_failed(&text))
		put_string(out, "retry");
	else
		bytes_put_json(out, text.p, text.len);
	bytes_puts(out, ",\"details\":{\"status\":\"retry\",\"code\":");
	put_string(out, code);
	bytes_puts(out, ",\"message\":");
	put_string(out, message);
	bytes_puts(out, "}}");
	bytes_fini(&text);
}

void
dialect_put_outcome(const struct worker_facts *facts, const struct lease *l,
    const char *value_error, struct bytes *out)
{
	const struct result *r = &l->result;
	const char *status = r->status != NULL ? r->status : "failure";
	const bool retry =
	    strcmp(status, "retry") == 0 && !facts->retry_passthrough;

	bytes_printf(out, "\"status\":\"%s\"", retry ? "failure" : status);
	if (r->data.len > 0) {
		bytes_puts(out, ",\"data\":");
		bytes_append(out, r->data.p, r->data.len);
	}
	if (retry)
		put_retry(r, out);
	else
		result_put_error(r,
		    result_is_value_error(r) ? value_error : NULL,
		    facts->report_stderr, out);
}
