/* SPDX-License-Identifier: ISC */
/*
 * reserve.c: the one block that is held back, taken again as soon as there is
 * memory for it. It is static because the libraries' hooks carry no argument.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/base/reserve.h"

#define RESERVE_BYTES ((size_t)256 * 1024) /* many requests' worth */

static _Atomic(void *) held;

static void
hold(void)
{
	void *none = NULL, *block;

	if (atomic_load(&held) != NULL ||
	    (block = malloc(RESERVE_BYTES)) == NULL)
		return;
	if (!atomic_compare_exchange_strong(&held, &none, block))
		free(block);
}

/* False when there is none left. */
static bool
let_go(void)
{
	void *block = atomic_exchange(&held, NULL);

	free(block);
	return (block != NULL);
}

void *
reserve_realloc(void *p, size_t size)
{
	void *q;

	hold();
	while ((q = realloc(p, size > 0 ? size : 1)) == NULL && let_go())
		continue;
	return (q);
}

void *
reserve_malloc(size_t size)
{
	return (reserve_realloc(NULL, size));
}

void *
reserve_calloc(size_t count, size_t size)
{
	void *p;

	if (size != 0 && count > SIZE_MAX / size)
		return (NULL);
	if ((p = reserve_malloc(count * size)) != NULL)
		memset(p, 0, count * size);
	return (p);
}

char *
reserve_strdup(const char *text)
{
	const size_t size = strlen(text) + 1;
	char *copy = reserve_malloc(size);

	return (copy != NULL ? memcpy(copy, text, size) : NULL);
}
