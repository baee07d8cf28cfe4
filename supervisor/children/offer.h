/* SPDX-License-Identifier: ISC */
/* offer.h: what a child says it can do, in its ready frame. */
#ifndef AVTOWORKER_OFFER_H
#define AVTOWORKER_OFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "supervisor/base/why.h"
#include "supervisor/declared.h"

struct offer_handler {
	char *type; /* task type, checked */
	char *category; /* checked; NULL when the program names none */
	struct declared declared;
};

/* Tasks of a category that the program wants to run at once. */
struct offer_limit {
	char *category; /* checked */
	unsigned tasks;
};

struct offer {
	struct offer_handler *handlers; /* owned */
	size_t count;
	struct offer_limit *limits; /* owned */
	size_t limits_len;
	char *worker; /* owned; JSON: what it says of the worker; or NULL */
	char *commands; /* owned; names, as names.h has them: commands that one
			   child takes for all, the speaker; NULL: it needs
			   none */
};

/* Reads a ready frame. -1 and why: the child's own reason when it could not
 * start, else how it broke the protocol. */
int offer_read(const char *payload, size_t len, struct offer *, struct why *);
/* -1 when memory is short; the copy is then empty. */
int offer_copy(const struct offer *, struct offer *copy);
/* True when both have the same handlers, in whatever order. */
bool offer_equal(const struct offer *, const struct offer *);
void offer_fini(struct offer *);

#endif
