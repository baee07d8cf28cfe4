/* SPDX-License-Identifier: ISC */
/*
 * journal_db_read.c: what is read from the journal's file: leases and dead
 * letters by their rows, the tasks that are over, and whole results.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "child/bytes.h"
#include "supervisor/orchestrator/journal_db_parts.h"
#include "supervisor/orchestrator/journal_row.h"

/* A copy; NULL for NULL. False when memory is short. */
static bool
copy_text(sqlite3_stmt *st, int column, char **out)
{
	const char *text;

	*out = NULL;
	if (sqlite3_column_type(st, column) == SQLITE_NULL)
		return (true);
	text = (const char *)sqlite3_column_text(st, column);
	return (text != NULL && (*out = strdup(text)) != NULL);
}

static bool
copy_bytes(sqlite3_stmt *st, int column, struct bytes *out)
{
	const void *p = sqlite3_column_blob(st, column);

	if (p != NULL)
		bytes_append(out, p, (size_t)sqlite3_column_bytes(st, column));
	return (!bytes_failed(out));
}

static struct journal_row *
read_row(sqlite3_stmt *st)
{
	struct journal_row *row;

	if ((row = calloc(1, sizeof(*row))) == NULL)
		return (NULL);
	row->id = sqlite3_column_int64(st, 0);
	row->leased_ms = sqlite3_column_int64(st, 1);
	row->finished_ms = sqlite3_column_int64(st, 2);
	row->sending_ms = sqlite3_column_int64(st, 3);
	if (copy_text(st, 4, &row->url) && copy_text(st, 5, &row->worker_id) &&
	    copy_text(st, 6, &row->task.task_id) &&
	    copy_text(st, 7, &row->task.job_id) &&
	    copy_text(st, 8, &row->task.type) &&
	    copy_text(st, 9, &row->status) && copy_text(st, 10, &row->code))
		return (row);
	journal_row_free(row);
	return (NULL);
}

static int
read_rows(struct journal_db *db, const char *sql, int64_t id,
    void (*fn)(struct journal_row *, void *arg), void *arg, struct why *why)
{
	sqlite3_stmt *st = NULL;
	struct journal_row *row;
	int rc;

	rc = sqlite3_prepare_v2(db->sqlite, sql, -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, id);
	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		if ((rc = sqlite3_step(st)) != SQLITE_ROW)
			break;
		if ((row = read_row(st)) == NULL)
			rc = SQLITE_NOMEM;
		else
			fn(row, arg);
	}
	if (rc == SQLITE_NOMEM)
		why_set(why, "no memory to read the journal");
	else if (rc != SQLITE_DONE)
		journal_db_say(db, "cannot read", why);
	(void)sqlite3_finalize(st);
	return (rc == SQLITE_DONE ? 0 : -1);
}

#define ROW_OF(table) \
	"SELECT id, leased_at, finished_at, sending_at, " JOURNAL_OWNER \
	", status, code FROM " table " WHERE id = ?1 OR ?1 = 0 ORDER BY id"

int
journal_db_leases(struct journal_db *db,
    void (*fn)(struct journal_row *, void *arg), void *arg, struct why *why)
{
	return (read_rows(db, ROW_OF("lease"), 0, fn, arg, why));
}

int
journal_db_letters(struct journal_db *db, int64_t id,
    void (*fn)(struct journal_row *, void *arg), void *arg, struct why *why)
{
	return (read_rows(db, ROW_OF("dead_letter"), id, fn, arg, why));
}

int
journal_db_ended(struct journal_db *db,
    void (*fn)(const char *url, const char *task_id, void *arg), void *arg,
    struct why *why)
{
	sqlite3_stmt *st = NULL;
	const char *url, *task_id;
	int rc;

	rc = sqlite3_prepare_v2(db->sqlite,
	    "SELECT url, task_id FROM ended ORDER BY id", -1, &st, NULL);
	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		if ((rc = sqlite3_step(st)) != SQLITE_ROW)
			break;
		url = (const char *)sqlite3_column_text(st, 0);
		task_id = (const char *)sqlite3_column_text(st, 1);
		if (url != NULL && task_id != NULL)
			fn(url, task_id, arg);
	}
	if (rc != SQLITE_DONE)
		journal_db_say(db, "cannot read", why);
	(void)sqlite3_finalize(st);
	return (rc == SQLITE_DONE ? 0 : -1);
}

int
journal_db_last_id(struct journal_db *db, int64_t *id, struct why *why)
{
	return (journal_db_ask(db,
	    "SELECT max(0, ifnull((SELECT max(id) FROM lease), 0), "
	    "ifnull((SELECT max(id) FROM dead_letter), 0), "
	    "ifnull((SELECT max(id) FROM ended), 0))",
	    id, why));
}

int
journal_db_count_letters(struct journal_db *db, int64_t *count, struct why *why)
{
	return (
	    journal_db_ask(db, "SELECT count(*) FROM dead_letter", count, why));
}

static int
read_result(sqlite3_stmt *st, struct journal_result *jr, struct why *why)
{
	struct result *r = &jr->result;
	struct bytes tail = { 0 };
	bool whole;

	whole = copy_text(st, 0, &r->status) && copy_text(st, 1, &r->code) &&
	    copy_text(st, 2, &r->message) && copy_bytes(st, 3, &r->data) &&
	    copy_bytes(st, 4, &r->details) && copy_bytes(st, 5, &r->metadata) &&
	    copy_bytes(st, 6, &r->data_metadata) && copy_bytes(st, 8, &tail) &&
	    copy_bytes(st, 9, &jr->task_metadata);
	jr->ran_ms = sqlite3_column_int64(st, 7);
	if (whole && tail.len > 0)
		whole = (r->tail = strndup(tail.p, tail.len)) != NULL;
	bytes_fini(&tail);
	if (!whole)
		why_set(why, "no memory for a result");
	return (whole ? (journal_result_ok(jr, why) ? 0 : 1) : -1);
}

int
journal_db_result(struct journal_db *db, int64_t id, struct journal_result *out,
    struct why *why)
{
	struct journal_result jr = { .ran_ms = 0 };
	sqlite3_stmt *st = NULL;
	int rc = -1;

	if (sqlite3_prepare_v2(db->sqlite,
		"SELECT " JOURNAL_OUTCOME
		", task_metadata FROM lease WHERE id = ?1 "
		"AND finished_at IS NOT NULL",
		-1, &st, NULL) != SQLITE_OK ||
	    sqlite3_bind_int64(st, 1, id) != SQLITE_OK)
		journal_db_say(db, "cannot read", why);
	else
		switch (sqlite3_step(st)) {
		case SQLITE_ROW:
			rc = read_result(st, &jr, why);
			break;
		case SQLITE_DONE:
			why_set(why, "it is not in the journal any more");
			rc = 1;
			break;
		default:
			journal_db_say(db, "cannot read", why);
		}
	(void)sqlite3_finalize(st);
	if (rc == 0)
		*out = jr;
	else
		journal_result_fini(&jr);
	return (rc);
}

static void
put_column(sqlite3_stmt *st, int column, struct bytes *out)
{
	const char *text = (const char *)sqlite3_column_text(st, column);
	const int len = sqlite3_column_bytes(st, column);

	bytes_printf(out, ",\"%s\":", sqlite3_column_name(st, column));
	if (sqlite3_column_type(st, column) == SQLITE_INTEGER)
		bytes_printf(
		    out, "%" PRId64, (int64_t)sqlite3_column_int64(st, column));
	else
		bytes_put_json(out, text, text != NULL ? (size_t)len : 0);
}

int
journal_db_show_letters(
    struct journal_db *db, int64_t id, struct bytes *out, struct why *why)
{
	const char *separator = "";
	sqlite3_stmt *st = NULL;
	int i, rc;

	rc = sqlite3_prepare_v2(db->sqlite,
	    id == 0 ? "SELECT id, leased_at, died_at, url, worker_id, "
		      "task_id, job_id, type, status, code, reason FROM "
		      "dead_letter WHERE ?1 = 0 ORDER BY id" :
		      "SELECT * FROM dead_letter WHERE id = ?1",
	    -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, id);
	bytes_puts(out, "[");
	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		if ((rc = sqlite3_step(st)) != SQLITE_ROW)
			break;
		bytes_printf(out, "%s{\"id\":%" PRId64, separator,
		    (int64_t)sqlite3_column_int64(st, 0));
		for (i = 1; i < sqlite3_column_count(st); i++)
			put_column(st, i, out);
		bytes_puts(out, "}");
		separator = ",";
	}
	bytes_puts(out, "]");
	if (rc != SQLITE_DONE)
		journal_db_say(db, "cannot read", why);
	(void)sqlite3_finalize(st);
	return (rc == SQLITE_DONE ? 0 : -1);
}
