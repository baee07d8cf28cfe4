/* SPDX-License-Identifier: ISC */
/*
 * journal_writer.c: the thread and what it shares with the loop, which stands
 * under the lock. It blocks all signals and never starts a process.
 *
 * After a failure nothing of the connection is believed: it is closed, and
 * opened again after a back-off, which reads what the file really holds (every
 * frame of its log has a checksum), and moves it from the log to the file, with
 * new writes. Then what had failed is written again, and the loop is told: a
 * commit before the failure may be gone from a file system that has told of
 * the error once and forgotten it.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "supervisor/base/backoff.h"
#include "supervisor/base/clock.h"
#include "supervisor/orchestrator/journal.h"
#include "supervisor/orchestrator/journal_db.h"
#include "supervisor/orchestrator/journal_question.h"
#include "supervisor/orchestrator/journal_writer.h"

#define CHUNK_ENTRIES  2000u /* of one transaction */
#define CHUNK_BYTES    ((size_t)8 * 1024 * 1024)
#define RETRY_FIRST_MS ((int64_t)100)
#define RETRY_MAX_MS   ((int64_t)1000)
#define END_LOOK_MS    ((int64_t)1000) /* at the end, whether it gets on */

struct journal_writer {
	/* The thread's. */
	char *path;
	bool safe;
	struct journal_db *db; /* NULL after a failure */
	struct backoff backoff;
	struct journal_entries work; /* taken, and not yet committed */
	struct journal_questions asked; /* taken, and not yet answered */

	/* Set before the thread is there. */
	pthread_t thread;
	int wake_fd;
	const struct journal_ops *ops; /* called until it is opened */
	void *arg;

	/* Under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t work_there; /* to the thread */
	pthread_cond_t state_changed; /* to whoever opens or closes */
	struct journal_entries queue;
	struct journal_questions questions;
	struct journal_questions answers;
	struct journal_writer_state state;
	int64_t last_id;
	int64_t letters;
	enum journal_opening opening;
	int64_t quit_by_ms; /* with quit: what fails is not tried any more */
	bool opened : 1; /* or not: opening says */
	bool quit : 1;
	bool over : 1; /* the thread is about to end */
};

/*
 * The thread.
 */

static void
wake_loop(const struct journal_writer *w)
{
	const uint64_t one = 1;

	(void)!write(w->wake_fd, &one, sizeof(one));
}

static void
set_note(struct journal_writer *w, const char *name, const struct why *why)
{
	(void)pthread_mutex_lock(&w->lock);
	why_set(&w->state.note,
	    "the journal is damaged (%.100s); it is kept as %.100s, and a new "
	    "one is begun",
	    why->text, name);
	(void)pthread_mutex_unlock(&w->lock);
}

/* Opens the database; a damaged one makes room for a new one. */
static enum journal_opening
open_db(struct journal_writer *w, struct why *why)
{
	enum journal_opening rc;
	char name[256];
	struct why cause;

	rc = journal_db_open(w->path, w->safe, &w->db, why);
	if (rc != JOURNAL_DAMAGED)
		return (rc);
	cause = *why;
	if (journal_db_set_aside(
		w->path, clock_wall_ms(), name, sizeof(name), why) == -1)
		return (JOURNAL_FAILED);
	set_note(w, name, &cause);
	return (journal_db_open(w->path, w->safe, &w->db, why));
}

/* Closes it as it is: what it holds is read anew by the next opening. */
static void
give_up_db(struct journal_writer *w)
{
	if (w->db != NULL)
		journal_db_rollback(w->db);
	journal_db_close(w->db, false);
	w->db = NULL;
}

/* A broken file is no better when it is opened again. */
static void
leave_damaged(struct journal_writer *w, const struct why *why)
{
	const bool damaged = w->db != NULL && journal_db_is_damaged(w->db);
	struct why cause = *why;
	char name[256];

	give_up_db(w);
	if (damaged &&
	    journal_db_set_aside(
		w->path, clock_wall_ms(), name, sizeof(name), &cause) == 0)
		set_note(w, name, why);
}

/* One transaction of what stands first. Sets how many it were, and whether
 * somebody waits for one of them. */
static int
write_chunk(
    struct journal_writer *w, unsigned *count, bool *awaited, struct why *why)
{
	const struct journal_entry *e;
	size_t bytes = 0, i;

	*count = 0;
	if (journal_db_begin(w->db, why) == -1)
		return (-1);
	STAILQ_FOREACH(e, &w->work, entry) {
		if (*count >= CHUNK_ENTRIES || bytes > CHUNK_BYTES)
			break;
		if (journal_db_write(w->db, e, why) == -1)
			return (-1);
		for (i = 0; i < JOURNAL_TEXTS; i++)
			if (e->texts[i].len != SIZE_MAX)
				bytes += e->texts[i].len;
		*awaited = *awaited || e->kind == JOURNAL_SENDING;
		++*count;
	}
	return (journal_db_commit(w->db, why));
}

static void
forget_chunk(struct journal_writer *w, unsigned count)
{
	struct journal_entry *e;
	uint64_t number = 0;
	bool letters = false;
	int64_t n = 0;
	struct why why;

	while (count-- > 0) {
		e = STAILQ_FIRST(&w->work);
		STAILQ_REMOVE_HEAD(&w->work, entry);
		number = e->number;
		letters = letters || e->kind == JOURNAL_DEAD ||
		    e->kind == JOURNAL_REVIVE || e->kind == JOURNAL_DROP;
		free(e);
	}
	letters = letters && journal_db_count_letters(w->db, &n, &why) == 0;
	(void)pthread_mutex_lock(&w->lock);
	w->state.committed = number;
	if (letters)
		w->letters = n;
	(void)pthread_mutex_unlock(&w->lock);
}

/* Does all that was taken. -1 and why when the database fails. */
static int
do_work(struct journal_writer *w, bool *awaited, struct why *why)
{
	struct journal_question *q;
	unsigned count;

	if (w->db == NULL) {
		if (open_db(w, why) != JOURNAL_OPENED)
			return (-1);
		if (journal_db_settle(w->db, why) == -1) {
			leave_damaged(w, why);
			return (-1);
		}
		(void)pthread_mutex_lock(&w->lock);
		w->state.reopened = true;
		(void)pthread_mutex_unlock(&w->lock);
		*awaited = true;
	}
	while (!STAILQ_EMPTY(&w->work)) {
		if (write_chunk(w, &count, awaited, why) == -1) {
			leave_damaged(w, why);
			return (-1);
		}
		forget_chunk(w, count);
	}
	while ((q = STAILQ_FIRST(&w->asked)) != NULL) {
		if (journal_question_ask(q, w->db) == -1) {
			*why = q->answer.why;
			leave_damaged(w, why);
			return (-1);
		}
		STAILQ_REMOVE_HEAD(&w->asked, entry);
		*awaited = true;
		(void)pthread_mutex_lock(&w->lock);
		STAILQ_INSERT_TAIL(&w->answers, q, entry);
		(void)pthread_mutex_unlock(&w->lock);
	}
	return (0);
}

/* As the conditions take it. */
static struct timespec
in_ms(int64_t ms)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += (long)(ms % 1000) * 1000000L;
	if (ts.tv_nsec >= 1000000000L) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000L;
	}
	return (ts);
}

/* Waits for work, or for the next attempt; with the lock held. */
static void
wait_for_work(struct journal_writer *w, bool failing)
{
	const bool quit = w->quit;
	struct timespec until;

	if (!failing) {
		while (!w->quit && STAILQ_EMPTY(&w->queue) &&
		    STAILQ_EMPTY(&w->questions))
			(void)pthread_cond_wait(&w->work_there, &w->lock);
		return;
	}
	until = in_ms(backoff_next_ms(&w->backoff));
	while (w->quit == quit &&
	    pthread_cond_timedwait(&w->work_there, &w->lock, &until) == 0)
		;
}

/* At the end: nothing is left to be written, or no time to try again. */
static bool
is_done(const struct journal_writer *w)
{
	return ((STAILQ_EMPTY(&w->work) && STAILQ_EMPTY(&w->queue)) ||
	    clock_now_ms() >= w->quit_by_ms);
}

static void
serve(struct journal_writer *w)
{
	bool quit = false, failing = false, awaited;
	struct why why;

	(void)pthread_mutex_lock(&w->lock);
	do {
		if (!quit || failing)
			wait_for_work(w, failing);
		quit = w->quit;
		STAILQ_CONCAT(&w->work, &w->queue);
		STAILQ_CONCAT(&w->asked, &w->questions);
		(void)pthread_mutex_unlock(&w->lock);

		awaited = false;
		failing = do_work(w, &awaited, &why) == -1;
		if (!failing)
			backoff_reset(&w->backoff);

		(void)pthread_mutex_lock(&w->lock);
		if (failing || w->state.failure.text[0] != '\0') {
			w->state.failure = why;
			if (!failing)
				w->state.failure.text[0] = '\0';
			awaited = true;
		}
		if (awaited)
			wake_loop(w);
	} while (!quit || !is_done(w));
	(void)pthread_mutex_unlock(&w->lock);
}

static void
take_row(struct journal_row *row, void *arg)
{
	struct journal_rows *rows = arg;

	TAILQ_INSERT_TAIL(rows, row, entry);
}

/* Reads what there is; whoever opens us waits meanwhile, and is given leases
 * only when all could be read. */
static int
read_all(struct journal_writer *w, struct why *why)
{
	struct journal_rows rows = TAILQ_HEAD_INITIALIZER(rows);
	struct journal_row *row;
	int64_t last_id;
	int rc = -1;

	if (journal_db_last_id(w->db, &last_id, why) == 0 &&
	    journal_db_count_letters(w->db, &w->letters, why) == 0 &&
	    journal_db_leases(w->db, take_row, &rows, why) == 0 &&
	    journal_db_ended(w->db, w->ops->ended, w->arg, why) == 0) {
		w->last_id = last_id;
		rc = 0;
	}
	while ((row = TAILQ_FIRST(&rows)) != NULL) {
		TAILQ_REMOVE(&rows, row, entry);
		if (rc == 0)
			w->ops->row(row, w->arg);
		else
			journal_row_free(row);
	}
	return (rc);
}

/* A file may open well, and be damaged further in. */
static enum journal_opening
open_and_read(struct journal_writer *w, struct why *why)
{
	enum journal_opening rc;

	if ((rc = open_db(w, why)) != JOURNAL_OPENED || read_all(w, why) == 0)
		return (rc);
	if (!journal_db_is_damaged(w->db))
		return (JOURNAL_FAILED);
	leave_damaged(w, why);
	if ((rc = open_db(w, why)) == JOURNAL_OPENED && read_all(w, why) == -1)
		rc = JOURNAL_FAILED;
	return (rc);
}

static void *
thread_main(void *arg)
{
	struct journal_writer *w = arg;
	struct why why = { "" };
	bool ready;

	(void)pthread_setname_np(pthread_self(), "journal");
	w->opening = open_and_read(w, &why);
	ready = w->opening == JOURNAL_OPENED;
	(void)pthread_mutex_lock(&w->lock);
	if (!ready)
		w->state.failure = why;
	w->opened = true;
	(void)pthread_cond_broadcast(&w->state_changed);
	(void)pthread_mutex_unlock(&w->lock);
	if (ready)
		serve(w);
	journal_db_close(w->db, true);
	(void)pthread_mutex_lock(&w->lock);
	w->over = true;
	(void)pthread_cond_broadcast(&w->state_changed);
	(void)pthread_mutex_unlock(&w->lock);
	return (NULL);
}

/*
 * The loop's side.
 */

/* A thread that no signal is given to. */
static int
start_thread(struct journal_writer *w)
{
	sigset_t all, old;
	int rc;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&w->thread, NULL, thread_main, w);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return (rc);
}

static int
init_locks(struct journal_writer *w)
{
	pthread_condattr_t monotonic;
	int rc;

	if (pthread_condattr_init(&monotonic) != 0)
		return (-1);
	rc = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) != 0 ||
	    pthread_mutex_init(&w->lock, NULL) != 0 ||
	    pthread_cond_init(&w->work_there, &monotonic) != 0 ||
	    pthread_cond_init(&w->state_changed, &monotonic) != 0;
	(void)pthread_condattr_destroy(&monotonic);
	return (rc ? -1 : 0);
}

void
journal_writer_free(struct journal_writer *w)
{
	if (w == NULL)
		return;
	if (w->wake_fd != -1)
		(void)close(w->wake_fd);
	journal_entries_free(&w->queue);
	journal_entries_free(&w->work);
	journal_questions_free(&w->questions);
	journal_questions_free(&w->asked);
	journal_questions_free(&w->answers);
	(void)pthread_cond_destroy(&w->work_there);
	(void)pthread_cond_destroy(&w->state_changed);
	(void)pthread_mutex_destroy(&w->lock);
	free(w->path);
	free(w);
}

struct journal_writer *
journal_writer_new(const struct journal_settings *set, struct why *why)
{
	struct journal_writer *w;

	if ((w = calloc(1, sizeof(*w))) == NULL || init_locks(w) == -1) {
		why_set(why, "no memory for the journal");
		free(w);
		return (NULL);
	}
	w->safe = set->safe;
	w->wake_fd = -1;
	w->backoff.first_ms = RETRY_FIRST_MS;
	w->backoff.max_ms = RETRY_MAX_MS;
	STAILQ_INIT(&w->work);
	STAILQ_INIT(&w->asked);
	STAILQ_INIT(&w->queue);
	STAILQ_INIT(&w->questions);
	STAILQ_INIT(&w->answers);
	if ((w->path = strdup(set->path)) == NULL ||
	    (w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) == -1) {
		why_errno(why, "journal");
		journal_writer_free(w);
		return (NULL);
	}
	return (w);
}

int
journal_writer_start(struct journal_writer *w, const struct journal_ops *ops,
    void *arg, int *status, struct why *why)
{
	int error;

	w->ops = ops;
	w->arg = arg;
	if ((error = start_thread(w)) != 0) {
		errno = error;
		why_errno(why, "cannot start the journal's thread");
		*status = EX_OSERR;
		return (-1);
	}
	(void)pthread_mutex_lock(&w->lock);
	while (!w->opened)
		(void)pthread_cond_wait(&w->state_changed, &w->lock);
	(void)pthread_mutex_unlock(&w->lock);
	if (w->opening == JOURNAL_OPENED)
		return (0);
	*why = w->state.failure;
	*status = w->opening == JOURNAL_REFUSED ? EX_CONFIG : EX_TEMPFAIL;
	(void)pthread_join(w->thread, NULL);
	return (-1);
}

int
journal_writer_fd(const struct journal_writer *w)
{
	return (w->wake_fd);
}

int64_t
journal_writer_last_id(const struct journal_writer *w)
{
	return (w->last_id);
}

void
journal_writer_write(struct journal_writer *w, struct journal_entries *list)
{
	(void)pthread_mutex_lock(&w->lock);
	STAILQ_CONCAT(&w->queue, list);
	(void)pthread_cond_signal(&w->work_there);
	(void)pthread_mutex_unlock(&w->lock);
}

void
journal_writer_ask(struct journal_writer *w, struct journal_question *q)
{
	(void)pthread_mutex_lock(&w->lock);
	STAILQ_INSERT_TAIL(&w->questions, q, entry);
	(void)pthread_cond_signal(&w->work_there);
	(void)pthread_mutex_unlock(&w->lock);
}

void
journal_writer_state(
    struct journal_writer *w, struct journal_writer_state *state)
{
	(void)pthread_mutex_lock(&w->lock);
	*state = w->state;
	w->state.note.text[0] = '\0';
	w->state.reopened = false;
	(void)pthread_mutex_unlock(&w->lock);
}

int64_t
journal_writer_letters(struct journal_writer *w)
{
	int64_t n;

	(void)pthread_mutex_lock(&w->lock);
	n = w->letters;
	(void)pthread_mutex_unlock(&w->lock);
	return (n);
}

void
journal_writer_answers(struct journal_writer *w, struct journal_questions *list)
{
	STAILQ_INIT(list);
	(void)pthread_mutex_lock(&w->lock);
	STAILQ_CONCAT(list, &w->answers);
	(void)pthread_mutex_unlock(&w->lock);
}

/* True when it has ended. What it may take is counted in looks, not in time:
 * when we do not run, it does not, either. */
static bool
wait_for_end(struct journal_writer *w, int64_t limit_ms)
{
	uint64_t known = w->state.committed;
	int64_t left_ms = limit_ms;
	struct timespec until;

	while (!w->over && left_ms > 0) {
		until = in_ms(END_LOOK_MS);
		while (!w->over &&
		    pthread_cond_timedwait(
			&w->state_changed, &w->lock, &until) == 0)
			;
		left_ms = w->state.committed != known ? limit_ms :
							left_ms - END_LOOK_MS;
		known = w->state.committed;
	}
	return (w->over);
}

bool
journal_writer_end(
    struct journal_writer *w, int64_t limit_ms, uint64_t *committed)
{
	bool over;

	(void)pthread_mutex_lock(&w->lock);
	w->quit = true;
	w->quit_by_ms = clock_now_ms() + limit_ms - RETRY_MAX_MS;
	(void)pthread_cond_signal(&w->work_there);
	over = wait_for_end(w, limit_ms);
	*committed = w->state.committed;
	(void)pthread_mutex_unlock(&w->lock);
	if (over)
		(void)pthread_join(w->thread, NULL);
	return (over);
}

void
journal_entries_free(struct journal_entries *list)
{
	struct journal_entry *e;

	while ((e = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, entry);
		free(e);
	}
}
