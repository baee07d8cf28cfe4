/* SPDX-License-Identifier: ISC */
/*
 * conf_told.h: settings that scripts bring with them: they count more than the
 * defaults, and less than anything else.
 */
#ifndef AVTOWORKER_CONF_TOLD_H
#define AVTOWORKER_CONF_TOLD_H

#include <stddef.h>

#include "supervisor/base/why.h"

struct conf_key;
struct conf_block;

struct conf_told {
	char *from; /* who says it: "python NAME" */
	const struct conf_key *key;
	char *value; /* as a file would have it */
	char *winner; /* where what counts instead was set; NULL: it counts */
};

/* Owned by whoever makes them; one that is zeroed is empty. */
struct conf_tolds {
	struct conf_told *list;
	size_t len;
};

/* Adds what the member "worker" of a ready frame says: checked JSON. -1 and
 * why. */
int conf_told_read(
    struct conf_tolds *, const char *from, const char *json, struct why *why);
/* Adds one; takes the value, for which NULL means that memory is short. -1 and
 * why. */
int conf_told_add(struct conf_tolds *, const char *from,
    const struct conf_key *, char *value, struct why *why);
/* Wipes secrets, frees. */
void conf_told_fini(struct conf_tolds *);

#endif
