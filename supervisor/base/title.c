/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <bsd/unistd.h>

#include "supervisor/base/title.h"

extern char **environ;

void
title_init(int argc, char *argv[])
{
	char **original = environ;
	char **p;

	setproctitle_init(argc, argv, environ);
	/* Without memory it stays where it was, and so do its users. */
	if (environ == original)
		return;
	for (p = original; *p != NULL; p++)
		explicit_bzero(*p, strlen(*p));
}

void
title_set(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	setproctitle("%s", text);
}
