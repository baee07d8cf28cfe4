/* SPDX-License-Identifier: ISC */
/* The real child program, in a tree that stands for control groups. */
#include <limits.h>
#include <signal.h>

#include <event2/event.h>

#include "supervisor/children/child.h"
#include "supervisor/children/memory.h"
#include "supervisor/edges/signals.h"
#include "tests/unit/fake_tree.h"

#define LIMIT_S 120
#define MB      ((int64_t)1024 * 1024)

struct stage {
	struct tree tree;
	struct event_base *base;
	struct event *limit;
	struct signals signals;
	struct reaper reaper;
	struct child_env env;
	struct child *child;
	struct death death;
	unsigned readies;
	bool gone;
	bool late;
};

static void
on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct stage *s = arg;

	(void)fd;
	(void)what;
	s->late = true;
}

static void
on_sigchld(int number, void *arg)
{
	struct stage *s = arg;

	(void)number;
	reaper_run(&s->reaper);
}

static const struct signal_row signal_rows[] = {
	{ SIGCHLD, on_sigchld },
};

static void
on_ready(struct child *c, const struct offer *offer, void *arg)
{
	struct stage *s = arg;

	(void)c;
	(void)offer;
	s->readies++;
}

static void
on_gone(struct child *c, const struct death *death, void *arg)
{
	struct stage *s = arg;

	s->death = *death;
	s->gone = true;
	s->child = NULL;
	child_free(c);
}

static const struct child_ops ops = {
	.ready = on_ready,
	.gone = on_gone,
};

static void
open_stage(struct stage *s)
{
	const struct timeval limit = { LIMIT_S, 0 };
	struct memory_paths paths;
	struct why why;

	*s = (struct stage){ 0 };
	tree_open(&s->tree);
	ASSERT((s->base = event_base_new()) != NULL);
	ASSERT((s->limit = evtimer_new(s->base, on_limit, s)) != NULL);
	ASSERT_INT(evtimer_add(s->limit, &limit), 0);
	ASSERT_INT(
	    signals_open(&s->signals, s->base, signal_rows, 1, s, &why), 0);
	reaper_init(&s->reaper);
	tree_put(s->tree.proc, "self/cgroup", "%s", "0::/\n");
	tree_delegate(s->tree.cgroup);
	paths = (struct memory_paths){ s->tree.proc, s->tree.cgroup };
	s->env.base = s->base;
	s->env.reaper = &s->reaper;
	s->env.memory = memory_new(s->base, &paths, &why);
	ASSERT(memory_has_groups(s->env.memory));
	tree_put(s->tree.cgroup, "child-1/memory.max", "%s", "max");
	tree_put(s->tree.cgroup, "child-1/cgroup.kill", "%s", "");
}

static void
close_stage(struct stage *s)
{
	child_free(s->child);
	memory_free(s->env.memory);
	signals_close(&s->signals);
	event_free(s->limit);
	event_base_free(s->base);
	tree_close(&s->tree);
}

static void
start_child(struct stage *s, int64_t memory_limit)
{
	const char *top = getenv("top_builddir");
	char program[PATH_MAX], echo[PATH_MAX], parent[16];
	char *argv[] = { program, (char *)"--parent", parent,
		(char *)"--category", (char *)"pool", echo, NULL };
	char *envp[] = { NULL };
	struct why why;

	if (top == NULL)
		top = ".";
	(void)snprintf(program, sizeof(program), "%s/avtoworker-child", top);
	(void)snprintf(parent, sizeof(parent), "%d", (int)getpid());
	(void)snprintf(
	    echo, sizeof(echo), "echo=%s/tests/integration/.libs/zoo.so", top);
	s->child = child_new(
	    &(struct child_start){
		.env = &s->env,
		.category = "pool",
		.argv = argv,
		.envp = envp,
		.timeout_ms = LIMIT_S * 1000,
		.stop_timeout_ms = LIMIT_S * 1000,
		.memory_limit = memory_limit,
		.ops = &ops,
		.arg = s,
	    },
	    &why);
	ASSERT(s->child != NULL);
}

#define RUN_UNTIL(s, claim) \
	do { \
		while (!(claim)) { \
			if ((s)->late) \
				test_fail(__FILE__, __LINE__, \
				    "not within %d s: %s", LIMIT_S, #claim); \
			(void)event_base_loop((s)->base, EVLOOP_ONCE); \
		} \
	} while (0)

static void
it_joins_before_it_is_ready(void)
{
	struct stage s;
	char buf[256];

	open_stage(&s);
	tree_put(s.tree.cgroup, "child-1/cgroup.procs", "%s", "");
	start_child(&s, 5 * MB);
	ASSERT_STR(
	    tree_get(buf, s.tree.cgroup, "child-1/memory.max"), "5242880");
	RUN_UNTIL(&s, s.readies == 1);
	ASSERT_STR(tree_get(buf, s.tree.cgroup, "child-1/cgroup.procs"), "0");
	/* All that is in the group ends with it. */
	ASSERT_STR(tree_get(buf, s.tree.cgroup, "child-1/cgroup.kill"), "");
	child_kill(s.child, DEATH_STOP, "was to go");
	ASSERT_STR(tree_get(buf, s.tree.cgroup, "child-1/cgroup.kill"), "1");
	RUN_UNTIL(&s, s.gone);
	ASSERT_INT(s.death.cause, DEATH_STOP);
	close_stage(&s);
}

static void
the_kernel_s_kill_is_told(void)
{
	struct stage s;

	open_stage(&s);
	tree_put(s.tree.cgroup, "child-1/cgroup.procs", "%s", "");
	tree_put(s.tree.cgroup, "child-1/memory.events", "%s",
	    "oom 0\noom_kill 0\n");
	start_child(&s, 5 * MB);
	RUN_UNTIL(&s, s.readies == 1);
	tree_put(s.tree.cgroup, "child-1/memory.events", "%s",
	    "oom 1\noom_kill 1\n");
	ASSERT_INT(kill(s.child->pid, SIGKILL), 0);
	RUN_UNTIL(&s, s.gone);
	ASSERT_INT(s.death.cause, DEATH_OOM);
	ASSERT_STR(s.death.text,
	    "was killed by the kernel for lack of memory (memory_limit 5M)");
	close_stage(&s);
}

static void
our_own_reason_comes_first(void)
{
	struct stage s;

	open_stage(&s);
	tree_put(s.tree.cgroup, "child-1/cgroup.procs", "%s", "");
	tree_put(s.tree.cgroup, "child-1/memory.events", "%s",
	    "oom 1\noom_kill 1\n");
	start_child(&s, 5 * MB);
	RUN_UNTIL(&s, s.readies == 1);
	child_kill(s.child, DEATH_TIME_LIMIT, "took too long");
	RUN_UNTIL(&s, s.gone);
	ASSERT_INT(s.death.cause, DEATH_TIME_LIMIT);
	close_stage(&s);
}

static void
one_that_cannot_join_does_not_start(void)
{
	struct stage s;

	open_stage(&s);
	start_child(&s, 5 * MB); /* there is no cgroup.procs */
	RUN_UNTIL(&s, s.gone);
	ASSERT_INT(s.readies, 0);
	ASSERT_INT(s.death.cause, DEATH_START);
	ASSERT(strstr(s.death.text, "memory_limit") != NULL);
	close_stage(&s);
}

static void
one_without_a_limit_joins_nothing(void)
{
	struct stage s;

	open_stage(&s);
	start_child(&s, 0);
	RUN_UNTIL(&s, s.readies == 1);
	ASSERT(!tree_has(s.tree.cgroup, "child-1/cgroup.procs"));
	ASSERT_INT(kill(s.child->pid, SIGKILL), 0);
	RUN_UNTIL(&s, s.gone);
	ASSERT_INT(s.death.cause, DEATH_CRASH);
	close_stage(&s);
}

static const struct test tests[] = {
	{ "it joins before it is ready", it_joins_before_it_is_ready },
	{ "the kernel's kill is told", the_kernel_s_kill_is_told },
	{ "our own reason comes first", our_own_reason_comes_first },
	{ "one that cannot join does not start",
	    one_that_cannot_join_does_not_start },
	{ "one without a limit joins nothing",
	    one_without_a_limit_joins_nothing },
};

TEST_MAIN(tests)
