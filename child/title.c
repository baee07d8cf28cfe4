/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child/title.h"

#define NAME   "avtoworker-child"
#define PREFIX "avtoworker: "

char **
title_init(struct title *t, int argc, char **argv)
{
	size_t total = 0, len;
	char **copy, *text;
	int i;

	*t = (struct title){ 0 };
	for (i = 0; i < argc; i++) {
		len = strlen(argv[i]) + 1;
		total += len;
		if (i == 0)
			t->area = argv[0];
		if (argv[i] == t->area + t->size)
			t->size += len; /* they stand in a row */
	}
	copy = malloc(((size_t)argc + 1) * sizeof(*copy) + total);
	if (copy == NULL)
		return (NULL);
	text = (char *)(copy + argc + 1);
	for (i = 0; i < argc; i++) {
		len = strlen(argv[i]) + 1;
		copy[i] = memcpy(text, argv[i], len);
		text += len;
	}
	copy[argc] = NULL;
	/* What assert(3) and the like of handlers write. */
	program_invocation_name = (char *)NAME;
	program_invocation_short_name = (char *)NAME;
	return (copy);
}

void
title_set(const struct title *t, const char *fmt, ...)
{
	char text[512] = PREFIX;
	const size_t prefix = sizeof(PREFIX) - 1;
	va_list ap;
	size_t len;

	if (t->size == 0)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text + prefix, sizeof(text) - prefix, fmt, ap);
	va_end(ap);
	/* The last byte stays 0: otherwise the kernel shows the environment
	 * behind it too. */
	len = strnlen(text, t->size - 1);
	memcpy(t->area, text, len);
	memset(t->area + len, 0, t->size - len);
}
