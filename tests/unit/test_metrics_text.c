/* SPDX-License-Identifier: ISC */
/*
 * What a worker tells of itself, from views made up here: the text, its table
 * beside the man page, and readiness.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "child/bytes.h"
#include "supervisor/edges/metrics.h"
#include "supervisor/edges/metrics_text.h"
#include "supervisor/edges/view.h"
#include "tests/test.h"

/*
 * The text.
 */

/* Everything a view makes, terminated; caller frees. */
static char *
text_of(const struct view *v)
{
	struct bytes out = { 0 };

	metrics_text(&out, v, 1000);
	bytes_append(&out, "", 1);
	ASSERT(!bytes_failed(&out));
	return (out.p);
}

/* Where the line stands in the text. */
static char *
find_line(char *text, const char *line)
{
	char want[256], *at;

	(void)snprintf(want, sizeof(want), "\n%s\n", line);
	if ((at = strstr(text, want)) == NULL)
		test_fail(__FILE__, __LINE__, "no line %s in %s", line, text);
	return (at + 1);
}

static void
has_line(char *text, const char *line)
{
	(void)find_line(text, line);
}

static struct view
empty_view(struct stats *stats)
{
	return ((struct view){
	    .version = "1.2",
	    .state = "running",
	    .journal = "ok",
	    .received = { 10, 1, 2 },
	    .ended = { 4, 2, 1 },
	    .dead_letters = 1,
	    .stats = stats,
	});
}

static void
shows_plain_figures(void)
{
	struct stats *stats = stats_new();
	const struct orchestrator_view orchestrators[] = {
		{ .name = "a", .worker_id = "me-1", .registered = true },
		{ .name = "b", .worker_id = "me-1" },
	};
	struct view v = empty_view(stats);
	char *text;

	v.orchestrators = orchestrators;
	v.orchestrators_len = 2;
	v.worker_id = "me-1";
	v.started_ms = 4500;
	v.generation = 3;
	v.registered = true;
	v.queued = 1;
	v.running = 2;
	v.finished = 3;
	v.undelivered = 4;
	v.polls = 5;
	text = text_of(&v);
	has_line(text, "worker_received_tasks_total{source=\"poll\"} 10");
	has_line(text, "worker_received_tasks_total{source=\"journal\"} 1");
	has_line(text, "worker_received_tasks_total{source=\"dead_letter\"} 2");
	has_line(text, "worker_results_total{outcome=\"accepted\"} 4");
	has_line(text, "worker_results_total{outcome=\"ignored\"} 2");
	has_line(text, "worker_results_total{outcome=\"dead_letter\"} 1");
	has_line(text, "worker_dead_letters 1");
	has_line(text, "worker_journal_failing 0");
	has_line(text, "worker_leases{state=\"queued\"} 1");
	has_line(text, "worker_leases{state=\"running\"} 2");
	has_line(text, "worker_leases{state=\"finished\"} 3");
	has_line(text, "worker_undelivered_results 4");
	has_line(text, "worker_polls 5");
	has_line(
	    text, "worker_registered{orchestrator=\"a\",worker_id=\"me-1\"} 1");
	has_line(
	    text, "worker_registered{orchestrator=\"b\",worker_id=\"me-1\"} 0");
	has_line(text, "worker_paused 0");
	has_line(text, "worker_generation 3");
	has_line(text, "worker_start_time_seconds 5.5");
	has_line(text, "worker_info{version=\"1.2\",worker_id=\"me-1\"} 1");
	free(text);
	stats_free(stats);
}

static void
shows_what_was_counted(void)
{
	struct stats *stats = stats_new();
	const struct view v = empty_view(stats);
	char *text;

	stats_task(stats, "echo", "success", 1);
	stats_task(stats, "echo", "success", 1500);
	stats_task(stats, "echo", "odd \"\\\n", 20000000);
	stats_child_end(stats, "heavy", "oom");
	stats_request(stats, "poll", "ok", 12);
	text = text_of(&v);
	has_line(text,
	    "worker_tasks_total{task_type=\"echo\",status=\"success\"} 2");
	has_line(text,
	    "worker_tasks_total{task_type=\"echo\","
	    "status=\"odd \\\"\\\\\\n\"} 1");
#define DURATION "worker_task_duration_seconds"
	has_line(text, DURATION "_bucket{task_type=\"echo\",le=\"0.001\"} 1");
	has_line(text, DURATION "_bucket{task_type=\"echo\",le=\"1\"} 1");
	has_line(text, DURATION "_bucket{task_type=\"echo\",le=\"3\"} 2");
	has_line(text, DURATION "_bucket{task_type=\"echo\",le=\"10800\"} 2");
	has_line(text, DURATION "_bucket{task_type=\"echo\",le=\"+Inf\"} 3");
	has_line(text, DURATION "_sum{task_type=\"echo\"} 20001.501");
	has_line(text, DURATION "_count{task_type=\"echo\"} 3");
	has_line(text,
	    "worker_child_ends_total{category=\"heavy\",reason=\"oom\"} 1");
	has_line(text,
	    "worker_request_duration_seconds_bucket{endpoint=\"poll\","
	    "outcome=\"ok\",le=\"0.03\"} 1");
	free(text);
	stats_free(stats);
}

static void
adds_up_generations_of_a_category(void)
{
	const struct category_view categories[] = {
		{ .name = "a", .idle = 1, .queued = 2, .offered = true },
		{ .name = "b", .busy = 1, .paused = true },
		{ .name = "a", .busy = 4, .idle = 1, .retiring = true },
	};
	struct stats *stats = stats_new();
	struct view v = empty_view(stats);
	char *text, *found;

	v.categories = categories;
	v.categories_len = 3;
	text = text_of(&v);
	has_line(text, "worker_children{category=\"a\",state=\"idle\"} 2");
	has_line(text, "worker_children{category=\"a\",state=\"busy\"} 4");
	has_line(text, "worker_children{category=\"b\",state=\"busy\"} 1");
	has_line(text, "worker_queued{category=\"a\"} 2");
	has_line(text, "worker_category_offered{category=\"a\"} 1");
	has_line(text, "worker_category_offered{category=\"b\"} 0");
	has_line(text, "worker_category_paused{category=\"b\"} 1");
	found = strstr(text, "worker_queued{category=\"a\"}");
	ASSERT(strstr(found + 1, "worker_queued{category=\"a\"}") == NULL);
	free(text);
	stats_free(stats);
}

static void
shows_our_own_process(void)
{
	struct stats *stats = stats_new();
	const struct view v = empty_view(stats);
	char *text = text_of(&v), *at;
	int before = 0, after = 0, fd;

	at = strstr(text, "\nprocess_resident_memory_bytes ");
	ASSERT(at != NULL && strtod(strchr(at + 1, ' '), NULL) > 100000);
	ASSERT(strstr(text, "\nprocess_cpu_seconds_total ") != NULL);
	at = strstr(text, "\nprocess_open_fds ");
	ASSERT(at != NULL && sscanf(at, " process_open_fds %d", &before) == 1);
	free(text);
	ASSERT((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) != -1);
	text = text_of(&v);
	at = strstr(text, "\nprocess_open_fds ");
	ASSERT(at != NULL && sscanf(at, " process_open_fds %d", &after) == 1);
	ASSERT_INT(after, before + 1);
	(void)close(fd);
	free(text);
	stats_free(stats);
}

static void
is_cheap(void)
{
	struct category_view categories[20];
	struct stats *stats = stats_new();
	struct view v = empty_view(stats);
	char names[20][8], type[16], *text;
	clock_t began, took;
	int i;

	for (i = 0; i < 20; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "c%d", i);
		categories[i] = (struct category_view){
			.name = names[i],
			.idle = 50,
		};
	}
	for (i = 0; i < 100; i++) {
		(void)snprintf(type, sizeof(type), "type-%d", i);
		stats_task(stats, type, "success", i);
		stats_task(stats, type, "failure", i);
	}
	v.categories = categories;
	v.categories_len = 20;
	began = clock();
	for (i = 0; i < 20; i++) {
		text = text_of(&v);
		free(text);
	}
	took = clock() - began;
	/* Some 1 ms each of processor time on a slow machine; sanitizers take
	 * their share. */
	if (took > CLOCKS_PER_SEC)
		test_fail(__FILE__, __LINE__, "20 texts took %ld ms",
		    (long)(took / (CLOCKS_PER_SEC / 1000)));
	stats_free(stats);
}

static void
a_name_of_ours_is_told_once(void)
{
	static const char theirs[] =
	    "# HELP worker_tasks_total Theirs\n"
	    "# TYPE worker_tasks_total counter\nworker_tasks_total 1.0\n"
	    "# HELP worker_tasks Another\nworker_tasks 2.0\n"
	    "# HELP worker_polls\nworker_polls 3.0";
	struct bytes out = { 0 };

	metrics_append(&out, "", 0);
	metrics_append(&out, theirs, sizeof(theirs) - 1);
	bytes_append(&out, "", 1);
	ASSERT_STR(out.p, "# HELP worker_tasks Another\nworker_tasks 2.0\n");
	bytes_fini(&out);
}

/*
 * The man page.
 */

static char *
read_man_page(void)
{
	const char *top = getenv("top_srcdir");
	char path[4096], *text = NULL;
	size_t size = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/supervisor/avtoworkerd.8",
	    top != NULL ? top : ".");
	if ((f = fopen(path, "r")) == NULL)
		test_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
	ASSERT(getdelim(&text, &size, '\0', f) > 0);
	(void)fclose(f);
	return (text);
}

/* The item of a metric as the page must have it. */
static void
make_item(const struct metric *m, char out[256])
{
	char type[16];

	(void)snprintf(type, sizeof(type), "%s", m->type);
	type[0] = (char)(type[0] - 'a' + 'A');
	(void)snprintf(out, 256, "\n.It Cm %s%s%s\n%s.\n", m->name,
	    m->labels[0] != '\0' ? " Brq " : "", m->labels, type);
}

static void
the_man_page_has_the_table(void)
{
	char *page = read_man_page(), *at, *end;
	char item[256];
	size_t i, items = 0;

	ASSERT((at = strstr(page, "\n.Sh METRICS\n")) != NULL);
	ASSERT((end = strstr(at + 1, "\n.Sh ")) != NULL);
	*end = '\0';
	for (i = 0; i < metrics_table_len; i++) {
		make_item(&metrics_table[i], item);
		if (strstr(at, item) == NULL)
			test_fail(
			    __FILE__, __LINE__, "the page lacks %s", item);
	}
	while ((at = strstr(at, "\n.It Cm ")) != NULL) {
		items++;
		at++;
	}
	ASSERT_INT(items, metrics_table_len);
	free(page);
}

/* Labels in the text are those of the table. */
static void
the_text_has_the_labels_of_the_table(void)
{
	const struct orchestrator_view orchestrator = { .name = "o",
		.worker_id = "w" };
	const struct category_view category = { .name = "a" };
	const struct failing_view failing = { .name = "python p" };
	struct stats *stats = stats_new();
	struct view v = empty_view(stats);
	char *text, line[128], *at, labels[64], *label, *rest;
	size_t i;

	stats_task(stats, "t", "s", 1);
	stats_child_end(stats, "c", "r");
	stats_request(stats, "e", "o", 1);
	stats_pause(stats, "e", 61000);
	stats_skew(stats, "main", -1500);
	stats_message(stats, "main", "in");
	v.orchestrators = &orchestrator;
	v.orchestrators_len = 1;
	v.categories = &category;
	v.categories_len = 1;
	v.failing = &failing;
	v.failing_len = 1;
	text = text_of(&v);
	for (i = 0; i < metrics_table_len; i++) {
		const struct metric *m = &metrics_table[i];

		(void)snprintf(
		    line, sizeof(line), "# TYPE %s %s", m->name, m->type);
		at = strchr(find_line(text, line), '\n') + 1;
		ASSERT(strncmp(at, m->name, strlen(m->name)) == 0);
		*strchr(at, '\n') = '\0';
		(void)snprintf(labels, sizeof(labels), "%s", m->labels);
		rest = labels;
		while (*m->labels != '\0' &&
		    (label = strsep(&rest, ", ")) != NULL) {
			if (*label == '\0')
				continue;
			(void)snprintf(line, sizeof(line), "%s=\"", label);
			if (strstr(at, line) == NULL)
				test_fail(__FILE__, __LINE__, "no %s in %s",
				    label, at);
		}
		if (*m->labels == '\0')
			ASSERT(strchr(at, '{') == NULL);
		at[strlen(at)] = '\n';
	}
	free(text);
	stats_free(stats);
}

/*
 * Readiness.
 */

static void
is_status(const struct view *v, int status, const char *json)
{
	struct bytes out = { 0 };

	ASSERT_INT(metrics_readiness(v, &out), status);
	bytes_append(&out, "", 1);
	ASSERT_STR(out.p, json);
	bytes_fini(&out);
}

static void
tells_what_is_missing(void)
{
	struct category_view category = {
		.name = "a",
		.min_children = 1,
		.starting = 1,
	};
	struct view v = empty_view(NULL);

	v.categories = &category;
	v.categories_len = 1;
	v.state = "draining";
	is_status(&v, 503,
	    "{\"missing\":[\"the worker is draining\","
	    "\"not registered at the orchestrator\","
	    "\"no child is ready\"],\"failing\":[],\"paused\":false,"
	    "\"status\":\"not ready\"}\n");
	v.state = "running";
	v.registered = true;
	is_status(&v, 503,
	    "{\"missing\":[\"no child is ready\"],\"failing\":[],\"paused\":false,"
	    "\"status\":\"not ready\"}\n");
	category.busy = 1;
	v.journal_fails = true;
	is_status(&v, 503,
	    "{\"missing\":[\"the journal cannot be written\"],\"failing\":[],\"paused\":false,"
	    "\"status\":\"not ready\"}\n");
	v.journal_fails = false;
	is_status(&v, 200,
	    "{\"missing\":[],\"failing\":[],\"paused\":false,\"status\":\"ready\"}\n");
}

static void
a_category_on_demand_is_ready_without_children(void)
{
	struct category_view category = { .name = "a", .offered = true };
	struct view v = empty_view(NULL);

	v.registered = true;
	v.paused = true;
	v.categories = &category;
	v.categories_len = 1;
	is_status(&v, 200,
	    "{\"missing\":[],\"failing\":[],\"paused\":true,\"status\":\"ready\"}\n");
	category.offered = false;
	is_status(&v, 503,
	    "{\"missing\":[\"no child is ready\"],\"failing\":[],\"paused\":true,"
	    "\"status\":\"not ready\"}\n");
}

static void
what_does_not_start_is_told(void)
{
	struct category_view category = { .name = "a", .offered = true };
	const struct failing_view failing[] = {
		{ .name = "python a", .failure = "No module \"b\"" },
		{ .name = "channel c", .failure = "exited with status 1" },
	};
	struct stats *stats = stats_new();
	struct view v = empty_view(stats);
	char *text;

	v.registered = true;
	v.categories = &category;
	v.categories_len = 1;
	v.failing = failing;
	v.failing_len = 2;
	is_status(&v, 200,
	    "{\"missing\":[],\"failing\":[{\"name\":\"python a\","
	    "\"failure\":\"No module \\\"b\\\"\"},{\"name\":\"channel c\","
	    "\"failure\":\"exited with status 1\"}],\"paused\":false,"
	    "\"status\":\"ready\"}\n");
	text = text_of(&v);
	has_line(text, "worker_program_failing{program=\"python a\"} 1");
	has_line(text, "worker_program_failing{program=\"channel c\"} 1");
	free(text);
	stats_free(stats);
}

static const struct test tests[] = {
	{ "shows plain figures", shows_plain_figures },
	{ "shows what was counted", shows_what_was_counted },
	{ "adds up the generations of a category",
	    adds_up_generations_of_a_category },
	{ "shows our own process", shows_our_own_process },
	{ "is cheap", is_cheap },
	{ "a name of ours is told once", a_name_of_ours_is_told_once },
	{ "the man page has the table", the_man_page_has_the_table },
	{ "the text has the labels of the table",
	    the_text_has_the_labels_of_the_table },
	{ "tells what is missing to be ready", tells_what_is_missing },
	{ "a category on demand is ready without children",
	    a_category_on_demand_is_ready_without_children },
	{ "what does not start is told", what_does_not_start_is_told },
};

TEST_MAIN(tests)
