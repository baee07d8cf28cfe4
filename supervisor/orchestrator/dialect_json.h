/* SPDX-License-Identifier: ISC */
/* dialect_json.h: building the dialects' small messages with jansson. */
#ifndef AVTOWORKER_DIALECT_JSON_H
#define AVTOWORKER_DIALECT_JSON_H

#include <jansson.h>

struct bytes;
struct why;
struct worker_facts;

/* The offered task types as a new array; NULL when memory is short (which
 * json_pack() turns into NULL for the whole). */
json_t *dialect_types(const struct worker_facts *);
/* Appends a message; takes it, NULL included. -1 and why. */
int dialect_put_message(json_t *, struct bytes *out, struct why *);

#endif
