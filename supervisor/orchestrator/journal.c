/* SPDX-License-Identifier: ISC */
/*
 * journal.c: the loop's side and the thread. They share what stands under the
 * lock, and nothing else; the thread alone knows the database. It blocks all
 * signals and never starts a process.
 *
 * After a failure nothing of the connection is believed: it is closed, and
 * opened again after a back-off, which reads what the file really holds (every
 * frame of its log has a checksum), and moves it from the log to the file, with
 * new writes. Then what had failed is written again, and
 * the loop is asked for all that it holds: a commit before the failure may be
 * gone from a file system that has told of the error once and forgotten it.
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

#include <event2/event.h>
#include <event2/event_struct.h>

#include "child/bytes.h"
#include "supervisor/base/backoff.h"
#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/orchestrator/journal.h"

#define CHUNK_ENTRIES  2000u /* of one transaction */
#define CHUNK_BYTES    ((size_t)8 * 1024 * 1024)
#define RETRY_FIRST_MS ((int64_t)100)
#define RETRY_MAX_MS   ((int64_t)5000)
#define LOOK_MS        ((int64_t)1000)
#define STALLED_MS     ((int64_t)5000) /* without progress */

enum question_kind {
	ASK_RESULT,
	ASK_ROWS,
	ASK_TEXT
};

struct question {
	STAILQ_ENTRY(question) entry;
	enum question_kind kind;
	int64_t id;
	journal_done done;
	void *arg;
	struct journal_answer answer;
	struct bytes text;
};

STAILQ_HEAD(entries, journal_entry);
STAILQ_HEAD(questions, question);

struct journal {
	/* The loop's. */
	const struct journal_ops *ops;
	void *arg;
	struct event_base *loop;
	struct event flush; /* at the end of this turn */
	struct event woken; /* by the thread */
	struct event look; /* whether it gets on */
	struct entries turn; /* of this turn */
	uint64_t last; /* number given out last */
	uint64_t known; /* as committed */
	int64_t moved_ms; /* when that has changed last */
	struct why told; /* trouble, as told last; "": none */
	bool rewrite : 1; /* something could not even be queued */

	/* The thread's. */
	char *path;
	bool safe;
	struct journal_db *db; /* NULL after a failure */
	struct backoff backoff;
	struct entries work; /* taken, and not yet committed */
	struct questions asked; /* taken, and not yet answered */

	/* Set before the thread is there. */
	pthread_t thread;
	int wake_fd;

	/* Under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t work_there; /* to the thread */
	pthread_cond_t state_changed; /* to whoever opens or closes */
	struct entries queue;
	struct questions questions;
	struct questions answers;
	uint64_t committed;
	int64_t last_id;
	int64_t letters;
	struct why failure; /* "": none */
	struct why note; /* to be logged by the loop; "": nothing */
	enum journal_opening opening;
	bool opened : 1; /* or not: opening says */
	bool reopened : 1;
	bool quit : 1;
	bool over : 1; /* the thread is about to end */
};

static void
question_free(struct question *q)
{
	struct journal_row *row;

	while ((row = TAILQ_FIRST(&q->answer.rows)) != NULL) {
		TAILQ_REMOVE(&q->answer.rows, row, entry);
		journal_row_free(row);
	}
	journal_result_fini(&q->answer.result);
	bytes_fini(&q->text);
	free(q);
}

static void
free_entries(struct entries *list)
{
	struct journal_entry *e;

	while ((e = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, entry);
		free(e);
	}
}

static void
free_questions(struct questions *list)
{
	struct question *q;

	while ((q = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, entry);
		question_free(q);
	}
}

/*
 * The thread.
 */

static void
wake_loop(const struct journal *j)
{
	const uint64_t one = 1;

	(void)!write(j->wake_fd, &one, sizeof(one));
}

static void
set_note(struct journal *j, const char *name, const struct why *why)
{
	(void)pthread_mutex_lock(&j->lock);
	why_set(&j->note,
	    "the journal is damaged (%.100s); it is kept as %.100s, and a new "
	    "one is begun",
	    why->text, name);
	(void)pthread_mutex_unlock(&j->lock);
}

/* Opens the database; a damaged one makes room for a new one. */
static enum journal_opening
open_db(struct journal *j, struct why *why)
{
	enum journal_opening rc;
	char name[256];
	struct why cause;

	rc = journal_db_open(j->path, j->safe, &j->db, why);
	if (rc != JOURNAL_DAMAGED)
		return (rc);
	cause = *why;
	if (journal_db_set_aside(
		j->path, clock_wall_ms(), name, sizeof(name), why) == -1)
		return (JOURNAL_FAILED);
	set_note(j, name, &cause);
	return (journal_db_open(j->path, j->safe, &j->db, why));
}

/* Closes it as it is: what it holds is read anew by the next opening. */
static void
give_up_db(struct journal *j)
{
	if (j->db != NULL)
		journal_db_rollback(j->db);
	journal_db_close(j->db, false);
	j->db = NULL;
}

/* A broken file is no better when it is opened again. */
static void
leave_damaged(struct journal *j, const struct why *why)
{
	const bool damaged = j->db != NULL && journal_db_is_damaged(j->db);
	struct why cause = *why;
	char name[256];

	give_up_db(j);
	if (damaged &&
	    journal_db_set_aside(
		j->path, clock_wall_ms(), name, sizeof(name), &cause) == 0)
		set_note(j, name, why);
}

/* One transaction of what stands first. Sets how many it were, and whether
 * somebody waits for one of them. */
static int
write_chunk(struct journal *j, unsigned *count, bool *awaited, struct why *why)
{
	const struct journal_entry *e;
	size_t bytes = 0, i;

	*count = 0;
	if (journal_db_begin(j->db, why) == -1)
		return (-1);
	STAILQ_FOREACH(e, &j->work, entry) {
		if (*count >= CHUNK_ENTRIES || bytes > CHUNK_BYTES)
			break;
		if (journal_db_write(j->db, e, why) == -1)
			return (-1);
		for (i = 0; i < JOURNAL_TEXTS; i++)
			if (e->texts[i].len != SIZE_MAX)
				bytes += e->texts[i].len;
		*awaited = *awaited || e->kind == JOURNAL_SENDING;
		++*count;
	}
	return (journal_db_commit(j->db, why));
}

static void
forget_chunk(struct journal *j, unsigned count)
{
	struct journal_entry *e;
	uint64_t number = 0;
	bool letters = false;
	int64_t n = 0;
	struct why why;

	while (count-- > 0) {
		e = STAILQ_FIRST(&j->work);
		STAILQ_REMOVE_HEAD(&j->work, entry);
		number = e->number;
		letters = letters || e->kind == JOURNAL_DEAD ||
		    e->kind == JOURNAL_REVIVE || e->kind == JOURNAL_DROP;
		free(e);
	}
	letters = letters && journal_db_count_letters(j->db, &n, &why) == 0;
	(void)pthread_mutex_lock(&j->lock);
	j->committed = number;
	if (letters)
		j->letters = n;
	(void)pthread_mutex_unlock(&j->lock);
}

static void
take_row(struct journal_row *row, void *arg)
{
	struct journal_answer *answer = arg;

	TAILQ_INSERT_TAIL(&answer->rows, row, entry);
}

/* -1 when the database fails, and it is to be asked again. */
static int
answer_one(struct journal *j, struct question *q)
{
	struct journal_answer *a = &q->answer;
	int rc = -1;

	switch (q->kind) {
	case ASK_RESULT:
		rc = journal_db_result(j->db, q->id, &a->result, &a->why);
		break;
	case ASK_ROWS:
		rc = journal_db_letters(j->db, q->id, take_row, a, &a->why);
		break;
	case ASK_TEXT:
		rc = journal_db_show_letters(j->db, q->id, &q->text, &a->why);
		if (bytes_failed(&q->text)) {
			why_set(&a->why, "no memory for an answer");
			rc = -1;
		}
		break;
	}
	if (q->kind == ASK_RESULT && rc == -1)
		return (-1);
	a->text = &q->text;
	a->failed = rc != 0;
	return (0);
}

/* Does all that was taken. -1 and why when the database fails. */
static int
do_work(struct journal *j, bool *awaited, struct why *why)
{
	struct question *q;
	unsigned count;

	if (j->db == NULL) {
		if (open_db(j, why) != JOURNAL_OPENED)
			return (-1);
		if (journal_db_settle(j->db, why) == -1) {
			leave_damaged(j, why);
			return (-1);
		}
		(void)pthread_mutex_lock(&j->lock);
		j->reopened = true;
		(void)pthread_mutex_unlock(&j->lock);
		*awaited = true;
	}
	while (!STAILQ_EMPTY(&j->work)) {
		if (write_chunk(j, &count, awaited, why) == -1) {
			leave_damaged(j, why);
			return (-1);
		}
		forget_chunk(j, count);
	}
	while ((q = STAILQ_FIRST(&j->asked)) != NULL) {
		if (answer_one(j, q) == -1) {
			*why = q->answer.why;
			leave_damaged(j, why);
			return (-1);
		}
		STAILQ_REMOVE_HEAD(&j->asked, entry);
		*awaited = true;
		(void)pthread_mutex_lock(&j->lock);
		STAILQ_INSERT_TAIL(&j->answers, q, entry);
		(void)pthread_mutex_unlock(&j->lock);
	}
	return (0);
}

/* Waits for work, or for the next attempt; with the lock held. */
static void
wait_for_work(struct journal *j, bool failing)
{
	const int64_t delay_ms = failing ? backoff_next_ms(&j->backoff) : 0;
	struct timespec until;

	if (!failing) {
		while (!j->quit && STAILQ_EMPTY(&j->queue) &&
		    STAILQ_EMPTY(&j->questions))
			(void)pthread_cond_wait(&j->work_there, &j->lock);
		return;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += delay_ms / 1000;
	until.tv_nsec += (long)(delay_ms % 1000) * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	while (!j->quit &&
	    pthread_cond_timedwait(&j->work_there, &j->lock, &until) == 0)
		;
}

/* Until there is nothing left to do, or that cannot be done, at the end. */
static void
serve(struct journal *j)
{
	bool quit = false, failing = false, awaited;
	struct why why;

	(void)pthread_mutex_lock(&j->lock);
	do {
		if (!quit)
			wait_for_work(j, failing);
		quit = j->quit;
		STAILQ_CONCAT(&j->work, &j->queue);
		STAILQ_CONCAT(&j->asked, &j->questions);
		(void)pthread_mutex_unlock(&j->lock);

		awaited = false;
		failing = do_work(j, &awaited, &why) == -1;
		if (!failing)
			backoff_reset(&j->backoff);

		(void)pthread_mutex_lock(&j->lock);
		if (failing || j->failure.text[0] != '\0') {
			j->failure = why;
			if (!failing)
				j->failure.text[0] = '\0';
			awaited = true;
		}
		if (awaited)
			wake_loop(j);
	} while (!quit || (!failing && !STAILQ_EMPTY(&j->queue)));
	(void)pthread_mutex_unlock(&j->lock);
}

/* Reads what there is; whoever opens us waits meanwhile. */
static int
read_all(struct journal *j, struct why *why)
{
	return (journal_db_last_id(j->db, &j->last_id, why) == -1 ||
		    journal_db_count_letters(j->db, &j->letters, why) == -1 ||
		    journal_db_leases(j->db, j->ops->row, j->arg, why) == -1 ||
		    journal_db_ended(j->db, j->ops->ended, j->arg, why) == -1 ?
		-1 :
		0);
}

static void *
thread_main(void *arg)
{
	struct journal *j = arg;
	struct why why = { "" };
	bool ready;

	(void)pthread_setname_np(pthread_self(), "journal");
	j->opening = open_db(j, &why);
	if (j->opening == JOURNAL_OPENED && read_all(j, &why) == -1)
		j->opening = JOURNAL_FAILED;
	ready = j->opening == JOURNAL_OPENED;
	(void)pthread_mutex_lock(&j->lock);
	if (!ready)
		j->failure = why;
	j->opened = true;
	(void)pthread_cond_broadcast(&j->state_changed);
	(void)pthread_mutex_unlock(&j->lock);
	if (ready)
		serve(j);
	journal_db_close(j->db, true);
	(void)pthread_mutex_lock(&j->lock);
	j->over = true;
	(void)pthread_cond_broadcast(&j->state_changed);
	(void)pthread_mutex_unlock(&j->lock);
	return (NULL);
}

/*
 * The loop's side.
 */

static void
hand_over(struct journal *j)
{
	(void)pthread_mutex_lock(&j->lock);
	STAILQ_CONCAT(&j->queue, &j->turn);
	(void)pthread_cond_signal(&j->work_there);
	(void)pthread_mutex_unlock(&j->lock);
}

static void
look_later(struct journal *j)
{
	const struct timeval tv = clock_timeval(LOOK_MS);

	if (!evtimer_pending(&j->look, NULL) && event_add(&j->look, &tv) == -1)
		log_err("cannot set a timer for the journal");
}

static void
on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct journal *j = arg;

	(void)fd;
	(void)what;
	hand_over(j);
	if (!evtimer_pending(&j->look, NULL))
		j->moved_ms = clock_now_ms();
	look_later(j);
}

/* Trouble has begun, changed or ended: says so, once. */
static void
tell(struct journal *j, const struct why *now)
{
	if (strcmp(now->text, j->told.text) == 0)
		return;
	if (now->text[0] != '\0')
		log_err("journal: %s; no more tasks are taken, results are "
			"kept in memory and delivered; trying again",
		    now->text);
	else
		log_info("journal: it can be written again");
	j->told = *now;
}

/* Takes over what the thread has come to. */
static void
look_at_state(struct journal *j)
{
	const int64_t now_ms = clock_now_ms();
	struct why trouble;
	struct why note;

	(void)pthread_mutex_lock(&j->lock);
	if (j->committed != j->known)
		j->moved_ms = now_ms;
	j->known = j->committed;
	trouble = j->failure;
	note = j->note;
	j->note.text[0] = '\0';
	j->rewrite = j->rewrite || j->reopened;
	j->reopened = false;
	(void)pthread_mutex_unlock(&j->lock);
	if (note.text[0] != '\0')
		log_err("%s", note.text);
	if (trouble.text[0] == '\0' && j->known < j->last &&
	    now_ms - j->moved_ms >= STALLED_MS)
		why_set(&trouble, "the disk does not answer");
	tell(j, &trouble);
}

static void
rewrite_if_needed(struct journal *j)
{
	if (!j->rewrite || j->told.text[0] != '\0')
		return;
	j->rewrite = false;
	j->ops->rewrite(j->arg);
}

static void
on_look(evutil_socket_t fd, short what, void *arg)
{
	struct journal *j = arg;
	const bool troubled = j->told.text[0] != '\0';
	const uint64_t known = j->known;

	(void)fd;
	(void)what;
	look_at_state(j);
	rewrite_if_needed(j);
	if (j->known < j->last || j->rewrite)
		look_later(j);
	if (troubled != (j->told.text[0] != '\0') || known != j->known)
		j->ops->progress(j->arg);
}

static void
give_answers(struct journal *j)
{
	struct questions answers;
	struct question *q;

	STAILQ_INIT(&answers);
	(void)pthread_mutex_lock(&j->lock);
	STAILQ_CONCAT(&answers, &j->answers);
	(void)pthread_mutex_unlock(&j->lock);
	while ((q = STAILQ_FIRST(&answers)) != NULL) {
		STAILQ_REMOVE_HEAD(&answers, entry);
		q->done(&q->answer, q->id, q->arg);
		question_free(q);
	}
}

static void
on_woken(evutil_socket_t fd, short what, void *arg)
{
	struct journal *j = arg;
	uint64_t count;

	(void)what;
	(void)!read(fd, &count, sizeof(count));
	look_at_state(j);
	rewrite_if_needed(j);
	give_answers(j);
	j->ops->progress(j->arg);
}

uint64_t
journal_write(struct journal *j, enum journal_kind kind, int64_t id,
    int64_t at_ms, const struct journal_text *texts, size_t count)
{
	struct journal_entry *e;

	if ((e = journal_entry_new(kind, id, at_ms, texts, count)) == NULL) {
		log_err("no memory for the journal; it is made up for later");
		j->rewrite = true;
		look_later(j);
		return (0);
	}
	e->number = ++j->last;
	if (STAILQ_EMPTY(&j->turn))
		event_active(&j->flush, EV_TIMEOUT, 0);
	STAILQ_INSERT_TAIL(&j->turn, e, entry);
	return (e->number);
}

bool
journal_has(const struct journal *j, uint64_t number)
{
	return (number != 0 && number <= j->known);
}

const char *
journal_trouble(const struct journal *j)
{
	return (j->told.text[0] != '\0' ? j->told.text : NULL);
}

int64_t
journal_last_id(const struct journal *j)
{
	return (j->last_id);
}

int64_t
journal_letters(const struct journal *j)
{
	struct journal *shared = (struct journal *)j;
	int64_t n;

	(void)pthread_mutex_lock(&shared->lock);
	n = j->letters;
	(void)pthread_mutex_unlock(&shared->lock);
	return (n);
}

static int
ask(struct journal *j, enum question_kind kind, int64_t id, journal_done done,
    void *arg)
{
	struct question *q;

	if ((q = calloc(1, sizeof(*q))) == NULL)
		return (-1);
	q->kind = kind;
	q->id = id;
	q->done = done;
	q->arg = arg;
	TAILQ_INIT(&q->answer.rows);
	hand_over(j); /* what was written before comes first */
	(void)pthread_mutex_lock(&j->lock);
	STAILQ_INSERT_TAIL(&j->questions, q, entry);
	(void)pthread_cond_signal(&j->work_there);
	(void)pthread_mutex_unlock(&j->lock);
	return (0);
}

int
journal_fetch(struct journal *j, int64_t id, journal_done done, void *arg)
{
	return (ask(j, ASK_RESULT, id, done, arg));
}

int
journal_find_letters(
    struct journal *j, int64_t id, journal_done done, void *arg)
{
	return (ask(j, ASK_ROWS, id, done, arg));
}

int
journal_show_letters(
    struct journal *j, int64_t id, journal_done done, void *arg)
{
	return (ask(j, ASK_TEXT, id, done, arg));
}

/*
 * Beginning and end.
 */

/* A thread that no signal is given to. */
static int
start_thread(struct journal *j)
{
	sigset_t all, old;
	int rc;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&j->thread, NULL, thread_main, j);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return (rc);
}

static int
init_locks(struct journal *j)
{
	pthread_condattr_t monotonic;
	int rc;

	if (pthread_condattr_init(&monotonic) != 0)
		return (-1);
	rc = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) != 0 ||
	    pthread_mutex_init(&j->lock, NULL) != 0 ||
	    pthread_cond_init(&j->work_there, &monotonic) != 0 ||
	    pthread_cond_init(&j->state_changed, &monotonic) != 0;
	(void)pthread_condattr_destroy(&monotonic);
	return (rc ? -1 : 0);
}

static void
journal_free(struct journal *j)
{
	if (event_initialized(&j->flush))
		(void)event_del(&j->flush);
	if (event_initialized(&j->look))
		(void)event_del(&j->look);
	if (event_initialized(&j->woken))
		(void)event_del(&j->woken);
	if (j->wake_fd != -1)
		(void)close(j->wake_fd);
	free_entries(&j->turn);
	free_entries(&j->queue);
	free_entries(&j->work);
	free_questions(&j->questions);
	free_questions(&j->asked);
	free_questions(&j->answers);
	(void)pthread_cond_destroy(&j->work_there);
	(void)pthread_cond_destroy(&j->state_changed);
	(void)pthread_mutex_destroy(&j->lock);
	free(j->path);
	free(j);
}

static struct journal *
journal_new(const struct journal_settings *set, const struct journal_ops *ops,
    void *arg, struct why *why)
{
	struct journal *j;

	if ((j = calloc(1, sizeof(*j))) == NULL || init_locks(j) == -1) {
		why_set(why, "no memory for the journal");
		free(j);
		return (NULL);
	}
	j->ops = ops;
	j->arg = arg;
	j->loop = set->loop;
	j->safe = set->safe;
	j->wake_fd = -1;
	j->backoff.first_ms = RETRY_FIRST_MS;
	j->backoff.max_ms = RETRY_MAX_MS;
	STAILQ_INIT(&j->turn);
	STAILQ_INIT(&j->work);
	STAILQ_INIT(&j->asked);
	STAILQ_INIT(&j->queue);
	STAILQ_INIT(&j->questions);
	STAILQ_INIT(&j->answers);
	if ((j->path = strdup(set->path)) == NULL ||
	    (j->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) == -1 ||
	    evtimer_assign(&j->flush, j->loop, on_flush, j) == -1 ||
	    evtimer_assign(&j->look, j->loop, on_look, j) == -1 ||
	    event_assign(&j->woken, j->loop, j->wake_fd, EV_READ | EV_PERSIST,
		on_woken, j) == -1 ||
	    event_add(&j->woken, NULL) == -1) {
		why_errno(why, "journal");
		journal_free(j);
		return (NULL);
	}
	return (j);
}

struct journal *
journal_open(const struct journal_settings *set, const struct journal_ops *ops,
    void *arg, int *status, struct why *why)
{
	struct journal *j;
	int error;

	*status = EX_OSERR;
	if ((j = journal_new(set, ops, arg, why)) == NULL)
		return (NULL);
	if ((error = start_thread(j)) != 0) {
		errno = error;
		why_errno(why, "cannot start the journal's thread");
		journal_free(j);
		return (NULL);
	}
	(void)pthread_mutex_lock(&j->lock);
	while (!j->opened)
		(void)pthread_cond_wait(&j->state_changed, &j->lock);
	(void)pthread_mutex_unlock(&j->lock);
	if (j->opening == JOURNAL_OPENED) {
		look_at_state(j); /* it may have been damaged */
		return (j);
	}
	*why = j->failure;
	*status = j->opening == JOURNAL_REFUSED ? EX_CONFIG : EX_TEMPFAIL;
	(void)pthread_join(j->thread, NULL);
	journal_free(j);
	return (NULL);
}

bool
journal_close(struct journal *j, int64_t limit_ms)
{
	struct timespec until;
	bool over, whole;

	if (j == NULL)
		return (true);
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += limit_ms / 1000;
	hand_over(j);
	(void)pthread_mutex_lock(&j->lock);
	j->quit = true;
	(void)pthread_cond_signal(&j->work_there);
	while (!j->over &&
	    pthread_cond_timedwait(&j->state_changed, &j->lock, &until) == 0)
		;
	over = j->over;
	whole = j->committed == j->last && !j->rewrite;
	(void)pthread_mutex_unlock(&j->lock);
	if (!over)
		return (false); /* the thread still uses it, and hangs */
	(void)pthread_join(j->thread, NULL);
	journal_free(j);
	return (whole);
}
