/* SPDX-License-Identifier: ISC */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "supervisor/children/footprint.h"
#include "supervisor/children/headroom.h"
#include "tests/unit/fake_tree.h"

#define PAGE ((int64_t)sysconf(_SC_PAGESIZE))
#define MB   ((int64_t)1024 * 1024)

static const char rollup[] =
    "55d0c0a00000-7ffd5a1f9000 ---p 00000000 00:00 0    [rollup]\n"
    "Rss:                4000 kB\n"
    "Pss:                 100 kB\n"
    "Pss_Dirty:            90 kB\n";

static void
reads_what_proc_tells(void)
{
	struct tree t;

	tree_open(&t);
	tree_put(t.proc, "7/statm", "%s", "1000 250 30 1 0 50 0\n");
	tree_put(t.proc, "7/smaps_rollup", "%s", rollup);
	ASSERT_INT(footprint_rss(t.proc, 7), 250 * PAGE);
	ASSERT_INT(footprint_pss(t.proc, 7), 100 * 1024);
	ASSERT_INT(footprint_rss(t.proc, 8), -1);
	ASSERT_INT(errno, ENOENT);
	ASSERT_INT(footprint_pss(t.proc, 8), -1);
	ASSERT_INT(errno, ENOENT);
	tree_close(&t);
}

static void
refuses_garbage(void)
{
	static const char *const statm[] = { "", "1000", "1000 ", "a b c\n",
		"-1 250\n", "1 -250\n", "1\t2\n", "1 9223372036854775807\n" };
	static const char *const smaps[] = { "Pss: 1 kB\n", "\nPss: \n",
		"\nPss: x kB\n", "\nPss: -4 kB\n",
		"\nPss: 9223372036854775807 kB\n" };
	struct tree t;
	size_t i;

	tree_open(&t);
	for (i = 0; i < sizeof(statm) / sizeof(statm[0]); i++) {
		tree_put(t.proc, "7/statm", "%s", statm[i]);
		ASSERT_INT(footprint_rss(t.proc, 7), -1);
		ASSERT_INT(errno, EINVAL);
	}
	for (i = 0; i < sizeof(smaps) / sizeof(smaps[0]); i++) {
		tree_put(t.proc, "7/smaps_rollup", "%s", smaps[i]);
		ASSERT_INT(footprint_pss(t.proc, 7), -1);
		ASSERT_INT(errno, i == 0 ? ESRCH : EINVAL);
	}
	/* A kernel thread, or a zombie. */
	tree_put(t.proc, "7/smaps_rollup", "%s", "");
	ASSERT_INT(footprint_pss(t.proc, 7), -1);
	ASSERT_INT(errno, ESRCH);
	tree_close(&t);
}

static void
finds_the_family(void)
{
	struct footprint_family f;
	struct tree t;

	tree_open(&t);
	tree_put(t.proc, "7/task/7/children", "%s", "8 9 ");
	tree_put(t.proc, "7/task/77/children", "%s", "10 ");
	tree_put(t.proc, "9/task/9/children", "%s", "11 ");
	/* It cannot be in a circle, and must not matter. */
	tree_put(t.proc, "11/task/11/children", "%s", "7 11 ");
	footprint_family(&f, t.proc, 7);
	ASSERT_INT(f.count, 5);
	ASSERT_INT(f.pids[0], 7);
	ASSERT_INT(f.pids[4], 11);
	/* What is cut, or no number, ends the list. */
	tree_put(t.proc, "7/task/7/children", "%s", "8 9");
	tree_put(t.proc, "7/task/77/children", "%s", "x 10 ");
	footprint_family(&f, t.proc, 7);
	ASSERT_INT(f.count, 2);
	footprint_family(&f, t.proc, 70);
	ASSERT_INT(f.count, 1);
	tree_close(&t);
}

static void
a_big_family_is_cut(void)
{
	struct footprint_family f;
	char list[8192];
	struct tree t;
	int i, n = 0;

	tree_open(&t);
	for (i = 100; i < 1100; i++)
		n += snprintf(list + n, sizeof(list) - (size_t)n, "%d ", i);
	tree_put(t.proc, "7/task/7/children", "%s", list);
	footprint_family(&f, t.proc, 7);
	ASSERT_INT(f.count, FOOTPRINT_FAMILY_MAX);
	tree_close(&t);
}

static void
sums_up(void)
{
	struct footprint_family f = { { 7, 8, 9 }, 3 };
	struct tree t;

	tree_open(&t);
	tree_put(t.proc, "7/statm", "%s", "9 5 0 0 0 0 0\n");
	tree_put(t.proc, "7/smaps_rollup", "%s", rollup);
	tree_put(t.proc, "9/statm", "%s", "9 6 0 0 0 0 0\n");
	tree_put(t.proc, "9/smaps_rollup", "%s", rollup);
	/* 8 is dead. */
	ASSERT_INT(footprint_sum(&f, t.proc, footprint_rss), 11 * PAGE);
	ASSERT_INT(footprint_sum(&f, t.proc, footprint_pss), 200 * 1024);
	tree_close(&t);
}

/* A child with bytes of memory of its own; killed by the caller. */
static pid_t
start_eater(size_t bytes)
{
	int fds[2];
	pid_t pid;
	char c;
	void *p;

	ASSERT_INT(pipe(fds), 0);
	ASSERT((pid = fork()) != -1);
	if (pid == 0) {
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			_exit(1);
		memset(p, 1, bytes);
		(void)!write(fds[1], "", 1);
		for (;;)
			(void)pause();
	}
	(void)close(fds[1]);
	ASSERT_INT(read(fds[0], &c, 1), 1);
	(void)close(fds[0]);
	return (pid);
}

static void
agrees_with_the_kernel(void)
{
	const pid_t pid = start_eater((size_t)(40 * MB));
	struct footprint_family f;
	int64_t rss, pss;

	rss = footprint_rss("/proc", pid);
	pss = footprint_pss("/proc", pid);
	/* statm lags behind by a few pages for each processor. */
	ASSERT(rss > 35 * MB);
	ASSERT(pss > 35 * MB || (pss == -1 && errno == EACCES));
	footprint_family(&f, "/proc", getpid());
	ASSERT(f.count == 1 || (f.count == 2 && f.pids[1] == pid));
	ASSERT_INT(kill(pid, SIGKILL), 0);
	ASSERT_INT(waitpid(pid, NULL, 0), pid);
	ASSERT_INT(footprint_rss("/proc", pid), -1);
}

static void
is_told_in_words(void)
{
	char out[FOOTPRINT_TEXT_MAX];

	ASSERT_STR(footprint_text(out, 2048 * MB), "2G");
	ASSERT_STR(footprint_text(out, 2150 * MB), "2.1G");
	ASSERT_STR(footprint_text(out, 300 * MB), "300M");
	ASSERT_STR(footprint_text(out, 1536 * MB), "1.5G");
	ASSERT_STR(footprint_text(out, 5000 * 1024 * MB), "5000G");
	ASSERT_STR(footprint_text(out, 4096), "4K");
	ASSERT_STR(footprint_text(out, 0), "0K");
	ASSERT_STR(footprint_text(out, 512), "0.5K");
	ASSERT(strlen(footprint_text(out, INT64_MAX)) > 0);
}

static int64_t
room(const struct tree *t, const char *group)
{
	char dir[256];

	(void)snprintf(dir, sizeof(dir), "%s%s", t->cgroup, group);
	return (headroom(t->proc, t->cgroup, dir));
}

static void
finds_the_least_headroom(void)
{
	struct tree t;

	tree_open(&t);
	ASSERT_INT(headroom(t.proc, t.cgroup, ""), INT64_MAX);
	tree_put(t.proc, "meminfo", "%s",
	    "MemTotal: 4096000 kB\nMemFree: 1 kB\nMemAvailable:  1024 kB\n");
	ASSERT_INT(headroom(t.proc, t.cgroup, ""), MB);
	ASSERT_INT(room(&t, "/a/b"), MB);
	tree_put(t.cgroup, "a/b/memory.max", "%s", "max\n");
	ASSERT_INT(room(&t, "/a/b"), MB);
	/* The parent's limit; files unused lately count as free. */
	tree_put(t.cgroup, "a/memory.max", "%s", "10000000\n");
	tree_put(t.cgroup, "a/memory.current", "%s", "9900000\n");
	ASSERT_INT(room(&t, "/a/b"), 100000);
	tree_put(
	    t.cgroup, "a/memory.stat", "%s", "anon 1\ninactive_file 50000\n");
	ASSERT_INT(room(&t, "/a/b"), 150000);
	tree_put(t.cgroup, "a/memory.stat", "%s", "inactive_file 88888888\n");
	ASSERT_INT(room(&t, "/a/b"), MB);
	/* Past its limit: nothing is left, and nothing below that. */
	tree_put(t.cgroup, "a/memory.stat", "%s", "inactive_file 0\n");
	tree_put(t.cgroup, "a/memory.current", "%s", "10000001\n");
	ASSERT_INT(room(&t, "/a/b"), 0);
	tree_put(t.cgroup, "a/memory.current", "%s", "what\n");
	ASSERT_INT(room(&t, "/a/b"), MB);
	tree_put(t.proc, "meminfo", "%s", "MemAvailable: -5 kB\n");
	ASSERT_INT(room(&t, "/a/b"), INT64_MAX);
	tree_close(&t);
}

static const struct test tests[] = {
	{ "reads what /proc tells", reads_what_proc_tells },
	{ "refuses garbage", refuses_garbage },
	{ "finds the family", finds_the_family },
	{ "a big family is cut", a_big_family_is_cut },
	{ "sums up", sums_up },
	{ "agrees with the kernel", agrees_with_the_kernel },
	{ "is told in words", is_told_in_words },
	{ "finds the least headroom", finds_the_least_headroom },
};

TEST_MAIN(tests)
