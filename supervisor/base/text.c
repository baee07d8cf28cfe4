/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stdio.h>

#include "supervisor/base/text.h"

char *
text_format(const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) == -1)
		text = NULL;
	va_end(ap);
	return (text);
}
