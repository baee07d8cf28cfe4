/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/base/why.h"

void
why_set(struct why *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
}

void
why_errno(struct why *why, const char *fmt, ...)
{
	const int saved = errno;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(why->text))
		(void)snprintf(why->text + n, sizeof(why->text) - (size_t)n,
		    ": %s", strerror(saved));
	errno = saved;
}
