/* SPDX-License-Identifier: ISC */
/*
 * arguments.c: the command line of avtoworker-child, see main.c.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "child/arguments.h"
#include "child/name.h"

int
arguments_usage(const char *what, const char *which)
{
	fprintf(stderr,
	    "avtoworker-child: %s%s%s; this program is started by "
	    "avtoworkerd, and by hand as: avtoworker-child --run TYPE "
	    "[--params JSON] [--kind KIND] FILE [ARG...]\n",
	    what, which != NULL ? ": " : "", which != NULL ? which : "");
	return (EX_USAGE);
}

/* Returns -1 when it is no such number. */
static int
parse_number(const char *text, int base, long min, long max, long *value)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, base);
	if (end == text || *end != '\0' || errno != 0 || n < min || n > max)
		return (-1);
	*value = n;
	return (0);
}

static const struct option options[] = {
	{ "describe", required_argument, NULL, 'D' },
	{ "kind", required_argument, NULL, 'k' },
	{ "parent", required_argument, NULL, 'p' },
	{ "category", required_argument, NULL, 'c' },
	{ "cgroup", required_argument, NULL, 'g' },
	{ "umask", required_argument, NULL, 'u' },
	{ "nice", required_argument, NULL, 'n' },
	{ "directory", required_argument, NULL, 'd' },
	{ "limit", required_argument, NULL, 'l' },
	{ "task-cpu", required_argument, NULL, 't' },
	{ "oom-score-adj", required_argument, NULL, 'o' },
	{ "sweep", required_argument, NULL, 's' },
	{ "launcher", no_argument, NULL, 'L' },
	{ "pin", required_argument, NULL, 'P' },
	{ "remove", no_argument, NULL, 'R' },
	{ "run", required_argument, NULL, 'r' },
	{ "params", required_argument, NULL, 'a' },
	{ NULL, 0, NULL, 0 },
};

static int
parse_kind(const char *text, enum kind *out)
{
	static const char *const names[] = {
		[KIND_MODULE] = "module",
		[KIND_EXEC] = "exec",
		[KIND_CHANNEL] = "channel",
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0) {
			*out = (enum kind)i;
			return (0);
		}
	return (-1);
}

/* Returns what is wrong with an option's value, or NULL. */
static const char *
parse_option(struct arguments *a, int option, const char *value)
{
	struct launch *l = &a->launch;
	long n;

	switch (option) {
	case 'D':
		a->describe = value;
		return (NULL);
	case 'k':
		a->kind_given = true;
		return (parse_kind(value, &a->kind) == -1 ?
			"--kind must be module, exec or channel" :
			NULL);
	case 'p':
		if (parse_number(value, 10, 1, INT_MAX, &n) == -1)
			return ("--parent must be a process id");
		l->parent = (pid_t)n;
		return (NULL);
	case 'c':
		a->category = value;
		return (name_is_sane(value) ?
			NULL :
			"the category has a malformed name");
	case 'g':
		l->cgroup = value;
		return (NULL);
	case 'u':
		if (parse_number(value, 8, 0, 0777, &n) == -1)
			return ("--umask must be an octal number");
		l->umask = (int)n;
		return (NULL);
	case 'n':
		if (parse_number(value, 10, 0, 19, &n) == -1)
			return ("--nice must be 0 to 19");
		l->nice = (int)n;
		return (NULL);
	case 'd':
		l->directory = value;
		return (NULL);
	case 'l':
		return (limits_parse(&l->limits, value) == -1 ?
			"a limit must be given as NAME=NUMBER" :
			NULL);
	case 't':
		if (parse_number(value, 10, 1, INT_MAX, &n) == -1)
			return ("--task-cpu must be seconds");
		l->limits.task_cpu_s = (unsigned)n;
		return (NULL);
	case 'o':
		if (parse_number(value, 10, 0, 1000, &n) == -1)
			return ("--oom-score-adj must be 0 to 1000");
		l->oom_score_adj = (int)n;
		return (NULL);
	case 's':
		a->sweep = strcmp(value, "exit") == 0 ? SWEEP_EXIT : SWEEP_TASK;
		return (a->sweep == SWEEP_EXIT || strcmp(value, "task") == 0 ?
			NULL :
			"--sweep must be task or exit");
	case 'L':
		a->launcher = true;
		return (NULL);
	case 'r':
		a->run = value;
		return (
		    name_is_sane(value) ? NULL : "--run must be a task type");
	case 'a':
		a->params = value;
		return (NULL);
	case 'R':
		a->remove = true;
		return (NULL);
	case 'P':
		return (pins_add(&a->pins, value) == -1 ?
			"more files are pinned than can be" :
			NULL);
	default:
		return ("it does not know this");
	}
}

/* What one option cannot know of another. */
static int
check(const struct arguments *a, bool has_words)
{
	const bool serves = a->category != NULL || a->launch.parent != 0;

	if (a->params != NULL && a->run == NULL)
		return (arguments_usage("--params goes with --run", NULL));
	if (a->run != NULL &&
	    (serves || a->remove || a->describe != NULL || !has_words))
		return (arguments_usage("--run TYPE needs a FILE, and no "
					"option but --params and --kind",
		    NULL));
	if (a->remove && (serves || a->describe != NULL || !has_words))
		return (arguments_usage(
		    "--remove needs directories and stands alone", NULL));
	if (a->describe != NULL && (serves || has_words))
		return (arguments_usage("--describe stands alone", NULL));
	if (a->run == NULL && !a->remove && a->describe == NULL &&
	    (a->launch.parent == 0 || a->category == NULL || !has_words))
		return (arguments_usage(
		    "it needs --parent PID, --category NAME and what to run",
		    NULL));
	return (EX_OK);
}

int
arguments_parse(struct arguments *a, int argc, char **argv)
{
	const char *fault;
	int option, at;

	opterr = 0;
	for (;;) {
		at = optind;
		if ((option = getopt_long(argc, argv, "+:", options, NULL)) ==
		    -1)
			break;
		if (option == ':')
			return (
			    arguments_usage("its value is missing", argv[at]));
		if ((fault = parse_option(a, option, optarg)) != NULL)
			return (arguments_usage(
			    fault, option == '?' ? argv[at] : optarg));
	}
	return (check(a, optind < argc));
}
