/* SPDX-License-Identifier: ISC */
/* One child with the real child program, and what its task may take. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bsd/string.h>
#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/words.h"
#include "supervisor/children/child.h"
#include "supervisor/children/environment.h"
#include "supervisor/edges/signals.h"
#include "supervisor/lease.h"
#include "tests/test.h"

#define LIMIT_S 120
#define NEVER   "{\"ms\":1000000}"

extern char **environ;

struct scene {
	struct event_base *base;
	struct event *limit;
	struct signals signals;
	struct reaper reaper;
	struct child_env env;
	struct lease_table leases;
	struct child *child; /* NULL when it is gone */
	struct lease *lease;
	struct result result; /* its last */
	struct death death; /* valid when it is gone */
	char tail[4096]; /* of the death */
	char program[PATH_MAX];
	unsigned finished;
	bool lost; /* it had a lease when it died */
	bool late;
};

static void
on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct scene *s = arg;

	(void)fd;
	(void)what;
	s->late = true;
}

static void
on_ready(struct child *c, const struct offer *offer, void *arg)
{
	(void)c;
	(void)offer;
	(void)arg;
}

static void
on_finished(struct child *c, struct lease *l, struct result *result, void *arg)
{
	struct scene *s = arg;

	(void)c;
	ASSERT(l == s->lease);
	result_fini(&s->result);
	s->result = *result;
	*result = (struct result){ 0 };
	s->finished++;
}

static void
on_lost(struct child *c, struct lease *l, bool started,
    const struct death *death, void *arg)
{
	struct scene *s = arg;

	(void)c;
	(void)started;
	ASSERT(l == s->lease);
	ASSERT(death->wall_ms >= 0);
	s->lost = true;
}

static void
on_gone(struct child *c, const struct death *death, void *arg)
{
	struct scene *s = arg;

	s->death = *death;
	(void)strlcpy(s->tail, death->tail, sizeof(s->tail));
	child_free(c);
	s->child = NULL;
}

static const struct child_ops ops = {
	.ready = on_ready,
	.finished = on_finished,
	.lost = on_lost,
	.gone = on_gone,
};

static void
on_sigchld(int number, void *arg)
{
	struct scene *s = arg;

	(void)number;
	reaper_run(&s->reaper);
}

static const struct signal_row signal_rows[] = {
	{ SIGCHLD, on_sigchld },
};

/* Runs the loop until the claim holds. */
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
start_child(struct scene *s, const char *type, int64_t cpu_limit_ms)
{
	const char *top = getenv("top_builddir");
	char parent[16], assignment[PATH_MAX];
	char *argv[] = { s->program, (char *)"--parent", parent,
		(char *)"--category", (char *)"test", assignment, NULL };
	struct why why;

	(void)snprintf(s->program, sizeof(s->program), "%s/avtoworker-child",
	    top != NULL ? top : ".");
	(void)snprintf(parent, sizeof(parent), "%d", (int)getpid());
	(void)snprintf(assignment, sizeof(assignment),
	    "%s=%s/tests/integration/.libs/zoo.so", type,
	    top != NULL ? top : ".");
	s->child = child_new(
	    &(struct child_start){
		.env = &s->env,
		.category = "test",
		.argv = argv,
		.envp = (char **)s->env.clean,
		.timeout_ms = LIMIT_S * 1000,
		.stop_timeout_ms = LIMIT_S * 1000,
		.cpu_limit_ms = cpu_limit_ms,
		.ops = &ops,
		.arg = s,
	    },
	    &why);
	ASSERT(s->child != NULL);
	RUN_UNTIL(s, child_is_free(s->child));
}

static void
open_scene(struct scene *s, const char *type)
{
	const struct timeval limit = { LIMIT_S, 0 };
	struct why why;

	*s = (struct scene){ 0 };
	ASSERT((s->base = event_base_new()) != NULL);
	ASSERT((s->limit = evtimer_new(s->base, on_limit, s)) != NULL);
	ASSERT_INT(evtimer_add(s->limit, &limit), 0);
	ASSERT_INT(
	    signals_open(&s->signals, s->base, signal_rows, 1, s, &why), 0);
	reaper_init(&s->reaper);
	s->env = (struct child_env){
		.base = s->base,
		.reaper = &s->reaper,
		.clean = environment_clean(environ),
	};
	ASSERT(s->env.clean != NULL);
	lease_table_init(&s->leases);
	start_child(s, type, 0);
}

static void
close_scene(struct scene *s)
{
	if (s->child != NULL) {
		child_kill(s->child, DEATH_STOP, "is not needed");
		RUN_UNTIL(s, s->child == NULL);
	}
	result_fini(&s->result);
	lease_table_fini(&s->leases);
	words_free((char **)s->env.clean);
	signals_close(&s->signals);
	event_free(s->limit);
	event_base_free(s->base);
}

/* Gives the child a task; does not wait for anything. */
static void
run(struct scene *s, const char *type, const char *params,
    const struct task_limits *limits)
{
	struct task task = {
		.task_id = strdup("t-1"),
		.job_id = strdup("j-1"),
		.type = strdup(type),
	};
	struct why why;

	lease_free(&s->leases, s->lease);
	bytes_puts(&task.params, params);
	ASSERT(!bytes_failed(&task.params));
	ASSERT((s->lease = lease_new(&s->leases, &task, NULL, 0)) != NULL);
	ASSERT_INT(child_run(s->child, s->lease, limits, &why), 0);
}

/* Its task. */
static struct child_task *
task_of(const struct scene *s)
{
	struct child_task *t = child_task_find(s->child, s->lease->id);

	ASSERT(t != NULL);
	return (t);
}

static bool
holds(const struct bytes *b, const char *text)
{
	return (memmem(b->p, b->len, text, strlen(text)) != NULL);
}

static void
check_death(const struct scene *s, enum death_cause cause,
    enum death_stage stage, const char *text)
{
	ASSERT_STR(death_cause_name(s->death.cause), death_cause_name(cause));
	ASSERT_STR(death_stage_name(s->death.stage), death_stage_name(stage));
	ASSERT_STR(s->death.text, text);
}

/* Nobody waits for a limit that is far enough to be met by a slow machine: the
 * end of its task, which has begun, is brought here. */
static void
bring_end(struct scene *s)
{
	RUN_UNTIL(s, task_of(s)->started);
	task_of(s)->clock.end_at_ms = clock_now_ms();
	(void)event_del(&s->child->timer);
	event_active(&s->child->timer, EV_TIMEOUT, 1);
	RUN_UNTIL(s, s->child == NULL);
}

static void
hears_the_soft_limit(void)
{
	const struct task_limits limits = { .soft_ms = 50, .grace_ms = 20000 };
	const struct task_limits later = { .soft_ms = 60000 };
	struct scene s;

	open_scene(&s, "heed");
	run(&s, "heed", NEVER, &limits);
	RUN_UNTIL(&s, s.finished == 1);
	ASSERT_STR(s.result.status, "success");
	ASSERT(holds(&s.result.data, "\"reason\":\"time_limit\""));
	/* It lives on, and the next task knows nothing of it. */
	run(&s, "heed", "{\"ms\":20}", &later);
	RUN_UNTIL(&s, s.finished == 2);
	ASSERT(holds(&s.result.data, "\"cancelled\":false,\"reason\":null"));
	ASSERT(!evtimer_pending(&s.child->timer, NULL));
	run(&s, "heed", "{\"ms\":100000,\"fail\":true}", &limits);
	RUN_UNTIL(&s, s.finished == 3);
	ASSERT_STR(s.result.code, "GAVE_UP");
	ASSERT_STR(s.result.message, "asked to stop: time_limit");
	ASSERT_INT(s.child->tasks, 3);
	close_scene(&s);
}

static void
ends_at_the_hard_limit(void)
{
	const struct task_limits limits = { .hard_ms = 3000, .grace_ms = 50 };
	struct scene s;

	open_scene(&s, "slow");
	run(&s, "slow", NEVER, &limits);
	RUN_UNTIL(&s, s.child == NULL);
	ASSERT(s.lost);
	check_death(&s, DEATH_TIME_LIMIT, DEATH_STAGE_HANDLER,
	    "ran longer than time_limit (3 s)");
	ASSERT_INT(s.death.signal, SIGKILL);
	ASSERT(s.death.wall_ms >= 3000 && s.death.wall_ms < LIMIT_S * 1000);
	close_scene(&s);
}

/* As if the supervisor had been stopped for ten seconds. */
static void
come_late(struct scene *s)
{
	task_of(s)->clock.end_at_ms = clock_now_ms();
	s->child->due_ms = clock_now_ms() - 10000;
	(void)event_del(&s->child->timer);
	event_active(&s->child->timer, EV_TIMEOUT, 1);
	(void)event_base_loop(s->base, EVLOOP_ONCE);
}

static void
is_not_to_blame_for_our_absence(void)
{
	const struct task_limits limits = { .hard_ms = 60000 };
	struct scene s;

	open_scene(&s, "slow");
	run(&s, "slow", NEVER, &limits);
	RUN_UNTIL(&s, task_of(&s)->started);
	come_late(&s);
	ASSERT_STR(child_state_name(s.child->state), "busy");
	ASSERT(task_of(&s)->clock.end_at_ms > clock_now_ms() + 5000);
	come_late(&s); /* once is enough */
	RUN_UNTIL(&s, s.child == NULL);
	check_death(&s, DEATH_TIME_LIMIT, DEATH_STAGE_HANDLER,
	    "ran longer than time_limit (60 s)");
	close_scene(&s);
}

/* The grace before a hard limit is enough for who listens. */
static void
hears_of_the_hard_limit(void)
{
	const struct task_limits limits = { .hard_ms = 20000,
		.grace_ms = 19900 };
	struct scene s;
	int64_t began = clock_now_ms();

	open_scene(&s, "heed");
	run(&s, "heed", NEVER, &limits);
	ASSERT_INT(task_of(&s)->clock.ask_at_ms,
	    task_of(&s)->clock.started_ms + 10000);
	/* Nobody waits for so long: the moment is brought here. */
	task_of(&s)->clock.ask_at_ms = task_of(&s)->clock.started_ms + 50;
	task_of(&s)->clock.slow_at_ms = task_of(&s)->clock.started_ms + 20;
	expect_log("longer than slow_after; state ");
	(void)event_del(&s.child->timer);
	event_active(&s.child->timer, EV_TIMEOUT, 1);
	RUN_UNTIL(&s, s.finished == 1);
	ASSERT(holds(&s.result.data, "\"reason\":\"time_limit\""));
	ASSERT(clock_now_ms() - began < LIMIT_S * 1000);
	close_scene(&s);
}

static void
ends_what_is_deaf(void)
{
	const struct task_limits limits = {
		.soft_ms = 20,
		.hard_ms = 60000,
		.grace_ms = 10,
	};
	const struct task_limits soon = { .hard_ms = 100, .grace_ms = 10 };
	struct scene s;

	open_scene(&s, "deaf");
	run(&s, "deaf", "{}", &limits);
	RUN_UNTIL(&s, task_of(&s)->clock.asked);
	bring_end(&s);
	check_death(&s, DEATH_TIME_LIMIT, DEATH_STAGE_HANDLER,
	    "ran longer than time_limit (60 s)");
	start_child(&s, "deaf", 0);
	run(&s, "deaf", "{\"stop\":true}", &limits);
	RUN_UNTIL(&s, task_of(&s)->clock.asked);
	bring_end(&s);
	check_death(&s, DEATH_TIME_LIMIT, DEATH_STAGE_HANDLER,
	    "ran longer than time_limit (60 s)");
	/* Stopped before it has read the task. */
	start_child(&s, "deaf", 0);
	ASSERT_INT(kill(s.child->pid, SIGSTOP), 0);
	run(&s, "deaf", "{}", &soon);
	RUN_UNTIL(&s, s.child == NULL);
	check_death(&s, DEATH_TIME_LIMIT, DEATH_STAGE_BEFORE,
	    "ran longer than time_limit (0.1 s)");
	close_scene(&s);
}

static void
ends_at_the_deadline(void)
{
	struct task_limits limits = { .hard_ms = 120000, .grace_ms = 10 };
	struct scene s;

	open_scene(&s, "slow");
	limits.deadline_ms = clock_now_ms() + 60000;
	run(&s, "slow", NEVER, &limits);
	ASSERT_INT(task_of(&s)->clock.end_at_ms, limits.deadline_ms);
	bring_end(&s);
	check_death(&s, DEATH_DEADLINE, DEATH_STAGE_HANDLER,
	    "ran until the task's deadline");
	close_scene(&s);
}

static void
is_cancelled(void)
{
	const struct task_limits none = { 0 };
	struct scene s;

	open_scene(&s, "heed");
	child_cancel_all(s.child, CANCEL_CANCEL, 0); /* idle: nothing */
	run(&s, "heed", NEVER, &none);
	RUN_UNTIL(&s, task_of(&s)->started);
	child_cancel(s.child, task_of(&s), CANCEL_CANCEL, 20000);
	child_cancel(
	    s.child, task_of(&s), CANCEL_DRAIN, 20000); /* knows it already */
	RUN_UNTIL(&s, s.finished == 1);
	ASSERT(holds(&s.result.data, "\"reason\":\"cancel\""));
	/* In one piece with the task. */
	run(&s, "heed", NEVER, &none);
	child_cancel(s.child, task_of(&s), CANCEL_DRAIN, 20000);
	RUN_UNTIL(&s, s.finished == 2);
	ASSERT(holds(&s.result.data, "\"reason\":\"drain\""));
	/* Too late: it is asked, but does not stop within the grace. */
	run(&s, "heed", "{\"ms\":100000,\"after\":100000}", &none);
	child_cancel(s.child, task_of(&s), CANCEL_CANCEL, 50);
	RUN_UNTIL(&s, s.child == NULL);
	ASSERT_INT(s.finished, 2);
	ASSERT_STR(death_cause_name(s.death.cause), "cancelled");
	ASSERT_STR(
	    s.death.text, "did not stop within 0.05 s of being cancelled");
	close_scene(&s);
}

/* Until the whole of its answer is there; it is sent in one piece. */
static void
await_answer(const struct child *c)
{
	char buf[4096];
	ssize_t n;

	do
		n = recv(c->channel.fd, buf, sizeof(buf), MSG_PEEK);
	while (n <= 0 || memmem(buf, (size_t)n, "success", 7) == NULL);
}

/* A result that is in the pipe when we kill is the task's result. */
static void
keeps_a_late_result(void)
{
	const struct task_limits none = { 0 };
	struct scene s;

	open_scene(&s, "echo");
	run(&s, "echo", "{}", &none);
	/* Without our loop: it has answered when it waits for more. */
	await_answer(s.child);
	child_kill(s.child, DEATH_TIME_LIMIT, "ran longer");
	RUN_UNTIL(&s, s.child == NULL);
	ASSERT_INT(s.finished, 1);
	ASSERT_STR(s.result.status, "success");
	ASSERT(!s.lost);
	check_death(&s, DEATH_TIME_LIMIT, DEATH_STAGE_AFTER, "ran longer");
	close_scene(&s);
}

static void
dies_after_it_was_asked(void)
{
	const struct task_limits limits = { .soft_ms = 50, .grace_ms = 20000 };
	struct scene s;

	open_scene(&s, "slow");
	run(&s, "slow", NEVER, &limits);
	RUN_UNTIL(&s, task_of(&s)->started && task_of(&s)->clock.asked);
	ASSERT_INT(kill(s.child->pid, SIGTERM), 0); /* ignored */
	ASSERT_INT(kill(s.child->pid, SIGUSR1), 0);
	RUN_UNTIL(&s, s.child == NULL);
	check_death(&s, DEATH_TIME_LIMIT, DEATH_STAGE_HANDLER,
	    "was killed by signal 10 (User defined signal 1) after it was "
	    "asked to stop");
	close_scene(&s);
}

static void
is_killed_from_outside(void)
{
	const struct task_limits none = { 0 };
	struct scene s;

	open_scene(&s, "slow");
	run(&s, "slow", NEVER, &none);
	RUN_UNTIL(&s, task_of(&s)->started);
	ASSERT_INT(kill(s.child->pid, SIGKILL), 0);
	RUN_UNTIL(&s, s.child == NULL);
	check_death(&s, DEATH_CRASH, DEATH_STAGE_HANDLER,
	    "was killed by signal 9 (Killed), not by us; perhaps for lack of "
	    "memory");
	start_child(&s, "exit_now", 0);
	run(&s, "exit_now", "{}", &none);
	RUN_UNTIL(&s, s.child == NULL);
	check_death(
	    &s, DEATH_CRASH, DEATH_STAGE_HANDLER, "exited with status 0");
	start_child(&s, "slow", 0);
	ASSERT_INT(kill(s.child->pid, SIGKILL), 0);
	RUN_UNTIL(&s, s.child == NULL);
	ASSERT_STR(death_stage_name(s.death.stage), "idle");
	ASSERT_INT(s.death.wall_ms, -1);
	start_child(&s, "slow", 0);
	child_stop(s.child);
	RUN_UNTIL(&s, s.child == NULL);
	check_death(
	    &s, DEATH_CRASH, DEATH_STAGE_LEAVING, "exited with status 0");
	close_scene(&s);
}

static void
knows_the_cpu_limit(void)
{
	const struct task_limits none = { 0 };
	struct scene s;

	open_scene(&s, "crash");
	run(&s, "crash", "{\"signal\":24}", &none);
	RUN_UNTIL(&s, s.child == NULL);
	ASSERT_INT(s.death.signal, SIGXCPU);
	ASSERT_STR(death_cause_name(s.death.cause), "crash");
	start_child(&s, "crash", 5000);
	run(&s, "crash", "{\"signal\":24}", &none);
	RUN_UNTIL(&s, s.child == NULL);
	check_death(&s, DEATH_CPU_LIMIT, DEATH_STAGE_HANDLER,
	    "used more processor time than cpu_time_limit (5 s)");
	close_scene(&s);
}

static void
keeps_the_tail(void)
{
	const struct task_limits limits = { .output_max = 1000 };
	struct scene s;

	expect_log("output beyond 1000 bytes is dropped");
	expect_log("bytes of output were dropped");
	open_scene(&s, "babble");
	run(&s, "babble", "{\"count\":100,\"size\":100,\"crash\":true}",
	    &limits);
	RUN_UNTIL(&s, s.child == NULL);
	ASSERT_INT(s.death.signal, SIGABRT);
	/* What was dropped from the log is in the record. */
	ASSERT(strlen(s.tail) > 1900);
	ASSERT_STR(
	    s.tail + strlen(s.tail) - strlen("x\nthe end"), "x\nthe end");
	ASSERT(s.tail[0] == 'x');
	close_scene(&s);
}

/* True when the kernel writes a plain file into the working directory. */
static bool
allow_cores(void)
{
	struct rlimit limit;
	char pattern[32] = "";
	FILE *f;

	if ((f = fopen("/proc/sys/kernel/core_pattern", "re")) != NULL) {
		(void)!fgets(pattern, sizeof(pattern), f);
		(void)fclose(f);
	}
	if (strncmp(pattern, "core", strlen("core")) != 0 ||
	    getrlimit(RLIMIT_CORE, &limit) == -1 || limit.rlim_max == 0)
		return (false);
	limit.rlim_cur = limit.rlim_max;
	return (setrlimit(RLIMIT_CORE, &limit) == 0);
}

/* The child must have been started with the limit and the directory. */
static void
says_that_there_is_a_core(void)
{
	const struct task_limits none = { 0 };
	char dir[] = "/tmp/aw-core-XXXXXX", file[64], *top;
	struct scene s;

	ASSERT(
	    (top = realpath(
		 getenv("top_builddir") != NULL ? getenv("top_builddir") : ".",
		 NULL)) != NULL);
	ASSERT_INT(setenv("top_builddir", top, 1), 0);
	free(top);
	ASSERT(mkdtemp(dir) != NULL && chdir(dir) == 0);
	if (allow_cores()) {
		open_scene(&s, "crash");
		(void)snprintf(file, sizeof(file), "core.%d",
		    (int)s.child->pid); /* core_uses_pid */
		run(&s, "crash", "{\"signal\":6}", &none);
		RUN_UNTIL(&s, s.child == NULL);
		ASSERT_INT(s.death.signal, SIGABRT);
		/* Sanitizers may have forbidden them. */
		ASSERT_INT(
		    s.death.core, unlink("core") == 0 || unlink(file) == 0);
		ASSERT_INT(strstr(s.death.text, ", core dumped") != NULL,
		    s.death.core);
		close_scene(&s);
	}
	ASSERT_INT(rmdir(dir), 0);
}

static const struct test tests[] = {
	{ "a handler that listens hears its soft limit", hears_the_soft_limit },
	{ "a hard limit ends the child", ends_at_the_hard_limit },
	{ "limits that pass while we are stopped are put off",
	    is_not_to_blame_for_our_absence },
	{ "a hard limit is told a grace before", hears_of_the_hard_limit },
	{ "neither blocked signals nor SIGSTOP hold up the end",
	    ends_what_is_deaf },
	{ "a deadline ends the child", ends_at_the_deadline },
	{ "a task is cancelled", is_cancelled },
	{ "a whole result counts even when we kill", keeps_a_late_result },
	{ "a death after we asked is our doing", dies_after_it_was_asked },
	{ "deaths from elsewhere are told as they are",
	    is_killed_from_outside },
	{ "SIGXCPU is a limit only when there is one", knows_the_cpu_limit },
	{ "the last output is in the record", keeps_the_tail },
	{ "a core file is told of", says_that_there_is_a_core },
};
TEST_MAIN(tests)
