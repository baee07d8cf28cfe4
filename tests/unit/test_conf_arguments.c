/* SPDX-License-Identifier: ISC */
/* Handlers that are named on the command line. */
#include "supervisor/conf.h"
#include "tests/test.h"
#include "tests/unit/given_conf.h"

static void
names_modules_of_the_command_line(void)
{
	const char *handlers[] = {
		"./echo.so",
		"/opt/echo.so",
		"a b.so",
		".so",
		"0123456789012345678901234567890123456789012345678901234567.so",
	};
	const char *const names[] = { "echo-2", "echo-3", "a_b", "module",
		"01234567890123456789012345678901234567890123456789012345" };
	struct conf *c =
	    given_conf(&(struct given){ .text = "module echo { file = x.so }\n",
		.handlers = handlers,
		.handlers_len = sizeof(handlers) / sizeof(handlers[0]) });
	struct conf_module *m = TAILQ_FIRST(&c->modules);
	size_t i;

	ASSERT(!m->from_argv);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		m = TAILQ_NEXT(m, entry);
		ASSERT_STR(m->name, names[i]);
		ASSERT_STR(m->file, handlers[i]);
		ASSERT(m->from_argv);
	}
	conf_free(c);
}

static void
names_executables_of_the_command_line(void)
{
	const char *handlers[] = { "send", "../img.resize.sh", "./moved.py.x" };
	const char *const types[] = { "moved.py", "send", "img.resize" };
	const char *const paths[] = { "./moved.py.x", "./send",
		"../img.resize.sh" };
	struct conf *c = given_conf(
	    &(struct given){ .text = "category heavy { }\n"
				     "handler moved.py { category = heavy }\n",
		.handlers = handlers,
		.handlers_len = sizeof(handlers) / sizeof(handlers[0]) });
	struct conf_handler *h = TAILQ_FIRST(&c->handlers);
	size_t i;

	ASSERT_STR(h->category, "heavy");
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		ASSERT_STR(h->name, types[i]);
		ASSERT_STR(h->exec[0], paths[i]);
		ASSERT(h->exec[1] == NULL);
		ASSERT(h->from_argv);
		h = TAILQ_NEXT(h, entry);
	}
	ASSERT(conf_inherits(c));
	conf_free(c);
}

static void
names_scripts_of_the_command_line(void)
{
	const char *handlers[] = { "a.py", "/x/a.py", "pkg.mod:worker" };
	const char *const names[] = { "a", "a-2", "pkg" };
	const char *const scripts[] = { "./a.py", "/x/a.py", "pkg.mod:worker" };
	struct conf *c = given_conf(&(struct given){ .handlers = handlers,
	    .handlers_len = sizeof(handlers) / sizeof(handlers[0]) });
	struct conf_python *py = TAILQ_FIRST(&c->pythons);
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ASSERT_STR(py->name, names[i]);
		ASSERT_STR(py->script[0], scripts[i]);
		ASSERT(py->script[1] == NULL);
		py = TAILQ_NEXT(py, entry);
	}
	ASSERT(py == NULL);
	conf_free(c);
}

static const struct test tests[] = {
	{ "names modules of the command line",
	    names_modules_of_the_command_line },
	{ "executables of the command line are handlers of their base name",
	    names_executables_of_the_command_line },
	{ "scripts of the command line are files, or attributes of modules",
	    names_scripts_of_the_command_line },
};

TEST_MAIN(tests)
