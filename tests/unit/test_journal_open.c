/* SPDX-License-Identifier: ISC */
/* What is opened as a journal, what is refused, and what is set aside. */
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "supervisor/orchestrator/journal_db.h"
#include "tests/test.h"
#include "tests/unit/journal_scene.h"

static void
refuses_what_is_newer(void)
{
	struct scene s;
	struct why why;

	scene_init(&s);
	scene_open(&s);
	scene_close(&s);
	scene_change(&s, "PRAGMA user_version = 7");
	ASSERT_INT(scene_try(&s, &why), EX_CONFIG);
	ASSERT(strstr(why.text, "version 7") != NULL);
	scene_fini(&s);
}

static void
fills_what_is_empty(void)
{
	struct scene s;

	scene_init(&s);
	scene_change(&s, "VACUUM"); /* a database, with nothing in it */
	scene_open(&s);
	(void)scene_put_lease(&s, 1);
	scene_close(&s);
	scene_open(&s);
	ASSERT_INT(s.rows, 1);
	scene_close(&s);
	scene_fini(&s);
}

static void
refuses_what_is_of_others(void)
{
	struct scene s;
	struct why why;

	scene_init(&s);
	scene_change(&s, "CREATE TABLE photos (x)");
	ASSERT_INT(scene_try(&s, &why), EX_CONFIG);
	ASSERT(strstr(why.text, "no journal of ours") != NULL);
	scene_change(&s, "SELECT x FROM photos");
	scene_change(&s, "CREATE TABLE lease (y)"); /* there is none */
	scene_fini(&s);
}

static void
is_opened_by_one(void)
{
	struct scene s;
	struct journal *first;
	struct why why;

	scene_init(&s);
	scene_open(&s);
	first = s.journal;
	ASSERT_INT(scene_try(&s, &why), EX_TEMPFAIL);
	ASSERT(strstr(why.text, "locked") != NULL);
	s.journal = first;
	scene_close(&s);
	scene_fini(&s);
}

/* A page of the leases, none of which the opening looks at. */
static void
damage_leases(struct scene *s)
{
	static const char noise[4096] = { 1 };
	int fd;

	scene_change(s,
	    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
	    "WHERE i < 100) INSERT INTO lease (id, leased_at, url, worker_id, "
	    "task_id, job_id, task_metadata) SELECT i, 1, 'http://o', 'w-1', "
	    "'t-' || i, 'j', hex(zeroblob(500)) FROM n");
	ASSERT((fd = open(s->path, O_WRONLY)) != -1);
	ASSERT(pwrite(fd, noise, sizeof(noise), 20 * sizeof(noise)) ==
	    sizeof(noise));
	ASSERT(close(fd) == 0);
}

/* How many files there are of that beginning; they are removed. */
static int
remove_set_aside(struct scene *s)
{
	char pattern[160];
	glob_t found;
	size_t i;

	(void)snprintf(pattern, sizeof(pattern), "%s.damaged-*", s->path);
	if (glob(pattern, 0, NULL, &found) != 0)
		return (0);
	for (i = 0; i < found.gl_pathc; i++)
		ASSERT(unlink(found.gl_pathv[i]) == 0);
	globfree(&found);
	return ((int)i);
}

static void
sets_aside_what_is_damaged_within(void)
{
	struct scene s;

	scene_init(&s);
	scene_open(&s);
	scene_close(&s);
	damage_leases(&s);
	expect_log("the journal is damaged");
	scene_open(&s);
	ASSERT_INT(s.rows, 0);
	(void)scene_put_lease(&s, 1);
	scene_close(&s);
	scene_open(&s);
	ASSERT_INT(s.rows, 1);
	scene_close(&s);
	ASSERT(remove_set_aside(&s) > 0);
	scene_fini(&s);
}

/* Each under a name of its own, also where names are long. */
static void
sets_aside_each_of_them(void)
{
	char folder[400], path[420], name[64], kept[500];
	struct journal_db *db;
	struct scene s;
	struct why why;
	int i;

	scene_init(&s);
	(void)snprintf(folder, sizeof(folder), "%s/%0250d", s.folder, 0);
	(void)snprintf(path, sizeof(path), "%s/journal.db", folder);
	ASSERT(mkdir(folder, 0700) == 0);
	for (i = 0; i < 3; i++) {
		ASSERT(
		    journal_db_open(path, false, &db, &why) == JOURNAL_OPENED);
		journal_db_close(db, true);
		ASSERT(journal_db_set_aside(
			   path, 5000 + i * 50, name, sizeof(name), &why) == 0);
		ASSERT(access(path, F_OK) == -1);
	}
	ASSERT_STR(name, "journal.db.damaged-5100");
	for (i = 0; i < 3; i++) {
		(void)snprintf(
		    kept, sizeof(kept), "%s.damaged-%d", path, 5000 + i * 50);
		ASSERT(unlink(kept) == 0);
	}
	ASSERT(rmdir(folder) == 0);
	scene_fini(&s);
}

static const struct test tests[] = {
	{ "refuses what is newer", refuses_what_is_newer },
	{ "makes an empty database its own", fills_what_is_empty },
	{ "refuses what is of others", refuses_what_is_of_others },
	{ "is opened by one", is_opened_by_one },
	{ "sets aside what is damaged further in",
	    sets_aside_what_is_damaged_within },
	{ "sets aside each under a name of its own", sets_aside_each_of_them },
};

TEST_MAIN(tests)
