/* SPDX-License-Identifier: ISC */
/*
 * Values: texts, URLs, lists of words, numbers, sizes, times, flags and words,
 * read and written by the row of their key. Reads what was written.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "supervisor/base/words.h"
#include "supervisor/conf_value.h"

#define URL_MAX      2048
/* Digits of a number that still fits with any unit, and of a fraction. */
#define DIGITS_MAX   12
#define FRACTION_MAX 9

/* Reads digits; more than max are refused. Returns how many there were. */
static size_t
digits(const char *s, size_t max, int64_t *value)
{
	size_t n;

	*value = 0;
	for (n = 0; s[n] >= '0' && s[n] <= '9'; n++) {
		if (n == max)
			return (0);
		*value = *value * 10 + (s[n] - '0');
	}
	return (n);
}

int
conf_parse_number(const char *s, int64_t *number)
{
	int64_t value;
	size_t n;

	n = digits(s, DIGITS_MAX, &value);
	if (n == 0 || s[n] != '\0')
		return (-1);
	*number = value;
	return (0);
}

int
conf_parse_size(const char *s, int64_t *bytes)
{
	static const char units[] = "KMG";
	const char *unit;
	int64_t value;
	size_t n;
	int shift = 0;

	if ((n = digits(s, DIGITS_MAX, &value)) == 0)
		return (-1);
	if (s[n] != '\0') {
		unit = strchr(units, toupper((unsigned char)s[n]));
		if (unit == NULL || s[n + 1] != '\0')
			return (-1);
		shift = 10 * (int)(unit - units + 1);
	}
	if (value > INT64_MAX >> shift)
		return (-1);
	*bytes = value << shift;
	return (0);
}

static int64_t
time_unit(const char *s)
{
	static const struct {
		const char *name;
		int64_t ms;
	} units[] = { { "", 1000 }, { "ms", 1 }, { "s", 1000 },
		{ "m", 60 * 1000 }, { "h", 60 * 60 * 1000 } };
	size_t i;

	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(s, units[i].name) == 0)
			return (units[i].ms);
	return (0);
}

/* A number with a fraction, if need be: whole + fraction / scale. */
struct decimal {
	int64_t whole;
	int64_t fraction;
	int64_t scale;
};

/* Reads one; returns what stands behind it, or NULL when there is none. */
static const char *
decimal(const char *s, struct decimal *d)
{
	size_t n, i;

	*d = (struct decimal){ .scale = 1 };
	if ((n = digits(s, DIGITS_MAX, &d->whole)) == 0)
		return (NULL);
	s += n;
	if (*s != '.')
		return (s);
	s++;
	if ((n = digits(s, FRACTION_MAX, &d->fraction)) == 0)
		return (NULL);
	for (i = 0; i < n; i++)
		d->scale *= 10;
	return (s + n);
}

/* Rounded up: something must not become nothing. */
static int64_t
in_units(const struct decimal *d, int64_t unit)
{
	return (
	    d->whole * unit + (d->fraction * unit + d->scale - 1) / d->scale);
}

int
conf_parse_decimal(const char *s, int64_t *milli)
{
	struct decimal d;

	if ((s = decimal(s, &d)) == NULL || *s != '\0')
		return (-1);
	*milli = in_units(&d, 1000);
	return (0);
}

int
conf_parse_time(const char *s, int64_t *ms)
{
	struct decimal d;
	int64_t unit;

	if ((s = decimal(s, &d)) == NULL || (unit = time_unit(s)) == 0)
		return (-1);
	*ms = in_units(&d, unit);
	return (0);
}

int
conf_parse_flag(const char *s, bool *flag)
{
	static const char *const words[] = { "no", "yes", "false", "true",
		"off", "on" };
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(s, words[i]) == 0) {
			*flag = i % 2 == 1;
			return (0);
		}
	}
	return (-1);
}

/* Returns how long the host and port at the start of s are; 0: not usable. */
static size_t
authority_len(const char *s)
{
	const size_t len = strcspn(s, "/");
	size_t host, n;
	int64_t port;

	if (s[0] == '[') {
		host = 1 + strspn(s + 1, "0123456789abcdefABCDEF:.");
		if (host < 3 || s[host] != ']')
			return (0);
		host++;
	} else
		host = strspn(s,
		    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		    "abcdefghijklmnopqrstuvwxyz0123456789.-_");
	if (host == 0 || host > 255)
		return (0);
	if (host == len)
		return (len);
	n = s[host] == ':' ? digits(s + host + 1, 5, &port) : 0;
	if (n == 0 || host + 1 + n != len || port < 1 || port > 65535)
		return (0);
	return (len);
}

/* Checks a URL and gives its length without trailing slashes, or 0. No user
 * info, query or fragment: they may hold secrets, and the paths that are added
 * to it need its end. */
static size_t
url_len(const char *url)
{
	size_t scheme, authority, i, len = strnlen(url, URL_MAX + 1);

	if (strncasecmp(url, "http://", 7) == 0)
		scheme = 7;
	else if (strncasecmp(url, "https://", 8) == 0)
		scheme = 8;
	else
		return (0);
	if (len > URL_MAX || (authority = authority_len(url + scheme)) == 0)
		return (0);
	for (i = scheme + authority; i < len; i++)
		if (url[i] <= ' ' || url[i] > '~' ||
		    strchr("?#@\"\\<>^`{|}", url[i]) != NULL)
			return (0);
	while (url[len - 1] == '/')
		len--;
	return (len);
}

static void *
field(const struct conf_key *key, void *base)
{
	return ((char *)base + key->offset);
}

static int
set_text(const struct conf_key *key, const char *text, void *base)
{
	size_t len = strlen(text);
	char *copy;

	if (key->type == CONF_TYPE_URL)
		len = url_len(text);
	else if (!key->check(text))
		len = 0;
	if (len == 0) {
		errno = EINVAL;
		return (-1);
	}
	if ((copy = strndup(text, len)) == NULL)
		return (-1);
	conf_value_free(key, base);
	memcpy(field(key, base), &copy, sizeof(copy));
	return (0);
}

/* The words of a value, each checked; NULL and errno. */
static char **
cut_words(const struct conf_key *key, const char *text)
{
	const char sep[] = { CONF_WORDS_END, '\0' };
	struct words w = { 0 };
	size_t len;

	for (;; text += len + 1) {
		len = strcspn(text, sep);
		words_add(&w, strndup(text, len));
		if (!w.failed && !key->check(w.list[w.len - 1])) {
			errno = EINVAL;
			w.failed = true;
		}
		if (w.failed || text[len] == '\0')
			return (words_take(&w));
	}
}

static int
set_words(const struct conf_key *key, const char *text, void *base)
{
	char **words;

	if (*text == '\0' || *text == CONF_WORDS_END) {
		errno = EINVAL; /* the first one is something's name */
		return (-1);
	}
	if ((words = cut_words(key, text)) == NULL)
		return (-1);
	conf_value_free(key, base);
	memcpy(field(key, base), &words, sizeof(words));
	return (0);
}

static bool
words_equal(char *const *a, char *const *b)
{
	if (a == NULL || b == NULL)
		return (a == b);
	for (; *a != NULL && *b != NULL; a++, b++)
		if (strcmp(*a, *b) != 0)
			return (false);
	return (*a == *b);
}

static int
set_number(const struct conf_key *key, const char *text, void *base)
{
	int64_t value;
	int status;

	if (key->type == CONF_TYPE_TIME)
		status = conf_parse_time(text, &value);
	else if (key->type == CONF_TYPE_SIZE)
		status = conf_parse_size(text, &value);
	else if (key->type == CONF_TYPE_DECIMAL)
		status = conf_parse_decimal(text, &value);
	else
		status = conf_parse_number(text, &value);
	if (status == -1 || value < key->min || value > key->max) {
		errno = EINVAL;
		return (-1);
	}
	memcpy(field(key, base), &value, sizeof(value));
	return (0);
}

static int
set_choice(const struct conf_key *key, const char *text, void *base)
{
	const struct conf_choice *c;

	for (c = key->choices; c->word != NULL; c++) {
		if (strcasecmp(c->word, text) == 0) {
			memcpy(field(key, base), &c->value, sizeof(c->value));
			return (0);
		}
	}
	errno = EINVAL;
	return (-1);
}

int
conf_value_set(const struct conf_key *key, const char *text, void *base)
{
	bool flag;

	switch (key->type) {
	case CONF_TYPE_TEXT:
	case CONF_TYPE_URL:
		return (set_text(key, text, base));
	case CONF_TYPE_WORDS:
		return (set_words(key, text, base));
	case CONF_TYPE_CHOICE:
		return (set_choice(key, text, base));
	case CONF_TYPE_FLAG:
		if (conf_parse_flag(text, &flag) == 0) {
			memcpy(field(key, base), &flag, sizeof(flag));
			return (0);
		}
		errno = EINVAL;
		return (-1);
	case CONF_TYPE_NUMBER:
	case CONF_TYPE_DECIMAL:
	case CONF_TYPE_SIZE:
	case CONF_TYPE_TIME:
		break;
	}
	return (set_number(key, text, base));
}

/* The largest unit that divides it: what was 90s does not come back as 1.5m. */
static void
format_time(int64_t ms, char *buf, size_t size)
{
	if (ms % 1000 != 0)
		(void)snprintf(buf, size, "%" PRId64 "ms", ms);
	else if (ms == 0 || ms % (60 * 1000) != 0)
		(void)snprintf(buf, size, "%" PRId64 "s", ms / 1000);
	else if (ms % (60 * 60 * 1000) != 0)
		(void)snprintf(buf, size, "%" PRId64 "m", ms / (60 * 1000));
	else
		(void)snprintf(
		    buf, size, "%" PRId64 "h", ms / (60 * 60 * 1000));
}

static void
format_size(int64_t bytes, char *buf, size_t size)
{
	static const char units[] = "\0KMG";
	int i = 0;

	while (i < 3 && bytes != 0 && bytes % 1024 == 0) {
		bytes /= 1024;
		i++;
	}
	(void)snprintf(buf, size, "%" PRId64 "%.1s", bytes, &units[i]);
}

static void
format_decimal(int64_t milli, char *buf, size_t size)
{
	size_t len;

	(void)snprintf(
	    buf, size, "%" PRId64 ".%03d", milli / 1000, (int)(milli % 1000));
	for (len = strlen(buf); buf[len - 1] == '0'; len--)
		buf[len - 1] = '\0';
	if (buf[len - 1] == '.')
		buf[len - 1] = '\0';
}

static void
format_number(const struct conf_key *key, int64_t value, char *buf, size_t size)
{
	if (key->type == CONF_TYPE_TIME)
		format_time(value, buf, size);
	else if (key->type == CONF_TYPE_SIZE)
		format_size(value, buf, size);
	else if (key->type == CONF_TYPE_DECIMAL)
		format_decimal(value, buf, size);
	else
		(void)snprintf(buf, size, "%" PRId64, value);
}

static void
expects_choice(const struct conf_key *key, char *buf, size_t size)
{
	const struct conf_choice *c;
	size_t n = 0;

	for (c = key->choices; c->word != NULL && n < size; c++)
		n += (size_t)snprintf(buf + n, size - n, "%s%s",
		    c == key->choices     ? "" :
			c[1].word == NULL ? " or " :
					    ", ",
		    c->word);
}

void
conf_value_expects(const struct conf_key *key, char *buf, size_t size)
{
	char min[32], max[32];
	const char *what = "a whole number";

	format_number(key, key->min, min, sizeof(min));
	format_number(key, key->max, max, sizeof(max));
	switch (key->type) {
	case CONF_TYPE_TEXT:
	case CONF_TYPE_WORDS:
		(void)snprintf(buf, size, "%s", key->expects);
		return;
	case CONF_TYPE_URL:
		(void)snprintf(buf, size,
		    "http://HOST or https://HOST, with "
		    "port and path if need be, but without user name, \"?\" "
		    "and \"#\"");
		return;
	case CONF_TYPE_CHOICE:
		expects_choice(key, buf, size);
		return;
	case CONF_TYPE_FLAG:
		(void)snprintf(buf, size, "yes or no");
		return;
	case CONF_TYPE_NUMBER:
		break;
	case CONF_TYPE_DECIMAL:
		what = "a number such as 1.5,";
		break;
	case CONF_TYPE_SIZE:
		what = "a size such as 512M,";
		break;
	case CONF_TYPE_TIME:
		what = "a time such as 500ms, 30s or 2m,";
		break;
	}
	(void)snprintf(buf, size, "%s from %s to %s", what, min, max);
}

/* Quoted, so that it reads back: "${" would be replaced. */
static void
print_text(const char *s, FILE *f)
{
	(void)fputc('"', f);
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\' || *s == '$')
			(void)fputc('\\', f);
		(void)fputc(*s, f);
	}
	(void)fputc('"', f);
}

static void
print_words(char *const *words, FILE *f)
{
	if (words[1] == NULL) {
		print_text(words[0], f);
		return;
	}
	(void)fputc('{', f);
	for (; *words != NULL; words++) {
		print_text(*words, f);
		if (words[1] != NULL)
			(void)fputs(", ", f);
	}
	(void)fputc('}', f);
}

static const char *
choice_word(const struct conf_key *key, unsigned value)
{
	const struct conf_choice *c = key->choices;

	while (c->word != NULL && c->value != value)
		c++;
	return (c->word);
}

bool
conf_value_is_set(const struct conf_key *key, const void *base)
{
	const char *at = (const char *)base + key->offset;
	char *text, **words;
	int64_t number;

	switch (key->type) {
	case CONF_TYPE_TEXT:
	case CONF_TYPE_URL:
		memcpy(&text, at, sizeof(text));
		return (text != NULL);
	case CONF_TYPE_WORDS:
		memcpy(&words, at, sizeof(words));
		return (words != NULL);
	case CONF_TYPE_CHOICE:
	case CONF_TYPE_FLAG:
		return (true);
	case CONF_TYPE_NUMBER:
	case CONF_TYPE_DECIMAL:
	case CONF_TYPE_SIZE:
	case CONF_TYPE_TIME:
		break;
	}
	memcpy(&number, at, sizeof(number));
	return (number != 0 || key->def != NULL);
}

void
conf_value_print(const struct conf_key *key, const void *base, FILE *f)
{
	const char *at = (const char *)base + key->offset;
	char *text, **words, buf[32];
	unsigned choice;
	int64_t number;

	assert(!key->secret);
	switch (key->type) {
	case CONF_TYPE_TEXT:
	case CONF_TYPE_URL:
		memcpy(&text, at, sizeof(text));
		print_text(text, f);
		return;
	case CONF_TYPE_WORDS:
		memcpy(&words, at, sizeof(words));
		print_words(words, f);
		return;
	case CONF_TYPE_CHOICE:
		memcpy(&choice, at, sizeof(choice));
		(void)fputs(choice_word(key, choice), f);
		return;
	case CONF_TYPE_FLAG:
		(void)fputs(*at != 0 ? "yes" : "no", f);
		return;
	case CONF_TYPE_NUMBER:
	case CONF_TYPE_DECIMAL:
	case CONF_TYPE_SIZE:
	case CONF_TYPE_TIME:
		break;
	}
	memcpy(&number, at, sizeof(number));
	format_number(key, number, buf, sizeof(buf));
	(void)fputs(buf, f);
}

void
conf_value_free(const struct conf_key *key, void *base)
{
	char *text, **words;

	if (key->type == CONF_TYPE_WORDS) {
		memcpy(&words, field(key, base), sizeof(words));
		words_free(words);
		words = NULL;
		memcpy(field(key, base), &words, sizeof(words));
		return;
	}
	if (key->type != CONF_TYPE_TEXT && key->type != CONF_TYPE_URL)
		return;
	memcpy(&text, field(key, base), sizeof(text));
	if (text != NULL && key->secret)
		explicit_bzero(text, strlen(text));
	free(text);
	text = NULL;
	memcpy(field(key, base), &text, sizeof(text));
}

static size_t
field_size(const struct conf_key *key)
{
	switch (key->type) {
	case CONF_TYPE_TEXT:
	case CONF_TYPE_URL:
	case CONF_TYPE_WORDS:
		break;
	case CONF_TYPE_NUMBER:
	case CONF_TYPE_DECIMAL:
	case CONF_TYPE_SIZE:
	case CONF_TYPE_TIME:
		return (sizeof(int64_t));
	case CONF_TYPE_FLAG:
		return (sizeof(bool));
	case CONF_TYPE_CHOICE:
		return (sizeof(unsigned));
	}
	return (0);
}

bool
conf_value_equal(const struct conf_key *key, const void *a, const void *b)
{
	const char *left = (const char *)a + key->offset;
	const char *right = (const char *)b + key->offset;
	const char *left_text, *right_text;
	char **left_words, **right_words;
	const size_t size = field_size(key);

	if (size > 0)
		return (memcmp(left, right, size) == 0);
	if (key->type == CONF_TYPE_WORDS) {
		memcpy(&left_words, left, sizeof(left_words));
		memcpy(&right_words, right, sizeof(right_words));
		return (words_equal(left_words, right_words));
	}
	memcpy(&left_text, left, sizeof(left_text));
	memcpy(&right_text, right, sizeof(right_text));
	if (left_text == NULL || right_text == NULL)
		return (left_text == right_text);
	return (strcmp(left_text, right_text) == 0);
}
