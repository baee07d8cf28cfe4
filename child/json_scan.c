/* SPDX-License-Identifier: ISC */
/*
 * json_scan.c: checks JSON text in one pass, without recursion. Open arrays
 * and objects are a stack of fixed size; the keys of all open objects are one
 * array, of which each object owns the tail while it is the innermost one.
 * That array is the only thing ever allocated. Reading checked text is
 * json_read.c's part.
 */
#include <stdlib.h>
#include <string.h>

#include "child/channel.h"
#include "child/json_scan.h"

#define OWN_KEYS  64 /* keys kept without an allocation */
#define FEW_KEYS  8 /* up to so many are compared each with each */
#define HASH_SIZE 60 /* decoded bytes of a key that its hash looks at */

#define ONES      (~UINT64_C(0) / 255) /* 0x0101... */
#define HIGH      (ONES * 0x80)

struct key {
	const char *p; /* behind the opening quote */
	size_t len; /* bytes before the closing quote */
	uint64_t hash; /* set only while a large object is sorted */
};

struct level {
	size_t first_key; /* where the object's keys begin */
	bool is_object;
};

struct scan {
	const char *p;
	const char *end;
	const struct jscan_limits *limits;
	struct key *keys; /* own_keys, or allocated */
	size_t nkeys;
	size_t keys_size;
	unsigned ntokens;
	unsigned depth;
	bool fresh; /* the innermost level has been opened just now */
	const char *fault; /* what is wrong, once something is */
	const char *fault_at; /* and where */
	struct level levels[JSCAN_DEPTH_MAX];
	struct key own_keys[OWN_KEYS];
};

const struct jscan_limits jscan_payload_limits = {
	.max_bytes = CHANNEL_TO_CHILD_MAX,
	.max_depth = 128,
	.max_tokens = 100000,
};

static int
fault(struct scan *s, const char *at, const char *text)
{
	s->fault = text;
	s->fault_at = at;
	return (-1);
}

/* The complaint about a byte that should not be at s->p. */
static int
unexpected(struct scan *s)
{
	if (s->p == s->end)
		return (fault(s, s->p, "the text ends early"));
	return (fault(s, s->p, "unexpected character"));
}

static void
skip_space(struct scan *s)
{
	while (s->p < s->end &&
	    (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
		s->p++;
}

/* Skips ASCII that means nothing special in a string, eight bytes a time. */
static const char *
skip_plain(const char *p, const char *end)
{
	uint64_t x, quote, backslash, special;

	for (; end - p >= 8; p += 8) {
		memcpy(&x, p, 8);
		quote = x ^ (ONES * '"');
		backslash = x ^ (ONES * '\\');
		special = (x - ONES * 0x20) & ~x;
		special |= (quote - ONES) & ~quote;
		special |= (backslash - ONES) & ~backslash;
		if (((special | x) & HIGH) != 0)
			break;
	}
	while (p < end && (unsigned char)*p >= 0x20 && (*p & 0x80) == 0 &&
	    *p != '"' && *p != '\\')
		p++;
	return (p);
}

/* The length of the well-formed UTF-8 sequence of two bytes or more at p, or
 * 0. Overlong forms, surrogates and what lies beyond U+10FFFF are not. */
static size_t
multibyte_len(const char *text, const char *end)
{
	const unsigned char *p = (const unsigned char *)text;
	const size_t left = (size_t)(end - text);

	if (left < 2 || (p[1] & 0xc0) != 0x80)
		return (0);
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		return (2);
	if (left < 3 || (p[2] & 0xc0) != 0x80)
		return (0);
	if ((p[0] & 0xf0) == 0xe0) {
		if ((p[0] == 0xe0 && p[1] < 0xa0) ||
		    (p[0] == 0xed && p[1] > 0x9f))
			return (0);
		return (3);
	}
	if (left < 4 || (p[3] & 0xc0) != 0x80 || p[0] < 0xf0 || p[0] > 0xf4 ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return (0);
	return (4);
}

/* Reads "\uXXXX"; -1 when it is none. */
static int
unicode_escape(const char *p, const char *end)
{
	int value = 0, i;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return (-1);
	for (i = 2; i < 6; i++) {
		value <<= 4;
		if (p[i] >= '0' && p[i] <= '9')
			value |= p[i] - '0';
		else if ((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'f')
			value |= (p[i] | 0x20) - 'a' + 10;
		else
			return (-1);
	}
	return (value);
}

/* Checks the escape at p; returns what follows it, or NULL. */
static const char *
skip_escape(struct scan *s, const char *p)
{
	int unit, low;

	if (s->end - p >= 2 && p[1] != '\0' && strchr("\"\\/bfnrt", p[1]))
		return (p + 2);
	if ((unit = unicode_escape(p, s->end)) == -1) {
		(void)fault(s, p, "malformed escape in a string");
		return (NULL);
	}
	if (unit < 0xd800 || unit > 0xdfff)
		return (p + 6);
	low = unicode_escape(p + 6, s->end);
	if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff) {
		(void)fault(s, p, "lone surrogate escape in a string");
		return (NULL);
	}
	return (p + 12);
}

/* Checks a string from behind its opening quote on. */
static int
scan_string(struct scan *s)
{
	const char *p = s->p;
	size_t n;

	for (;;) {
		p = skip_plain(p, s->end);
		if (p == s->end)
			return (fault(s, p, "the text ends within a string"));
		if (*p == '"')
			break;
		if (*p == '\\') {
			if ((p = skip_escape(s, p)) == NULL)
				return (-1);
		} else if ((unsigned char)*p < 0x20) {
			return (fault(s, p,
			    "raw control character in a "
			    "string"));
		} else {
			do {
				n = multibyte_len(p, s->end);
				if (n == 0)
					return (fault(s, p, "invalid UTF-8"));
				p += n;
			} while (p < s->end && (*p & 0x80) != 0);
		}
	}
	s->p = p + 1;
	return (0);
}

/* Skips digits; false when there is none. */
static bool
skip_digits(struct scan *s)
{
	const char *begin = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return (s->p > begin);
}

static int
scan_number(struct scan *s)
{
	if (*s->p == '-')
		s->p++;
	if (s->p < s->end && *s->p == '0')
		s->p++;
	else if (!skip_digits(s))
		return (unexpected(s));
	if (s->p < s->end && *s->p == '.') {
		s->p++;
		if (!skip_digits(s))
			return (unexpected(s));
	}
	if (s->p < s->end && (*s->p | 0x20) == 'e') {
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		if (!skip_digits(s))
			return (unexpected(s));
	}
	return (0);
}

static int
scan_literal(struct scan *s, const char *word)
{
	for (; *word != '\0'; word++, s->p++)
		if (s->p == s->end || *s->p != *word)
			return (unexpected(s));
	return (0);
}

static int
open_level(struct scan *s)
{
	if (s->depth == s->limits->max_depth || s->depth == JSCAN_DEPTH_MAX)
		return (fault(s, s->p, "nested too deeply"));
	s->levels[s->depth].is_object = *s->p == '{';
	s->levels[s->depth].first_key = s->nkeys;
	s->depth++;
	s->fresh = true;
	s->p++;
	return (0);
}

static int
count_token(struct scan *s)
{
	if (s->ntokens == s->limits->max_tokens)
		return (fault(s, s->p, "too many values"));
	s->ntokens++;
	return (0);
}

/* Checks a whole plain value, or the opening bracket of another. */
static int
scan_value(struct scan *s)
{
	skip_space(s);
	if (s->p == s->end)
		return (unexpected(s));
	if (count_token(s) == -1)
		return (-1);
	switch (*s->p) {
	case '{':
	case '[':
		return (open_level(s));
	case '"':
		s->p++;
		return (scan_string(s));
	case 't':
		return (scan_literal(s, "true"));
	case 'f':
		return (scan_literal(s, "false"));
	case 'n':
		return (scan_literal(s, "null"));
	default:
		if (*s->p == '-' || (*s->p >= '0' && *s->p <= '9'))
			return (scan_number(s));
		return (unexpected(s));
	}
}

static int
add_key(struct scan *s, const char *p, size_t len)
{
	const size_t size = s->keys_size * 2;
	struct key *keys;

	if (s->nkeys == s->keys_size) {
		keys = s->keys == s->own_keys ? NULL : s->keys;
		if ((keys = reallocarray(keys, size, sizeof(*keys))) == NULL)
			return (fault(s, s->p, "out of memory"));
		if (s->keys == s->own_keys)
			memcpy(keys, s->own_keys, sizeof(s->own_keys));
		s->keys = keys;
		s->keys_size = size;
	}
	s->keys[s->nkeys++] = (struct key){ .p = p, .len = len };
	return (0);
}

/* Checks a key and its colon. */
static int
scan_key(struct scan *s)
{
	const char *begin;

	skip_space(s);
	if (s->p == s->end || *s->p != '"')
		return (unexpected(s));
	if (count_token(s) == -1)
		return (-1);
	begin = ++s->p;
	if (scan_string(s) == -1 ||
	    add_key(s, begin, (size_t)(s->p - 1 - begin)) == -1)
		return (-1);
	skip_space(s);
	if (s->p == s->end || *s->p != ':')
		return (unexpected(s));
	s->p++;
	return (0);
}

/* The key as a string slice, quotes included. */
static struct jslice
key_slice(const struct key *k)
{
	return ((struct jslice){
	    .p = k->p - 1, .len = k->len + 2, .type = JSCAN_STRING });
}

static int
compare_keys(const struct key *a, const struct key *b)
{
	const struct jslice a_slice = key_slice(a), b_slice = key_slice(b);

	if (a->hash != b->hash)
		return (a->hash < b->hash ? -1 : 1);
	return (jscan_compare(&a_slice, &b_slice));
}

/* FNV-1a over the first decoded bytes; what it misses, compare_keys() sees. */
static uint64_t
hash_key(const struct key *k)
{
	const struct jslice slice = key_slice(k);
	char buf[HASH_SIZE + 4]; /* room for a character cut and a NUL */
	ssize_t len, i;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	len = jscan_string(&slice, buf, sizeof(buf));
	hash ^= (uint64_t)len;
	for (i = 0; i < len && i < HASH_SIZE; i++) {
		hash ^= (unsigned char)buf[i];
		hash *= UINT64_C(0x100000001b3);
	}
	return (hash);
}

static void
sift_down(struct key *keys, size_t root, size_t n)
{
	const struct key moving = keys[root];
	size_t child;

	while ((child = root * 2 + 1) < n) {
		if (child + 1 < n &&
		    compare_keys(&keys[child], &keys[child + 1]) < 0)
			child++;
		if (compare_keys(&moving, &keys[child]) >= 0)
			break;
		keys[root] = keys[child];
		root = child;
	}
	keys[root] = moving;
}

/* Heapsort: qsort() may allocate, and is quadratic for some when it cannot. */
static void
sort_keys(struct key *keys, size_t n)
{
	struct key last;
	size_t i;

	for (i = 0; i < n; i++)
		keys[i].hash = hash_key(&keys[i]);
	for (i = n / 2; i > 0; i--)
		sift_down(keys, i - 1, n);
	for (i = n; i > 1; i--) {
		last = keys[i - 1];
		keys[i - 1] = keys[0];
		keys[0] = last;
		sift_down(keys, 0, i - 1);
	}
}

/* Looks for a key that comes twice among those n. */
static const struct key *
duplicate(struct key *keys, size_t n)
{
	size_t i, j;

	if (n <= FEW_KEYS) {
		for (i = 1; i < n; i++)
			for (j = 0; j < i; j++)
				if (compare_keys(&keys[i], &keys[j]) == 0)
					return (&keys[i]);
		return (NULL);
	}
	sort_keys(keys, n);
	for (i = 1; i < n; i++)
		if (compare_keys(&keys[i - 1], &keys[i]) == 0)
			return (keys[i].p > keys[i - 1].p ? &keys[i] :
							    &keys[i - 1]);
	return (NULL);
}

static int
close_level(struct scan *s)
{
	const struct level *level = &s->levels[--s->depth];
	const struct key *twice;

	s->p++;
	s->fresh = false;
	if (!level->is_object)
		return (0);
	twice =
	    duplicate(s->keys + level->first_key, s->nkeys - level->first_key);
	if (twice != NULL)
		return (fault(s, twice->p - 1, "key comes twice in an object"));
	s->nkeys = level->first_key;
	return (0);
}

/* Goes on behind a value or an opening bracket: closes what ends and stops
 * where the next value has to be. Returns 1 there, 0 behind the root, -1. */
static int
settle(struct scan *s)
{
	const struct level *level;

	while (s->depth > 0) {
		level = &s->levels[s->depth - 1];
		skip_space(s);
		if (s->p == s->end)
			return (unexpected(s));
		if (*s->p == (level->is_object ? '}' : ']')) {
			if (close_level(s) == -1)
				return (-1);
			continue;
		}
		if (!s->fresh && *s->p++ != ',') {
			s->p--;
			return (unexpected(s));
		}
		s->fresh = false;
		if (level->is_object && scan_key(s) == -1)
			return (-1);
		return (1);
	}
	return (0);
}

static int
scan_document(struct scan *s, struct jslice *root)
{
	const char *begin, *end;
	int more;

	skip_space(s);
	begin = s->p;
	do {
		if (scan_value(s) == -1 || (more = settle(s)) == -1)
			return (-1);
	} while (more);
	end = s->p;
	skip_space(s);
	if (s->p != s->end)
		return (fault(s, s->p, "more text behind the value"));
	*root = (struct jslice){ .p = begin,
		.len = (size_t)(end - begin),
		.type = jscan_type(*begin) };
	return (0);
}

int
jscan_check(const char *text, size_t len, const struct jscan_limits *limits,
    struct jslice *root, struct jscan_error *error)
{
	struct scan s;
	int status;

	if (len > limits->max_bytes) {
		error->text = "the text is longer than allowed";
		error->at = limits->max_bytes;
		return (-1);
	}
	if (len == 0)
		text = ""; /* an empty struct bytes has NULL here */
	/* Not cleared as a whole: the arrays are a few KiB. */
	s.p = text;
	s.end = text + len;
	s.limits = limits;
	s.keys = s.own_keys;
	s.nkeys = 0;
	s.keys_size = OWN_KEYS;
	s.ntokens = 0;
	s.depth = 0;
	s.fresh = false;
	if ((status = scan_document(&s, root)) == -1) {
		error->text = s.fault;
		error->at = (size_t)(s.fault_at - text);
	}
	if (s.keys != s.own_keys)
		free(s.keys);
	return (status);
}
