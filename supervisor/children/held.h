/* SPDX-License-Identifier: ISC */
/* held.h: what a child says in its state frames: what it holds in memory, by
 * which orchestrators choose who would have to load least; that it wants to go;
 * and, as the speaker of its program, what that has to say of the machine. */
#ifndef AVTOWORKER_HELD_H
#define AVTOWORKER_HELD_H

#include <stdbool.h>
#include <stddef.h>

#include "supervisor/base/why.h"

struct used;

/* Checked JSON text: arrays of names. Owned; NULL: it has not said. */
struct held {
	char *cache; /* models, or whatever it loads */
	char *skills; /* task types for which it has all that they need */
	char *full; /* task types that are not to come just now */
	struct used *used; /* of the machine */
	bool leaving; /* it wants to be told to stop */
};

/* Takes over what a state frame says; what it does not mention stays. -1 and
 * why; nothing has changed then. */
int held_read(const char *payload, size_t len, struct held *, struct why *);
/* True when it is ready for that task type: when it has not said otherwise. */
bool held_has_skill(const struct held *, const char *type);
/* Adds the names of its cache that are not among names yet, of which there are
 * at most max; new ones are allocated. Returns how many there are then. */
size_t held_add_cache(
    const struct held *, char **names, size_t count, size_t max);
void held_fini(struct held *);

#endif
