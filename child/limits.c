/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "child/limits.h"

static const struct {
	const char *name;
	int resource;
} table[] = {
#define X(limit, name, resource) { name, resource },
	LIMITS(X)
#undef X
};

/* Digits only; *end is behind them. */
static int
parse_number(const char *text, rlim_t *value, const char **end)
{
	unsigned long long n;
	char *after;

	if (*text < '0' || *text > '9')
		return (-1);
	errno = 0;
	n = strtoull(text, &after, 10);
	if (errno != 0)
		return (-1);
	*value = (rlim_t)n;
	*end = after;
	return (0);
}

int
limits_parse(struct limits *l, const char *text)
{
	const char *p;
	struct rlimit value;
	size_t i, len;

	for (i = 0; i < LIMIT_COUNT; i++) {
		len = strlen(table[i].name);
		if (strncmp(text, table[i].name, len) != 0 || text[len] != '=')
			continue;
		if (parse_number(text + len + 1, &value.rlim_cur, &p) == -1)
			return (-1);
		value.rlim_max = value.rlim_cur;
		if (*p == ':' && parse_number(p + 1, &value.rlim_max, &p) == -1)
			return (-1);
		if (*p != '\0' || value.rlim_max < value.rlim_cur)
			return (-1);
		l->of[i].value = value;
		l->of[i].given = true;
		return (0);
	}
	return (-1);
}

int
limits_set(const struct limits *l, enum limit limit)
{
	if (!l->of[limit].given)
		return (0);
	return (setrlimit(table[limit].resource, &l->of[limit].value));
}

void
limits_task_begin(struct limits *l)
{
	struct rusage used;
	struct rlimit now;

	if (l->task_cpu_s == 0)
		return;
	if (getrlimit(RLIMIT_CPU, &l->cpu) == -1 ||
	    getrusage(RUSAGE_SELF, &used) == -1) {
		l->task_cpu_s = 0; /* nothing that could be taken back */
		return;
	}
	now = l->cpu;
	/* The part of a second that was begun is not the task's. */
	now.rlim_cur = (rlim_t)used.ru_utime.tv_sec +
	    (rlim_t)used.ru_stime.tv_sec +
	    (rlim_t)((used.ru_utime.tv_usec + used.ru_stime.tv_usec + 999999) /
		1000000) +
	    l->task_cpu_s;
	if (now.rlim_cur < l->cpu.rlim_cur)
		(void)setrlimit(RLIMIT_CPU, &now);
}

void
limits_task_end(struct limits *l)
{
	if (l->task_cpu_s != 0)
		(void)setrlimit(RLIMIT_CPU, &l->cpu);
}
