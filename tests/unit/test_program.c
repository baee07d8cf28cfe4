/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "supervisor/children/child.h"
#include "supervisor/children/program.h"
#include "supervisor/conf.h"
#include "supervisor/handler.h"
#include "tests/test.h"

static char *const clean[] = { (char *)"PATH=/bin", NULL };
static char *const inherited[] = { (char *)"PATH=/x", NULL };
static struct handler_table handlers;

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

static void
check_line(const struct conf_category *conf, rlim_t nofile, const char *want)
{
	const struct child_env env = make_env(nofile);
	struct program p;
	struct why why;

	handler_table_init(&handlers);
	ASSERT(handler_add(&handlers, "one", "heavy", "/m/a.so") != NULL);
	ASSERT(handler_add(&handlers, "-2", "heavy", "/m/b.so") != NULL);
	ASSERT(handler_add(&handlers, "other", "light", "/m/a.so") != NULL);
	ASSERT_INT(
	    program_init(&p, "heavy", conf, &handlers, &env, false, &why), 0);
	ASSERT_STR(line_of(p.argv), want);
	program_fini(&p);
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
	struct program p;
	struct why why;
	size_t i;

	handler_table_init(&handlers);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		conf.environment = rows[i].environment;
		ASSERT_INT(program_init(&p, "heavy", &conf, &handlers, &env,
			       rows[i].inherit, &why),
		    0);
		ASSERT_STR(p.envp[0], rows[i].want);
		ASSERT_STR(p.envp[1], "AVTOWORKER_CATEGORY=heavy");
		ASSERT(p.envp[2] == NULL);
		program_fini(&p);
	}
	conf.env_file = (char *)"/nowhere";
	ASSERT_INT(
	    program_init(&p, "heavy", &conf, &handlers, &env, false, &why), -1);
	ASSERT_STR(why.text, "env_file /nowhere: No such file or directory");
}

static void
in_a_group(void)
{
	char *const argv[] = { (char *)"x", (char *)"--parent", NULL };
	char *const one[] = { (char *)"x", NULL };
	char **out;

	ASSERT((out = program_argv_in(argv, "/g")) != NULL);
	ASSERT_STR(line_of(out), "x --cgroup /g --parent");
	free(out);
	ASSERT((out = program_argv_in(one, "/g")) != NULL);
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
	{ "a control group is put in front", in_a_group },
};
TEST_MAIN(tests)
