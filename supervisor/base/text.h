/* SPDX-License-Identifier: ISC */
/* text.h: strings on the heap. */
#ifndef AVTOWORKER_TEXT_H
#define AVTOWORKER_TEXT_H

/* A new string made from a format; caller frees. NULL when memory is short. */
char *text_format(const char *fmt, ...)
    __attribute__((__format__(printf, 1, 2)));

#endif
