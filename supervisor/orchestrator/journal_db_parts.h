/* SPDX-License-Identifier: ISC */
/* journal_db_parts.h: what journal_db.c and journal_db_read.c share. */
#ifndef AVTOWORKER_JOURNAL_DB_PARTS_H
#define AVTOWORKER_JOURNAL_DB_PARTS_H

#include <stdint.h>

#include <sqlite3.h>

#include "supervisor/base/why.h"
#include "supervisor/orchestrator/journal_db.h"

#define JOURNAL_SQL_MAX 2 /* statements for one entry */

/* Columns: whose it is, and how it ended. */
#define JOURNAL_OWNER   "url, worker_id, task_id, job_id, type"
#define JOURNAL_OUTCOME \
	"status, code, message, data, details, metadata, data_metadata, " \
	"ran_ms, output"

struct journal_db {
	sqlite3 *sqlite;
	sqlite3_stmt *stmts[JOURNAL_NKINDS][JOURNAL_SQL_MAX];
	/* Entries of a kind before the next trim; 0: the next one has it. */
	unsigned trim_in[JOURNAL_NKINDS];
};

/* Why the last call has failed; what: was to be done. */
void journal_db_say(const struct journal_db *, const char *what, struct why *);
/* The first column of the first row. -1 and why. */
int journal_db_ask(
    struct journal_db *, const char *sql, int64_t *out, struct why *);

#endif
