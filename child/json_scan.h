/* SPDX-License-Identifier: ISC */
/*
 * json_scan.h: checks JSON text and reads it in place. No copy of the text,
 * no tree, nothing allocated per value: params and results travel as the
 * bytes received, whatever their size. Used by the supervisor and the child.
 */
#ifndef AVTOWORKER_JSON_SCAN_H
#define AVTOWORKER_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum jscan_type {
	JSCAN_NULL,
	JSCAN_FALSE,
	JSCAN_TRUE,
	JSCAN_NUMBER,
	JSCAN_STRING,
	JSCAN_ARRAY,
	JSCAN_OBJECT,
};

/* One value inside text that jscan_check() has passed; borrows that text. */
struct jslice {
	const char *p; /* first byte of the value, quotes and braces included */
	size_t len; /* bytes, without white space around it */
	enum jscan_type type;
};

/* Nothing nested deeper is taken, whatever the limits say. */
#define JSCAN_DEPTH_MAX 256

struct jscan_limits {
	size_t max_bytes;
	unsigned max_depth; /* nested arrays and objects, <= JSCAN_DEPTH_MAX */
	unsigned max_tokens; /* values and keys together */
};

/* What the design allows a payload: 128 levels, 100,000 tokens. */
extern const struct jscan_limits jscan_payload_limits;

struct jscan_error {
	const char *text; /* static sentence */
	size_t at; /* byte offset in the text */
};

/*
 * Checks one whole document: RFC 8259 grammar, strict UTF-8, no lone
 * surrogate escapes, no duplicate keys in an object (compared decoded), no
 * bytes but white space behind it, the limits. Returns 0 and the root value,
 * or -1 and where and why.
 */
int jscan_check(const char *text, size_t len, const struct jscan_limits *,
    struct jslice *root, struct jscan_error *);

/* What a value is that begins with that byte. */
enum jscan_type jscan_type(char first);

/* Walks the members of an object or the elements of an array. */
struct jscan_iter {
	const char *p;
	const char *end;
};
void jscan_begin(struct jscan_iter *, const struct jslice *container);
/* False at the end. Keys are string slices; key may be NULL, and for the
 * elements of an array its p is set to NULL. */
bool jscan_next(struct jscan_iter *, struct jslice *key, struct jslice *value);

/* The order of two string slices by their decoded bytes: <0, 0 or >0. */
int jscan_compare(const struct jslice *, const struct jslice *);
/* True when the string slice, decoded, is that text. */
bool jscan_string_is(const struct jslice *string, const char *text);
/* The member of that (decoded) name; false when there is none or the slice is
 * no object. */
bool jscan_get(
    const struct jslice *object, const char *name, struct jslice *value);
/* The value at a path such as "user.tags[0].name"; "" is the value itself.
 * False when any step is missing. */
bool jscan_path(
    const struct jslice *root, const char *path, struct jslice *value);

/* Decodes a string slice into buf (terminated when size allows). Returns the
 * decoded length, which may be more than size - 1 (then cut at a character),
 * or -1 when the slice is no string. The decoded text may hold NUL bytes. */
ssize_t jscan_string(const struct jslice *, char *buf, size_t size);
/* Decoded copy, terminated; caller frees. NULL when it is no string, holds a
 * NUL, is longer than max_len decoded bytes, or memory is short (errno:
 * EINVAL, EILSEQ, EMSGSIZE, ENOMEM). */
char *jscan_strdup(const struct jslice *, size_t max_len);
/* Exact integers only (1, -7, also 3.0 and 1e2); -1 with errno ERANGE, or
 * EINVAL when it is no integral number. */
int jscan_int64(const struct jslice *, int64_t *);
/* Any number, whatever the locale; -1 with errno EINVAL when it is none,
 * ERANGE when it is beyond a double, ENOMEM. Tiny numbers become 0. */
int jscan_double(const struct jslice *, double *);

#endif
