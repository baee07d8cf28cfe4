/* SPDX-License-Identifier: ISC */
/* spec.h: which tasks there are to hand out, as the command line said it. */
#ifndef DEVORCH_SPEC_H
#define DEVORCH_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/base/why.h"

struct bad_task;
struct bytes;

/* Tasks of one kind. */
struct spec {
	char *type;
	char *params; /* JSON text */
	const struct bad_task *bad; /* NULL: an ordinary task */
	uint32_t count;
	uint32_t made; /* of them, how many specs_next() has given */
	bool numbered : 1; /* params have {i} or {fill=BYTES} */
};

struct specs {
	struct spec *list;
	size_t count;
	size_t turn; /* whose turn it is */
	uint64_t unmade; /* tasks that specs_next() has not given yet */
};

void specs_fini(struct specs *);
/* TYPE[=COUNT[:PARAMS]]. */
int specs_add_tasks(struct specs *, const char *text, struct why *);
/* JSON lines of {"type": ..., "params": ...}; one task each. */
int specs_add_file(struct specs *, const char *path, struct why *);
/* KIND[=COUNT] of a broken task; see bad_task.h. */
int specs_add_bad(struct specs *, const char *text, struct why *);

/* The next task: the specs take turns. False when there is none left. */
bool specs_next(struct specs *, uint32_t *spec, uint32_t *number);
/* Appends params with a number for every {i}, and so many letters for every
 * {fill=BYTES}. */
void spec_write_params(const char *params, uint32_t number, struct bytes *out);

#endif
