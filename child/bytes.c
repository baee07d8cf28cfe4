/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child/bytes.h"

/* Makes room for more further bytes and a terminator. */
static int
reserve(struct bytes *b, size_t more)
{
	size_t want;
	char *p;

	if (b->failed)
		return (-1);
	if (more >= SIZE_MAX / 2 - b->len) {
		b->failed = true;
		return (-1);
	}
	want = b->len + more + 1;
	if (want <= b->size)
		return (0);
	if (want < b->size * 2)
		want = b->size * 2;
	if (want < 64)
		want = 64;
	if ((p = realloc(b->p, want)) == NULL) {
		b->failed = true;
		return (-1);
	}
	b->p = p;
	b->size = want;
	return (0);
}

void
bytes_append(struct bytes *b, const void *p, size_t len)
{
	if (len == 0 || reserve(b, len) == -1)
		return;
	memcpy(b->p + b->len, p, len);
	b->len += len;
}

void
bytes_puts(struct bytes *b, const char *text)
{
	bytes_append(b, text, strlen(text));
}

void
bytes_printf(struct bytes *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	if (reserve(b, (size_t)n) == -1)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(b->p + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

/* The length of the well-formed UTF-8 sequence at p, or 0. */
static size_t
utf8_len(const unsigned char *p, size_t len)
{
	size_t n, i;

	if (p[0] < 0x80)
		return (1);
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if ((p[0] & 0xf0) == 0xe0)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return (0);
	if (n > len)
		return (0);
	for (i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return (0);
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return (0);
	return (n);
}

void
bytes_put_json(struct bytes *b, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;
	const unsigned char *end;
	size_t n;

	if (text == NULL) {
		bytes_puts(b, "null");
		return;
	}
	end = p + len;
	bytes_puts(b, "\"");
	for (; p < end; p += n) {
		n = 1;
		if (*p == '"' || *p == '\\')
			bytes_printf(b, "\\%c", *p);
		else if (*p == '\n')
			bytes_puts(b, "\\n");
		else if (*p < 0x20)
			bytes_printf(b, "\\u%04x", *p);
		else if ((n = utf8_len(p, (size_t)(end - p))) > 0)
			bytes_append(b, p, n);
		else {
			bytes_puts(b, "\xef\xbf\xbd");
			n = 1;
		}
	}
	bytes_puts(b, "\"");
}

bool
bytes_failed(const struct bytes *b)
{
	return (b->failed);
}

struct bytes
bytes_take(struct bytes *from)
{
	const struct bytes out = *from;

	*from = (struct bytes){ 0 };
	return (out);
}

void
bytes_fini(struct bytes *b)
{
	free(b->p);
	*b = (struct bytes){ 0 };
}
