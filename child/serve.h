/* SPDX-License-Identifier: ISC */
/*
 * serve.h: the child at work: loads its handlers, says ready, and runs one
 * task after the other until it is told to stop.
 */
#ifndef AVTOWORKER_SERVE_H
#define AVTOWORKER_SERVE_H

#include <stddef.h>

#include "child/wire.h"

struct pins;
struct turn;

/* The command line's TYPE=FILE. */
struct assignment {
	const char *type;
	const char *file;
};

/* Serves until a stop frame or the end of the channel. Everything is borrowed.
 * Returns the exit status. */
int serve(struct wire *, struct turn *, const struct pins *,
    const struct assignment *, size_t count);

#endif
