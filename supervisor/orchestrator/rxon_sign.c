/* SPDX-License-Identifier: ISC */
/*
 * rxon_sign.c: walks a checked message and writes its canonical text. The
 * members of all open objects are one array, of which each object owns the
 * tail while it is written; they are sorted there before they are written.
 * Recursion is as deep as the message, at most DEPTH_MAX.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "child/json_scan.h"
#include "supervisor/orchestrator/rxon_number.h"
#include "supervisor/orchestrator/rxon_sign.h"

#define DEPTH_MAX   100
#define DIGEST_SIZE 32

struct member {
	struct jslice key;
	struct jslice value;
};

struct canon {
	struct bytes *out;
	const char *const *ignore; /* NULL-terminated, or NULL */
	struct why *why;
	struct member *members;
	size_t nmembers;
	size_t members_size;
};

static int put_value(struct canon *, const struct jslice *);

static int
out_of_memory(struct why *why)
{
	why_set(why, "cannot sign a message: out of memory");
	return (-1);
}

/* Appends decoded text as a string. */
static void
put_decoded(struct bytes *out, const char *text, size_t len)
{
	static const char special[] = "\b\t\n\f\r\"\\", name[] = "btnfr\"\\";
	const char *p, *run = text, *end = text + len, *found;
	char pair[2] = { '\\', '\0' };

	bytes_puts(out, "\"");
	for (p = text; p < end; p++) {
		if ((unsigned char)*p >= 0x20 && *p != '"' && *p != '\\')
			continue;
		bytes_append(out, run, (size_t)(p - run));
		run = p + 1;
		found = memchr(special, *p, sizeof(special) - 1);
		if (found != NULL) {
			pair[1] = name[found - special];
			bytes_append(out, pair, sizeof(pair));
		} else {
			bytes_printf(out, "\\u%04x", (unsigned char)*p);
		}
	}
	bytes_append(out, run, (size_t)(end - run));
	bytes_puts(out, "\"");
}

static int
put_string(struct canon *c, const struct jslice *string)
{
	ssize_t len;
	char *text;

	/* Without an escape it has its one form already. */
	if (memchr(string->p, '\\', string->len) == NULL) {
		bytes_append(c->out, string->p, string->len);
		return (0);
	}
	/* Decoded it is never longer than it was. */
	if ((text = malloc(string->len)) == NULL)
		return (out_of_memory(c->why));
	len = jscan_string(string, text, string->len);
	put_decoded(c->out, text, (size_t)len);
	free(text);
	return (0);
}

static int
put_array(struct canon *c, const struct jslice *array)
{
	struct jscan_iter it;
	struct jslice value;
	const char *between = "";

	bytes_puts(c->out, "[");
	jscan_begin(&it, array);
	while (jscan_next(&it, NULL, &value)) {
		bytes_puts(c->out, between);
		if (put_value(c, &value) == -1)
			return (-1);
		between = ",";
	}
	bytes_puts(c->out, "]");
	return (0);
}

/* True for the members that a signature does not cover. */
static bool
is_ignored(const struct canon *c, const struct jslice *key)
{
	const char *const *name;

	if (jscan_string_is(key, "security"))
		return (true);
	for (name = c->ignore; name != NULL && *name != NULL; name++)
		if (jscan_string_is(key, *name))
			return (true);
	return (false);
}

static int
add_member(struct canon *c, const struct member *member)
{
	size_t size;
	struct member *members;

	if (c->nmembers == c->members_size) {
		size = c->members_size == 0 ? 32 : c->members_size * 2;
		members = reallocarray(c->members, size, sizeof(*members));
		if (members == NULL)
			return (out_of_memory(c->why));
		c->members = members;
		c->members_size = size;
	}
	c->members[c->nmembers++] = *member;
	return (0);
}

static int
compare_members(const void *a, const void *b)
{
	return (jscan_compare(&((const struct member *)a)->key,
	    &((const struct member *)b)->key));
}

static int
put_object(struct canon *c, const struct jslice *object, bool is_root)
{
	const size_t first = c->nmembers;
	struct jscan_iter it;
	struct member m;
	size_t i;

	jscan_begin(&it, object);
	while (jscan_next(&it, &m.key, &m.value))
		if (m.value.type != JSCAN_NULL &&
		    !(is_root && is_ignored(c, &m.key)) &&
		    add_member(c, &m) == -1)
			return (-1);
	if (c->nmembers > first + 1)
		qsort(c->members + first, c->nmembers - first, sizeof(m),
		    compare_members);
	bytes_puts(c->out, "{");
	for (i = first; i < c->nmembers; i++) {
		m = c->members[i]; /* the array may move meanwhile */
		if (i > first)
			bytes_puts(c->out, ",");
		if (put_string(c, &m.key) == -1)
			return (-1);
		bytes_puts(c->out, ":");
		if (put_value(c, &m.value) == -1)
			return (-1);
	}
	bytes_puts(c->out, "}");
	c->nmembers = first;
	return (0);
}

static int
put_value(struct canon *c, const struct jslice *value)
{
	const char *refusal;

	switch (value->type) {
	case JSCAN_OBJECT:
		return (put_object(c, value, false));
	case JSCAN_ARRAY:
		return (put_array(c, value));
	case JSCAN_STRING:
		return (put_string(c, value));
	case JSCAN_NUMBER:
		if ((refusal = rxon_put_number(c->out, value)) == NULL)
			return (0);
		why_set(c->why, "cannot sign a message: %s", refusal);
		return (-1);
	default:
		bytes_append(c->out, value->p, value->len);
		return (0);
	}
}

int
rxon_canonical(const char *text, size_t len, const char *const *ignore,
    struct bytes *out, struct why *why)
{
	static const struct jscan_limits limits = {
		.max_bytes = SIZE_MAX,
		.max_depth = DEPTH_MAX,
		.max_tokens = UINT_MAX,
	};
	struct canon c = { .out = out, .ignore = ignore, .why = why };
	const size_t before = out->len;
	struct jscan_error error;
	struct jslice root;
	int status;

	if (jscan_check(text, len, &limits, &root, &error) == -1) {
		why_set(why, "cannot sign a message: %s (at byte %zu)",
		    error.text, error.at);
		return (-1);
	}
	if (root.type != JSCAN_OBJECT) {
		why_set(why, "cannot sign a message: it is no JSON object");
		return (-1);
	}
	status = put_object(&c, &root, true);
	free(c.members);
	if (status == 0 && bytes_failed(out))
		status = out_of_memory(why);
	if (status == -1)
		out->len = before;
	return (status);
}

static void
put_hex(const unsigned char digest[DIGEST_SIZE], char hex[RXON_SIGNATURE_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < DIGEST_SIZE; i++) {
		hex[i * 2] = digits[digest[i] >> 4];
		hex[i * 2 + 1] = digits[digest[i] & 0xf];
	}
	hex[DIGEST_SIZE * 2] = '\0';
}

/* OpenSSL wants a pointer even to no bytes at all. */
static const unsigned char *
data_of(const struct bytes *b)
{
	return ((const unsigned char *)(b->len > 0 ? b->p : ""));
}

int
rxon_sign(const char *secret, const struct bytes *canonical,
    char signature[RXON_SIGNATURE_SIZE], struct why *why)
{
	const size_t secret_len = strlen(secret);
	unsigned char digest[DIGEST_SIZE];

	if (secret_len == 0 || secret_len > INT_MAX) {
		why_set(why, "cannot sign a message: the secret is %s",
		    secret_len == 0 ? "empty" : "too long");
		return (-1);
	}
	if (bytes_failed(canonical))
		return (out_of_memory(why));
	if (HMAC(EVP_sha256(), secret, (int)secret_len, data_of(canonical),
		canonical->len, digest, NULL) == NULL) {
		why_set(why, "cannot sign a message: HMAC-SHA256 failed");
		return (-1);
	}
	put_hex(digest, signature);
	return (0);
}

int
rxon_digest(
    const struct bytes *data, char digest[RXON_SIGNATURE_SIZE], struct why *why)
{
	unsigned char sum[DIGEST_SIZE];

	if (bytes_failed(data)) {
		why_set(why, "cannot compute a digest: out of memory");
		return (-1);
	}
	if (EVP_Digest(
		data_of(data), data->len, sum, NULL, EVP_sha256(), NULL) != 1) {
		why_set(why, "cannot compute a digest: SHA-256 failed");
		return (-1);
	}
	put_hex(sum, digest);
	return (0);
}
