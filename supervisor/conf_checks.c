/* SPDX-License-Identifier: ISC */
/* conf_checks.c: what texts may be, by themselves. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include "child/json_scan.h"
#include "supervisor/base/pairs.h"
#include "supervisor/conf.h"
#include "supervisor/conf_checks.h"

#define LETTERS  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS   "0123456789"
#define JSON_MAX (64u * 1024)

static bool
is_made_of(const char *s, const char *set, size_t max)
{
	const size_t len = strnlen(s, max + 1);

	return (len > 0 && len <= max && strspn(s, set) == len);
}

bool
conf_is_name(const char *s)
{
	return (is_made_of(s, LETTERS DIGITS "_.-", 64));
}

bool
conf_is_task_type(const char *s)
{
	return (is_made_of(s, LETTERS DIGITS "._:-", 128));
}

/* An orchestrator keeps `ghost` for workers that have vanished. */
bool
conf_is_worker_id(const char *s)
{
	return (
	    is_made_of(s, LETTERS DIGITS "_-", 64) && strcmp(s, "ghost") != 0);
}

static bool
is_printable(const char *s, char from, size_t max)
{
	size_t i;

	for (i = 0; s[i] != '\0'; i++)
		if (i >= max || s[i] < from || s[i] > '~')
			return (false);
	return (i > 0);
}

bool
conf_is_worker_type(const char *s)
{
	return (is_printable(s, ' ', 128));
}

/* It goes into a header line, so no space and nothing below it. */
bool
conf_is_token(const char *s)
{
	return (is_printable(s, '!', 4096));
}

bool
conf_is_task_key(const char *s)
{
	return (is_printable(s, ' ', 4096));
}

/* Without control characters. */
static bool
is_plain(const char *s, size_t max)
{
	size_t i;

	for (i = 0; s[i] != '\0'; i++)
		if (i >= max || (s[i] > 0 && s[i] < ' ') || s[i] == 0x7f)
			return (false);
	return (i > 0);
}

bool
conf_is_path(const char *s)
{
	return (is_plain(s, PATH_MAX - 1));
}

/* A word of a command; an argument may be empty. */
bool
conf_is_word(const char *s)
{
	return (*s == '\0' || conf_is_path(s));
}

/* KEY=VALUE: it becomes a variable, so not one of ours. */
bool
conf_is_setting(const char *s)
{
	const size_t len = strspn(s, LETTERS DIGITS "_");
	size_t i;

	if (len == 0 || len > 64 || s[len] != '=' || strchr(DIGITS, s[0]) ||
	    strncmp(s, "AVTOWORKER_", 11) == 0)
		return (false);
	for (i = 0; conf_secret_variables[i] != NULL; i++)
		if (strlen(conf_secret_variables[i]) == len &&
		    strncmp(s, conf_secret_variables[i], len) == 0)
			return (false);
	return (s[len + 1] == '\0' || conf_is_path(s + len + 1));
}

bool
conf_is_file_setting(const char *s)
{
	return (conf_is_setting(s) && strchr(s, '=')[1] == '/' &&
	    conf_is_path(strchr(s, '=') + 1));
}

/* {}, or what has one in it, however deep: 1.0b28 makes a list of it (contract,
 * S10). */
static bool
has_empty_object(const struct jslice *value)
{
	struct jscan_iter it;
	struct jslice member;
	bool empty = value->type == JSCAN_OBJECT;

	if (value->type != JSCAN_OBJECT && value->type != JSCAN_ARRAY)
		return (false);
	jscan_begin(&it, value);
	while (jscan_next(&it, NULL, &member)) {
		if (has_empty_object(&member))
			return (true);
		empty = false;
	}
	return (empty);
}

/* NAME=VALUE, NAME=VALUE ...; is_model: NAME or NAME=VERSION. */
static bool
is_pairs(const char *s, bool is_model)
{
	struct pair pair;

	if (!is_printable(s, ' ', 4096) || pairs_next(&s, &pair) != 1)
		return (false);
	for (;;) {
		if (pair.name_len == 0 || pair.name_len > 64 ||
		    (is_model ? pair.value != NULL && pair.value_len == 0 :
				pair.value_len == 0))
			return (false);
		if (pairs_next(&s, &pair) == 0)
			return (true);
	}
}

bool
conf_is_pairs(const char *s)
{
	return (is_pairs(s, false));
}

bool
conf_is_properties(const char *s)
{
	struct jscan_error error;
	struct jslice object;

	if (*s != '{')
		return (is_pairs(s, false));
	return (is_plain(s, JSON_MAX) &&
	    jscan_check(s, strlen(s), &jscan_payload_limits, &object, &error) ==
		0 &&
	    object.type == JSCAN_OBJECT && !has_empty_object(&object));
}

bool
conf_is_models(const char *s)
{
	return (is_pairs(s, true));
}

/* A device as RXON has it; with anything else in its place the whole
 * registration would be refused. */
static bool
is_device(const struct jslice *device)
{
	static const struct {
		const char *name;
		enum jscan_type type;
	} members[] = {
		{ "type", JSCAN_STRING },
		{ "model", JSCAN_STRING },
		{ "id", JSCAN_STRING },
		{ "properties", JSCAN_OBJECT },
		{ "metrics", JSCAN_OBJECT },
	};
	struct jslice value;
	size_t i;

	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (jscan_get(device, members[i].name, &value) &&
		    value.type != members[i].type && value.type != JSCAN_NULL)
			return (false);
	return (jscan_get(device, "type", &value) &&
	    value.type == JSCAN_STRING && value.len > 2);
}

bool
conf_is_devices(const char *s)
{
	struct jslice list, device;
	struct jscan_error error;
	struct jscan_iter it;

	if (!is_plain(s, JSON_MAX) ||
	    jscan_check(s, strlen(s), &jscan_payload_limits, &list, &error) ==
		-1 ||
	    list.type != JSCAN_ARRAY || has_empty_object(&list))
		return (false);
	jscan_begin(&it, &list);
	while (jscan_next(&it, NULL, &device))
		if (!is_device(&device))
			return (false);
	return (true);
}

bool
conf_is_extra(const char *s)
{
	const size_t len = strspn(s, LETTERS DIGITS "_.-");
	struct jscan_error error;
	struct jslice value;

	if (len == 0 || len > 64 || s[len] != '=' ||
	    !is_plain(s + len + 1, JSON_MAX))
		return (false);
	s += len + 1;
	return ((*s != '{' && *s != '[') ||
	    jscan_check(s, strlen(s), &jscan_payload_limits, &value, &error) ==
		-1 ||
	    !has_empty_object(&value));
}

/* Of a variable, perhaps in a module. */
bool
conf_is_python_name(const char *s)
{
	return (is_made_of(s, LETTERS DIGITS "_.", 128));
}

bool
conf_is_version(const char *s)
{
	return (is_made_of(s, LETTERS DIGITS "_.+-", 64));
}

/* A decimal number that is the same for everybody who reads it. */
bool
conf_is_cost(const char *s)
{
	const size_t whole = strspn(s, DIGITS);
	size_t fraction = 0;

	if (s[whole] == '.')
		fraction = strspn(s + whole + 1, DIGITS);
	return (whole >= 1 && whole <= 9 && fraction <= 6 &&
	    (s[whole] == '\0' ||
		(fraction > 0 && s[whole + 1 + fraction] == '\0')));
}

bool
conf_is_costs(const char *s)
{
	struct pair pair;
	char cost[32];

	if (!is_pairs(s, false))
		return (false);
	while (pairs_next(&s, &pair) != 0)
		if (snprintf(cost, sizeof(cost), "%.*s", (int)pair.value_len,
			pair.value) >= (int)sizeof(cost) ||
		    !conf_is_cost(cost))
			return (false);
	return (true);
}

bool
conf_is_absolute_path(const char *s)
{
	return (s[0] == '/' && conf_is_path(s));
}

bool
conf_is_log_destination(const char *s)
{
	return (strcmp(s, "stderr") == 0 || strcmp(s, "syslog") == 0 ||
	    conf_is_absolute_path(s));
}

bool
conf_is_umask(const char *s)
{
	return (is_made_of(s, "01234567", 4) && strtoul(s, NULL, 8) <= 0777);
}

bool
conf_is_address(const char *s)
{
	struct in6_addr any;

	return (inet_pton(AF_INET, s, &any) == 1 ||
	    inet_pton(AF_INET6, s, &any) == 1);
}
