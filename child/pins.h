/* SPDX-License-Identifier: ISC */
/*
 * pins.h: files as they were when the supervisor described them. It hands each
 * one on, open, so that a pool does not mix two versions of a module whose
 * name has been given to a new file.
 */
#ifndef AVTOWORKER_PINS_H
#define AVTOWORKER_PINS_H

#include <stddef.h>

#define PINS_MAX      64 /* files of one category that are pinned */
#define PIN_PATH_SIZE 32

struct pins {
	const char *files[PINS_MAX]; /* by the order of the descriptors */
	size_t len;
};

/* The next descriptor after the channel is that file (borrowed). -1 when
 * there are too many. */
int pins_add(struct pins *, const char *file);
/* What to load for that file: its name, or where its old content still is,
 * written into path. */
const char *pins_path(
    const struct pins *, const char *file, char path[PIN_PATH_SIZE]);
/* Closes the descriptors: everything is loaded. */
void pins_close(const struct pins *);

#endif
