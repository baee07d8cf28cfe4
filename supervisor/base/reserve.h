/* SPDX-License-Identifier: ISC */
/*
 * reserve.h: allocation for libraries that do not stand it when one fails:
 * libcurl may crash then, and OpenSSL may never work again. Some memory is
 * held back, and is let go of when there is no other. May be used by several
 * threads; what it gives is freed with free().
 */
#ifndef AVTOWORKER_RESERVE_H
#define AVTOWORKER_RESERVE_H

#include <stddef.h>

void *reserve_malloc(size_t);
void *reserve_calloc(size_t count, size_t size);
void *reserve_realloc(void *, size_t);
char *reserve_strdup(const char *);

#endif
