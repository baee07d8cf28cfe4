/* SPDX-License-Identifier: ISC */
/* The journal with real files: what was told to be on disk is there, whatever
 * ends the process, and however memory runs out. */
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>
#include <sqlite3.h>

#include "child/bytes.h"
#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/orchestrator/journal.h"
#include "tests/test.h"

#define WAIT_MS  60000
#define ROWS_MAX 100000

struct scene {
	char folder[64];
	char path[96];
	struct event_base *loop;
	struct journal *journal;
	int64_t rows; /* found at the start */
	int64_t with_result; /* of them */
	int64_t last_id; /* of them */
	int64_t ended; /* the same */
	unsigned rewrites;
	unsigned progress;
	struct journal_answer answer; /* the last one; content taken */
	char text[4096];
	bool answered;
};

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

static void
scene_init(struct scene *s)
{
	memset(s, 0, sizeof(*s));
	(void)snprintf(
	    s->folder, sizeof(s->folder), "/tmp/avtoworker-journal-XXXXXX");
	ASSERT(mkdtemp(s->folder) != NULL);
	(void)snprintf(s->path, sizeof(s->path), "%s/journal.db", s->folder);
	ASSERT((s->loop = event_base_new()) != NULL);
}

/* The exit status, when it is refused. */
static int
open_it(struct scene *s, struct why *why)
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

static void
scene_open(struct scene *s)
{
	struct why why;

	if (open_it(s, &why) != EX_OK)
		test_fail(__FILE__, __LINE__, "%s", why.text);
}

static void
scene_close(struct scene *s)
{
	ASSERT(journal_close(s->journal, WAIT_MS));
	s->journal = NULL;
}

static void
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

static struct journal_text
text(const char *p)
{
	return ((struct journal_text){ p, p != NULL ? strlen(p) : SIZE_MAX });
}

static uint64_t
put_lease(struct scene *s, int64_t id)
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

static uint64_t
put_result(struct scene *s, int64_t id, const char *data)
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

static uint64_t
put(struct scene *s, enum journal_kind kind, int64_t id, const char *word)
{
	const struct journal_text t = text(word);

	return (journal_write(s->journal, kind, id, 3000, &t, 1));
}

/* Turns the loop until the claim holds. */
#define UNTIL(s, claim) \
	do { \
		const int64_t end_ms = clock_now_ms() + WAIT_MS; \
		while (!(claim)) { \
			ASSERT(clock_now_ms() < end_ms); \
			(void)event_base_loop((s)->loop, EVLOOP_ONCE); \
		} \
	} while (0)

/* A mark wakes the loop, so whatever came before is on disk by then. */
static void
commit(struct scene *s)
{
	const uint64_t n = put(s, JOURNAL_SENDING, 1, NULL);

	UNTIL(s, journal_has(s->journal, n));
}

static void
on_answer(struct journal_answer *a, int64_t id, void *arg)
{
	struct scene *s = arg;
	struct journal_row *row;

	(void)id;
	s->answer = *a;
	a->result = (struct journal_result){ .ran_ms = 0 };
	s->text[0] = '\0';
	if (a->text != NULL)
		(void)snprintf(s->text, sizeof(s->text), "%.*s",
		    (int)a->text->len, a->text->p);
	s->rows = 0;
	TAILQ_FOREACH(row, &a->rows, entry)
		s->rows++;
	s->answered = true;
}

static void
keeps_what_it_is_given(void)
{
	struct scene s;
	struct result *r;

	scene_init(&s);
	scene_open(&s);
	ASSERT_INT(journal_last_id(s.journal), 0);
	(void)put_lease(&s, 1);
	(void)put_lease(&s, 2);
	(void)put_lease(&s, 3);
	(void)put_result(&s, 2, "{\"a\":1}");
	(void)put(&s, JOURNAL_ENDED, 3, "accepted");
	scene_close(&s);

	scene_open(&s);
	ASSERT_INT(s.rows, 2);
	ASSERT_INT(s.with_result, 1);
	ASSERT_INT(s.ended, 1);
	ASSERT_INT(journal_last_id(s.journal), 3);
	ASSERT(journal_fetch(s.journal, 2, on_answer, &s) == 0);
	UNTIL(&s, s.answered);
	ASSERT(!s.answer.failed);
	r = &s.answer.result.result;
	ASSERT_STR(r->status, "failure");
	ASSERT_STR(r->code, "SOME_CODE");
	ASSERT_STR(r->message, "a \xff message");
	ASSERT_MEM(r->data.p, r->data.len, "{\"a\":1}", 7);
	ASSERT_INT(r->details.len, 0);
	ASSERT_INT(r->metadata.len, 2);
	ASSERT_INT(s.answer.result.ran_ms, 250);
	ASSERT_STR(r->tail, "a");
	journal_result_fini(&s.answer.result);
	s.answered = false;
	ASSERT(journal_fetch(s.journal, 1, on_answer, &s) == 0);
	UNTIL(&s, s.answered);
	ASSERT(s.answer.failed);
	scene_close(&s);
	scene_fini(&s);
}

static void
moves_dead_letters(void)
{
	struct scene s;

	scene_init(&s);
	scene_open(&s);
	(void)put_lease(&s, 1);
	(void)put_result(&s, 1, "{}");
	(void)put(&s, JOURNAL_DEAD, 1, "was \"refused\"");
	(void)put_lease(&s, 2);
	(void)put(&s, JOURNAL_DEAD, 2, "late");
	commit(&s);
	ASSERT_INT(journal_letters(s.journal), 2);
	ASSERT(journal_show_letters(s.journal, 0, on_answer, &s) == 0);
	UNTIL(&s, s.answered);
	ASSERT(strstr(s.text, "\"reason\":\"was \\\"refused\\\"\"") != NULL);
	ASSERT(strstr(s.text, "{\"id\":2,") != NULL);
	s.answered = false;
	ASSERT(journal_find_letters(s.journal, 2, on_answer, &s) == 0);
	UNTIL(&s, s.answered);
	ASSERT_INT(s.rows, 1);
	(void)put(&s, JOURNAL_REVIVE, 1, NULL);
	(void)put(&s, JOURNAL_DROP, 2, NULL);
	commit(&s);
	ASSERT_INT(journal_letters(s.journal), 0);
	scene_close(&s);
	scene_open(&s);
	ASSERT_INT(s.rows, 1);
	ASSERT_INT(s.with_result, 1);
	scene_close(&s);
	scene_fini(&s);
}

static void
repeats_without_harm(void)
{
	struct scene s;
	int i;

	scene_init(&s);
	scene_open(&s);
	for (i = 0; i < 3; i++) {
		(void)put_lease(&s, 1);
		(void)put_result(&s, 1, "{}");
		(void)put_lease(&s, 2);
		(void)put(&s, JOURNAL_ENDED, 2, "accepted");
		(void)put_lease(&s, 3);
		(void)put(&s, JOURNAL_DEAD, 3, "x");
	}
	commit(&s);
	ASSERT_INT(journal_letters(s.journal), 1);
	scene_close(&s);
	scene_open(&s);
	ASSERT_INT(s.rows, 1);
	ASSERT_INT(s.ended, 1);
	scene_close(&s);
	scene_fini(&s);
}

static void
forgets_the_oldest_of_what_has_ended(void)
{
	struct scene s;
	int64_t id;

	scene_init(&s);
	scene_open(&s);
	for (id = 1; id <= JOURNAL_ENDED_MAX + 2000; id++) {
		(void)put_lease(&s, id);
		(void)put(&s, JOURNAL_ENDED, id, "accepted");
	}
	scene_close(&s);
	scene_open(&s);
	ASSERT(s.ended >= JOURNAL_ENDED_MAX);
	ASSERT(s.ended < JOURNAL_ENDED_MAX + 1000);
	ASSERT_INT(journal_last_id(s.journal), JOURNAL_ENDED_MAX + 2000);
	scene_close(&s);
	scene_fini(&s);
}

static void
change(struct scene *s, const char *sql)
{
	sqlite3 *db;

	ASSERT(sqlite3_open(s->path, &db) == SQLITE_OK);
	ASSERT(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
	ASSERT(sqlite3_close(db) == SQLITE_OK);
}

/* What was written by many runs, each of a few tasks. */
static void
forgets_in_short_runs_as_well(void)
{
	struct scene s;

	scene_init(&s);
	scene_open(&s);
	scene_close(&s);
	change(&s,
	    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
	    "WHERE i < 12000) INSERT INTO ended (id, ended_at, url, worker_id, "
	    "task_id, job_id) SELECT i, 1, 'http://o', 'w-1', 't-' || i, 'j' "
	    "FROM n");
	scene_open(&s);
	(void)put_lease(&s, 12001);
	(void)put(&s, JOURNAL_ENDED, 12001, "accepted");
	scene_close(&s);
	scene_open(&s);
	ASSERT_INT(s.ended, JOURNAL_ENDED_MAX);
	scene_close(&s);
	scene_fini(&s);
}

/* No look at all of them for each: that took minutes. */
static void
forgets_the_oldest_dead_letters(void)
{
	char data[500];
	struct scene s;
	int64_t id;

	scene_init(&s);
	scene_open(&s);
	(void)snprintf(data, sizeof(data), "{\"a\":\"%0480d\"}", 0);
	for (id = 1; id <= JOURNAL_LETTERS_MAX + 2000; id++) {
		(void)put_lease(&s, id);
		(void)put_result(&s, id, data);
		(void)put(&s, JOURNAL_DEAD, id, "refused");
	}
	commit(&s);
	ASSERT(journal_letters(s.journal) >= JOURNAL_LETTERS_MAX);
	ASSERT(journal_letters(s.journal) < JOURNAL_LETTERS_MAX + 1000);
	scene_close(&s);
	scene_fini(&s);
}

/* Writes for ever; tells the pipe the number of each that is on disk. */
static void
write_and_tell(struct scene *s, int fd)
{
	int64_t id;

	scene_open(s);
	for (id = journal_last_id(s->journal) + 1;; id++) {
		(void)put_lease(s, id);
		(void)put_result(s, id, "{\"n\":1}");
		commit(s);
		if (write(fd, &id, sizeof(id)) != sizeof(id))
			_exit(0);
	}
}

static void
survives_being_killed(void)
{
	struct scene s;
	int64_t id, known = 0;
	int fds[2], status, round;
	pid_t pid;

	scene_init(&s);
	for (round = 0; round < 30; round++) {
		ASSERT(pipe(fds) == 0);
		if ((pid = fork()) == 0) {
			(void)close(fds[0]);
			ASSERT(event_reinit(s.loop) == 0);
			write_and_tell(&s, fds[1]);
		}
		(void)close(fds[1]);
		for (id = known + round; known < id;)
			ASSERT(read(fds[0], &known, sizeof(known)) ==
			    sizeof(known));
		ASSERT(kill(pid, SIGKILL) == 0);
		ASSERT(waitpid(pid, &status, 0) == pid);
		while (read(fds[0], &id, sizeof(id)) == sizeof(id))
			known = id;
		(void)close(fds[0]);
		scene_open(&s);
		ASSERT(s.rows >= known);
		ASSERT(s.rows <= known + 1);
		ASSERT(s.with_result >= known);
		known = s.rows;
		scene_close(&s);
	}
	scene_fini(&s);
}

/* SQLite's own allocator, which fails when it is told to. */
static sqlite3_mem_methods real;
static int fail_at; /* allocations from now; 0: never */
static int failed;

static bool
fails(void)
{
	if (__atomic_load_n(&fail_at, __ATOMIC_SEQ_CST) == 0 ||
	    __atomic_sub_fetch(&fail_at, 1, __ATOMIC_SEQ_CST) != 0)
		return (false);
	__atomic_store_n(&failed, 1, __ATOMIC_SEQ_CST);
	return (true);
}

static void *
failing_malloc(int size)
{
	return (fails() ? NULL : real.xMalloc(size));
}

static void *
failing_realloc(void *p, int size)
{
	return (fails() ? NULL : real.xRealloc(p, size));
}

static void
hear_trouble(enum log_level level, const char *line)
{
	if (level >= LOG_LEVEL_WARN && strstr(line, "memory") == NULL)
		test_fail(__FILE__, __LINE__, "%s", line);
}

static void
out_of_memory(void)
{
	sqlite3_mem_methods methods;
	struct scene s;
	struct why why;
	int n, opened = 0;

	ASSERT(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real) == SQLITE_OK);
	methods = real;
	methods.xMalloc = failing_malloc;
	methods.xRealloc = failing_realloc;
	ASSERT(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK);
	ASSERT(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) == SQLITE_OK);
	scene_init(&s);
	log_divert(hear_trouble); /* as much of it as there is */
	for (n = 1, failed = 1; failed; n += n < 40 ? 1 : n / 20) {
		failed = 0;
		fail_at = n;
		if (open_it(&s, &why) != EX_OK) {
			ASSERT(failed);
			continue;
		}
		opened++;
		(void)put_lease(&s, n);
		(void)put_result(&s, n, "{}");
		(void)put(&s, JOURNAL_DEAD, n, "x");
		commit(&s);
		ASSERT(journal_show_letters(s.journal, 0, on_answer, &s) == 0);
		s.answered = false;
		UNTIL(&s, s.answered);
		fail_at = 0;
		ASSERT(journal_trouble(s.journal) == NULL);
		scene_close(&s);
	}
	fail_at = 0;
	scene_open(&s);
	ASSERT_INT(journal_letters(s.journal), opened);
	scene_close(&s);
	scene_fini(&s);
}

static void
refuses_what_is_newer(void)
{
	struct scene s;
	struct why why;

	scene_init(&s);
	scene_open(&s);
	scene_close(&s);
	change(&s, "PRAGMA user_version = 7");
	ASSERT_INT(open_it(&s, &why), EX_CONFIG);
	ASSERT(strstr(why.text, "version 7") != NULL);
	scene_fini(&s);
}

static void
fills_what_is_empty(void)
{
	struct scene s;

	scene_init(&s);
	change(&s, "VACUUM"); /* a database, with nothing in it */
	scene_open(&s);
	(void)put_lease(&s, 1);
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
	change(&s, "CREATE TABLE photos (x)");
	ASSERT_INT(open_it(&s, &why), EX_CONFIG);
	ASSERT(strstr(why.text, "no journal of ours") != NULL);
	change(&s, "SELECT x FROM photos");
	change(&s, "CREATE TABLE lease (y)"); /* there is none */
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
	ASSERT_INT(open_it(&s, &why), EX_TEMPFAIL);
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

	change(s,
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
	(void)put_lease(&s, 1);
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
	{ "keeps what it is given", keeps_what_it_is_given },
	{ "moves dead letters", moves_dead_letters },
	{ "takes the same again without harm", repeats_without_harm },
	{ "forgets the oldest of what has ended",
	    forgets_the_oldest_of_what_has_ended },
	{ "forgets them as well when no run is long",
	    forgets_in_short_runs_as_well },
	{ "forgets the oldest dead letters", forgets_the_oldest_dead_letters },
	{ "has what it said it had, after a kill at any moment",
	    survives_being_killed },
	{ "survives every failing allocation", out_of_memory },
	{ "refuses what is newer", refuses_what_is_newer },
	{ "makes an empty database its own", fills_what_is_empty },
	{ "refuses what is of others", refuses_what_is_of_others },
	{ "is opened by one", is_opened_by_one },
	{ "sets aside what is damaged further in",
	    sets_aside_what_is_damaged_within },
	{ "sets aside each under a name of its own", sets_aside_each_of_them },
};

TEST_MAIN(tests)
