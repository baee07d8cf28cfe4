/* SPDX-License-Identifier: ISC */
/* The journal with real files: what was told to be on disk is there, whatever
 * ends the process, and however memory runs out. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>
#include <sqlite3.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "tests/test.h"
#include "tests/unit/journal_scene.h"

/* Turns the loop until the claim holds. */
#define UNTIL(s, claim) \
	do { \
		const int64_t end_ms = clock_now_ms() + SCENE_WAIT_MS; \
		while (!(claim)) { \
			ASSERT(clock_now_ms() < end_ms); \
			(void)event_base_loop((s)->loop, EVLOOP_ONCE); \
		} \
	} while (0)

/* A mark wakes the loop, so whatever came before is on disk by then. */
static void
commit(struct scene *s)
{
	const uint64_t n = scene_put(s, JOURNAL_SENDING, 1, NULL);

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
	(void)scene_put_lease(&s, 1);
	(void)scene_put_lease(&s, 2);
	(void)scene_put_lease(&s, 3);
	(void)scene_put_result(&s, 2, "{\"a\":1}");
	(void)scene_put(&s, JOURNAL_ENDED, 3, "accepted");
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
	(void)scene_put_lease(&s, 1);
	(void)scene_put_result(&s, 1, "{}");
	(void)scene_put(&s, JOURNAL_DEAD, 1, "was \"refused\"");
	(void)scene_put_lease(&s, 2);
	(void)scene_put(&s, JOURNAL_DEAD, 2, "late");
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
	(void)scene_put(&s, JOURNAL_REVIVE, 1, NULL);
	(void)scene_put(&s, JOURNAL_DROP, 2, NULL);
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
		(void)scene_put_lease(&s, 1);
		(void)scene_put_result(&s, 1, "{}");
		(void)scene_put_lease(&s, 2);
		(void)scene_put(&s, JOURNAL_ENDED, 2, "accepted");
		(void)scene_put_lease(&s, 3);
		(void)scene_put(&s, JOURNAL_DEAD, 3, "x");
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
		(void)scene_put_lease(&s, id);
		(void)scene_put(&s, JOURNAL_ENDED, id, "accepted");
	}
	scene_close(&s);
	scene_open(&s);
	ASSERT(s.ended >= JOURNAL_ENDED_MAX);
	ASSERT(s.ended < JOURNAL_ENDED_MAX + 1000);
	ASSERT_INT(journal_last_id(s.journal), JOURNAL_ENDED_MAX + 2000);
	scene_close(&s);
	scene_fini(&s);
}

/* What was written by many runs, each of a few tasks. */
static void
forgets_in_short_runs_as_well(void)
{
	struct scene s;

	scene_init(&s);
	scene_open(&s);
	scene_close(&s);
	scene_change(&s,
	    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
	    "WHERE i < 12000) INSERT INTO ended (id, ended_at, url, worker_id, "
	    "task_id, job_id) SELECT i, 1, 'http://o', 'w-1', 't-' || i, 'j' "
	    "FROM n");
	scene_open(&s);
	(void)scene_put_lease(&s, 12001);
	(void)scene_put(&s, JOURNAL_ENDED, 12001, "accepted");
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
		(void)scene_put_lease(&s, id);
		(void)scene_put_result(&s, id, data);
		(void)scene_put(&s, JOURNAL_DEAD, id, "refused");
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
		(void)scene_put_lease(s, id);
		(void)scene_put_result(s, id, "{\"n\":1}");
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
		if (scene_try(&s, &why) != EX_OK) {
			ASSERT(failed);
			continue;
		}
		opened++;
		(void)scene_put_lease(&s, n);
		(void)scene_put_result(&s, n, "{}");
		(void)scene_put(&s, JOURNAL_DEAD, n, "x");
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
};

TEST_MAIN(tests)
