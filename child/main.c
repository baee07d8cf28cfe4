/* SPDX-License-Identifier: ISC */
/*
 * main.c: avtoworker-child, started by avtoworkerd only.
 *
 *	avtoworker-child --describe FILE
 *	avtoworker-child --parent PID --category NAME [OPTION]... TYPE=FILE...
 *
 * Descriptor 3 is the channel. Not for people, hence no help: the options are
 * those of the table below, put together by supervisor/children/program.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "child/channel.h"
#include "child/launch.h"
#include "child/launcher.h"
#include "child/module.h"
#include "child/pins.h"
#include "child/ready.h"
#include "child/serve.h"
#include "child/turn.h"

struct arguments {
	const char *describe; /* FILE; or NULL */
	const char *category;
	struct launch launch;
	enum sweep_when sweep;
	struct pins pins;
	bool launcher;
};

static int
usage(const char *what, const char *which)
{
	fprintf(stderr,
	    "avtoworker-child: %s%s%s; this program is started by "
	    "avtoworkerd only, see avtoworkerd(8)\n",
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
	{ NULL, 0, NULL, 0 },
};

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
	case 'p':
		if (parse_number(value, 10, 1, INT_MAX, &n) == -1)
			return ("--parent must be a process id");
		l->parent = (pid_t)n;
		return (NULL);
	case 'c':
		a->category = value;
		return (module_name_is_sane(value) ?
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
	case 'P':
		return (pins_add(&a->pins, value) == -1 ?
			"more files are pinned than can be" :
			NULL);
	default:
		return ("it does not know this");
	}
}

/* Returns EX_OK, or EX_USAGE after saying why. */
static int
parse_options(struct arguments *a, int argc, char **argv)
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
			return (usage("its value is missing", argv[at]));
		if ((fault = parse_option(a, option, optarg)) != NULL)
			return (
			    usage(fault, option == '?' ? argv[at] : optarg));
	}
	if (a->describe != NULL) {
		if (a->category != NULL || a->launch.parent != 0 ||
		    optind != argc)
			return (usage("--describe stands alone", NULL));
	} else if (a->launch.parent == 0 || a->category == NULL ||
	    optind == argc)
		return (usage("it needs --parent PID, --category NAME and "
			      "TYPE=FILE",
		    NULL));
	return (EX_OK);
}

/* Cuts TYPE=FILE in place. Returns what is wrong with it, or NULL. */
static const char *
parse_assignment(char *text, struct assignment *out)
{
	char *equals = strchr(text, '=');

	if (equals == NULL || equals[1] == '\0')
		return ("a handler must be given as TYPE=FILE");
	*equals = '\0';
	out->type = text;
	out->file = equals + 1;
	if (!module_name_is_sane(out->type))
		return ("a handler has a malformed type");
	return (NULL);
}

static int
serve_arguments(struct wire *wire, struct turn *turn, const struct pins *pins,
    char **argv, size_t count)
{
	struct assignment *list;
	const char *fault;
	int status;
	size_t i, j;

	if ((list = calloc(count, sizeof(*list))) == NULL) {
		fprintf(stderr, "avtoworker-child: out of memory\n");
		return (EX_OSERR);
	}
	for (i = 0; i < count; i++) {
		fault = parse_assignment(argv[i], &list[i]);
		for (j = 0; fault == NULL && j < i; j++)
			if (strcmp(list[j].type, list[i].type) == 0)
				fault = "a handler is given twice";
		if (fault != NULL) {
			status = usage(fault, argv[i]);
			goto out;
		}
	}
	status = serve(wire, turn, pins, list, count);
	turn_over(turn);
out:
	free(list);
	return (status);
}

/* It cannot start; said to the supervisor, or else to its log. */
static int
give_up(struct wire *wire, const struct arguments *a, struct bytes *why)
{
	if (ready_send_error(wire, why) == -1)
		fprintf(stderr, "avtoworker-child [%s]: %.*s\n", a->category,
		    (int)why->len, why->p != NULL ? why->p : "");
	bytes_fini(why);
	return (EX_OSERR);
}

static int
launch_and_serve(struct wire *wire, struct arguments *a,
    const struct title *title, char **argv, size_t count)
{
	const struct launcher launcher = {
		.supervisor = a->launch.parent,
		.cgroup = a->launch.cgroup,
		.category = a->category,
		.files = (unsigned)a->pins.len,
	};
	struct turn turn = {
		.category = a->category,
		.title = *title,
		.limits = &a->launch.limits,
		.sweep = { .when = a->sweep, .category = a->category },
	};
	struct bytes why = { 0 };

	/* A launcher takes the orphans of one that sweeps at its end only:
	 * then they are not left as zombies until then. */
	a->launch.subreaper = a->sweep == SWEEP_TASK || !a->launcher;
	if (a->launcher) {
		title_set(title, "[%s] launcher", a->category);
		a->launch.parent = getpid();
		if (launcher_fork(&launcher, &why) == -1)
			return (give_up(wire, a, &why));
	}
	title_set(title, "[%s] starting", a->category);
	if (launch(&a->launch, &why) == -1)
		return (give_up(wire, a, &why));
	return (serve_arguments(wire, &turn, &a->pins, argv, count));
}

/* The other end of the channel is gone: the supervisor was dead before we
 * could ask to be told. */
static bool
is_alone(void)
{
	struct pollfd channel = { .fd = CHANNEL_FD };

	return (poll(&channel, 1, 0) == 1 && (channel.revents & POLLHUP));
}

static int
run(struct arguments *a, const struct title *title, char **argv, size_t count)
{
	struct wire wire;
	int status;

	if (fcntl(CHANNEL_FD, F_GETFD) == -1)
		return (usage("descriptor 3 is not open", NULL));
	wire_init(&wire, CHANNEL_FD);
	if (a->describe != NULL) {
		/* A file that hangs while it is loaded must not outlive us. */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		status = is_alone() ? EX_IOERR : describe(&wire, a->describe);
	} else
		status = launch_and_serve(&wire, a, title, argv, count);
	wire_fini(&wire);
	return (status);
}

int
main(int argc, char **argv)
{
	struct arguments a = { .launch = { .umask = -1 } };
	struct title title;
	char **words;
	int status;

	if ((words = title_init(&title, argc, argv)) == NULL)
		return (EX_OSERR);
	/* Lines of a handler that crashes must not die in a buffer. */
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if ((status = parse_options(&a, argc, words)) == EX_OK)
		status =
		    run(&a, &title, words + optind, (size_t)(argc - optind));
	free(words);
	return (status);
}
