/* SPDX-License-Identifier: ISC */
/*
 * conf_problem.h: the list of what is wrong with a configuration, and the
 * words that its lines are made of. Lines never hold the value of a secret.
 */
#ifndef AVTOWORKER_CONF_PROBLEM_H
#define AVTOWORKER_CONF_PROBLEM_H

#include <stddef.h>

#include "supervisor/conf.h"

/* Enough for any value that is worth repeating to its writer. */
struct conf_shown {
	char text[80];
};

/* Adds one complete line. Past a hundred lines, or without memory, it is only
 * counted. */
void conf_problem_add(struct conf_problems *, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));
/* Adds "out of memory". */
void conf_problem_memory(struct conf_problems *);

/* The value in quotes, cut when long, control characters as "?". */
const char *conf_show(const char *value, struct conf_shown *);

/* True when candidate is nearer to the misspelt word than *best was (start
 * with *best = SIZE_MAX), and near enough to be offered. */
bool conf_nearer(const char *word, const char *candidate, size_t *best);

#endif
