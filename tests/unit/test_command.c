/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "supervisor/children/child.h"
#include "supervisor/children/command.h"
#include "supervisor/conf.h"
#include "supervisor/handler.h"
#include "tests/test.h"

static char *const clean[] = { (char *)"PATH=/bin", NULL };
static char *const inherited[] = { (char *)"PATH=/x", NULL };
static struct handler_table handlers;

/* Only compared. */
#define OURS ((struct program *)&handlers)

static struct child_env
make_env(rlim_t nofile)
{
	return ((struct child_env){
	    .program = "/lib/avtoworker-child",
	    .clean = clean,
	    .inherited = inherited,
	    .nofile = nofile,
	});
}

/* The command line as one text; PID stands for ours. */
static const char *
line_of(char *const argv[])
{
	static char text[1024];
	char pid[16];
	size_t i, len = 0;

	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	for (i = 0; argv[i] != NULL; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
		    i > 0 ? " " : "",
		    strcmp(argv[i], pid) == 0 ? "PID" : argv[i]);
	return (text);
}

/* For the handlers of the category "heavy". */
static int
init(struct command *c, const struct conf_category *conf,
    const struct child_env *env, bool inherit, struct why *why)
{
	return (command_init(c,
	    &(struct command_settings){
		.category = "heavy",
		.conf = conf,
		.handlers = &handlers,
		.program = OURS,
		.env = env,
		.inherit = inherit,
	    },
	    why));
}

static void
add_module(const char *type, struct program *program, const char *file)
{
	struct handler *h = handler_add(&handlers, type, "heavy", file);

	ASSERT(h != NULL);
	h->program = program;
}

static void
check_line(const struct conf_category *conf, rlim_t nofile, const char *want)
{
	const struct child_env env = make_env(nofile);
	struct command c;
	struct why why;

	handler_table_init(&handlers);
	add_module("one", OURS, "/m/a.so");
	add_module("-2", OURS, "/m/b.so");
	add_module("other", NULL, "/m/a.so");
	ASSERT_INT(init(&c, conf, &env, false, &why), 0);
	ASSERT_STR(line_of(c.argv), want);
	command_fini(&c);
	handler_table_fini(&handlers);
}

static void
defaults(void)
{
	static const struct conf_category conf = { .sweep = CONF_SWEEP_TASK };

	check_line(&conf, 0,
	    "/lib/avtoworker-child --parent PID --category heavy --limit "
	    "core=0 --oom-score-adj 500 --sweep task -- -2=/m/b.so "
	    "one=/m/a.so");
}

static void
every_setting(void)
{
	static const struct conf_category conf = {
		.max_open_files = 64,
		.max_file_size = 1024,
		.core_size = 4096,
		.cpu_time_limit_ms = 1001,
		.nice = 5,
		.umask = (char *)"0027",
		.working_directory = (char *)"/srv",
		.sweep = CONF_SWEEP_EXIT,
		.launcher = true,
	};

	check_line(&conf, 100,
	    "/lib/avtoworker-child --parent PID --category heavy --limit "
	    "nofile=64 --limit fsize=1024 --limit core=4096 --task-cpu 2 "
	    "--nice 5 --umask 0027 --directory /srv --oom-score-adj 500 "
	    "--sweep exit --launcher -- -2=/m/b.so one=/m/a.so");
}

static void
own_open_files(void)
{
	static const struct conf_category conf = { .sweep = CONF_SWEEP_TASK };
	const struct rlimit now = { 90, 120 };

	ASSERT_INT(setrlimit(RLIMIT_NOFILE, &now), 0);
	check_line(&conf, 60,
	    "/lib/avtoworker-child --parent PID --category heavy --limit "
	    "nofile=60:120 --limit core=0 --oom-score-adj 500 --sweep task "
	    "-- -2=/m/b.so one=/m/a.so");
}

static void
environments(void)
{
	static const struct {
		enum conf_environment environment;
		bool inherit;
		const char *want;
	} rows[] = {
		{ CONF_ENVIRONMENT_AUTO, false, "PATH=/bin" },
		{ CONF_ENVIRONMENT_AUTO, true, "PATH=/x" },
		{ CONF_ENVIRONMENT_CLEAR, true, "PATH=/bin" },
		{ CONF_ENVIRONMENT_INHERIT, false, "PATH=/x" },
	};
	const struct child_env env = make_env(0);
	struct conf_category conf = { 0 };
	struct command c;
	struct why why;
	size_t i;

	handler_table_init(&handlers);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		conf.environment = rows[i].environment;
		ASSERT_INT(init(&c, &conf, &env, rows[i].inherit, &why), 0);
		ASSERT_STR(c.envp[0], rows[i].want);
		ASSERT_STR(c.envp[1], "AVTOWORKER_CATEGORY=heavy");
		ASSERT(c.envp[2] == NULL);
		command_fini(&c);
	}
	conf.env_file = (char *)"/nowhere";
	ASSERT_INT(init(&c, &conf, &env, false, &why), -1);
	ASSERT_STR(why.text, "env_file /nowhere: No such file or directory");
}

static void
programs(void)
{
	static const struct conf_category conf = { .sweep = CONF_SWEEP_AUTO };
	static char *words[] = { (char *)"/bin/x", (char *)"-a", NULL };
	static const struct {
		enum source_kind kind;
		const char *want;
	} rows[] = {
		{ SOURCE_EXEC,
		    "/lib/avtoworker-child --parent PID --category heavy "
		    "--kind exec --limit core=0 --oom-score-adj 500 --sweep "
		    "task -- it /bin/x -a" },
		{ SOURCE_CHANNEL,
		    "/lib/avtoworker-child --parent PID --category heavy "
		    "--kind channel --limit core=0 --oom-score-adj 500 "
		    "--sweep exit --launcher -- /bin/x -a" },
	};
	const struct child_env env = make_env(0);
	struct handler_source source = { .name = (char *)"it", .words = words };
	struct command c;
	struct why why;
	size_t i;

	handler_table_init(&handlers);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		source.kind = rows[i].kind;
		ASSERT_INT(command_init(&c,
			       &(struct command_settings){
				   .category = "heavy",
				   .conf = &conf,
				   .source = &source,
				   .handlers = &handlers,
				   .program = OURS,
				   .env = &env,
			       },
			       &why),
		    0);
		ASSERT_STR(line_of(c.argv), rows[i].want);
		command_fini(&c);
	}
}

static void
in_a_group(void)
{
	char *const argv[] = { (char *)"x", (char *)"--parent", NULL };
	char *const one[] = { (char *)"x", NULL };
	char **out;

	ASSERT((out = command_argv_in(argv, "/g")) != NULL);
	ASSERT_STR(line_of(out), "x --cgroup /g --parent");
	free(out);
	ASSERT((out = command_argv_in(one, "/g")) != NULL);
	ASSERT_STR(line_of(out), "x --cgroup /g");
	free(out);
}

static const struct test tests[] = {
	{ "a category without settings gets what is always said", defaults },
	{ "every setting of the process is on the command line",
	    every_setting },
	{ "children get back the open files that we were started with",
	    own_open_files },
	{ "the environment is the one asked for, and marked", environments },
	{ "executables and channel programs stand behind the options",
	    programs },
	{ "a control group is put in front", in_a_group },
};
TEST_MAIN(tests)
