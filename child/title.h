/* SPDX-License-Identifier: ISC */
/*
 * title.h: what ps(1) shows for a child. Written over its own arguments only:
 * setproctitle(3bsd) would take the environment as well, by which the
 * supervisor knows our descendants, and costs two libraries per child.
 */
#ifndef AVTOWORKER_CHILD_TITLE_H
#define AVTOWORKER_CHILD_TITLE_H

#include <stddef.h>

struct title {
	char *area; /* where the arguments were */
	size_t size;
};

/* Returns a copy of the arguments, to be used instead; caller frees it as a
 * whole. NULL when there is no memory. */
char **title_init(struct title *, int argc, char **argv);
/* "avtoworker: " and the text, cut to what there is room for. */
void title_set(const struct title *, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));

#endif
