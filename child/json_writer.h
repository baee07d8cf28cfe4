/* SPDX-License-Identifier: ISC */
/*
 * json_writer.h: what stands behind struct aw_json of the handler API: the
 * data of a result, put together member by member. Owned by its task.
 */
#ifndef AVTOWORKER_JSON_WRITER_H
#define AVTOWORKER_JSON_WRITER_H

#include <stdint.h>

#include "child/bytes.h"

#define JSON_WRITER_DEPTH 60 /* containers inside the data object */

struct aw_json {
	struct bytes text;
	uint64_t arrays; /* bit n: the container at depth n is an array */
	uint64_t nonempty; /* bit n: the container at depth n has a member */
	unsigned depth; /* 0: the data object itself */
	const char *fault; /* the first mistake, static; NULL: none so far */
};

/* Empties it, then writes what is to stand before the data, and opens the
 * data object. */
void json_writer_begin(struct aw_json *, const char *before);
/* Closes the data object. Returns NULL, or the first mistake. */
const char *json_writer_end(struct aw_json *);

#endif
