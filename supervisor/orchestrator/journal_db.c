/* SPDX-License-Identifier: ISC */
/*
 * journal_db.c: SQLite, in WAL mode and with an exclusive lock, so that there
 * is no file of shared memory, which a full disk would not let it make. Each
 * statement may be carried out again without harm: whether a commit that has
 * failed is in the file is known only to whoever opens it next.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "supervisor/orchestrator/journal_db_parts.h"

#define APPLICATION_ID 0x4156574b /* "AVWK" */
#define BUSY_MS        2000 /* somebody looks at the file with sqlite3(1) */
#define TRIM_EVERY     1000 /* rows; it reads all that are kept */

#define TASK           JOURNAL_OWNER ", task_metadata"
/* The columns that a lease and a dead letter share. */
#define COLUMNS \
	"id INTEGER PRIMARY KEY, leased_at INTEGER NOT NULL, url TEXT NOT " \
	"NULL, worker_id TEXT NOT NULL, task_id TEXT NOT NULL, job_id TEXT " \
	"NOT NULL, type TEXT, task_metadata TEXT, finished_at INTEGER, " \
	"sending_at INTEGER, status TEXT, code TEXT, message TEXT, data " \
	"TEXT, details TEXT, metadata TEXT, data_metadata TEXT, ran_ms " \
	"INTEGER, output BLOB"

/* From one version of the schema to the next: so far from nothing to the first. */
static const char *const steps[JOURNAL_SCHEMA] = {
	"CREATE TABLE lease (" COLUMNS ");"
	"CREATE TABLE dead_letter (" COLUMNS
	", died_at INTEGER NOT NULL, reason TEXT);"
	"CREATE TABLE ended (id INTEGER PRIMARY KEY, ended_at INTEGER NOT "
	"NULL, url TEXT NOT NULL, worker_id TEXT NOT NULL, task_id TEXT NOT "
	"NULL, job_id TEXT NOT NULL, outcome TEXT);",
};

/* ?1 is the id, ?2 the time, ?3 and on are the texts. */
static const char *const statements[JOURNAL_NKINDS][JOURNAL_SQL_MAX] = {
	[JOURNAL_LEASE] = {
	    "INSERT INTO lease (id, leased_at, " TASK ") "
	    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING",
	},
	[JOURNAL_RESULT] = {
	    "UPDATE lease SET finished_at = ?2, status = ?3, code = ?4, "
	    "message = ?5, data = ?6, details = ?7, metadata = ?8, "
	    "data_metadata = ?9, ran_ms = ?10, output = ?11 WHERE id = ?1",
	},
	[JOURNAL_SENDING] = {
	    "UPDATE lease SET sending_at = nullif(?2, 0) WHERE id = ?1",
	},
	[JOURNAL_ENDED] = {
	    "INSERT OR REPLACE INTO ended (id, ended_at, url, worker_id, "
	    "task_id, job_id, outcome) SELECT id, ?2, url, worker_id, task_id, "
	    "job_id, ?3 FROM lease WHERE id = ?1",
	    "DELETE FROM lease WHERE id = ?1",
	},
	[JOURNAL_DEAD] = {
	    "INSERT OR REPLACE INTO dead_letter (id, leased_at, " TASK ", "
	    "finished_at, sending_at, " JOURNAL_OUTCOME ", died_at, reason) SELECT id, "
	    "leased_at, " TASK ", finished_at, sending_at, " JOURNAL_OUTCOME ", ?2, "
	    "?3 FROM lease WHERE id = ?1",
	    "DELETE FROM lease WHERE id = ?1",
	},
	[JOURNAL_REVIVE] = {
	    "INSERT OR IGNORE INTO lease (id, leased_at, " TASK ", "
	    "finished_at, " JOURNAL_OUTCOME ") SELECT id, leased_at, " TASK ", ?2, "
	    JOURNAL_OUTCOME " FROM dead_letter WHERE id = ?1",
	    "DELETE FROM dead_letter WHERE id = ?1",
	},
	[JOURNAL_DROP] = {
	    "DELETE FROM dead_letter WHERE id = ?1 OR ?1 = 0",
	},
};

struct journal_entry *
journal_entry_new(enum journal_kind kind, int64_t id, int64_t at_ms,
    const struct journal_text *texts, size_t count)
{
	struct journal_entry *e;
	size_t i, len = 0;
	char *to;

	for (i = 0; i < count; i++)
		len += texts[i].len != SIZE_MAX ? texts[i].len : 0;
	if ((e = malloc(sizeof(*e) + len)) == NULL)
		return (NULL);
	e->kind = kind;
	e->number = 0;
	e->id = id;
	e->at_ms = at_ms;
	to = e->store;
	for (i = 0; i < JOURNAL_TEXTS; i++) {
		e->texts[i] = (struct journal_text){ NULL, SIZE_MAX };
		if (i >= count || texts[i].len == SIZE_MAX)
			continue;
		if (texts[i].len > 0)
			memcpy(to, texts[i].p, texts[i].len);
		e->texts[i] = (struct journal_text){ to, texts[i].len };
		to += texts[i].len;
	}
	return (e);
}

/*
 * The file.
 */

void
journal_db_say(const struct journal_db *db, const char *what, struct why *why)
{
	const int code = sqlite3_extended_errcode(db->sqlite);

	if ((code & 0xff) == SQLITE_IOERR)
		why_set(why, "%s: %s (SQLite's code %d)", what,
		    sqlite3_errmsg(db->sqlite), code);
	else
		why_set(why, "%s: %s", what, sqlite3_errmsg(db->sqlite));
}

static int
run(struct journal_db *db, const char *sql, struct why *why)
{
	if (sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK)
		return (0);
	journal_db_say(db, "cannot write", why);
	return (-1);
}

int
journal_db_ask(
    struct journal_db *db, const char *sql, int64_t *out, struct why *why)
{
	sqlite3_stmt *st = NULL;
	int rc = -1;

	if (sqlite3_prepare_v2(db->sqlite, sql, -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW) {
		*out = sqlite3_column_int64(st, 0);
		rc = 0;
	} else
		journal_db_say(db, "cannot open the journal", why);
	(void)sqlite3_finalize(st);
	return (rc);
}

bool
journal_db_is_damaged(const struct journal_db *db)
{
	const int code = sqlite3_errcode(db->sqlite) & 0xff;

	return (code == SQLITE_CORRUPT || code == SQLITE_NOTADB);
}

/* Makes the file, for us alone, before SQLite would for others as well; what
 * else there is of that name is not touched. */
static int
prepare_file(const char *path, struct why *why)
{
	struct stat st;
	int fd, rc = -1;

	fd = open(
	    path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd == -1 || fstat(fd, &st) == -1)
		why_errno(why, "cannot open the journal %s", path);
	else if (!S_ISREG(st.st_mode))
		why_set(why, "the journal %s is no regular file", path);
	else if (st.st_uid != geteuid())
		why_set(why,
		    "the journal %s belongs to user %u, and we are user %u: "
		    "start as that user, or give it to this one",
		    path, (unsigned)st.st_uid, (unsigned)geteuid());
	else if ((st.st_mode & 077) != 0 && fchmod(fd, 0600) == -1)
		why_errno(why, "journal %s", path);
	else
		rc = 0;
	if (fd != -1)
		(void)close(fd);
	return (rc);
}

/* What was read back says whether it is in force. */
static int
set_wal(struct journal_db *db, struct why *why)
{
	sqlite3_stmt *st = NULL;
	const char *mode = "";
	int rc = -1;

	if (sqlite3_prepare_v2(db->sqlite, "PRAGMA journal_mode = WAL", -1, &st,
		NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		mode = (const char *)sqlite3_column_text(st, 0);
	if (mode != NULL && strcmp(mode, "wal") == 0)
		rc = 0;
	else
		journal_db_say(db, "cannot open the journal", why);
	(void)sqlite3_finalize(st);
	return (rc);
}

/* Brings the schema to our version. */
static enum journal_opening
migrate(struct journal_db *db, const char *path, struct why *why)
{
	int64_t version, application, objects;
	char sql[96];

	if (journal_db_ask(db, "PRAGMA user_version", &version, why) == -1 ||
	    journal_db_ask(db, "PRAGMA application_id", &application, why) ==
		-1 ||
	    journal_db_ask(
		db, "SELECT count(*) FROM sqlite_master", &objects, why) == -1)
		return (JOURNAL_FAILED);
	/* What has never been one is taken when it is empty. */
	if (application != APPLICATION_ID &&
	    (application != 0 || version != 0 || objects != 0)) {
		why_set(why, "%s is a database, but no journal of ours", path);
		return (JOURNAL_REFUSED);
	}
	if (version > JOURNAL_SCHEMA || version < 0) {
		why_set(why,
		    "the journal %s has version %" PRId64 " of its schema, and "
		    "this avtoworkerd knows %d: use the newer avtoworkerd, or "
		    "move the journal away, with the results in it",
		    path, version, JOURNAL_SCHEMA);
		return (JOURNAL_REFUSED);
	}
	if (version == JOURNAL_SCHEMA)
		return (JOURNAL_OPENED);
	if (journal_db_begin(db, why) == -1)
		return (JOURNAL_FAILED);
	for (; version < JOURNAL_SCHEMA; version++)
		if (run(db, steps[version], why) == -1)
			goto fail;
	(void)snprintf(sql, sizeof(sql),
	    "PRAGMA user_version = %d; PRAGMA application_id = %d",
	    JOURNAL_SCHEMA, APPLICATION_ID);
	if (run(db, sql, why) == -1 || journal_db_commit(db, why) == -1)
		goto fail;
	return (JOURNAL_OPENED);

fail:
	journal_db_rollback(db);
	return (JOURNAL_FAILED);
}

static enum journal_opening
set_up(struct journal_db *db, const char *path, bool safe, struct why *why)
{
	enum journal_opening rc;

	(void)sqlite3_extended_result_codes(db->sqlite, 1);
	(void)sqlite3_busy_timeout(db->sqlite, BUSY_MS);
	if (run(db, "PRAGMA locking_mode = EXCLUSIVE", why) == -1 ||
	    set_wal(db, why) == -1 ||
	    run(db,
		safe ? "PRAGMA synchronous = FULL" :
		       "PRAGMA synchronous = NORMAL",
		why) == -1)
		return (JOURNAL_FAILED);
	if ((rc = migrate(db, path, why)) != JOURNAL_OPENED)
		return (rc);
	/* Takes the lock even when there was nothing to be written. */
	if (journal_db_begin(db, why) == -1)
		return (JOURNAL_FAILED);
	journal_db_rollback(db);
	return (JOURNAL_OPENED);
}

enum journal_opening
journal_db_open(
    const char *path, bool safe, struct journal_db **out, struct why *why)
{
	enum journal_opening rc = JOURNAL_FAILED;
	struct journal_db *db;

	if (prepare_file(path, why) == -1)
		return (JOURNAL_REFUSED);
	if ((db = calloc(1, sizeof(*db))) == NULL) {
		why_errno(why, "journal");
		return (JOURNAL_FAILED);
	}
	if (sqlite3_open_v2(path, &db->sqlite,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
		    SQLITE_OPEN_PRIVATECACHE,
		NULL) != SQLITE_OK)
		journal_db_say(db, path, why);
	else if ((rc = set_up(db, path, safe, why)) == JOURNAL_OPENED) {
		*out = db;
		return (rc);
	}
	if (rc == JOURNAL_FAILED && journal_db_is_damaged(db))
		rc = JOURNAL_DAMAGED;
	journal_db_close(db, false);
	return (rc);
}

void
journal_db_close(struct journal_db *db, bool tidy)
{
	size_t i, j;

	if (db == NULL)
		return;
	for (i = 0; i < JOURNAL_NKINDS; i++)
		for (j = 0; j < JOURNAL_SQL_MAX; j++)
			(void)sqlite3_finalize(db->stmts[i][j]);
	if (db->sqlite != NULL && !tidy)
		(void)sqlite3_db_config(db->sqlite,
		    SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
	(void)sqlite3_close(db->sqlite);
	free(db);
}

int
journal_db_set_aside(
    const char *path, int64_t now_ms, char *name, size_t size, struct why *why)
{
	static const char *const parts[] = { "-wal", "-shm", "" };
	const char *slash = strrchr(path, '/');
	char from[PATH_MAX], to[PATH_MAX];
	size_t i;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		(void)snprintf(from, sizeof(from), "%s%s", path, parts[i]);
		/* No second one of that name: the first may hold more. */
		if ((size_t)snprintf(to, sizeof(to), "%s.damaged-%" PRId64 "%s",
			path, now_ms, parts[i]) >= sizeof(to)) {
			errno = ENAMETOOLONG;
			why_errno(why, "cannot move %s away", path);
			return (-1);
		}
		if (rename(from, to) == -1 && errno != ENOENT) {
			why_errno(why, "cannot move %s away", from);
			return (-1);
		}
	}
	(void)snprintf(name, size, "%s.damaged-%" PRId64,
	    slash != NULL ? slash + 1 : path, now_ms);
	return (0);
}

int
journal_db_settle(struct journal_db *db, struct why *why)
{
	if (sqlite3_wal_checkpoint_v2(db->sqlite, NULL,
		SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK)
		return (0);
	journal_db_say(db, "cannot write", why);
	return (-1);
}

/*
 * Writing.
 */

int
journal_db_begin(struct journal_db *db, struct why *why)
{
	return (run(db, "BEGIN IMMEDIATE", why));
}

int
journal_db_commit(struct journal_db *db, struct why *why)
{
	return (run(db, "COMMIT", why));
}

void
journal_db_rollback(struct journal_db *db)
{
	if (sqlite3_get_autocommit(db->sqlite) == 0)
		(void)sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL);
}

/* An empty text is one, too; the last text of a result is raw bytes. */
static int
bind(sqlite3_stmt *st, const struct journal_entry *e)
{
	const int count = sqlite3_bind_parameter_count(st);
	const struct journal_text *t;
	int i, rc;

	rc = sqlite3_bind_int64(st, 1, e->id);
	if (rc == SQLITE_OK && count >= 2)
		rc = sqlite3_bind_int64(st, 2, e->at_ms);
	for (i = 3; rc == SQLITE_OK && i <= count; i++) {
		t = &e->texts[i - 3];
		if (t->len == SIZE_MAX)
			rc = sqlite3_bind_null(st, i);
		else if (e->kind == JOURNAL_RESULT && i == count)
			rc = sqlite3_bind_blob64(
			    st, i, t->p, t->len, SQLITE_STATIC);
		else
			rc = sqlite3_bind_text64(
			    st, i, t->p, t->len, SQLITE_STATIC, SQLITE_UTF8);
	}
	return (rc);
}

static int
write_one(struct journal_db *db, const struct journal_entry *e, size_t at)
{
	sqlite3_stmt **st = &db->stmts[e->kind][at];
	int rc = SQLITE_OK;

	if (*st == NULL)
		rc = sqlite3_prepare_v3(db->sqlite, statements[e->kind][at], -1,
		    SQLITE_PREPARE_PERSISTENT, st, NULL);
	if (rc == SQLITE_OK && (rc = bind(*st, e)) == SQLITE_OK &&
	    (rc = sqlite3_step(*st)) == SQLITE_DONE)
		rc = SQLITE_OK;
	(void)sqlite3_reset(*st);
	if (*st != NULL)
		(void)sqlite3_clear_bindings(*st);
	return (rc == SQLITE_OK ? 0 : -1);
}

/* Once in a while the oldest go. */
static int
trim(struct journal_db *db, enum journal_kind kind, const char *table,
    unsigned keep, struct why *why)
{
	char sql[160];

	if (db->trim_in[kind] > 0) {
		db->trim_in[kind]--;
		return (0);
	}
	db->trim_in[kind] = TRIM_EVERY - 1;
	(void)snprintf(sql, sizeof(sql),
	    "DELETE FROM %s WHERE id <= (SELECT id FROM %s ORDER BY id DESC "
	    "LIMIT 1 OFFSET %u)",
	    table, table, keep);
	return (run(db, sql, why));
}

int
journal_db_write(
    struct journal_db *db, const struct journal_entry *e, struct why *why)
{
	size_t i;

	for (i = 0; i < JOURNAL_SQL_MAX && statements[e->kind][i] != NULL; i++)
		if (write_one(db, e, i) == -1) {
			journal_db_say(db, "cannot write", why);
			return (-1);
		}
	if (e->kind == JOURNAL_DEAD)
		return (
		    trim(db, e->kind, "dead_letter", JOURNAL_LETTERS_MAX, why));
	if (e->kind == JOURNAL_ENDED)
		return (trim(db, e->kind, "ended", JOURNAL_ENDED_MAX, why));
	return (0);
}
