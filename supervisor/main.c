/* SPDX-License-Identifier: ISC */
/* main.c: the command line of avtoworkerd, and what must happen before
 * anything else: secrets out of reach. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "supervisor/base/log.h"
#include "supervisor/conf.h"
#include "supervisor/supervisor.h"

#define DEFAULT_CONF  SYSCONFDIR "/avtoworker/avtoworker.conf"
#define CHILD_PROGRAM "avtoworker-child"

extern char **environ;

enum action {
	ACTION_RUN,
	ACTION_CHECK,
	ACTION_DUMP
};

struct arguments {
	enum action action;
	const char *file;
	const char *local_path;
	const char **options; /* of -o; owned list of borrowed texts */
	size_t options_len;
};

static void
print_usage(FILE *to)
{
	(void)fputs(
	    "usage: avtoworkerd [-tTv] [-c FILE] [-o SECTION.KEY=VALUE]...\n"
	    "                   [--local FILE] [HANDLER.so...]\n",
	    to);
}

static void
print_help(void)
{
	print_usage(stdout);
	(void)puts(
	    "\n"
	    "Runs tasks for an Avtomatika orchestrator in child processes.\n"
	    "\n"
	    "  -c, --config FILE  configuration; without it " DEFAULT_CONF "\n"
	    "                     unless handlers or --local are given\n"
	    "  -o, --option SECTION.KEY=VALUE, SECTION/TITLE.KEY=VALUE\n"
	    "                     sets a key; wins over file and environment\n"
	    "      --local FILE   tasks from JSON lines (\"-\": standard "
	    "input),\n"
	    "                     results to standard output, no "
	    "orchestrator\n"
	    "  -t, --test         check configuration and handlers, then end\n"
	    "  -T, --dump         print the effective configuration, then "
	    "end\n"
	    "  -v, --version      print the version, then end\n"
	    "  -h, --help         print this, then end\n"
	    "\n"
	    "Keys of the configuration:\n");
	conf_print_keys(stdout);
}

static int
usage_error(void)
{
	print_usage(stderr);
	(void)fputs("Try 'avtoworkerd --help'.\n", stderr);
	return (EX_USAGE);
}

static int
add_option(struct arguments *a, const char *text)
{
	const char **grown;

	grown =
	    reallocarray(a->options, a->options_len + 1, sizeof(*a->options));
	if (grown == NULL) {
		(void)fputs("avtoworkerd: out of memory\n", stderr);
		return (EX_OSERR);
	}
	a->options = grown;
	a->options[a->options_len++] = text;
	return (0);
}

/* Returns -1 to go on, or the exit status. */
static int
read_arguments(int argc, char *argv[], struct arguments *a)
{
	enum {
		OPTION_LOCAL = 256
	};
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "dump", no_argument, NULL, 'T' },
		{ "help", no_argument, NULL, 'h' },
		{ "local", required_argument, NULL, OPTION_LOCAL },
		{ "option", required_argument, NULL, 'o' },
		{ "test", no_argument, NULL, 't' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:ho:tTv", longs, NULL)) != -1)
		switch (c) {
		case 'c':
			a->file = optarg;
			break;
		case 'h':
			print_help();
			return (EX_OK);
		case 'o':
			if (add_option(a, optarg) != 0)
				return (EX_OSERR);
			break;
		case OPTION_LOCAL:
			a->local_path = optarg;
			break;
		case 't':
			a->action = ACTION_CHECK;
			break;
		case 'T':
			a->action = ACTION_DUMP;
			break;
		case 'v':
			(void)puts(PACKAGE_STRING);
			return (EX_OK);
		default:
			return (usage_error());
		}
	if (a->file == NULL && a->local_path == NULL && optind == argc)
		a->file = DEFAULT_CONF;
	return (-1);
}

static struct conf *
load(const struct arguments *a, int argc, char *argv[])
{
	const struct conf_source source = {
		.file = a->file,
		.environment = environ,
		.options = a->options,
		.options_len = a->options_len,
		.handlers = (const char **)argv + optind,
		.handlers_len = (size_t)(argc - optind),
		.local = a->local_path != NULL,
	};
	struct conf_problems problems;
	const struct conf_problem *p;
	struct conf *conf;

	conf_problems_init(&problems);
	conf = conf_new(&source, &problems);
	TAILQ_FOREACH(p, &problems.list, entry)
		(void)fprintf(stderr, "avtoworkerd: %s\n", p->text);
	conf_problems_fini(&problems);
	return (conf);
}

/* The child's program: the installed one, or the one beside us when we run
 * from the folder we were built in. */
static const char *
find_child(char *path, size_t size)
{
	const char *given = getenv("AVTOWORKER_CHILD");
	char *slash;
	ssize_t n;

	if (given != NULL)
		return (given);
	if ((n = readlink("/proc/self/exe", path, size - 1)) != -1) {
		path[n] = '\0';
		if ((slash = strrchr(path, '/')) != NULL &&
		    (size_t)(slash - path) + sizeof("/" CHILD_PROGRAM) <=
			size) {
			(void)snprintf(slash, size - (size_t)(slash - path),
			    "/%s", CHILD_PROGRAM);
			if (access(path, X_OK) == 0)
				return (path);
		}
	}
	return (LIBEXECDIR "/" CHILD_PROGRAM);
}

static int
run(const struct conf *conf, const struct arguments *a)
{
	char path[PATH_MAX];
	const struct supervisor_options options = {
		.child_program = find_child(path, sizeof(path)),
		.local_path = a->local_path,
		.environment = environ,
		.check_only = a->action == ACTION_CHECK,
	};
	struct why why;
	int status;

	if (access(options.child_program, X_OK) == -1) {
		(void)fprintf(stderr,
		    "avtoworkerd: cannot run %s: %s; install avtoworker, or "
		    "set AVTOWORKER_CHILD\n",
		    options.child_program, strerror(errno));
		return (EX_UNAVAILABLE);
	}
	if (log_open(conf->log.destination, conf->log.level, conf->log.format,
		&why) == -1) {
		(void)fprintf(stderr, "avtoworkerd: %s\n", why.text);
		return (EX_CONFIG);
	}
	status = supervisor_run(conf, &options);
	if (a->action == ACTION_CHECK && status == EX_OK)
		(void)puts("configuration OK");
	return (status);
}

static int
check_kernel(void)
{
	const int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (fd == -1) {
		(void)fprintf(stderr,
		    "avtoworkerd: pidfd_open: %s; Linux 5.9 or newer is "
		    "needed\n",
		    strerror(errno));
		return (-1);
	}
	(void)close(fd);
	return (0);
}

int
main(int argc, char *argv[])
{
	struct arguments arguments = { 0 };
	struct conf *conf;
	int status;

	/* A handler of the same user must not read our memory in /proc. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	if ((status = read_arguments(argc, argv, &arguments)) != -1) {
		free(arguments.options);
		return (status);
	}
	if (check_kernel() == -1)
		return (EX_OSERR);
	conf = load(&arguments, argc, argv);
	free(arguments.options);
	if (conf == NULL)
		return (EX_CONFIG);
	if (arguments.action == ACTION_DUMP) {
		conf_dump(conf, stdout);
		status = EX_OK;
	} else {
		status = run(conf, &arguments);
	}
	conf_free(conf);
	if (fflush(stdout) == EOF)
		status = EX_IOERR;
	return (status);
}
