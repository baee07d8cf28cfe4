/* SPDX-License-Identifier: ISC */
/*
 * conf_text.h: the text of one configuration file, made safe for libConfuse,
 * which cannot be given everything that a file may hold.
 */
#ifndef AVTOWORKER_CONF_TEXT_H
#define AVTOWORKER_CONF_TEXT_H

#include <sys/types.h>

#include <stddef.h>

#include "supervisor/conf.h"

#define CONF_TEXT_MAX (1024 * 1024) /* bytes of one file */

struct conf_text {
	char *bytes; /* ends with a NUL, and has no other */
	size_t len; /* without the NUL */
	int *opened; /* line of each block's "{", in order */
	size_t opened_len;
	dev_t dev; /* which file it was */
	ino_t ino;
};

/* Reads and checks the file. Comments become blanks. Returns -1 with one
 * problem added, and nothing to free. */
int conf_text_read(
    const char *path, struct conf_text *, struct conf_problems *);
void conf_text_fini(struct conf_text *);

#endif
