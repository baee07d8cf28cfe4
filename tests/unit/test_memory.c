/* SPDX-License-Identifier: ISC */
#include <signal.h>

#include <event2/event.h>

#include "supervisor/base/log.h"
#include "supervisor/base/nofile.h"
#include "supervisor/children/death.h"
#include "supervisor/children/memory.h"
#include "supervisor/conf.h"
#include "tests/unit/fake_tree.h"

#define MB ((int64_t)1024 * 1024)

struct house {
	struct tree tree;
	struct event_base *base;
	struct memory *memory;
	char over[256]; /* what a child was ended for; "" */
	unsigned overs;
};

static void
open_house(struct house *h)
{
	*h = (struct house){ 0 };
	tree_open(&h->tree);
	ASSERT((h->base = event_base_new()) != NULL);
}

static void
begin(struct house *h)
{
	const struct memory_paths paths = { h->tree.proc, h->tree.cgroup };
	struct why why;

	ASSERT((h->memory = memory_new(h->base, &paths, &why)) != NULL);
}

/* A house with a delegated group; its first child's group is there, as the
 * kernel would make it. */
static void
open_delegated(struct house *h)
{
	open_house(h);
	tree_put(h->tree.proc, "self/cgroup", "%s", "0::/\n");
	tree_delegate(h->tree.cgroup);
	begin(h);
	ASSERT(memory_has_groups(h->memory));
	tree_put(h->tree.cgroup, "child-1/memory.max", "%s", "max");
	tree_put(h->tree.cgroup, "child-1/cgroup.kill", "%s", "");
}

static void
close_house(struct house *h)
{
	memory_free(h->memory);
	event_base_free(h->base);
	tree_close(&h->tree);
}

static void
over(const char *text, void *arg)
{
	struct house *h = arg;

	(void)snprintf(h->over, sizeof(h->over), "%s", text);
	h->overs++;
}

static void
killed(struct death *d)
{
	*d = (struct death){ .cause = DEATH_CRASH, .signal = SIGKILL };
	(void)snprintf(d->text, sizeof(d->text), "was killed");
}

/* Turns the loop until the claim is true; the case's own limit is the end. */
#define TURN_UNTIL(h, claim) \
	do { \
		while (!(claim)) \
			ASSERT(event_base_loop((h)->base, EVLOOP_ONCE) == 0); \
	} while (0)

/* What memory_announce() says. */
static char announced[512];

static void catch (enum log_level level, const char *text)
{
	ASSERT_INT(level, LOG_LEVEL_INFO);
	(void)snprintf(announced, sizeof(announced), "%s", text);
}

static const char *
announce(const struct memory *m, int64_t limit)
{
	struct conf conf = { .category_defaults.memory_limit = limit };

	TAILQ_INIT(&conf.categories);
	announced[0] = '\0';
	log_divert(catch);
	memory_announce(m, &conf);
	log_divert(NULL);
	return (announced);
}

static void
takes_a_delegated_group(void)
{
	struct memory_use u;
	struct house h;
	char buf[256];

	open_delegated(&h);
	ASSERT_STR(
	    tree_get(buf, h.tree.cgroup, "supervisor/cgroup.procs"), "0");
	ASSERT_STR(announce(h.memory, 0), "");
	ASSERT(strstr(announce(h.memory, MB), "kept by the kernel") != NULL);
	memory_use_init(&u, h.memory, 5 * MB, over, &h);
	ASSERT(u.group != NULL);
	ASSERT(strstr(u.group, "/cgroup/child-1") != NULL);
	ASSERT_STR(
	    tree_get(buf, h.tree.cgroup, "child-1/memory.max"), "5242880");
	memory_use_kill(&u);
	ASSERT_STR(tree_get(buf, h.tree.cgroup, "child-1/cgroup.kill"), "1");
	tree_remove(u.group);
	memory_use_fini(&u);
	memory_use_fini(&u); /* twice is once */
	close_house(&h);
}

static void
a_child_without_a_limit_gets_no_group(void)
{
	struct memory_use u;
	struct house h;

	open_delegated(&h);
	memory_use_init(&u, h.memory, 0, over, &h);
	ASSERT(u.group == NULL);
	memory_use_started(&u, 7);
	memory_use_busy(&u, true);
	memory_use_kill(&u);
	memory_use_busy(&u, false);
	memory_use_fini(&u);
	close_house(&h);
}

static void
without_a_group_says_why(void)
{
	static const struct {
		const char *cgroup; /* /proc/self/cgroup */
		const char *procs; /* NULL: ours alone */
		const char *why;
	} rows[] = {
		{ "4:memory:/\n0::/\n", NULL, "control groups of version 1" },
		{ "0::/\n", "1\n", "our control group is shared with others" },
		{ "0::/nowhere\n", NULL, "No such file or directory" },
	};
	struct house h;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		open_house(&h);
		tree_put(h.tree.proc, "self/cgroup", "%s", rows[i].cgroup);
		tree_delegate(h.tree.cgroup);
		if (rows[i].procs != NULL)
			tree_put(
			    h.tree.cgroup, "cgroup.procs", "%s", rows[i].procs);
		begin(&h);
		ASSERT(!memory_has_groups(h.memory));
		ASSERT_STR(announce(h.memory, 0), "");
		ASSERT(strstr(announce(h.memory, MB), rows[i].why) != NULL);
		ASSERT(
		    strstr(announced, "sampled, best effort, because") != NULL);
		ASSERT(strstr(announced, "Delegate=memory") != NULL);
		close_house(&h);
	}
}

static void
nothing_is_moved_where_others_are(void)
{
	struct house h;
	char buf[256];

	open_house(&h);
	tree_put(h.tree.proc, "self/cgroup", "%s", "0::/\n");
	tree_delegate(h.tree.cgroup);
	tree_put(h.tree.cgroup, "cgroup.procs", "%d\n1\n", (int)getpid());
	begin(&h);
	ASSERT_STR(tree_get(buf, h.tree.cgroup, "supervisor/cgroup.procs"), "");
	ASSERT_STR(tree_get(buf, h.tree.cgroup, "cgroup.subtree_control"), "");
	close_house(&h);
}

static void
started_in_a_leaf_takes_the_group_above(void)
{
	struct memory_use u;
	struct house h;
	char buf[256];

	open_house(&h);
	tree_put(h.tree.proc, "self/cgroup", "%s", "0::/supervisor\n");
	tree_delegate(h.tree.cgroup);
	tree_put(h.tree.cgroup, "cgroup.procs", "%s", "");
	tree_put(
	    h.tree.cgroup, "supervisor/cgroup.procs", "%d\n", (int)getpid());
	tree_put(h.tree.cgroup, "child-4/cgroup.kill", "%s", "");
	begin(&h);
	ASSERT(memory_has_groups(h.memory));
	/* It was not written to. */
	ASSERT(atol(tree_get(buf, h.tree.cgroup, "supervisor/cgroup.procs")) ==
	    getpid());
	/* What could not be removed keeps its number. */
	tree_put(h.tree.cgroup, "child-5/memory.max", "%s", "max");
	memory_use_init(&u, h.memory, MB, over, &h);
	ASSERT(strstr(u.group, "/child-5") != NULL);
	tree_remove(u.group);
	memory_use_fini(&u);
	close_house(&h);
}

static void
a_busy_group_is_removed_later(void)
{
	struct memory_use u;
	struct house h;
	char buf[256], dir[160], path[256];

	open_delegated(&h);
	memory_use_init(&u, h.memory, MB, over, &h);
	(void)snprintf(dir, sizeof(dir), "%s", u.group);
	memory_use_fini(&u); /* files in it stand for processes */
	ASSERT(tree_has(h.tree.cgroup, "child-1"));
	ASSERT_STR(tree_get(buf, h.tree.cgroup, "child-1/cgroup.kill"), "1");
	ASSERT(event_base_loop(h.base, EVLOOP_ONCE) == 0);
	ASSERT(tree_has(h.tree.cgroup, "child-1"));
	/* The last process is gone; the empty directory is removed. */
	(void)snprintf(path, sizeof(path), "%s/memory.max", dir);
	ASSERT_INT(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/cgroup.kill", dir);
	ASSERT_INT(unlink(path), 0);
	TURN_UNTIL(&h, !tree_has(h.tree.cgroup, "child-1"));
	ASSERT_INT(
	    event_base_get_num_events(h.base, EVENT_BASE_COUNT_ADDED), 0);
	close_house(&h);
}

static void
a_group_that_stays_is_given_up(void)
{
	struct memory_use u;
	struct house h;

	expect_log("cannot remove the control group");
	open_delegated(&h);
	memory_use_init(&u, h.memory, MB, over, &h);
	/* Not EBUSY: no use in trying again. */
	tree_remove(u.group);
	tree_put(h.tree.cgroup, "child-1", "%s", "a file");
	memory_use_fini(&u);
	TURN_UNTIL(
	    &h, event_base_get_num_events(h.base, EVENT_BASE_COUNT_ADDED) == 0);
	close_house(&h);
}

static void
a_group_that_cannot_be_made_means_sampling(void)
{
	struct memory_use u, v;
	struct house h;
	char dir[160];

	expect_log("children are sampled instead");
	open_delegated(&h);
	(void)snprintf(dir, sizeof(dir), "%s/child-1", h.tree.cgroup);
	tree_remove(dir);
	memory_use_init(&u, h.memory, MB, over, &h);
	ASSERT(u.group == NULL);
	memory_use_init(&v, h.memory, MB, over, &h); /* logged once */
	ASSERT(v.group == NULL);
	memory_use_fini(&u);
	memory_use_fini(&v);
	close_house(&h);
}

static void
proves_the_kernel_s_kill(void)
{
	static const struct {
		const char *events;
		const char *peak; /* NULL: an older kernel */
		enum death_cause cause;
		const char *text;
	} rows[] = {
		{ "oom 1\noom_kill 1\n", "1048576\n", DEATH_OOM,
		    "was killed by the kernel for lack of memory "
		    "(memory_limit 1M; peak 1M)" },
		{ "oom 2\noom_kill 3\n", NULL, DEATH_OOM,
		    "was killed by the kernel for lack of memory "
		    "(memory_limit 1M)" },
		{ "oom 0\noom_kill 1\n", "524288\n", DEATH_OOM,
		    "was killed by the kernel because the machine, or the "
		    "worker's control group, was out of memory (it was below "
		    "its memory_limit 1M; peak 512K)" },
		{ "oom 1\noom_kill 0\n", NULL, DEATH_CRASH, "was killed" },
		{ "garbage", NULL, DEATH_CRASH, "was killed" },
	};
	struct memory_use u;
	struct death d;
	struct house h;
	size_t i;

	open_delegated(&h);
	memory_use_init(&u, h.memory, MB, over, &h);
	killed(&d);
	memory_use_judge(&u, &d); /* no memory.events at all */
	ASSERT_INT(d.cause, DEATH_CRASH);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tree_put(u.group, "memory.events", "%s", rows[i].events);
		if (rows[i].peak != NULL)
			tree_put(u.group, "memory.peak", "%s", rows[i].peak);
		else if (tree_has(u.group, "memory.peak"))
			tree_put(u.group, "memory.peak", "%s", "");
		killed(&d);
		memory_use_judge(&u, &d);
		ASSERT_INT(d.cause, rows[i].cause);
		ASSERT_STR(d.text, rows[i].text);
	}
	/* Another signal is not the OOM killer's. */
	tree_put(u.group, "memory.events", "%s", "oom 1\noom_kill 1\n");
	killed(&d);
	d.signal = SIGSEGV;
	memory_use_judge(&u, &d);
	ASSERT_INT(d.cause, DEATH_CRASH);
	tree_remove(u.group);
	memory_use_fini(&u);
	close_house(&h);
}

static void
sees_the_oom_killer_in_our_own_group(void)
{
	struct memory_use u;
	struct death d;
	struct house h;

	open_house(&h);
	tree_put(h.tree.proc, "self/cgroup", "%s", "0::/\n");
	tree_put(h.tree.cgroup, "memory.events", "%s", "oom_kill 5\n");
	begin(&h); /* not delegated, but readable */
	memory_use_init(&u, h.memory, 0, over, &h);
	memory_use_started(&u, 7);
	memory_use_busy(&u, true);
	killed(&d);
	memory_use_judge(&u, &d);
	ASSERT_INT(d.cause, DEATH_CRASH); /* those were before */
	tree_put(h.tree.cgroup, "memory.events", "%s", "oom_kill 6\n");
	killed(&d);
	memory_use_judge(&u, &d);
	ASSERT_INT(d.cause, DEATH_OOM);
	ASSERT(strstr(d.text, "OOM killer was at work") != NULL);
	memory_use_fini(&u);
	close_house(&h);
}

static void
knows_nothing_without_a_count(void)
{
	struct memory_use u, nobody;
	struct death d;
	struct house h;

	open_house(&h);
	begin(&h);
	memory_use_init(&u, h.memory, 0, over, &h);
	killed(&d);
	memory_use_judge(&u, &d);
	ASSERT_INT(d.cause, DEATH_CRASH);
	memory_use_fini(&u);
	/* Nobody looks at all. */
	memory_use_init(&nobody, NULL, MB, over, &h);
	memory_use_started(&nobody, 7);
	memory_use_busy(&nobody, true);
	memory_use_judge(&nobody, &d);
	memory_use_kill(&nobody);
	memory_use_fini(&nobody);
	ASSERT(!memory_is_short(NULL, MB, 0));
	ASSERT_INT(memory_available(NULL), INT64_MAX);
	ASSERT(!memory_has_groups(NULL));
	memory_free(NULL);
	close_house(&h);
}

/* A process of that many pages, half of them shared when pss_kb says so. */
static void
put_process(const struct house *h, int pid, int64_t rss_kb, int64_t pss_kb)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%d/statm", pid);
	tree_put(h->tree.proc, name, "1 %lld 0\n",
	    (long long)(rss_kb * 1024 / sysconf(_SC_PAGESIZE)));
	(void)snprintf(name, sizeof(name), "%d/smaps_rollup", pid);
	tree_put(h->tree.proc, name, "x\nPss: %lld kB\n", (long long)pss_kb);
}

static void
a_sample_ends_whoever_is_over(void)
{
	struct memory_use u, v;
	struct house h;

	open_house(&h);
	begin(&h);
	/* 7 is small, but what it has started is not. */
	put_process(&h, 7, 100, 100);
	tree_put(h.tree.proc, "7/task/7/children", "%s", "8 ");
	put_process(&h, 8, 1400, 1000);
	put_process(&h, 9, 400, 400);
	memory_use_init(&u, h.memory, MB, over, &h);
	memory_use_init(&v, h.memory, MB, over, &h);
	ASSERT(u.group == NULL);
	memory_use_started(&u, 7);
	memory_use_started(&v, 9);
	ASSERT_INT(event_base_get_num_events(h.base, EVENT_BASE_COUNT_ADDED),
	    0); /* nobody is busy: nobody is looked at */
	memory_use_busy(&u, true);
	memory_use_busy(&v, true);
	TURN_UNTIL(&h, h.overs != 0);
	ASSERT_STR(h.over, "used more than memory_limit (1M): 1.1M; sampled");
	ASSERT_INT(h.overs, 1);
	ASSERT(!u.busy);
	ASSERT(v.busy);
	memory_use_busy(&v, false);
	TURN_UNTIL(
	    &h, event_base_get_num_events(h.base, EVENT_BASE_COUNT_ADDED) == 0);
	ASSERT_INT(h.overs, 1);
	memory_use_fini(&u);
	memory_use_fini(&v);
	close_house(&h);
}

static void
shared_pages_are_not_counted_in_full(void)
{
	struct memory_use u;
	struct house h;
	int i;

	open_house(&h);
	begin(&h);
	put_process(&h, 7, 9000, 1024); /* at the limit, not above */
	memory_use_init(&u, h.memory, MB, over, &h);
	memory_use_started(&u, 7);
	memory_use_busy(&u, true);
	for (i = 0; i < 3; i++)
		ASSERT(event_base_loop(h.base, EVLOOP_ONCE) == 0);
	ASSERT_INT(h.overs, 0);
	put_process(&h, 7, 9000, 1025);
	TURN_UNTIL(&h, h.overs == 1);
	memory_use_fini(&u);
	close_house(&h);
}

static void
many_are_looked_at_in_turns(void)
{
	enum {
		MANY = 200
	};
	static struct memory_use u[MANY];
	struct house h;
	int i;

	open_house(&h);
	begin(&h);
	for (i = 0; i < MANY; i++) {
		put_process(&h, 1000 + i, 400, 400);
		memory_use_init(&u[i], h.memory, MB, over, &h);
		memory_use_started(&u[i], 1000 + i);
		memory_use_busy(&u[i], true);
	}
	put_process(&h, 1000 + MANY - 1, 4000, 4000);
	/* Not in the first turn, which is for those before it. */
	ASSERT(event_base_loop(h.base, EVLOOP_ONCE) == 0);
	ASSERT_INT(h.overs, 0);
	TURN_UNTIL(&h, h.overs == 1);
	for (i = 0; i < MANY; i++)
		memory_use_fini(&u[i]);
	close_house(&h);
}

static void
says_when_memory_is_short(void)
{
	struct house h;

	expect_log("no task is taken until there is more");
	open_house(&h);
	begin(&h);
	ASSERT(!memory_is_short(h.memory, MB, 1000)); /* nobody tells */
	tree_put(h.tree.proc, "meminfo", "%s", "MemAvailable: 1000 kB\n");
	ASSERT(!memory_is_short(h.memory, MB, 1199)); /* as it was */
	ASSERT(!memory_is_short(h.memory, 0, 1200)); /* no such limit */
	ASSERT(memory_is_short(h.memory, MB, 1200));
	tree_put(h.tree.proc, "meminfo", "%s", "MemAvailable: 1024 kB\n");
	ASSERT(memory_is_short(h.memory, MB, 1399));
	ASSERT(!memory_is_short(h.memory, MB, 1400));
	ASSERT_INT(memory_available(h.memory), MB);
	close_house(&h);
}

static void
looks_at_real_processes(void)
{
	const int64_t rss = memory_rss(getpid()), pss = memory_pss(getpid());
	struct event_base *base;
	struct memory *m;
	struct why why;

	ASSERT(rss > 100 * 1024);
	ASSERT(pss > 100 * 1024);
	ASSERT(memory_is_above(getpid(), 100 * 1024));
	ASSERT(!memory_is_above(getpid(), INT64_MAX));
	ASSERT_INT(memory_rss(0), -1);
	ASSERT_INT(memory_pss(0), -1);
	ASSERT(!memory_is_above(0, 1));
	/* The machine's own files; nothing is changed by looking. */
	ASSERT((base = event_base_new()) != NULL);
	ASSERT((m = memory_new(base, &(struct memory_paths){ "/proc", "/none" },
		    &why)) != NULL);
	ASSERT(!memory_has_groups(m));
	ASSERT(memory_available(m) > 0);
	ASSERT(memory_available(m) < INT64_MAX);
	memory_free(m);
	event_base_free(base);
}

static void
raises_the_descriptor_limit(void)
{
	struct rlimit limit;
	rlim_t original = 0;
	struct why why;

	ASSERT_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 64;
	ASSERT_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ASSERT_INT(nofile_raise(&original, &why), 0);
	ASSERT_INT(original, 64);
	ASSERT_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	ASSERT_INT(limit.rlim_cur, limit.rlim_max);
	/* There is nothing to raise. */
	ASSERT_INT(nofile_raise(&original, &why), 0);
	ASSERT_INT(original, limit.rlim_max);
}

static const struct test tests[] = {
	{ "takes a delegated group", takes_a_delegated_group },
	{ "a child without a limit gets no group",
	    a_child_without_a_limit_gets_no_group },
	{ "without a group says why", without_a_group_says_why },
	{ "nothing is moved where others are",
	    nothing_is_moved_where_others_are },
	{ "started in a leaf takes the group above",
	    started_in_a_leaf_takes_the_group_above },
	{ "a busy group is removed later", a_busy_group_is_removed_later },
	{ "a group that stays is given up", a_group_that_stays_is_given_up },
	{ "a group that cannot be made means sampling",
	    a_group_that_cannot_be_made_means_sampling },
	{ "proves the kernel's kill", proves_the_kernel_s_kill },
	{ "sees the OOM killer in our own group",
	    sees_the_oom_killer_in_our_own_group },
	{ "knows nothing without a count", knows_nothing_without_a_count },
	{ "a sample ends whoever is over", a_sample_ends_whoever_is_over },
	{ "shared pages are not counted in full",
	    shared_pages_are_not_counted_in_full },
	{ "many are looked at in turns", many_are_looked_at_in_turns },
	{ "says when memory is short", says_when_memory_is_short },
	{ "looks at real processes", looks_at_real_processes },
	{ "raises the descriptor limit", raises_the_descriptor_limit },
};

TEST_MAIN(tests)
