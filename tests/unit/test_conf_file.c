/* SPDX-License-Identifier: ISC */
/* Files: words and blocks, what they include, and what is none of them. */
#include <sys/stat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/conf.h"
#include "tests/test.h"
#include "tests/unit/given_conf.h"

static void
refuses_secret_variables_in_the_file(void)
{
	ASSERT(setenv("WORKER_TOKEN", "s3cret", 1) == 0);
	ASSERT(setenv("CONF_TEST_NAME", "from-$-variable", 1) == 0);
	REFUSES_TEXT("worker {\n type = \"x${WORKER_TOKEN}\" }",
	    "@:2: ${WORKER_TOKEN} is a secret");
	REFUSES_TEXT("worker { type = ${WORKER_TOKEN:-x} }",
	    "@:1: ${WORKER_TOKEN} is a secret");
	REFUSES_TEXT("worker { type = ${NOT_IN_THE_ENVIRONMENT} }",
	    "@:1: the environment has no NOT_IN_THE_ENVIRONMENT; set it");
	REFUSES_TEXT("worker { type = \"${a b}\" }", "@:1: expected ${a} or");
	REFUSES_TEXT("worker { type = a${CONF_TEST_NAME} }",
	    "@:1: \"${\" in the middle of a word");
	{
		struct conf *c = given_conf(&(struct given){
		    .text = "worker { id = ${CONF_TEST_NONE:-w1}\n"
			    "type = \"a-${CONF_TEST_NAME}-\\${X}\" }\n"
			    "log { destination = '/${WORKER_TOKEN}' }" });

		ASSERT_STR(c->worker.id, "w1");
		ASSERT_STR(c->worker.type, "a-from-$-variable-${X}");
		ASSERT_STR(c->log.destination, "/${WORKER_TOKEN}");
		conf_free(c);
	}
}

static void
stops_at_syntax_and_unknown_names(void)
{
	static const struct {
		const char *text;
		const char *want;
	} cases[] = {
		{ "worker {\n # c\n /* c\n c */ # c\n  heartbeat = 1\n}\nx",
		    "@:5: unknown key \"heartbeat\" in block worker; did you "
		    "mean \"heartbeat_interval\"?" },
		{ "categry heavy { }",
		    "@:1: unknown block \"categry\"; did "
		    "you mean \"category\"?" },
		{ "zzzzzz { }",
		    "@:1: unknown block \"zzzzzz\"; "
		    "avtoworker.conf(5) lists all" },
		{ "worker { zzzzzz = 1 }",
		    "@:1: unknown key \"zzzzzz\" in block worker; "
		    "avtoworker.conf(5) lists all" },
		{ "children = 4",
		    "@:1: key \"children\" belongs into a block "
		    "category { }" },
		{ "worker {\n log {\n } }",
		    "@:2: a block cannot stand inside the block opened in "
		    "line 1" },
		{ "worker {\n log = x }",
		    "@:2: \"log\" cannot stand inside "
		    "block worker; is a \"}\" missing?" },
		{ "\nworker {\n id = x\n",
		    "@:2: the block opened here has no end; expected \"}\"" },
		{ "worker { }\n}", "@:2: unexpected \"}\"; no block is open" },
		{ "worker { id x }", "@:1: expected \"=\" after \"id\"" },
		{ "worker { id += x }",
		    "@:1: expected \"=\" instead of \"+=\"" },
		{ "worker { id = a=b }", "@:1: unexpected \"=\"" },
		{ "worker { id = a b }",
		    "@:1: unknown key \"b\" in block worker" },
		{ "worker { id = a*b }",
		    "@:1: unexpected \"*\"; values that "
		    "contain it are quoted" },
		{ "worker { id = a+b }", "@:1: unexpected \"+\"" },
		{ "worker { id = }", "@:1: unexpected \"}\"" },
		{ "category { children = 4 }",
		    "@:1: expected a name between \"category\" and \"{\"" },
		{ "worker main { }",
		    "@:1: expected \"{\" to open block \"worker\"" },
		{ "worker {\n\n id = \"x\n}", "@:3: a quoted value must end" },
		{ "worker {\n id = 'x }", "@:2: a quoted value must end" },
		{ "worker { id = \"\\0\" }", "@:1: \"\\0\" means nothing" },
		{ "\n/* never", "@:2: this comment has no end" },
		{ "worker { id = x\f }",
		    "@:1: unexpected control character "
		    "0x0c" },
		{ "include x", "@:1: expected \"include\" followed by" },
		{ "include()", "@:1: expected one file name" },
		{ "include(\"a\" \"b\")", "@:1: expected one file name" },
		{ "include(\"a\", \"b\")", "@:1: expected one file name" },
		{ "include(a'b')", "@:1: expected one file name" },
		{ "\ninclude(a /* b */ ${HOME:-x} )",
		    "@:2: expected one file name" },
		{ "include(=", "@:1: expected one file name" },
		{ "include(\"a\"", "@:1: the \"(\" here has no end" },
		{ "worker { id = x }\nlog",
		    "@:2: the file ends in the middle "
		    "of a setting" },
		{ "\"\" = 4", "@:1: syntax error; expected a block or a key" },
		{ "log { } \"log|level\" = debug",
		    "@:1: a key must stand in its block, here \"log\"" },
		{ "\xef\xbb\xbfworker { i = 4 }", "@:1: unknown key \"i\"" },
		{ "worker { }\r\nlog { leve = x }\r\n",
		    "@:2: unknown key \"leve\" in block log; did you mean "
		    "\"level\"?" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		REFUSES_TEXT(cases[i].text, cases[i].want);
}

static void
refuses_lists_that_are_none(void)
{
	REFUSES_TEXT("handler z {\n exec = {}\n}\n",
	    "@:2: an empty list; expected {WORD, ...}");
	REFUSES_TEXT("handler z { exec = {a, {b}} }\n",
	    "@:1: a list has words, and no lists");
	REFUSES_TEXT("handler z { exec = /a exec = {b, c} }\n",
	    "@:1: exec is set twice");
	REFUSES_TEXT("handler z { exec = {a, b }\n",
	    "@:1: the block opened here has no end; expected \"}\"");
}

static void
names_both_places_of_an_empty_block(void)
{
	REFUSES_TEXT("category a { } category b { }\n\ncategory a { }\n",
	    "@:3: block category a stands here again; the first is at ");
}

static void
includes_files(void)
{
	struct conf *c;

	(void)given_file("main.conf", "");
	ASSERT(mkdir(given_path("d"), 0700) == 0);
	(void)given_file("d/b.conf", "category b { }\nlog { level = debug }");
	(void)given_file(
	    "d/a.conf", "category a { }\ninclude(\"../one.conf\")");
	(void)given_file("one.conf", "category one { }");
	c = given_conf(&(struct given){
	    .text = "include(\"d/*.conf\")\ninclude(\"none/*.conf\")\n"
		    "include('d/*.none')\nworker { id = x }\n" });
	ASSERT_STR(TAILQ_FIRST(&c->categories)->name, "a");
	ASSERT_STR(TAILQ_NEXT(TAILQ_FIRST(&c->categories), entry)->name, "one");
	ASSERT(conf_category(c, "b") != NULL);
	ASSERT_INT(c->log.level, LOG_LEVEL_DEBUG);
	ASSERT_STR(c->worker.id, "x");
	conf_free(c);
}

static void
includes_beside_a_directory_with_wildcards_in_its_name(void)
{
	struct conf_problems problems;
	struct conf_source source = { .local = true };
	struct conf *c;

	(void)given_path("");
	ASSERT(mkdir(given_path("d[1]"), 0700) == 0);
	(void)given_file("d[1]/a.conf", "category a { }\n");
	source.file = given_file("d[1]/main.conf", "include(\"?.conf\")\n");
	conf_problems_init(&problems);
	ASSERT((c = conf_new(&source, &problems)) != NULL);
	ASSERT(conf_category(c, "a") != NULL);
	conf_free(c);
}

static void
names_the_included_file(void)
{
	(void)given_file("one.conf", "\n\nworker { idd = 4 }\n");
	REFUSES_TEXT("include(one.conf)\n",
	    "/one.conf:3: unknown key \"idd\" in block worker; did you mean "
	    "\"id\"?");
	(void)given_file("one.conf", "\nlog { }\n");
	REFUSES_TEXT("include(\"one.conf\") log { }\n",
	    "/one.conf:2: block log stands here again; the first is at ");
	REFUSES_TEXT("include(\"two.conf\")\n",
	    "/two.conf: cannot be opened: No such file or directory");
}

static void
refuses_loops(void)
{
	(void)given_file("one.conf", "include(\"two.conf\")");
	(void)given_file("two.conf", "include(\"*.conf\")");
	REFUSES_TEXT(
	    "include(\"one.conf\")\n", "@: includes itself, by way of ");
	REFUSES_TEXT(
	    "include(\"main.conf\")\n", "@: includes itself, by way of ");
}

static void
refuses_what_is_no_text_file(void)
{
	static char big[2 * 1024 * 1024];
	struct conf_problems problems;
	struct conf_source source = { .local = true };

	(void)given_bytes("one.conf", "worker {\n id = a\0b }", 20);
	REFUSES_TEXT("include(\"one.conf\")", "one.conf:2: NUL byte");
	memset(big, 'x', sizeof(big));
	(void)given_bytes("one.conf", big, sizeof(big));
	REFUSES_TEXT(
	    "include(\"one.conf\")", "one.conf: too large for a configuration");
	source.file = "/tmp";
	conf_problems_init(&problems);
	ASSERT(conf_new(&source, &problems) == NULL);
	ASSERT_STR(TAILQ_FIRST(&problems.list)->text,
	    "/tmp: is a directory; expected a file");
	conf_problems_fini(&problems);
}

static void
refuses_huge_values(void)
{
	const size_t len = 10 * 1024 * 1024;
	char *variable = malloc(len);
	char *environment[] = { variable, NULL };

	ASSERT(variable != NULL);
	memset(variable, 'x', len);
	memcpy(variable, "WORKER_ID=", 10);
	variable[len - 1] = '\0';
	REFUSES((&(struct given){ .environment = environment }),
	    "...\"; expected 1 to 64 letters");
	memset(variable + 10, 'x', len - 11);
	memcpy(variable, "worker { id = ", 14);
	memcpy(variable + 900000, " }", 3);
	REFUSES_TEXT(variable, "@:1: id is \"xxxx");
	free(variable);
}

/* A failed parse must not change how the next file is read. */
static void
reads_well_after_failures(void)
{
	static const char *const bad[] = { "worker { id = \"x", "/* x",
		"worker { \"", "include(\"none.conf\")", "worker { id = 'x }",
		"x", "worker { x", "\"\\777\" {" };
	struct conf_problems problems;
	struct conf *c;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ASSERT(given_build(&(struct given){ .text = bad[i] },
			   &problems) == NULL);
		conf_problems_fini(&problems);
		c = given_conf(&(struct given){ .text = "worker { id = x }" });
		ASSERT_STR(c->worker.id, "x");
		conf_free(c);
	}
}

static void
reads_lists_of_words(void)
{
	struct conf *c = given_conf(&(struct given){
	    .text =
		"handler a { exec = /bin/a }\n"
		"handler b { exec = { \"/bin/b c\", '', \"-x \\\"y\" } }\n" });
	struct conf_handler *h = TAILQ_FIRST(&c->handlers);

	ASSERT_STR(h->exec[0], "/bin/a");
	ASSERT(h->exec[1] == NULL);
	h = TAILQ_NEXT(h, entry);
	ASSERT_STR(h->exec[0], "/bin/b c");
	ASSERT_STR(h->exec[1], "");
	ASSERT_STR(h->exec[2], "-x \"y");
	ASSERT(h->exec[3] == NULL);
	conf_free(c);
}

/* libConfuse would otherwise write there by itself. */
static void
writes_nothing_to_standard_error(void)
{
	const char *path = given_path("one.conf");
	struct stat st;

	ASSERT(freopen(path, "w", stderr) != NULL);
	REFUSES_TEXT("worker { id = a=b }", "@:1: unexpected");
	REFUSES_TEXT("zzz { }", "@:1: unknown block");
	REFUSES_TEXT("worker { \"a|b\" = c }", "@:1: ");
	ASSERT(fflush(stderr) == 0);
	ASSERT(stat(path, &st) == 0);
	ASSERT_INT(st.st_size, 0);
}

static const struct test tests[] = {
	{ "refuses secret variables in the file",
	    refuses_secret_variables_in_the_file },
	{ "stops at syntax and unknown names",
	    stops_at_syntax_and_unknown_names },
	{ "names both places of an empty block",
	    names_both_places_of_an_empty_block },
	{ "includes files, sorted and relative", includes_files },
	{ "includes beside a directory with wildcards in its name",
	    includes_beside_a_directory_with_wildcards_in_its_name },
	{ "names the included file", names_the_included_file },
	{ "refuses loops of includes", refuses_loops },
	{ "refuses what is no text file", refuses_what_is_no_text_file },
	{ "refuses huge values", refuses_huge_values },
	{ "reads well after failures", reads_well_after_failures },
	{ "lists that are none", refuses_lists_that_are_none },
	{ "lists of words, or one word", reads_lists_of_words },
	{ "writes nothing to standard error",
	    writes_nothing_to_standard_error },
};

TEST_MAIN(tests)
