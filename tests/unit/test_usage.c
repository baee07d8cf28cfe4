/* SPDX-License-Identifier: ISC */
#include "supervisor/orchestrator/usage.h"
#include "tests/test.h"
#include "tests/unit/fake_tree.h"

#define MB (1024LL * 1024)

static void
put_machine(const struct tree *t, int busy, int idle)
{
	tree_put(t->proc, "meminfo",
	    "MemTotal:       16252928 kB\nMemFree: 1 kB\n"
	    "MemAvailable:    8126464 kB\n");
	tree_put(t->proc, "stat", "cpu  %d 0 0 %d 0 0 0 0 0 0\ncpu0 1 2 3\n",
	    busy, idle);
}

/* The machine's own, when there is no group or one without limits. */
static void
machine(void)
{
	struct usage_sample sample;
	struct usage u;
	struct tree t;

	tree_open(&t);
	put_machine(&t, 100, 900);
	usage_init(&u, t.proc, t.cgroup);
	ASSERT_INT(usage_memory_gb(&u), 16); /* 15.5 */
	ASSERT(usage_cores(&u) >= 1);
	put_machine(&t, 175, 1125);
	usage_look(&u, &sample);
	ASSERT_INT((int)sample.cpu_percent, 25);
	ASSERT_INT((int)(sample.memory_gb * 100), 775);
	/* Nothing has passed since. */
	usage_look(&u, &sample);
	ASSERT_INT((int)sample.cpu_percent, 0);

	tree_put(t.proc, "self/cgroup", "0::/a\n");
	tree_put(t.cgroup, "a/memory.max", "max\n");
	tree_put(t.cgroup, "a/cpu.max", "max 100000\n");
	usage_init(&u, t.proc, t.cgroup);
	ASSERT_STR(u.memory_group, "");
	ASSERT_STR(u.cpu_group, "");
	tree_close(&t);
}

/* The least of the limits of all groups that we are in. */
static void
groups(void)
{
	struct usage_sample sample;
	struct usage u;
	char dir[160];
	struct tree t;

	tree_open(&t);
	put_machine(&t, 100, 900);
	tree_put(t.proc, "self/cgroup", "0::/a/b/c\n");
	tree_put(t.cgroup, "a/b/c/memory.max", "%lld\n", 5000 * MB);
	tree_put(t.cgroup, "a/b/memory.max", "%lld\n", 2048 * MB);
	tree_put(t.cgroup, "a/memory.max", "%lld\n", 9000 * MB);
	tree_put(t.cgroup, "a/b/memory.current", "%lld\n", 1100 * MB);
	tree_put(t.cgroup, "a/b/memory.stat", "anon 7\ninactive_file %lld\n",
	    76 * MB);
	tree_put(t.cgroup, "a/cpu.max", "50000 100000\n");
	tree_put(t.cgroup, "a/cpu.stat", "usage_usec 0\nuser_usec 5\n");
	usage_init(&u, t.proc, t.cgroup);
	(void)snprintf(dir, sizeof(dir), "%s/a/b", t.cgroup);
	ASSERT_STR(u.memory_group, dir);
	(void)snprintf(dir, sizeof(dir), "%s/a", t.cgroup);
	ASSERT_STR(u.cpu_group, dir);
	ASSERT_INT(usage_memory_gb(&u), 2);
	ASSERT_INT(usage_cores(&u), 1); /* half a one */
	/* More than can have passed is all there is. */
	tree_put(t.cgroup, "a/cpu.stat", "usage_usec 999999999999\n");
	u.total -= 1000;
	usage_look(&u, &sample);
	ASSERT_INT((int)sample.cpu_percent, 100);
	ASSERT_INT((int)(sample.memory_gb * 1024), 1024);
	tree_close(&t);
}

static void
nothing_to_read(void)
{
	struct usage_sample sample;
	struct usage u;
	struct tree t;

	tree_open(&t);
	usage_init(&u, t.proc, t.cgroup);
	ASSERT_INT(usage_memory_gb(&u), 0);
	usage_look(&u, &sample);
	ASSERT(sample.cpu_percent >= 0 && sample.cpu_percent <= 0);
	ASSERT(sample.memory_gb >= 0 && sample.memory_gb <= 0);
	tree_put(t.proc, "self/cgroup", "0::/../other\n");
	tree_put(t.proc, "stat", "garbage");
	tree_put(t.proc, "meminfo", "MemTotal: many\n");
	usage_init(&u, t.proc, t.cgroup);
	ASSERT_INT(usage_memory_gb(&u), 0);
	tree_close(&t);
}

static const struct test tests[] = {
	{ "the machine's", machine },
	{ "the control groups' when less", groups },
	{ "nothing is to be read", nothing_to_read },
};
TEST_MAIN(tests)
