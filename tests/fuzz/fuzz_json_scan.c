/* SPDX-License-Identifier: ISC */
/*
 * Any bytes as JSON text: the checker and jansson have to agree on whether it
 * is JSON and on every value in it, but for what jansson cannot hold; and the
 * canonical text of a message has to be its own canonical text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "child/json_scan.h"
#include "supervisor/orchestrator/rxon_sign.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
claim(bool holds)
{
	if (!holds)
		abort();
}

static void
compare_string(const struct jslice *ours, const char *text, size_t len)
{
	char *copy = malloc(len + 1);

	claim(copy != NULL);
	claim(jscan_string(ours, copy, len + 1) == (ssize_t)len);
	claim(memcmp(copy, text, len) == 0);
	free(copy);
}

static void
compare_number(const struct jslice *ours, const json_t *theirs)
{
	int64_t integer;
	double real;

	if (json_is_integer(theirs)) {
		claim(jscan_int64(ours, &integer) == 0);
		claim(integer == json_integer_value(theirs));
	} else {
		claim(json_is_real(theirs));
		claim(jscan_double(ours, &real) == 0);
		claim(real == json_real_value(theirs));
	}
}

static void compare(const struct jslice *, const json_t *);

static void
compare_members(const struct jslice *ours, const json_t *theirs)
{
	struct jslice key, value;
	struct jscan_iter it;
	size_t count = 0;
	char *name;

	jscan_begin(&it, ours);
	for (; jscan_next(&it, &key, &value); count++) {
		/* jansson refuses keys with a NUL. */
		claim((name = jscan_strdup(&key, key.len)) != NULL);
		compare(&value, json_object_get(theirs, name));
		claim(jscan_get(ours, name, &key) && key.p == value.p);
		free(name);
	}
	claim(count == json_object_size(theirs));
}

static void
compare_elements(const struct jslice *ours, const json_t *theirs)
{
	struct jslice key, value;
	struct jscan_iter it;
	size_t count = 0;

	jscan_begin(&it, ours);
	for (; jscan_next(&it, &key, &value); count++) {
		claim(key.p == NULL);
		compare(&value, json_array_get(theirs, count));
	}
	claim(count == json_array_size(theirs));
}

static void
compare(const struct jslice *ours, const json_t *theirs)
{
	claim(theirs != NULL);
	switch (ours->type) {
	case JSCAN_NULL:
		claim(json_is_null(theirs) && ours->len == 4);
		break;
	case JSCAN_FALSE:
		claim(json_is_false(theirs) && ours->len == 5);
		break;
	case JSCAN_TRUE:
		claim(json_is_true(theirs) && ours->len == 4);
		break;
	case JSCAN_NUMBER:
		compare_number(ours, theirs);
		break;
	case JSCAN_STRING:
		claim(json_is_string(theirs));
		compare_string(ours, json_string_value(theirs),
		    json_string_length(theirs));
		break;
	case JSCAN_ARRAY:
		claim(json_is_array(theirs));
		compare_elements(ours, theirs);
		break;
	case JSCAN_OBJECT:
		claim(json_is_object(theirs));
		compare_members(ours, theirs);
		break;
	}
}

/* jansson has no limits of ours, and overlooks a NUL behind a number. */
static bool
may_refuse(const struct jscan_error *error, const char *text, size_t len)
{
	return (strcmp(error->text, "nested too deeply") == 0 ||
	    strcmp(error->text, "too many values") == 0 ||
	    memchr(text, '\0', len) != NULL);
}

/* jansson holds no integers beyond 64 bits, no numbers beyond a double and no
 * keys with a NUL. */
static bool
they_may_refuse(const json_error_t *error)
{
	return (json_error_code(error) == json_error_numeric_overflow ||
	    json_error_code(error) == json_error_null_byte_in_key);
}

static void
check_canonical(const char *text, size_t len)
{
	struct bytes once = { 0 }, twice = { 0 };
	struct why why;

	if (rxon_canonical(text, len, NULL, &once, &why) == 0) {
		claim(
		    rxon_canonical(once.p, once.len, NULL, &twice, &why) == 0);
		claim(once.len == twice.len);
		claim(memcmp(once.p, twice.p, once.len) == 0);
	}
	bytes_fini(&once);
	bytes_fini(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct jscan_error error;
	json_error_t their_error;
	struct jslice root, value;
	json_t *theirs;
	char *path;
	int status;

	status = jscan_check(text, size, &jscan_payload_limits, &root, &error);
	theirs = json_loadb(text, size,
	    JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL,
	    &their_error);
	if (status == 0 && theirs != NULL)
		compare(&root, theirs);
	else if (status == 0)
		claim(they_may_refuse(&their_error));
	else if (theirs != NULL)
		claim(may_refuse(&error, text, size));
	json_decref(theirs);
	if (status == 0) {
		check_canonical(text, size);
		claim((path = strndup(text, size)) != NULL);
		(void)jscan_path(&root, path, &value);
		free(path);
	} else {
		claim(error.at <= size);
	}
	return (0);
}
