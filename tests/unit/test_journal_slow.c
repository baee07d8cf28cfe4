/* SPDX-License-Identifier: ISC */
/*
 * A disk that is slow, or stands still, and a machine that does: only the disk
 * is to blame for what does not get on while we run.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <sqlite3.h>

#include "supervisor/base/clock.h"
#include "tests/test.h"
#include "tests/unit/journal_scene.h"

#define WRITE_US 6000 /* of a slow disk, for one */
#define LIMIT_MS 2000

/*
 * The clock, which can be set forward: all the time that passes while we do not
 * run, passes at once.
 */

static int64_t ahead_s;

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	const int rc = (int)syscall(SYS_clock_gettime, id, ts);

	if (rc == 0)
		ts->tv_sec += ahead_s;
	return (rc);
}

/*
 * The disk.
 */

static pthread_mutex_t disk = PTHREAD_MUTEX_INITIALIZER; /* held: it stands */
static bool slow;
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);

static ssize_t
slow_pwrite(int fd, const void *p, size_t len, off_t at)
{
	(void)pthread_mutex_lock(&disk);
	(void)pthread_mutex_unlock(&disk);
	if (__atomic_load_n(&slow, __ATOMIC_SEQ_CST))
		(void)usleep(WRITE_US);
	return (real_pwrite(fd, p, len, at));
}

static void
make_slow(void)
{
	static const char *const calls[] = { "pwrite", "pwrite64" };
	ssize_t (*const mine)(int, const void *, size_t, off_t) = slow_pwrite;
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	sqlite3_syscall_ptr found, ours;
	size_t i;

	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		found = vfs->xGetSystemCall(vfs, calls[i]);
		if (found == NULL)
			continue;
		memcpy(&real_pwrite, &found, sizeof(found));
		memcpy(&ours, &mine, sizeof(ours));
		ASSERT(vfs->xSetSystemCall(vfs, calls[i], ours) == SQLITE_OK);
	}
	ASSERT(real_pwrite != NULL);
}

/*
 * What it is to the journal.
 */

static void
turn(struct scene *s)
{
	(void)event_base_loop(s->loop, EVLOOP_NONBLOCK);
}

static void
tells_a_disk_that_stands_still(void)
{
	struct scene s;
	int64_t end_ms;
	uint64_t n;
	int i;

	scene_init(&s);
	make_slow();
	scene_open(&s);
	ASSERT(pthread_mutex_lock(&disk) == 0);
	(void)scene_put_lease(&s, 1);
	n = scene_put(&s, JOURNAL_SENDING, 1, NULL);
	turn(&s);
	/* We have not run for long, and the writer has not, either. */
	ahead_s += 3600;
	turn(&s);
	turn(&s);
	ASSERT(journal_trouble(s.journal) == NULL);
	/* We have, and it has not got on. */
	expect_log("the disk does not answer");
	for (i = 0; i < 5; i++) {
		ahead_s += 2;
		turn(&s);
	}
	ASSERT(journal_trouble(s.journal) != NULL);
	ASSERT(pthread_mutex_unlock(&disk) == 0);
	end_ms = clock_now_ms() + SCENE_WAIT_MS;
	while (!journal_has(s.journal, n)) {
		ASSERT(clock_now_ms() < end_ms);
		(void)event_base_loop(s.loop, EVLOOP_ONCE);
	}
	ASSERT(journal_trouble(s.journal) == NULL);
	scene_close(&s);
	scene_fini(&s);
}

static void
is_closed_as_long_as_it_gets_on(void)
{
	struct scene s;
	int64_t begin_ms, id;

	scene_init(&s);
	make_slow();
	scene_open(&s);
	__atomic_store_n(&slow, true, __ATOMIC_SEQ_CST);
	for (id = 1; id <= 16000; id++)
		(void)scene_put_lease(&s, id);
	begin_ms = clock_now_ms();
	ASSERT(journal_close(s.journal, LIMIT_MS));
	ASSERT(clock_now_ms() - begin_ms > LIMIT_MS);
	__atomic_store_n(&slow, false, __ATOMIC_SEQ_CST);
	scene_open(&s);
	ASSERT_INT(s.rows, 16000);
	scene_close(&s);
	scene_fini(&s);
}

/* Nothing is lost where all is in the log of the database. */
static void
is_whole_when_it_hangs_behind_the_last_commit(void)
{
	const int64_t limit_ms = 1000;
	struct scene s;
	uint64_t n;

	scene_init(&s);
	make_slow();
	scene_open(&s);
	n = scene_put(&s, JOURNAL_SENDING, 1, NULL);
	while (!journal_has(s.journal, n))
		(void)event_base_loop(s.loop, EVLOOP_ONCE);
	ASSERT(pthread_mutex_lock(&disk) == 0);
	ASSERT(journal_close(s.journal, limit_ms));
	scene_fini(&s);
}

static void
is_not_whole_when_it_hangs_before(void)
{
	const int64_t limit_ms = 1000;
	struct scene s;

	scene_init(&s);
	make_slow();
	scene_open(&s);
	ASSERT(pthread_mutex_lock(&disk) == 0);
	(void)scene_put_lease(&s, 1);
	ASSERT(!journal_close(s.journal, limit_ms));
	scene_fini(&s);
}

static const struct test tests[] = {
	{ "tells of a disk that stands still, and not of us",
	    tells_a_disk_that_stands_still },
	{ "is closed as long as it gets on", is_closed_as_long_as_it_gets_on },
	{ "is whole when it hangs behind the last commit",
	    is_whole_when_it_hangs_behind_the_last_commit },
	{ "is not whole when it hangs before",
	    is_not_whole_when_it_hangs_before },
};

TEST_MAIN(tests)
