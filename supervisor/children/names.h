/* SPDX-License-Identifier: ISC */
/* names.h: lists of names in what children say, kept as the JSON text that was
 * checked. */
#ifndef AVTOWORKER_NAMES_H
#define AVTOWORKER_NAMES_H

#include <stdbool.h>

#include "supervisor/base/why.h"

struct jscan_iter;
struct jslice;

/* A copy of the list of that name, which the caller frees; NULL: there is none
 * in that object. -1 and why when it is no list of names. */
int names_read(
    const struct jslice *object, const char *name, char **out, struct why *why);
/* Walks a list that names_read() has made. */
void names_begin(struct jscan_iter *, const char *list);
/* True when it is in the list; false without one. */
bool names_have(const char *list, const char *name);

#endif
