/* SPDX-License-Identifier: ISC */
/*
 * json_read.c: reads in place what json_scan.c has checked. Nothing here
 * doubts the grammar, but no function reads beyond its slice.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "child/json_scan.h"

/* The decoded bytes of a string, one after another. */
struct cursor {
	const char *p;
	const char *end;
	char pending[4]; /* what is left of a decoded escape */
	size_t npending;
	size_t next;
};

enum jscan_type
jscan_type(char first)
{
	switch (first) {
	case 'n':
		return (JSCAN_NULL);
	case 'f':
		return (JSCAN_FALSE);
	case 't':
		return (JSCAN_TRUE);
	case '"':
		return (JSCAN_STRING);
	case '[':
		return (JSCAN_ARRAY);
	case '{':
		return (JSCAN_OBJECT);
	default:
		return (JSCAN_NUMBER);
	}
}

static const char *
skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
		p++;
	return (p);
}

/* Skips a string from its opening quote on. */
static const char *
skip_string(const char *p, const char *end)
{
	const char *quote, *q;

	for (p++; p < end; p = quote + 1) {
		if ((quote = memchr(p, '"', (size_t)(end - p))) == NULL)
			return (end);
		for (q = quote; q > p && q[-1] == '\\'; q--)
			continue;
		if ((quote - q) % 2 == 0)
			return (quote + 1);
	}
	return (end);
}

static const char *
skip_container(const char *p, const char *end)
{
	size_t depth = 0;

	while (p < end) {
		switch (*p) {
		case '"':
			p = skip_string(p, end);
			continue;
		case '[':
		case '{':
			depth++;
			break;
		case ']':
		case '}':
			if (--depth == 0)
				return (p + 1);
			break;
		}
		p++;
	}
	return (end);
}

static const char *
skip_value(const char *p, const char *end)
{
	switch (*p) {
	case '"':
		return (skip_string(p, end));
	case '[':
	case '{':
		return (skip_container(p, end));
	default:
		while (p < end && *p != ',' && *p != ']' && *p != '}' &&
		    *p != ' ' && *p != '\n' && *p != '\t' && *p != '\r')
			p++;
		return (p);
	}
}

void
jscan_begin(struct jscan_iter *it, const struct jslice *container)
{
	it->p = it->end = container->p;
	if ((container->type == JSCAN_ARRAY ||
		container->type == JSCAN_OBJECT) &&
	    container->len >= 2) {
		it->p++;
		it->end += container->len - 1;
	}
}

/* Cuts the value off at the iterator's place; false at the end. */
static bool
take(struct jscan_iter *it, struct jslice *value)
{
	const char *p = skip_space(it->p, it->end);

	if (p == it->end)
		return (false);
	it->p = skip_value(p, it->end);
	value->p = p;
	value->len = (size_t)(it->p - p);
	value->type = jscan_type(*p);
	it->p = skip_space(it->p, it->end);
	return (true);
}

bool
jscan_next(struct jscan_iter *it, struct jslice *key, struct jslice *value)
{
	struct jslice first;

	if (!take(it, &first))
		return (false);
	if (key != NULL)
		*key = (struct jslice){ .p = NULL, .len = 0 };
	if (it->p < it->end && *it->p == ':') {
		if (key != NULL)
			*key = first;
		it->p++;
		if (!take(it, &first))
			return (false);
	}
	if (it->p < it->end) /* a comma */
		it->p++;
	*value = first;
	return (true);
}

static unsigned
hex4(const char *p)
{
	unsigned value = 0;
	int i;

	for (i = 0; i < 4; i++)
		value = value << 4 |
		    (unsigned)(p[i] <= '9' ? p[i] - '0' :
					     (p[i] | 0x20) - 'a' + 10);
	return (value);
}

static size_t
encode_utf8(unsigned code, char out[4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return (1);
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return (2);
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return (3);
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return (4);
}

/* Decodes the escape at *p, moving behind it; returns how many bytes. */
static size_t
decode_escape(const char **p, const char *end, char out[4])
{
	static const char plain[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	const char *at = *p, *found;
	unsigned code;

	if (end - at >= 6 && at[1] == 'u') {
		code = hex4(at + 2);
		*p = at + 6;
		if (code >= 0xd800 && code <= 0xdbff && end - at >= 12) {
			code = 0x10000 + ((code - 0xd800) << 10) +
			    (hex4(at + 8) - 0xdc00);
			*p = at + 12;
		}
		return (encode_utf8(code, out));
	}
	if (end - at < 2 || (found = strchr(plain, at[1])) == NULL) {
		*p = end;
		return (0);
	}
	*p = at + 2;
	out[0] = meant[found - plain];
	return (1);
}

static struct cursor
cursor_of(const struct jslice *string)
{
	struct cursor c = { .p = string->p + 1 };

	c.end = string->p + string->len - 1;
	return (c);
}

/* The next decoded byte; -1 at the end. */
static int
next_byte(struct cursor *c)
{
	if (c->next < c->npending)
		return ((unsigned char)c->pending[c->next++]);
	if (c->p == c->end)
		return (-1);
	if (*c->p != '\\')
		return ((unsigned char)*c->p++);
	c->npending = decode_escape(&c->p, c->end, c->pending);
	c->next = 1;
	return (c->npending > 0 ? (unsigned char)c->pending[0] : -1);
}

static bool
has_escape(const struct jslice *string)
{
	return (memchr(string->p, '\\', string->len) != NULL);
}

int
jscan_compare(const struct jslice *a, const struct jslice *b)
{
	struct cursor a_at, b_at;
	size_t len;
	int diff, c;

	if (!has_escape(a) && !has_escape(b)) {
		len = a->len < b->len ? a->len : b->len;
		diff = memcmp(a->p + 1, b->p + 1, len - 2);
		return (
		    diff != 0 ? diff : (a->len > b->len) - (a->len < b->len));
	}
	a_at = cursor_of(a);
	b_at = cursor_of(b);
	do {
		c = next_byte(&a_at);
		diff = c - next_byte(&b_at);
	} while (diff == 0 && c != -1);
	return (diff);
}

static bool
string_is(const struct jslice *string, const char *text, size_t len)
{
	struct cursor at;
	size_t i;

	if (string->type != JSCAN_STRING)
		return (false);
	if (!has_escape(string))
		return (string->len - 2 == len &&
		    memcmp(string->p + 1, text, len) == 0);
	at = cursor_of(string);
	for (i = 0; i < len; i++)
		if (next_byte(&at) != (unsigned char)text[i])
			return (false);
	return (next_byte(&at) == -1);
}

bool
jscan_string_is(const struct jslice *string, const char *text)
{
	return (string_is(string, text, strlen(text)));
}

static bool
get_member(const struct jslice *object, const char *name, size_t len,
    struct jslice *value)
{
	struct jslice key, member;
	struct jscan_iter it;

	if (object->type != JSCAN_OBJECT)
		return (false);
	jscan_begin(&it, object);
	while (jscan_next(&it, &key, &member))
		if (string_is(&key, name, len)) {
			*value = member;
			return (true);
		}
	return (false);
}

bool
jscan_get(const struct jslice *object, const char *name, struct jslice *value)
{
	return (get_member(object, name, strlen(name), value));
}

/* One "[n]" step of a path; returns what follows it, or NULL. */
static const char *
get_element(struct jslice *at, const char *path)
{
	struct jscan_iter it;
	size_t index = 0;

	if (at->type != JSCAN_ARRAY || *++path < '0' || *path > '9')
		return (NULL);
	for (; *path >= '0' && *path <= '9'; path++) {
		if (index > at->len) /* has fewer elements than bytes */
			return (NULL);
		index = index * 10 + (size_t)(*path - '0');
	}
	if (*path != ']')
		return (NULL);
	jscan_begin(&it, at);
	do {
		if (!jscan_next(&it, NULL, at))
			return (NULL);
	} while (index-- > 0);
	return (path + 1);
}

bool
jscan_path(const struct jslice *root, const char *path, struct jslice *value)
{
	struct jslice at = *root;
	bool first = true;
	size_t len;

	while (*path != '\0') {
		if (*path == '[') {
			if ((path = get_element(&at, path)) == NULL)
				return (false);
		} else {
			/* A name follows a dot, but for the first. */
			if (!first && *path++ != '.')
				return (false);
			len = strcspn(path, ".[");
			if (len == 0 || !get_member(&at, path, len, &at))
				return (false);
			path += len;
		}
		first = false;
	}
	*value = at;
	return (true);
}

/* How much of a run of UTF-8 of that length fits: whole characters only. */
static size_t
fitting(const char *p, size_t len, size_t room)
{
	if (len <= room)
		return (len);
	while (room > 0 && (p[room] & 0xc0) == 0x80)
		room--;
	return (room);
}

ssize_t
jscan_string(const struct jslice *string, char *buf, size_t size)
{
	size_t room = size > 0 ? size - 1 : 0, used = 0, total = 0, n, fit;
	const char *p, *end, *run;
	char decoded[4];

	if (string->type != JSCAN_STRING)
		return (-1);
	p = string->p + 1;
	for (end = string->p + string->len - 1; p < end; total += n) {
		run = p;
		if (*p == '\\') {
			n = decode_escape(&p, end, decoded);
			run = decoded;
		} else {
			if ((p = memchr(p, '\\', (size_t)(end - p))) == NULL)
				p = end;
			n = (size_t)(p - run);
		}
		fit = fitting(run, n, room);
		if (fit > 0)
			memcpy(buf + used, run, fit);
		used += fit;
		/* After a cut nothing more goes in. */
		room = fit == n ? room - n : 0;
	}
	if (size > 0)
		buf[used] = '\0';
	return ((ssize_t)total);
}

char *
jscan_strdup(const struct jslice *string, size_t max_len)
{
	ssize_t len;
	char *copy;

	if ((len = jscan_string(string, NULL, 0)) == -1) {
		errno = EINVAL;
		return (NULL);
	}
	if ((size_t)len > max_len) {
		errno = EMSGSIZE;
		return (NULL);
	}
	if ((copy = malloc((size_t)len + 1)) == NULL)
		return (NULL);
	(void)jscan_string(string, copy, (size_t)len + 1);
	if (strlen(copy) != (size_t)len) {
		free(copy);
		errno = EILSEQ;
		return (NULL);
	}
	return (copy);
}
