/* SPDX-License-Identifier: ISC */
/*
 * json_writer.c: the aw_json_ functions of the handler API. Never calls back
 * into the handler and never stops it: mistakes are remembered until the end.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child/handler.h"
#include "child/json_writer.h"

void
json_writer_begin(struct aw_json *json, const char *before)
{
	json->text.len = 0;
	json->text.failed = false;
	json->arrays = 0;
	json->nonempty = 0;
	json->depth = 0;
	json->fault = NULL;
	bytes_puts(&json->text, before);
	bytes_puts(&json->text, "{");
}

const char *
json_writer_end(struct aw_json *json)
{
	if (json->fault == NULL && json->depth > 0)
		json->fault = "an object or array was left open";
	bytes_puts(&json->text, "}");
	return (json->fault);
}

static void
mistake(struct aw_json *json, const char *fault)
{
	if (json->fault == NULL)
		json->fault = fault;
}

/* What stands before a value: the comma and the key. False after a mistake:
 * nothing more is written then. */
static bool
member(struct aw_json *json, const char *key)
{
	const uint64_t bit = UINT64_C(1) << json->depth;

	if (json->arrays & bit && key != NULL)
		mistake(json, "a key was given inside an array");
	if (!(json->arrays & bit) && key == NULL)
		mistake(json, "a key was missing inside an object");
	if (json->fault != NULL)
		return (false);
	if (json->nonempty & bit)
		bytes_puts(&json->text, ",");
	json->nonempty |= bit;
	if (key != NULL) {
		bytes_put_json(&json->text, key, strlen(key));
		bytes_puts(&json->text, ":");
	}
	return (true);
}

void
aw_json_string(struct aw_json *json, const char *key, const char *text)
{
	aw_json_bytes(json, key, text, text == NULL ? 0 : strlen(text));
}

void
aw_json_bytes(
    struct aw_json *json, const char *key, const char *text, size_t len)
{
	if (member(json, key))
		bytes_put_json(&json->text, text, len);
}

void
aw_json_int64(struct aw_json *json, const char *key, int64_t value)
{
	if (member(json, key))
		bytes_printf(&json->text, "%" PRId64, value);
}

/* The shortest form that reads back as value. Returns its length. */
static size_t
format_double(char out[64], double value)
{
	const char *from;
	char *to;
	int digits;

	for (digits = 15; digits <= 17; digits++) {
		(void)snprintf(out, 64, "%.*g", digits, value);
		if (strtod(out, NULL) == value)
			break;
	}
	/* The handler may have set a locale whose decimal sign is another
	 * one, of one byte or several. */
	for (from = to = out; *from != '\0'; from++) {
		if (strchr("0123456789+-e", *from) != NULL)
			*to++ = *from;
		else if (to == out || to[-1] != '.')
			*to++ = '.';
	}
	return ((size_t)(to - out));
}

void
aw_json_double(struct aw_json *json, const char *key, double value)
{
	char number[64];

	if (!isfinite(value))
		mistake(json, "a number was infinite or not a number");
	if (member(json, key))
		bytes_append(&json->text, number, format_double(number, value));
}

void
aw_json_bool(struct aw_json *json, const char *key, bool value)
{
	if (member(json, key))
		bytes_puts(&json->text, value ? "true" : "false");
}

void
aw_json_null(struct aw_json *json, const char *key)
{
	if (member(json, key))
		bytes_puts(&json->text, "null");
}

void
aw_json_text(
    struct aw_json *json, const char *key, const char *text, size_t len)
{
	if (member(json, key))
		bytes_append(&json->text, text, len);
}

static void
open_container(struct aw_json *json, const char *key, bool array)
{
	uint64_t bit;

	if (json->depth >= JSON_WRITER_DEPTH)
		mistake(json, "objects and arrays were nested too deeply");
	if (!member(json, key))
		return;
	bytes_puts(&json->text, array ? "[" : "{");
	bit = UINT64_C(1) << ++json->depth;
	json->nonempty &= ~bit;
	json->arrays = array ? json->arrays | bit : json->arrays & ~bit;
}

void
aw_json_object(struct aw_json *json, const char *key)
{
	open_container(json, key, false);
}

void
aw_json_array(struct aw_json *json, const char *key)
{
	open_container(json, key, true);
}

void
aw_json_end(struct aw_json *json)
{
	if (json->depth == 0)
		mistake(json, "more was closed than had been opened");
	if (json->fault != NULL)
		return;
	bytes_puts(&json->text, json->arrays >> json->depth & 1 ? "]" : "}");
	json->depth--;
}
