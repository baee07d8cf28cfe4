/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>
#include <sqlite3.h>

#include "tests/test.h"
#include "tests/unit/journal_scene.h"

static void
on_row(struct journal_row *row, void *arg)
{
	struct scene *s = arg;
	struct why why;

	if (!journal_row_ok(row, &why))
		test_fail(__FILE__, __LINE__, "row: %s", why.text);
	s->rows++;
	s->with_result += row->finished_ms != 0;
	ASSERT(row->id > s->last_id);
	s->last_id = row->id;
	journal_row_free(row);
}

static void
on_ended(const char *url, const char *task_id, void *arg)
{
	struct scene *s = arg;

	ASSERT_STR(url, "http://o");
	ASSERT(strncmp(task_id, "t-", 2) == 0);
	s->ended++;
}

static void
on_progress(void *arg)
{
	((struct scene *)arg)->progress++;
}

static void
on_rewrite(void *arg)
{
	((struct scene *)arg)->rewrites++;
}

static const struct journal_ops ops = {
	.row = on_row,
	.ended = on_ended,
	.progress = on_progress,
	.rewrite = on_rewrite,
};

void
scene_init(struct scene *s)
{
	memset(s, 0, sizeof(*s));
	(void)snprintf(
	    s->folder, sizeof(s->folder), "/tmp/avtoworker-journal-XXXXXX");
	ASSERT(mkdtemp(s->folder) != NULL);
	(void)snprintf(s->path, sizeof(s->path), "%s/journal.db", s->folder);
	ASSERT((s->loop = event_base_new()) != NULL);
}

int
scene_try(struct scene *s, struct why *why)
{
	const struct journal_settings settings = {
		.path = s->path,
		.loop = s->loop,
	};
	int status = EX_OK;

	s->rows = s->with_result = s->ended = s->last_id = 0;
	s->journal = journal_open(&settings, &ops, s, &status, why);
	return (s->journal != NULL ? EX_OK : status);
}

void
scene_open(struct scene *s)
{
	struct why why;

	if (scene_try(s, &why) != EX_OK)
		test_fail(__FILE__, __LINE__, "%s", why.text);
}

void
scene_close(struct scene *s)
{
	ASSERT(journal_close(s->journal, SCENE_WAIT_MS));
	s->journal = NULL;
}

void
scene_fini(struct scene *s)
{
	char path[160];

	(void)unlink(s->path);
	(void)snprintf(path, sizeof(path), "%s-wal", s->path);
	(void)unlink(path);
	if (rmdir(s->folder) == -1)
		test_fail(
		    __FILE__, __LINE__, "files are left in %s", s->folder);
	event_base_free(s->loop);
}

void
scene_change(struct scene *s, const char *sql)
{
	sqlite3 *db;

	ASSERT(sqlite3_open(s->path, &db) == SQLITE_OK);
	ASSERT(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
	ASSERT(sqlite3_close(db) == SQLITE_OK);
}

static struct journal_text
text(const char *p)
{
	return ((struct journal_text){ p, p != NULL ? strlen(p) : SIZE_MAX });
}

uint64_t
scene_put_lease(struct scene *s, int64_t id)
{
	char task[32];
	struct journal_text texts[] = {
		text("http://o"),
		text("w-1"),
		{ task, 0 },
		text("j"),
		text("echo"),
	};

	texts[2].len =
	    (size_t)snprintf(task, sizeof(task), "t-%lld", (long long)id);
	return (journal_write(s->journal, JOURNAL_LEASE, id, 1000, texts, 5));
}

uint64_t
scene_put_result(struct scene *s, int64_t id, const char *data)
{
	const struct journal_text texts[] = {
		text("failure"),
		text("SOME_CODE"),
		text("a \xff message"),
		text(data),
		text(NULL),
		text("{}"),
		text(NULL),
		text("250"),
		{ "a\0b", 3 },
	};

	return (journal_write(s->journal, JOURNAL_RESULT, id, 2000, texts, 9));
}

uint64_t
scene_put(struct scene *s, enum journal_kind kind, int64_t id, const char *word)
{
	const struct journal_text t = text(word);

	return (journal_write(s->journal, kind, id, 3000, &t, 1));
}
