/* SPDX-License-Identifier: ISC */
/* show.c: tables as wide as what is in them, and lists of what is what. Text
 * comes from elsewhere: control characters are not shown to a terminal. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/show.h"
#include "supervisor/base/clock.h"

#define NCOLUMNS(columns) (sizeof(columns) / sizeof((columns)[0]))
#define CELL_MAX          160

/* A column of a table: what stands in a row's cell. */
struct column {
	const char *title;
	void (*cell)(const json_t *row, char out[CELL_MAX]);
};

void
show_time(char out[32], int64_t ms)
{
	const int64_t s = ms / 1000;

	if (s < 60)
		(void)snprintf(out, 32, "%" PRId64 "s", s);
	else if (s < 3600)
		(void)snprintf(
		    out, 32, "%" PRId64 "m%02ds", s / 60, (int)(s % 60));
	else if (s < 86400)
		(void)snprintf(out, 32, "%" PRId64 "h%02dm", s / 3600,
		    (int)(s % 3600 / 60));
	else
		(void)snprintf(out, 32, "%" PRId64 "d%02dh", s / 86400,
		    (int)(s % 86400 / 3600));
}

static const char *
text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return (text != NULL && *text != '\0' ? text : "-");
}

static int64_t
number_of(const json_t *object, const char *name)
{
	return (json_integer_value(json_object_get(object, name)));
}

static bool
is_set(const json_t *object, const char *name)
{
	return (json_is_true(json_object_get(object, name)));
}

static void
put_text(const json_t *row, const char *name, char out[CELL_MAX])
{
	char *p;

	(void)snprintf(out, CELL_MAX, "%s", text_of(row, name));
	for (p = out; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static void
put_number(const json_t *row, const char *name, char out[CELL_MAX])
{
	(void)snprintf(out, CELL_MAX, "%" PRId64, number_of(row, name));
}

/*
 * Tables.
 */

static void
put_row(char (*cells)[CELL_MAX], const size_t *widths, size_t n)
{
	size_t i;

	for (i = 0; i + 1 < n; i++)
		(void)printf("%-*s  ", (int)widths[i], cells[i]);
	(void)printf("%s\n", cells[n - 1]);
}

static void
measure(
    const struct column *columns, size_t n, const json_t *rows, size_t *widths)
{
	char cell[CELL_MAX];
	json_t *row;
	size_t at, i;

	for (i = 0; i < n; i++) {
		widths[i] = strlen(columns[i].title);
		json_array_foreach(rows, at, row)
		{
			columns[i].cell(row, cell);
			if (strlen(cell) > widths[i])
				widths[i] = strlen(cell);
		}
	}
}

static void
put_table(const struct column *columns, size_t n, const json_t *rows)
{
	char cells[16][CELL_MAX];
	size_t widths[16], at, i;
	json_t *row;

	measure(columns, n, rows, widths);
	for (i = 0; i < n; i++)
		(void)snprintf(cells[i], CELL_MAX, "%s", columns[i].title);
	put_row(cells, widths, n);
	json_array_foreach(rows, at, row)
	{
		for (i = 0; i < n; i++)
			columns[i].cell(row, cells[i]);
		put_row(cells, widths, n);
	}
}

/*
 * Children.
 */

static void
cell_pid(const json_t *row, char out[CELL_MAX])
{
	put_number(row, "pid", out);
}

static void
cell_category(const json_t *row, char out[CELL_MAX])
{
	put_text(row, "category", out);
}

static void
cell_state(const json_t *row, char out[CELL_MAX])
{
	put_text(row, "state", out);
}

/* That of its tasks which it has had for longest, and how many more. */
static void
cell_task(const json_t *row, char out[CELL_MAX])
{
	const int64_t running = number_of(row, "running");
	size_t len;

	put_text(row, "task_id", out);
	len = strlen(out);
	if (running > 1)
		(void)snprintf(
		    out + len, CELL_MAX - len, " (+%" PRId64 ")", running - 1);
}

static void
cell_type(const json_t *row, char out[CELL_MAX])
{
	put_text(row, "task_type", out);
}

static void
cell_since(const json_t *row, char out[CELL_MAX])
{
	char text[32];

	show_time(text, number_of(row, "in_state_ms"));
	(void)snprintf(out, CELL_MAX, "%s", text);
}

static const struct column child_columns[] = {
	{ "CHILD", cell_pid },
	{ "CATEGORY", cell_category },
	{ "STATE", cell_state },
	{ "TASK", cell_task },
	{ "TYPE", cell_type },
	{ "SINCE", cell_since },
};

void
show_children(const json_t *answer)
{
	put_table(child_columns, NCOLUMNS(child_columns),
	    json_object_get(answer, "children"));
}

/*
 * Results.
 */

static void
cell_id(const json_t *row, char out[CELL_MAX])
{
	put_number(row, "id", out);
}

static void
cell_job(const json_t *row, char out[CELL_MAX])
{
	put_text(row, "job_id", out);
}

static void
cell_status(const json_t *row, char out[CELL_MAX])
{
	put_text(row, "status", out);
}

static void
cell_code(const json_t *row, char out[CELL_MAX])
{
	put_text(row, "code", out);
}

static void
cell_age(const json_t *row, char out[CELL_MAX])
{
	char text[32];

	show_time(text, number_of(row, "age_ms"));
	(void)snprintf(out, CELL_MAX, "%s", text);
}

static void
cell_next(const json_t *row, char out[CELL_MAX])
{
	char text[32];

	show_time(text, number_of(row, "retry_in_ms"));
	(void)snprintf(out, CELL_MAX, "%s", text);
}

static const struct column result_columns[] = {
	{ "TASK", cell_task },
	{ "JOB", cell_job },
	{ "TYPE", cell_type },
	{ "STATUS", cell_status },
	{ "CODE", cell_code },
	{ "AGE", cell_age },
	{ "NEXT IN", cell_next },
};

void
show_results(const json_t *answer)
{
	put_table(result_columns, NCOLUMNS(result_columns),
	    json_object_get(answer, "results"));
}

static void
cell_letter_type(const json_t *row, char out[CELL_MAX])
{
	put_text(row, "type", out);
}

/* How long ago it was given up; its time is one of the wall clock. */
static void
cell_died(const json_t *row, char out[CELL_MAX])
{
	char text[32];

	show_time(text, clock_wall_ms() - number_of(row, "died_at"));
	(void)snprintf(out, CELL_MAX, "%s", text);
}

static void
cell_reason(const json_t *row, char out[CELL_MAX])
{
	put_text(row, "reason", out);
}

static const struct column letter_columns[] = {
	{ "ID", cell_id },
	{ "TASK", cell_task },
	{ "JOB", cell_job },
	{ "TYPE", cell_letter_type },
	{ "STATUS", cell_status },
	{ "AGE", cell_died },
	{ "REASON", cell_reason },
};

/* All there is of one, a line for each member. */
static void
show_letter(const json_t *letter)
{
	const char *name, *text, *p;
	json_t *value;

	json_object_foreach((json_t *)letter, name, value)
	{
		if (json_is_integer(value)) {
			(void)printf("%-15s%" PRId64 "\n", name,
			    (int64_t)json_integer_value(value));
			continue;
		}
		text = json_is_string(value) ? json_string_value(value) : "-";
		(void)printf("%-15s", name);
		for (p = text; *p != '\0'; p++)
			(void)putchar(
			    (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p);
		(void)putchar('\n');
	}
}

void
show_letters(const json_t *answer)
{
	const json_t *list = json_object_get(answer, "dead_letters");
	const json_t *first = json_array_get(list, 0);

	if (list == NULL)
		(void)printf("%" PRId64 "\n", number_of(answer, "count"));
	else if (json_object_get(first, "leased_at") != NULL &&
	    json_object_get(first, "finished_at") != NULL)
		show_letter(first);
	else
		put_table(letter_columns, NCOLUMNS(letter_columns), list);
}

/*
 * Status.
 */

static void
cell_name(const json_t *row, char out[CELL_MAX])
{
	put_text(row, "name", out);
}

static void
cell_url(const json_t *row, char out[CELL_MAX])
{
	put_text(row, "url", out);
}

static void
cell_worker(const json_t *row, char out[CELL_MAX])
{
	put_text(row, "worker_id", out);
}

static void
cell_dialect(const json_t *row, char out[CELL_MAX])
{
	put_text(row, "dialect", out);
}

static void
cell_polls(const json_t *row, char out[CELL_MAX])
{
	put_number(row, "polls", out);
}

static void
cell_undelivered(const json_t *row, char out[CELL_MAX])
{
	put_number(row, "undelivered", out);
}

static void
cell_websocket(const json_t *row, char out[CELL_MAX])
{
	(void)snprintf(
	    out, CELL_MAX, "%s", is_set(row, "websocket") ? "open" : "-");
}

static void
cell_registered(const json_t *row, char out[CELL_MAX])
{
	(void)snprintf(out, CELL_MAX, "%s",
	    is_set(row, "registered") ? "registered" : "not registered");
}

static const struct column orchestrator_columns[] = {
	{ "ORCHESTRATOR", cell_name },
	{ "URL", cell_url },
	{ "WORKER", cell_worker },
	{ "DIALECT", cell_dialect },
	{ "POLLS", cell_polls },
	{ "UNDELIVERED", cell_undelivered },
	{ "WEBSOCKET", cell_websocket },
	{ "NOTE", cell_registered },
};

static void
cell_size(const json_t *row, char out[CELL_MAX])
{
	const int64_t min = number_of(row, "min_children");
	const int64_t max = number_of(row, "max_children");

	if (min == max)
		(void)snprintf(out, CELL_MAX, "%" PRId64, max);
	else
		(void)snprintf(out, CELL_MAX, "%" PRId64 "-%" PRId64, min, max);
}

static void
cell_starting(const json_t *row, char out[CELL_MAX])
{
	put_number(row, "starting", out);
}

static void
cell_idle(const json_t *row, char out[CELL_MAX])
{
	put_number(row, "idle", out);
}

static void
cell_busy(const json_t *row, char out[CELL_MAX])
{
	put_number(row, "busy", out);
}

static void
cell_leaving(const json_t *row, char out[CELL_MAX])
{
	put_number(row, "leaving", out);
}

static void
cell_queued(const json_t *row, char out[CELL_MAX])
{
	put_number(row, "queued", out);
}

/* What there is to know of a category beyond its figures. */
static void
cell_note(const json_t *row, char out[CELL_MAX])
{
	char failure[CELL_MAX], wait[32];

	put_text(row, "failure", failure);
	show_time(wait, number_of(row, "retry_in_ms"));
	if (is_set(row, "retiring"))
		(void)snprintf(out, CELL_MAX, "old configuration, ending");
	else if (strcmp(failure, "-") != 0 && number_of(row, "retry_in_ms") > 0)
		(void)snprintf(out, CELL_MAX,
		    "failed, trying again in %s: %.100s", wait, failure);
	else if (is_set(row, "paused"))
		(void)snprintf(out, CELL_MAX, "paused");
	else
		(void)snprintf(out, CELL_MAX, "%s",
		    is_set(row, "offered") ? "offered" : "not offered");
}

static const struct column category_columns[] = {
	{ "CATEGORY", cell_name },
	{ "SIZE", cell_size },
	{ "STARTING", cell_starting },
	{ "IDLE", cell_idle },
	{ "BUSY", cell_busy },
	{ "LEAVING", cell_leaving },
	{ "QUEUED", cell_queued },
	{ "NOTE", cell_note },
};

static void
put_line(const char *name, const char *text)
{
	(void)printf("%-12s%s\n", name, text);
}

static void
show_state(const json_t *answer)
{
	char state[CELL_MAX];

	put_text(answer, "state", state);
	(void)printf("%-12s%s%s%s%s\n", "state", state,
	    is_set(answer, "paused") ? ", paused" : "",
	    is_set(answer, "registered") ? "" : ", not registered",
	    is_set(answer, "short_of_memory") ? ", short of memory" : "");
}

static void
cell_failure(const json_t *row, char out[CELL_MAX])
{
	put_text(row, "failure", out);
}

static const struct column failing_columns[] = {
	{ "DOES NOT START", cell_name },
	{ "NEXT IN", cell_next },
	{ "WHY", cell_failure },
};

void
show_status(const json_t *answer)
{
	const json_t *failing = json_object_get(answer, "failing");
	char text[CELL_MAX], up[32];

	put_text(answer, "worker_id", text);
	put_line("worker", text);
	put_text(answer, "version", text);
	put_line("version", text);
	show_state(answer);
	show_time(up, number_of(answer, "uptime_ms"));
	(void)printf("%-12s%s, PID %" PRId64 ", configuration %" PRId64 "\n",
	    "up", up, number_of(answer, "pid"),
	    number_of(answer, "generation"));
	(void)printf("%-12s%" PRId64 " queued, %" PRId64 " running, %" PRId64
		     " finished\n",
	    "tasks", number_of(answer, "queued"), number_of(answer, "running"),
	    number_of(answer, "finished"));
	(void)printf("%-12s%" PRId64 " not delivered, %" PRId64
		     " dead letters\n",
	    "results", number_of(answer, "undelivered"),
	    number_of(answer, "dead_letters"));
	put_text(answer, "journal", text);
	put_line("journal", text);
	(void)printf(
	    "%-12s%" PRId64 " out\n\n", "polls", number_of(answer, "polls"));
	put_table(orchestrator_columns, NCOLUMNS(orchestrator_columns),
	    json_object_get(answer, "orchestrators"));
	(void)printf("\n");
	put_table(category_columns, NCOLUMNS(category_columns),
	    json_object_get(answer, "categories"));
	if (json_array_size(failing) == 0)
		return;
	(void)printf("\n");
	put_table(failing_columns, NCOLUMNS(failing_columns), failing);
}

void
show_message(const json_t *answer)
{
	char text[CELL_MAX];

	put_text(answer, "message", text);
	if (strcmp(text, "-") != 0)
		(void)puts(text);
}
