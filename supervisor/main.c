/* SPDX-License-Identifier: ISC */
/* main.c: the command line of avtoworkerd, and what must happen before
 * anything else: secrets out of reach. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include <bsd/libutil.h>
#include <bsd/string.h>

#include "child/bytes.h"
#include "child/json_scan.h"
#include "supervisor/base/log.h"
#include "supervisor/base/text.h"
#include "supervisor/base/title.h"
#include "supervisor/conf.h"
#include "supervisor/edges/daemon.h"
#include "supervisor/edges/signals.h"
#include "supervisor/instance.h"
#include "supervisor/supervisor.h"

#define DEFAULT_CONF  SYSCONFDIR "/avtoworker/avtoworker.conf"
#define CHILD_PROGRAM "avtoworker-child"
#define PID_FILE      "avtoworkerd.pid" /* in the state directory */

extern char **environ;

enum action {
	ACTION_RUN,
	ACTION_CHECK,
	ACTION_DUMP
};

struct arguments {
	enum action action;
	bool daemon;
	bool starts; /* -tt */
	const char *name; /* of the instance; or NULL */
	const char *file;
	const char *local_path;
	const char *task; /* the type of the only one; or NULL */
	const char *params; /* of that: JSON */
	const char **options; /* of -o; owned list of borrowed texts */
	size_t options_len;
	const char **handlers;
	size_t handlers_len;
};

static void
print_usage(FILE *to)
{
	(void)fputs("usage: avtoworkerd [-dtTv] [-c FILE] [-n NAME]\n"
		    "                   [-o SECTION.KEY=VALUE]... "
		    "[--local FILE] [HANDLER...]\n"
		    "       avtoworkerd --task TYPE [--params JSON] "
		    "[OPTION]... HANDLER...\n",
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
	    "  -d, --daemon       into the background, once it is ready\n"
	    "  -n, --name NAME    of this worker among those of the machine; "
	    "by\n"
	    "                     default the base name of FILE or HANDLER\n"
	    "  -o, --option SECTION.KEY=VALUE, SECTION/TITLE.KEY=VALUE\n"
	    "                     sets a key; wins over file and environment\n"
	    "      --local FILE   tasks from JSON lines (\"-\": standard "
	    "input),\n"
	    "                     results to standard output, no "
	    "orchestrator\n"
	    "      --task TYPE    one task, as a line of --local\n"
	    "      --params JSON  of that task; by default {}\n"
	    "  -t, --test         check configuration and handlers, then end;\n"
	    "                     given twice, start each script once\n"
	    "  -T, --dump         print the effective configuration, then "
	    "end\n"
	    "  -v, --version      print the version, then end\n"
	    "  -h, --help         print this, then end\n"
	    "\n"
	    "Keys of the configuration:\n");
	conf_print_keys(stdout);
}

static int
usage_error(const char *problem)
{
	if (problem != NULL)
		(void)fprintf(stderr, "avtoworkerd: %s\n", problem);
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

/* Puts the one task on standard input, where local mode reads it. */
static int
use_one_task(struct arguments *a)
{
	const char *params = a->params != NULL ? a->params : "{}";
	struct bytes line = { 0 };
	struct jscan_error error;
	struct jslice root;
	size_t i;
	int fd, rc = EX_OSERR;

	if (jscan_check(params, strlen(params), &jscan_payload_limits, &root,
		&error) == -1) {
		(void)fprintf(stderr, "avtoworkerd: --params: %s at byte %zu\n",
		    error.text, error.at);
		return (EX_USAGE);
	}
	bytes_puts(&line, "{\"type\":");
	bytes_put_json(&line, a->task, strlen(a->task));
	bytes_puts(&line, ",\"params\":");
	bytes_append(&line, root.p, root.len);
	bytes_puts(&line, "}");
	/* White space, as nothing else of JSON holds one. */
	for (i = 0; i < line.len; i++)
		if (line.p[i] == '\n')
			line.p[i] = ' ';
	if (!bytes_failed(&line) &&
	    (fd = memfd_create("task", MFD_CLOEXEC)) != -1) {
		if (write(fd, line.p, line.len) == (ssize_t)line.len &&
		    lseek(fd, 0, SEEK_SET) == 0 &&
		    dup2(fd, STDIN_FILENO) == STDIN_FILENO)
			rc = EX_OK;
		if (fd != STDIN_FILENO)
			(void)close(fd);
	}
	if (rc != EX_OK)
		(void)fprintf(
		    stderr, "avtoworkerd: --task: %s\n", strerror(errno));
	a->local_path = "-";
	bytes_fini(&line);
	return (rc);
}

/* What one option cannot know of another. */
static int
check_arguments(struct arguments *a)
{
	int rc;

	if (a->name != NULL && !instance_name_ok(a->name))
		return (usage_error("-n: expected 1 to 64 letters, digits, "
				    "\"_\", \".\" or \"-\", beginning with a "
				    "letter, a digit or \"_\""));
	if (a->params != NULL && a->task == NULL)
		return (usage_error("--params: goes with --task"));
	if (a->task != NULL && a->local_path != NULL)
		return (usage_error("--task: not with --local, which has tasks "
				    "of its own"));
	if (a->task != NULL && (rc = use_one_task(a)) != EX_OK)
		return (rc);
	if (a->daemon && a->local_path != NULL)
		return (usage_error("-d: not with --local, which ends by "
				    "itself and writes its results to "
				    "standard output"));
	if (a->file == NULL && a->local_path == NULL && a->handlers_len == 0)
		a->file = DEFAULT_CONF;
	return (-1);
}

/* Returns -1 to go on, or the exit status. */
static int
read_arguments(int argc, char *argv[], struct arguments *a)
{
	enum {
		OPTION_LOCAL = 256,
		OPTION_PARAMS,
		OPTION_TASK,
	};
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "daemon", no_argument, NULL, 'd' },
		{ "dump", no_argument, NULL, 'T' },
		{ "help", no_argument, NULL, 'h' },
		{ "local", required_argument, NULL, OPTION_LOCAL },
		{ "name", required_argument, NULL, 'n' },
		{ "option", required_argument, NULL, 'o' },
		{ "params", required_argument, NULL, OPTION_PARAMS },
		{ "task", required_argument, NULL, OPTION_TASK },
		{ "test", no_argument, NULL, 't' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:dhn:o:tTv", longs, NULL)) != -1)
		switch (c) {
		case 'c':
			a->file = optarg;
			break;
		case 'd':
			a->daemon = true;
			break;
		case 'h':
			print_help();
			return (EX_OK);
		case 'n':
			a->name = optarg;
			break;
		case 'o':
			if (add_option(a, optarg) != 0)
				return (EX_OSERR);
			break;
		case OPTION_LOCAL:
			a->local_path = optarg;
			break;
		case OPTION_PARAMS:
			a->params = optarg;
			break;
		case OPTION_TASK:
			a->task = optarg;
			break;
		case 't':
			a->starts = a->action == ACTION_CHECK;
			a->action = ACTION_CHECK;
			break;
		case 'T':
			a->action = ACTION_DUMP;
			break;
		case 'v':
			(void)puts(PACKAGE_STRING);
			return (EX_OK);
		default:
			return (usage_error(NULL));
		}
	a->handlers = (const char **)argv + optind;
	a->handlers_len = (size_t)(argc - optind);
	return (check_arguments(a));
}

static struct conf *
load(const struct conf_source *source)
{
	struct conf_problems problems;
	const struct conf_problem *p;
	struct conf *conf;

	conf_problems_init(&problems);
	conf = conf_new(source, &problems);
	TAILQ_FOREACH(p, &problems.list, entry)
		(void)fprintf(stderr, "avtoworkerd: %s\n", p->text);
	conf_problems_fini(&problems);
	return (conf);
}

/* A part of ours: the one that the variable names, the one beside us when we run
 * from the folder we were built in, or the installed one. */
static const char *
find_part(const char *variable, const char *name, const char *installed,
    char *path, size_t size)
{
	const char *given = getenv(variable);
	char *slash;
	size_t left;
	ssize_t n;

	if (given != NULL)
		/* A daemon may go to another directory. */
		return (given[0] != '/' && realpath(given, path) != NULL ?
			path :
			given);
	if ((n = readlink("/proc/self/exe", path, size - 1)) != -1) {
		path[n] = '\0';
		if ((slash = strrchr(path, '/')) != NULL) {
			left = size - (size_t)(++slash - path);
			if (strlcpy(slash, name, left) < left &&
			    access(path, X_OK) == 0)
				return (path);
		}
	}
	return (installed);
}

/* The state directory and the pid file, if this run has any. */
static int
take_places(const struct conf *conf, const struct arguments *a,
    struct instance *instance, struct pidfh **pid_file, struct why *why)
{
	const char *configured = conf->worker.pid_file;
	char *path;
	int status;

	if (a->local_path != NULL || a->action == ACTION_CHECK)
		return (EX_OK);
	status = instance_open(instance, conf->worker.state_dir, why);
	if (status != EX_OK)
		return (status);
	if (instance_is_exposed(instance))
		log_warn("others may write to the state folder; make it 0700: "
			 "%s",
		    instance->state_dir);
	if (configured == NULL && !a->daemon)
		return (EX_OK);
	path = configured != NULL ?
	    strdup(configured) :
	    text_format("%s/" PID_FILE, instance->state_dir);
	if (path == NULL) {
		why_errno(why, "pid file");
		return (EX_OSERR);
	}
	status = daemon_pid_file(path, pid_file, why);
	free(path);
	return (status);
}

/* Whoever comes from the Python SDK may expect something of them. */
static void
tell_variable(const struct conf_variable *v, void *arg)
{
	(void)arg;
	log_info("environment: %s is not used here: %s", v->name, v->instead);
}

/* In the foreground or in the daemon. */
static int
serve(const struct conf *conf, const struct arguments *a,
    struct supervisor_options *options, struct instance *instance)
{
	struct pidfh *pid_file = NULL;
	struct why why;
	char tag[96];
	int status;

	if (instance->name != NULL) {
		(void)snprintf(
		    tag, sizeof(tag), "avtoworkerd-%s", instance->name);
		log_identify(tag);
	}
	log_echo(true); /* whoever starts us still listens */
	if (log_open(daemon_log_destination(
			 options->is_daemon, conf->log.destination),
		conf->log.level, conf->log.format, &why) == -1) {
		(void)fprintf(stderr, "avtoworkerd: %s\n", why.text);
		status = EX_CONFIG;
	} else if ((status = take_places(conf, a, instance, &pid_file, &why)) !=
	    EX_OK)
		log_err("%s", why.text);
	else {
		conf_variables_without_use(
		    conf, options->environment, tell_variable, NULL);
		if (conf_secret_key_is_taken(conf, options->environment))
			log_info("environment: SECRET_KEY is taken for the key "
				 "by which tasks are verified; children do not "
				 "see it");
		status = supervisor_run(conf, options);
	}
	if (pid_file != NULL)
		(void)pidfile_remove(pid_file);
	return (status);
}

static int
run(const struct conf *conf, const struct conf_source *source,
    const struct arguments *a)
{
	struct instance instance = INSTANCE_NONE;
	struct daemon daemon = DAEMON_NONE;
	char path[PATH_MAX], python[PATH_MAX];
	struct supervisor_options options = {
		.child_program = find_part("AVTOWORKER_CHILD", CHILD_PROGRAM,
		    LIBEXECDIR "/" CHILD_PROGRAM, path, sizeof(path)),
		.python = find_part("AVTOWORKER_PYTHON", "python",
		    PKGDATADIR "/python", python, sizeof(python)),
		.local_path = a->local_path,
		.environment = environ,
		.source = source,
		.instance = &instance,
		.daemon = &daemon,
		.is_daemon = a->daemon && a->action == ACTION_RUN,
		.check_only = a->action == ACTION_CHECK,
		.check_starts = a->starts,
	};
	/* Handlers of the command line run as if the caller had started them,
	 * and the configuration is read again at a reload. */
	const bool keep_directory =
	    a->handlers_len > 0 || (a->file != NULL && a->file[0] != '/');
	struct why why = { "" };
	int status = EX_OSERR, rc = 0;

	if (access(options.child_program, X_OK) == -1) {
		(void)fprintf(stderr,
		    "avtoworkerd: cannot run %s: %s; install avtoworker, or "
		    "set AVTOWORKER_CHILD\n",
		    options.child_program, strerror(errno));
		return (EX_UNAVAILABLE);
	}
	if (instance_set_name(&instance, a->name, a->file,
		a->handlers_len > 0 ? a->handlers[0] : NULL, &why) == -1)
		rc = -1;
	else if (options.is_daemon)
		rc = daemon_start(&daemon, keep_directory, &status, &why);
	if (rc == 0)
		status = serve(conf, a, &options, &instance);
	else if (why.text[0] != '\0')
		(void)fprintf(stderr, "avtoworkerd: %s\n", why.text);
	instance_close(&instance);
	if (options.check_only && status == EX_OK)
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

/* So that no socket of ours is ever taken for one of the three. */
static int
open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd != -1 && fd <= STDERR_FILENO);
	if (fd == -1)
		return (-1);
	(void)close(fd);
	return (0);
}

int
main(int argc, char *argv[])
{
	struct arguments arguments = { 0 };
	struct conf_source source;
	struct conf *conf;
	int status;

	signals_defer();
	/* A handler of the same user must not read our memory in /proc. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	title_init(argc, argv);
	if (open_standard() == -1)
		return (EX_OSERR);
	if ((status = read_arguments(argc, argv, &arguments)) != -1)
		goto done;
	status = EX_OSERR;
	if (check_kernel() == -1)
		goto done;
	source = (struct conf_source){
		.file = arguments.file,
		.environment = environ,
		.options = arguments.options,
		.options_len = arguments.options_len,
		.handlers = arguments.handlers,
		.handlers_len = arguments.handlers_len,
		.local = arguments.local_path != NULL,
		.awaits_scripts = true,
	};
	status = EX_CONFIG;
	if ((conf = load(&source)) == NULL)
		goto done;
	if (arguments.action == ACTION_DUMP) {
		conf_dump(conf, stdout);
		status = EX_OK;
	} else
		status = run(conf, &source, &arguments);
	conf_free(conf);
	if (fflush(stdout) == EOF)
		status = EX_IOERR;
done:
	free(arguments.options);
	return (status);
}
