/* SPDX-License-Identifier: ISC */
/*
 * The list of problems that building a configuration fills. It is bounded: a
 * file may be wrong in a hundred thousand places.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/conf_problem.h"

#define PROBLEMS_MAX 100
/* Words longer than this are no typing mistakes. */
#define WORD_MAX     64

void
conf_problems_init(struct conf_problems *problems)
{
	TAILQ_INIT(&problems->list);
	problems->count = 0;
}

void
conf_problems_fini(struct conf_problems *problems)
{
	struct conf_problem *p;

	while ((p = TAILQ_FIRST(&problems->list)) != NULL) {
		TAILQ_REMOVE(&problems->list, p, entry);
		free(p->text);
		free(p);
	}
	problems->count = 0;
}

void
conf_problem_add(struct conf_problems *problems, const char *fmt, ...)
{
	struct conf_problem *p;
	va_list ap;
	int n;

	if (++problems->count > PROBLEMS_MAX)
		return;
	if ((p = calloc(1, sizeof(*p))) == NULL)
		return;
	va_start(ap, fmt);
	n = vasprintf(&p->text, fmt, ap);
	va_end(ap);
	if (n == -1) {
		free(p);
		return;
	}
	TAILQ_INSERT_TAIL(&problems->list, p, entry);
}

void
conf_problem_memory(struct conf_problems *problems)
{
	conf_problem_add(problems, "configuration: out of memory");
}

const char *
conf_show(const char *value, struct conf_shown *shown)
{
	const size_t max = sizeof(shown->text) - sizeof("\"...\"");
	const size_t len = strnlen(value, max + 1);
	size_t i, n = 0;

	shown->text[n++] = '"';
	for (i = 0; i < len && i < max; i++) {
		const unsigned char c = (unsigned char)value[i];

		shown->text[n++] = (c < 0x20 || c == 0x7f) ? '?' : (char)c;
	}
	if (len > max) {
		memcpy(&shown->text[n], "...", 3);
		n += 3;
	}
	shown->text[n++] = '"';
	shown->text[n] = '\0';
	return (shown->text);
}

/* How many letters must be added, dropped or changed. Both are short. */
static size_t
distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t row[WORD_MAX + 1], i, j;

	for (j = 0; j <= b_len; j++)
		row[j] = j;
	for (i = 1; i <= a_len; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (j = 1; j <= b_len; j++) {
			const size_t change = diagonal + (a[i - 1] != b[j - 1]);
			const size_t add = row[j - 1] + 1;

			diagonal = row[j];
			row[j] = row[j] + 1 < add ? row[j] + 1 : add;
			if (change < row[j])
				row[j] = change;
		}
	}
	return (row[b_len]);
}

bool
conf_nearer(const char *word, const char *candidate, size_t *best)
{
	const size_t word_len = strnlen(word, WORD_MAX + 1);
	const size_t len = strlen(candidate);
	size_t d;

	if (word_len == 0 || word_len > WORD_MAX || len > WORD_MAX)
		return (false);
	d = distance(word, word_len, candidate, len);
	/* A beginning is as good as one slip: "heartbeat" for its interval. */
	if (word_len >= 4 && strncmp(word, candidate, word_len) == 0)
		d = 1;
	if (d > 1 + word_len / 4 || d >= *best)
		return (false);
	*best = d;
	return (true);
}
