/* SPDX-License-Identifier: ISC */
/* pairs.h: lists such as "zone=eu, ssd=true", as settings have them. */
#ifndef AVTOWORKER_PAIRS_H
#define AVTOWORKER_PAIRS_H

#include <stddef.h>

/* Borrowed from the text, without blanks around. */
struct pair {
	const char *name;
	size_t name_len;
	const char *value; /* NULL: there is no "=" */
	size_t value_len;
};

/* Takes the next pair from *at on, and steps behind it; 0 at the end, else 1.
 * An empty text is one empty pair. */
int pairs_next(const char **at, struct pair *);

#endif
