/* SPDX-License-Identifier: ISC */
/*
 * bytes.h: a growing run of bytes with one owner: how params and results
 * travel, and how messages are put together. Used by the supervisor and the
 * child.
 */
#ifndef AVTOWORKER_BYTES_H
#define AVTOWORKER_BYTES_H

#include <stdbool.h>
#include <stddef.h>

struct bytes {
	char *p; /* NULL when empty; not terminated */
	size_t len; /* bytes in use */
	size_t size; /* bytes allocated */
	bool failed : 1; /* an append ran out of memory; see bytes_failed() */
};

/* Appends; out of memory is remembered and later appends do nothing, so that
 * a message can be put together first and checked once. */
void bytes_append(struct bytes *, const void *, size_t);
void bytes_puts(struct bytes *, const char *);
void bytes_printf(struct bytes *, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));
/* Appends text as a quoted JSON string. The text is expected to be UTF-8;
 * bytes that are not are replaced by U+FFFD. NULL appends null. */
void bytes_put_json(struct bytes *, const char *text, size_t len);
/* True when an append has failed. */
bool bytes_failed(const struct bytes *);
/* Moves the content out of from, which is left empty. */
struct bytes bytes_take(struct bytes *from);
/* Frees the content and leaves it empty. */
void bytes_fini(struct bytes *);

#endif
