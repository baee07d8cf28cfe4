/* SPDX-License-Identifier: ISC */
/*
 * declared.h: what a program declares of one of its handlers beside its task
 * type and category, for orchestrators to know. Everything is optional: NULL.
 */
#ifndef AVTOWORKER_DECLARED_H
#define AVTOWORKER_DECLARED_H

#include "supervisor/base/why.h"

struct jslice;

/* All owned. What is JSON is checked text. */
struct declared {
	char *version; /* [A-Za-z0-9_.+-]{1,64} */
	char *description; /* 1024 bytes at most */
	char *kind; /* of skill: [A-Za-z0-9._:-]{1,128} */
	char *cost; /* JSON: a number from 0 to 2^53 */
	char *input_schema; /* JSON: an object, of params */
	char *output_schema; /* JSON: an object, of the result's data */
	char *events_schema; /* JSON: an object of objects, by type of event */
	char *output_statuses; /* JSON: an array of words */
	char *dependencies; /* JSON: an array of strings: models it needs */
};

/* Reads the members of those names of an object. -1 and why, which names the
 * member, when one is not as it should be; out is then empty. */
int declared_read(
    const struct jslice *object, struct declared *out, struct why *);
/* -1 when memory is short; the copy is then empty. */
int declared_copy(const struct declared *, struct declared *copy);
void declared_fini(struct declared *);

#endif
