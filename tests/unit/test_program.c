/* SPDX-License-Identifier: ISC */
/* A pool with the real child program, on a real loop. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/children/environment.h"
#include "supervisor/edges/signals.h"
#include "tests/test.h"
#include "tests/unit/program_rig.h"

#define LIMIT_S 30

extern char **environ;

/* What stands around the rig; one for each case. */
static struct {
	struct event *limit;
	struct signals signals;
	char child[PATH_MAX];
	bool late;
} loop;

static void
on_limit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	loop.late = true;
}

/* A child that somebody traces can be reaped later than its pidfd says. */
static void
on_sigchld(int number, void *arg)
{
	struct rig *p = arg;

	(void)number;
	reaper_run(&p->reaper);
}

static const struct signal_row signal_rows[] = {
	{ SIGCHLD, on_sigchld },
};

/* The loop, and what a category stands on: children that know one handler. */
static void
open_base(struct rig *p, const char *type, const char *module)
{
	const struct timeval limit = { LIMIT_S, 0 };
	const char *top = getenv("top_builddir");
	struct child_env env = {
		.base = event_base_new(),
		.program = loop.child,
		.clean = environment_clean(environ),
		.inherited = environment_inherited(environ),
	};
	char file[PATH_MAX];
	struct why why;

	if (top == NULL)
		top = ".";
	(void)snprintf(
	    loop.child, sizeof(loop.child), "%s/avtoworker-child", top);
	(void)snprintf(file, sizeof(file), "%s/tests/integration/.libs/%s.so",
	    top, module);
	ASSERT(env.base != NULL && env.clean != NULL && env.inherited != NULL);
	ASSERT((loop.limit = evtimer_new(env.base, on_limit, NULL)) != NULL);
	ASSERT_INT(evtimer_add(loop.limit, &limit), 0);
	ASSERT_INT(
	    signals_open(&loop.signals, env.base, signal_rows, 1, p, &why), 0);
	rig_init(p, env);
	ASSERT(handler_add(&p->handlers, type, "pool", file) != NULL);
	ASSERT(
	    handler_add(&p->handlers, "other", "elsewhere", "/none") != NULL);
	ASSERT((p->poison = poison_new(2)) != NULL);
	p->conf.start_timeout_ms = LIMIT_S * 1000;
	p->conf.stop_timeout_ms = LIMIT_S * 1000;
	p->conf.withdraw_after_ms = LIMIT_S * 1000;
	p->conf.idle_timeout_ms = LIMIT_S * 1000;
	p->conf.output_limit = 1000000;
}

/* The program, as p->conf is now; not started. */
static void
open_program(struct rig *p)
{
	rig_add_category(p, "pool");
	rig_open(
	    p, &(struct program_settings){ .name = "pool", .gate = &p->gate });
}

/* A pool of always so many children. */
static void
open_pool(
    struct rig *p, unsigned children, const char *type, const char *module)
{
	open_base(p, type, module);
	p->conf.children = children;
	open_program(p);
}

/* A pool of children as they are needed. */
static void
open_dynamic(struct rig *p, unsigned min, unsigned max, int64_t idle_timeout_ms)
{
	open_base(p, "slow", "zoo");
	p->conf.min_children = min;
	p->conf.max_children = max;
	p->conf.idle_timeout_ms = idle_timeout_ms;
	open_program(p);
}

static void
close_pool(struct rig *p)
{
	rig_close(p);
	environment_free((char **)p->env.clean);
	environment_free((char **)p->env.inherited);
	signals_close(&loop.signals);
	event_free(loop.limit);
	event_base_free(p->env.base);
}

/* Runs the loop until the claim holds. */
#define RUN_UNTIL(p, claim) \
	do { \
		while (!(claim)) { \
			if (loop.late) \
				test_fail(__FILE__, __LINE__, \
				    "not within %d s: %s", LIMIT_S, #claim); \
			(void)event_base_loop((p)->env.base, EVLOOP_ONCE); \
		} \
	} while (0)

static unsigned
count_in(const struct rig *p, enum child_state state)
{
	const struct child *c;
	unsigned n = 0;

	TAILQ_FOREACH(c, &p->program->children, entry)
		n += c->state == state;
	return (n);
}

static struct child *
first_in(const struct rig *p, enum child_state state)
{
	struct child *c;

	TAILQ_FOREACH(c, &p->program->children, entry)
		if (c->state == state)
			return (c);
	return (NULL);
}

static struct lease *
submit(struct rig *p, const char *type, const char *task_id, const char *params)
{
	struct lease *l = rig_lease(p, type, task_id, "j-1", params);

	program_submit(p->program, l);
	return (l);
}

/* Whether the bytes hold that text. */
static bool
holds(const struct bytes *b, const char *text)
{
	return (memmem(b->p, b->len, text, strlen(text)) != NULL);
}

/* Places for more leases, less those that wait without one. */
static int
places(struct rig *p)
{
	const struct places places = rig_places(p, NULL);

	return (
	    (int)(places.children + places.taken) - (int)p->program->queued);
}

static void
pause_category(struct rig *p, bool paused)
{
	p->category->paused = paused;
	program_balance(p->program);
}

static void
check_failure(const struct lease *l, const char *message)
{
	ASSERT_INT(l->state, LEASE_FINISHED);
	ASSERT_STR(l->result.status, "failure");
	ASSERT_STR(l->result.code, CODE_TRANSIENT);
	if (strstr(l->result.message, message) == NULL)
		test_fail(__FILE__, __LINE__, "\"%s\" has no \"%s\"",
		    l->result.message, message);
}

static void
stop(struct rig *p)
{
	program_stop(p->program);
	RUN_UNTIL(p, p->emptied > 0);
	ASSERT_INT(p->emptied, 1);
	ASSERT(TAILQ_EMPTY(&p->program->children));
}

static void
runs_leases(void)
{
	struct lease *l, *second;
	struct rig p;

	open_pool(&p, 2, "echo", "zoo");
	ASSERT(!program_is_offered(p.program));
	ASSERT_INT(places(&p), 0);
	program_start(p.program);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 2);
	ASSERT(program_is_offered(p.program));
	ASSERT_INT(p.settled, 1);
	ASSERT_INT(places(&p), 2);
	l = submit(&p, "echo", "t-1", "{\"x\":1.50}");
	ASSERT_INT(l->state, LEASE_RUNNING);
	ASSERT_INT(places(&p), 1);
	second = submit(&p, "echo", "t-2", "{}");
	RUN_UNTIL(&p, p.ndone == 2);
	ASSERT_STR(l->result.status, "success");
	ASSERT(holds(&l->result.data, "\"echo\":{\"x\":1.50}"));
	ASSERT(holds(&l->result.data, "\"task_id\":\"t-1\""));
	ASSERT(l->task.params.p == NULL);
	ASSERT_STR(second->result.status, "success");
	ASSERT_INT(places(&p), 2);
	ASSERT(p.room >= 4); /* each ready, each result */
	stop(&p);
	close_pool(&p);
}

static void
queues_what_comes_early(void)
{
	struct rig p;

	open_pool(&p, 1, "echo", "zoo");
	program_start(p.program);
	(void)submit(&p, "echo", "t-1", "{}");
	(void)submit(&p, "echo", "t-2", "{}");
	(void)submit(&p, "echo", "t-3", "{}");
	ASSERT_INT(p.leases.count[LEASE_QUEUED], 3);
	ASSERT_INT(places(&p), -3);
	RUN_UNTIL(&p, count_in(&p, CHILD_BUSY) == 1);
	ASSERT_INT(places(&p), -2);
	RUN_UNTIL(&p, p.ndone == 3);
	ASSERT_STR(p.done[0]->task.task_id, "t-1");
	ASSERT_STR(p.done[1]->task.task_id, "t-2");
	ASSERT_STR(p.done[2]->task.task_id, "t-3");
	ASSERT_STR(p.done[2]->result.status, "success");
	stop(&p);
	close_pool(&p);
}

static void
answers_for_a_killed_child(void)
{
	struct child *c;
	struct lease *l;
	struct rig p;
	char details[64];
	pid_t pid;

	expect_log("child was killed by signal 9 (Killed)");
	open_pool(&p, 1, "slow", "zoo");
	program_start(p.program);
	(void)submit(&p, "slow", "t-1", "{}");
	RUN_UNTIL(&p, p.ndone == 1); /* the pool is a healthy one */
	l = submit(&p, "slow", "t-2", "{\"ms\":100000}");
	c = first_in(&p, CHILD_BUSY);
	RUN_UNTIL(&p, TAILQ_FIRST(&c->running)->started);
	pid = c->pid;
	ASSERT_INT(kill(pid, SIGKILL), 0);
	RUN_UNTIL(&p, p.ndone == 2);
	check_failure(l, "was killed by signal 9 (Killed)");
	ASSERT(holds(&l->result.details, "\"signal\":9,\"exit_status\":null"));
	(void)snprintf(details, sizeof(details), "\"child_pid\":%d", (int)pid);
	ASSERT(holds(&l->result.details, details));
	/* At once: its successor was born in the same turn of the loop. */
	ASSERT_INT(p.program->backoff.failures, 0);
	ASSERT_INT(count_in(&p, CHILD_STARTING), 1);
	ASSERT(program_is_offered(p.program));
	(void)submit(&p, "slow", "t-3", "{}");
	RUN_UNTIL(&p, p.ndone == 3);
	ASSERT_STR(p.done[2]->result.status, "success");
	stop(&p);
	close_pool(&p);
}

/* Gives a lease to a child that does not move, and kills the child. */
static void
lose_before_it_started(struct rig *p, struct lease **l)
{
	struct child *c;
	pid_t pid;

	RUN_UNTIL(p, count_in(p, CHILD_IDLE) == 1);
	c = first_in(p, CHILD_IDLE);
	pid = c->pid;
	ASSERT_INT(kill(pid, SIGSTOP), 0);
	if (*l == NULL)
		*l = submit(p, "echo", "t-1", "{}");
	ASSERT_INT((*l)->state, LEASE_RUNNING);
	ASSERT_INT(kill(pid, SIGKILL), 0);
	RUN_UNTIL(p, (*l)->state != LEASE_RUNNING);
}

static void
queues_again_what_never_started(void)
{
	struct lease *l = NULL, *first;
	struct rig p;

	expect_log("before the handler began; queued again");
	expect_log("child was killed by signal 9 (Killed)");
	open_pool(&p, 1, "echo", "zoo");
	program_start(p.program);
	first = submit(&p, "echo", "t-0", "{}");
	RUN_UNTIL(&p, first->state == LEASE_FINISHED);
	lose_before_it_started(&p, &l);
	ASSERT_INT(l->state, LEASE_QUEUED);
	ASSERT_INT(l->requeues, 1);
	ASSERT_INT(p.ndone, 1);
	RUN_UNTIL(&p, p.ndone == 2);
	ASSERT_STR(l->result.status, "success");
	stop(&p);
	close_pool(&p);
}

/* In a pool that has never succeeded, the same death means a wait. */
static void
waits_after_a_first_task_that_kills(void)
{
	struct lease *l = NULL;
	struct rig p;

	expect_log("before the handler began; queued again");
	expect_log("its first task ended it: it was killed by signal 9");
	open_pool(&p, 1, "echo", "zoo");
	program_start(p.program);
	lose_before_it_started(&p, &l);
	ASSERT_INT(l->state, LEASE_QUEUED);
	ASSERT_INT(p.program->backoff.failures, 1);
	ASSERT(TAILQ_EMPTY(&p.program->children));
	ASSERT(program_is_offered(p.program)); /* it has been ready */
	RUN_UNTIL(&p, p.ndone == 1);
	ASSERT_STR(l->result.status, "success");
	ASSERT_INT(p.program->backoff.failures, 0);
	stop(&p);
	close_pool(&p);
}

static void
gives_up_after_two_more_tries(void)
{
	struct lease *l;
	struct rig p;

	expect_log("child was killed by signal 9 (Killed)");
	open_pool(&p, 1, "echo", "zoo");
	program_start(p.program);
	(void)submit(&p, "echo", "t-0", "{}");
	RUN_UNTIL(&p, p.ndone == 1);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 1);
	ASSERT_INT(kill(first_in(&p, CHILD_IDLE)->pid, SIGSTOP), 0);
	l = submit(&p, "echo", "t-1", "{}");
	l->requeues = 2; /* two children are lost already */
	ASSERT_INT(kill(first_in(&p, CHILD_BUSY)->pid, SIGKILL), 0);
	RUN_UNTIL(&p, p.ndone == 2);
	check_failure(l, "was killed by signal 9 (Killed)");
	stop(&p);
	close_pool(&p);
}

#define NO_LICENCE "the licence has run out"

static void
gives_back_what_cannot_start(void)
{
	struct lease *early, *late;
	struct rig p;

	expect_log(NO_LICENCE);
	open_pool(&p, 1, "sad", "bad_init");
	p.program->backoff.first_ms = 60000; /* one failure is enough here */
	p.program->backoff.max_ms = 60000;
	program_start(p.program);
	early = submit(&p, "sad", "t-1", "{}");
	RUN_UNTIL(&p, p.settled > 0);
	ASSERT_INT(p.settled, 1);
	ASSERT(!program_is_offered(p.program));
	ASSERT_INT(p.ndone, 1);
	check_failure(
	    early, "no child of category \"pool\" could be started: ");
	check_failure(early, NO_LICENCE);
	ASSERT_INT(p.program->backoff.failures, 1);
	ASSERT(TAILQ_EMPTY(&p.program->children));
	ASSERT(places(&p) <= 0);
	/* Nobody waits for what is known to fail. */
	late = submit(&p, "sad", "t-2", "{}");
	check_failure(late, NO_LICENCE);
	ASSERT_INT(places(&p), 0);
	stop(&p);
	close_pool(&p);
}

static void
tries_again_after_a_while(void)
{
	struct rig p;

	expect_log("trying again in");
	expect_log("trying again in");
	open_pool(&p, 1, "sad", "bad_init");
	program_start(p.program);
	RUN_UNTIL(&p, p.program->backoff.failures == 2);
	ASSERT_INT(p.settled, 1);
	stop(&p);
	close_pool(&p);
}

static void
says_that_there_is_no_program(void)
{
	struct rig p;

	expect_log("cannot start child of \"pool\": cannot start ");
	open_pool(&p, 1, "echo", "zoo");
	free(p.program->command.argv[0]);
	ASSERT((p.program->command.argv[0] = strdup("/nonexistent/child")) !=
	    NULL);
	program_start(p.program);
	ASSERT_INT(p.settled, 1);
	ASSERT(!program_is_offered(p.program));
	stop(&p);
	close_pool(&p);
}

static void
hands_back_when_abandoned(void)
{
	struct lease *running, *queued;
	struct rig p;

	open_pool(&p, 1, "slow", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 1);
	running = submit(&p, "slow", "t-1", "{\"ms\":100000}");
	queued = submit(&p, "slow", "t-2", "{}");
	RUN_UNTIL(&p, TAILQ_FIRST(&first_in(&p, CHILD_BUSY)->running)->started);
	program_abandon(p.program);
	ASSERT_INT(p.ndone, 2);
	ASSERT_INT(count_in(&p, CHILD_IDLE), 1); /* it lives */
	check_failure(running, "interrupted: the worker was stopped");
	check_failure(queued, "interrupted: the worker was stopped");
	program_kill(p.program);
	RUN_UNTIL(&p, p.emptied > 0);
	ASSERT_INT(p.ndone, 2);
	ASSERT_INT(p.emptied, 1);
	ASSERT(TAILQ_EMPTY(&p.program->children));
	close_pool(&p);
}

static void
lets_a_task_end_before_it_stops(void)
{
	struct lease *l;
	struct rig p;

	open_pool(&p, 2, "slow", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 2);
	l = submit(&p, "slow", "t-1", "{\"ms\":50}");
	stop(&p);
	ASSERT_INT(p.ndone, 1);
	ASSERT_STR(l->result.status, "success");
	close_pool(&p);
}

static void
stops_what_is_not_ready(void)
{
	struct rig p;

	open_pool(&p, 2, "echo", "zoo");
	program_start(p.program);
	ASSERT_INT(count_in(&p, CHILD_STARTING), 2);
	stop(&p);
	ASSERT_INT(p.settled, 0);
	close_pool(&p);
}

static void
is_freed_while_busy(void)
{
	struct rig p;

	open_pool(&p, 1, "slow", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 1);
	(void)submit(&p, "slow", "t-1", "{\"ms\":100000}");
	close_pool(&p);
	program_free(NULL);
}

/* Sizes. */

static void
starts_on_demand(void)
{
	struct rig p;

	open_dynamic(&p, 0, 2, 50);
	program_start(p.program);
	ASSERT_INT(p.settled, 1);
	ASSERT(program_is_offered(p.program));
	ASSERT(TAILQ_EMPTY(&p.program->children));
	ASSERT_INT(places(&p), 2);
	(void)submit(&p, "slow", "t-1", "{}");
	ASSERT_INT(count_in(&p, CHILD_STARTING), 1);
	ASSERT_INT(places(&p), 1);
	(void)submit(&p, "slow", "t-2", "{}");
	(void)submit(&p, "slow", "t-3", "{}");
	ASSERT_INT(count_in(&p, CHILD_STARTING), 2);
	ASSERT_INT(places(&p), -1);
	RUN_UNTIL(&p, p.ndone == 3);
	RUN_UNTIL(&p, TAILQ_EMPTY(&p.program->children));
	ASSERT_STR(p.reasons, "idle idle ");
	ASSERT_INT(p.settled, 1);
	ASSERT_INT(places(&p), 2);
	(void)submit(&p, "slow", "t-4", "{}");
	RUN_UNTIL(&p, p.ndone == 4);
	stop(&p);
	close_pool(&p);
}

static void
grows_and_shrinks(void)
{
	struct rig p;

	open_dynamic(&p, 1, 3, 50);
	program_start(p.program);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 1);
	ASSERT_INT(places(&p), 3);
	(void)submit(&p, "slow", "t-1", "{\"ms\":300}");
	(void)submit(&p, "slow", "t-2", "{\"ms\":300}");
	ASSERT_INT(count_in(&p, CHILD_STARTING), 1);
	(void)submit(&p, "slow", "t-3", "{\"ms\":300}");
	(void)submit(&p, "slow", "t-4", "{\"ms\":300}");
	RUN_UNTIL(&p, count_in(&p, CHILD_BUSY) == 3);
	ASSERT_INT(p.program->queued, 1);
	RUN_UNTIL(&p, p.ndone == 4);
	RUN_UNTIL(&p, strcmp(p.reasons, "idle idle ") == 0);
	ASSERT_INT(count_in(&p, CHILD_IDLE), 1);
	stop(&p);
	close_pool(&p);
}

static void
uses_the_one_used_last(void)
{
	struct child *c;
	struct rig p;
	unsigned i;

	open_pool(&p, 3, "echo", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 3);
	c = first_in(&p, CHILD_IDLE);
	for (i = 0; i < 4; i++) {
		(void)submit(&p, "echo", "t", "{}");
		ASSERT_INT(c->state, CHILD_BUSY);
		RUN_UNTIL(&p, p.ndone == i + 1);
		lease_free(&p.leases, p.done[i]);
	}
	ASSERT_INT(c->tasks, 4);
	stop(&p);
	close_pool(&p);
}

/* Recycling. */

static void
recycles_after_tasks(void)
{
	struct rig p;

	open_pool(&p, 1, "echo", "zoo");
	p.conf.max_tasks_per_child = 2;
	program_start(p.program);
	(void)submit(&p, "echo", "t-1", "{}");
	(void)submit(&p, "echo", "t-2", "{}");
	RUN_UNTIL(&p, p.ndone == 2);
	/* Its successor does not wait for it to be gone. */
	ASSERT_INT(count_in(&p, CHILD_STOPPING), 1);
	ASSERT_INT(count_in(&p, CHILD_STARTING), 1);
	ASSERT_INT(places(&p), 1);
	(void)submit(&p, "echo", "t-3", "{}");
	RUN_UNTIL(&p, p.ndone == 3);
	RUN_UNTIL(&p, strcmp(p.reasons, "recycled_tasks ") == 0);
	ASSERT_INT(p.program->backoff.failures, 0);
	stop(&p);
	close_pool(&p);
}

static void
recycles_after_memory(void)
{
	struct rig p;

	open_pool(&p, 1, "echo", "zoo");
	p.conf.max_memory_per_child = 1;
	program_start(p.program);
	(void)submit(&p, "echo", "t-1", "{}");
	RUN_UNTIL(&p, strcmp(p.reasons, "recycled_memory ") == 0);
	ASSERT_INT(p.ndone, 1);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 1);
	stop(&p);
	close_pool(&p);
}

/* Eight of them, two at a time. */
static void
recycles_by_age(void)
{
	struct rig p;

	open_pool(&p, 8, "echo", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 8);
	p.conf.max_child_age_ms = 1;
	program_balance(p.program);
	while (strlen(p.reasons) < 8 * strlen("recycled_age ")) {
		ASSERT(count_in(&p, CHILD_STARTING) <= 2);
		ASSERT(count_in(&p, CHILD_STOPPING) <= 2);
		ASSERT(count_in(&p, CHILD_IDLE) >= 6);
		ASSERT(!loop.late);
		(void)event_base_loop(p.env.base, EVLOOP_ONCE);
	}
	p.conf.max_child_age_ms = 0;
	ASSERT(strncmp(p.reasons, "recycled_age recycled_age ", 26) == 0);
	ASSERT_INT(p.program->backoff.failures, 0);
	stop(&p);
	close_pool(&p);
}

static void
age_comes_by_a_timer(void)
{
	struct rig p;

	open_pool(&p, 1, "echo", "zoo");
	p.conf.max_child_age_ms = 1000;
	program_start(p.program);
	RUN_UNTIL(&p, strcmp(p.reasons, "recycled_age ") == 0);
	stop(&p);
	close_pool(&p);
}

static void
children_draw_their_own_limits(void)
{
	const struct child *c;
	unsigned first, differ = 0;
	struct rig p;

	open_pool(&p, 20, "echo", "zoo");
	program_start(p.program);
	first = TAILQ_FIRST(&p.program->children)->jitter;
	TAILQ_FOREACH(c, &p.program->children, entry) {
		ASSERT(c->jitter <= 1000);
		differ += c->jitter != first;
	}
	ASSERT(differ > 0);
	stop(&p);
	close_pool(&p);
}

/* Failures. */

/* One child that is idle and new dies of that signal. */
static void
kill_new(struct rig *p, int sig)
{
	program_start(p->program);
	RUN_UNTIL(p, count_in(p, CHILD_IDLE) == 1);
	ASSERT_INT(kill(first_in(p, CHILD_IDLE)->pid, sig), 0);
	RUN_UNTIL(p, p->reasons[0] != '\0');
	ASSERT_STR(p->reasons, "crash ");
}

static void
waits_after_an_idle_death(void)
{
	struct rig p;

	expect_log("trying again in");
	open_pool(&p, 1, "echo", "zoo");
	kill_new(&p, SIGABRT);
	ASSERT_INT(p.program->backoff.failures, 1);
	ASSERT(TAILQ_EMPTY(&p.program->children));
	ASSERT_INT(places(&p), 0);
	ASSERT(program_is_offered(p.program));
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 1);
	ASSERT_INT(places(&p), 1);
	stop(&p);
	close_pool(&p);
}

static void
replaces_what_somebody_killed(void)
{
	struct rig p;

	expect_log("starting another");
	open_pool(&p, 1, "echo", "zoo");
	kill_new(&p, SIGKILL);
	ASSERT_INT(p.program->backoff.failures, 0);
	ASSERT_INT(count_in(&p, CHILD_STARTING), 1);
	stop(&p);
	close_pool(&p);
}

/* From now on every start fails; or none of them, any more. */
static void
set_child(struct rig *p, const char *program)
{
	free(p->program->command.argv[0]);
	p->program->command.argv[0] = strdup(program);
	ASSERT(p->program->command.argv[0] != NULL);
}

static void
withdraws_after_a_while(void)
{
	struct lease *l;
	struct rig p;
	int64_t since;

	expect_log("starting another");
	expect_log("cannot start child of \"pool\"");
	expect_log("not offering its task types until one is");
	open_pool(&p, 1, "echo", "zoo");
	p.conf.withdraw_after_ms = 300;
	p.program->backoff.first_ms = p.program->backoff.max_ms = 1000;
	program_start(p.program);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 1);
	ASSERT_INT(p.settled, 1);
	set_child(&p, "/nonexistent/child");
	since = clock_now_ms();
	ASSERT_INT(kill(first_in(&p, CHILD_IDLE)->pid, SIGKILL), 0);
	RUN_UNTIL(&p, TAILQ_EMPTY(&p.program->children));
	l = submit(&p, "echo", "t-1", "{}");
	ASSERT_INT(l->state, LEASE_QUEUED); /* it waits, for now */
	ASSERT(program_is_offered(p.program));
	RUN_UNTIL(&p, p.ndone == 1);
	ASSERT(clock_now_ms() - since >= 300);
	check_failure(l, "could be started: cannot start");
	ASSERT(!program_is_offered(p.program));
	ASSERT_INT(p.settled, 2);
	/* It comes back as soon as a child does. */
	set_child(&p, p.env.program);
	RUN_UNTIL(&p, p.settled == 3);
	ASSERT(program_is_offered(p.program));
	stop(&p);
	close_pool(&p);
}

static void
on_demand_is_on_trust(void)
{
	struct lease *l;
	struct rig p;

	expect_log("cannot start child of \"pool\"");
	open_dynamic(&p, 0, 4, 50);
	set_child(&p, "/nonexistent/child");
	program_start(p.program);
	ASSERT(program_is_offered(p.program));
	l = submit(&p, "slow", "t-1", "{}");
	check_failure(l, "could be started: cannot start");
	ASSERT(!program_is_offered(p.program));
	ASSERT_INT(p.settled, 2);
	/* It goes on trying, without a lease. */
	set_child(&p, p.env.program);
	RUN_UNTIL(&p, p.settled == 3);
	ASSERT(program_is_offered(p.program));
	/* And that child leaves again. */
	RUN_UNTIL(&p, strcmp(p.reasons, "idle ") == 0);
	ASSERT_INT(p.program->backoff.failures, 0);
	ASSERT(TAILQ_EMPTY(&p.program->children));
	stop(&p);
	close_pool(&p);
}

static void
on_gate_open(void *arg)
{
	(void)arg;
}

static void
failing_pools_take_turns(void)
{
	struct gate_ticket other = { .open = on_gate_open };
	struct rig p;

	expect_log("trying again in");
	expect_log("trying again in");
	open_pool(&p, 1, "sad", "bad_init");
	ASSERT(start_gate_enter(&p.gate, &other));
	program_start(p.program);
	RUN_UNTIL(&p, p.program->ticket.place == GATE_WAITING);
	ASSERT(TAILQ_EMPTY(&p.program->children));
	ASSERT_INT(p.program->backoff.failures, 1);
	start_gate_leave(&p.gate, &other);
	ASSERT_INT(p.program->ticket.place, GATE_INSIDE);
	ASSERT_INT(count_in(&p, CHILD_STARTING), 1);
	RUN_UNTIL(&p, p.program->backoff.failures == 2);
	ASSERT_INT(p.gate.inside, 0);
	stop(&p);
	close_pool(&p);
}

/* What a task may cost. */

/* Has a lease lose its child after its handler began. */
static struct lease *
lose_running(struct rig *p, const char *task_id)
{
	const unsigned before = p->ndone;
	struct child *c;
	struct lease *l;

	l = submit(p, "slow", task_id, "{\"ms\":100000}");
	RUN_UNTIL(p,
	    (c = first_in(p, CHILD_BUSY)) != NULL &&
		TAILQ_FIRST(&c->running)->started);
	ASSERT_INT(kill(c->pid, SIGKILL), 0);
	RUN_UNTIL(p, p->ndone == before + 1);
	return (l);
}

static void
refuses_poison(void)
{
	struct lease *l;
	struct rig p;

	expect_log("starting another");
	expect_log("starting another");
	expect_log("starting another");
	open_pool(&p, 1, "slow", "zoo");
	program_start(p.program);
	(void)submit(&p, "slow", "t-1", "{}");
	RUN_UNTIL(&p, p.ndone == 1);
	check_failure(lose_running(&p, "t-2"), "was killed by signal 9");
	(void)submit(&p, "slow", "t-3", "{}"); /* clears it */
	RUN_UNTIL(&p, p.ndone == 3);
	check_failure(lose_running(&p, "t-4"), "was killed by signal 9");
	l = lose_running(&p, "t-5");
	ASSERT_STR(l->result.code, CODE_PERMANENT);
	ASSERT(strstr(l->result.message,
		   "2 children died over this task (crash 2); the last, child "
		   "") != NULL);
	ASSERT(holds(&l->result.details, "\"cause\":\"crash\""));
	ASSERT_STR(p.reasons, "crash crash crash ");
	stop(&p);
	close_pool(&p);
}

static void
time_limits_are_no_poison(void)
{
	struct handler *h;
	struct rig p;
	int i;

	for (i = 0; i < 3; i++)
		expect_log("starting another");
	open_pool(&p, 1, "slow", "zoo");
	ASSERT((h = handler_find(&p.handlers, "slow")) != NULL);
	h->time_limit_ms = 50;
	p.conf.time_limit_ms = 100000;
	program_start(p.program);
	for (i = 0; i < 3; i++) {
		(void)submit(&p, "slow", "t-1", "{\"ms\":100000}");
		RUN_UNTIL(&p, p.ndone == 1);
		ASSERT_STR(p.done[0]->result.code, CODE_TIMEOUT);
		lease_free(&p.leases, p.done[0]);
		p.ndone = 0;
	}
	ASSERT_STR(p.reasons, "time_limit time_limit time_limit ");
	ASSERT_INT(p.program->backoff.failures, 0);
	stop(&p);
	close_pool(&p);
}

static void
what_is_cancelled_ends_so(void)
{
	struct child *c;
	struct rig p;

	open_pool(&p, 1, "slow", "zoo");
	program_start(p.program);
	(void)submit(&p, "slow", "t-1", "{\"ms\":100000}");
	RUN_UNTIL(&p,
	    (c = first_in(&p, CHILD_BUSY)) != NULL &&
		TAILQ_FIRST(&c->running)->started);
	child_cancel_all(c, CANCEL_CANCEL, 10);
	RUN_UNTIL(&p, p.ndone == 1);
	ASSERT_STR(p.done[0]->result.status, "cancelled");
	ASSERT(p.done[0]->result.code == NULL);
	ASSERT_STR(p.reasons, "cancelled ");
	ASSERT_INT(p.program->backoff.failures, 0);
	stop(&p);
	close_pool(&p);
}

static void
deadlines_pass_in_the_queue(void)
{
	struct task task = {
		.task_id = strdup("t-2"),
		.job_id = strdup("j-1"),
		.type = strdup("slow"),
	};
	struct lease *l;
	struct rig p;

	open_pool(&p, 1, "slow", "zoo");
	program_start(p.program);
	(void)submit(&p, "slow", "t-1", "{\"ms\":1500}");
	ASSERT((l = lease_new(&p.leases, &task, NULL, 0)) != NULL);
	l->deadline_ms = clock_now_ms() + 100;
	program_submit(p.program, l);
	(void)submit(&p, "slow", "t-3", "{}");
	RUN_UNTIL(&p, p.ndone == 1);
	ASSERT(p.done[0] == l);
	ASSERT_STR(l->result.code, CODE_TIMEOUT);
	ASSERT_STR(
	    l->result.message, "its deadline passed before a child was free");
	RUN_UNTIL(&p, p.ndone == 3);
	ASSERT_STR(p.done[2]->result.status, "success");
	stop(&p);
	close_pool(&p);
}

/* Orders from above. */

static void
keeps_within_what_may_run(void)
{
	struct rig p;

	open_dynamic(&p, 0, 4, LIMIT_S * 1000);
	p.program->max_running = 2;
	p.leases.count[LEASE_RUNNING] = 1; /* in another category */
	program_start(p.program);
	(void)submit(&p, "slow", "t-1", "{}");
	(void)submit(&p, "slow", "t-2", "{}");
	(void)submit(&p, "slow", "t-3", "{}");
	ASSERT_INT(count_in(&p, CHILD_STARTING), 1); /* more could not run */
	RUN_UNTIL(&p, p.ndone == 3);
	ASSERT_INT(count_in(&p, CHILD_IDLE), 1);
	p.leases.count[LEASE_RUNNING]++;
	(void)submit(&p, "slow", "t-4", "{}");
	ASSERT_INT(count_in(&p, CHILD_IDLE), 1);
	p.leases.count[LEASE_RUNNING]--;
	program_balance(p.program);
	ASSERT_INT(count_in(&p, CHILD_BUSY), 1);
	RUN_UNTIL(&p, p.ndone == 4);
	p.leases.count[LEASE_RUNNING]--;
	stop(&p);
	close_pool(&p);
}

static void
keeps_its_queue_while_paused(void)
{
	struct lease *l;
	struct rig p;

	open_pool(&p, 1, "echo", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 1);
	pause_category(&p, true);
	ASSERT_INT(places(&p), 0);
	l = submit(&p, "echo", "t-1", "{}");
	program_balance(p.program);
	ASSERT_INT(l->state, LEASE_QUEUED);
	ASSERT(program_is_offered(p.program));
	pause_category(&p, false);
	ASSERT_INT(l->state, LEASE_RUNNING);
	RUN_UNTIL(&p, p.ndone == 1);
	ASSERT_INT(places(&p), 1);
	stop(&p);
	close_pool(&p);
}

static void
hands_on_its_queue_when_it_retires(void)
{
	struct lease *running, *queued;
	struct rig p;

	open_pool(&p, 2, "slow", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 2);
	running = submit(&p, "slow", "t-1", "{\"ms\":100}");
	pause_category(&p, true);
	queued = submit(&p, "slow", "t-2", "{}");
	ASSERT(program_take_queued(p.program, p.program->lanes) == queued);
	ASSERT(program_take_queued(p.program, p.program->lanes) == NULL);
	program_submit(p.program, queued);
	program_retire(p.program);
	ASSERT(p.returned == queued);
	ASSERT_INT(queued->state, LEASE_QUEUED);
	ASSERT_INT(count_in(&p, CHILD_STOPPING), 1);
	RUN_UNTIL(&p, p.emptied > 0);
	ASSERT_INT(p.emptied, 1);
	ASSERT_STR(running->result.status, "success");
	ASSERT_STR(p.reasons, "stopped stopped ");
	close_pool(&p);
}

/* A child of an old generation dies before its handler began. */
static void
hands_on_what_never_started(void)
{
	struct lease *l;
	struct rig p;

	expect_log("before the handler began; queued again");
	open_pool(&p, 1, "echo", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 1);
	ASSERT_INT(kill(first_in(&p, CHILD_IDLE)->pid, SIGSTOP), 0);
	l = submit(&p, "echo", "t-1", "{}");
	program_retire(p.program);
	ASSERT_INT(kill(first_in(&p, CHILD_BUSY)->pid, SIGKILL), 0);
	RUN_UNTIL(&p, p.emptied > 0);
	ASSERT(p.returned == l);
	ASSERT_INT(l->state, LEASE_QUEUED);
	ASSERT_INT(p.ndone, 0);
	close_pool(&p);
}

static const struct test tests[] = {
	{ "leases are run by idle children", runs_leases },
	{ "what comes early waits for a child", queues_what_comes_early },
	{ "a child killed over its task is answered for, and replaced at once",
	    answers_for_a_killed_child },
	{ "a task whose handler never began is queued again",
	    queues_again_what_never_started },
	{ "a pool that never succeeded waits after a death",
	    waits_after_a_first_task_that_kills },
	{ "a task is queued again twice, not more",
	    gives_up_after_two_more_tries },
	{ "a pool that cannot start gives its queue back with the reason",
	    gives_back_what_cannot_start },
	{ "a failed start is tried again", tries_again_after_a_while },
	{ "a missing program settles the pool", says_that_there_is_no_program },
	{ "an abandoned pool hands back everything",
	    hands_back_when_abandoned },
	{ "a stopping pool lets its tasks end",
	    lets_a_task_end_before_it_stops },
	{ "children that are not ready are stopped", stops_what_is_not_ready },
	{ "a busy pool can be freed", is_freed_while_busy },
	{ "on demand: offered with no child, which is started for a lease",
	    starts_on_demand },
	{ "a pool grows with its leases, and shrinks to its minimum",
	    grows_and_shrinks },
	{ "the child used last is used next", uses_the_one_used_last },
	{ "a child is replaced after its last task", recycles_after_tasks },
	{ "a child that has grown is replaced", recycles_after_memory },
	{ "old children are replaced a quarter at a time", recycles_by_age },
	{ "an idle child grows old by itself", age_comes_by_a_timer },
	{ "children draw limits of their own", children_draw_their_own_limits },
	{ "a new child that dies idle means a wait",
	    waits_after_an_idle_death },
	{ "a new child that somebody killed is replaced at once",
	    replaces_what_somebody_killed },
	{ "a pool without a ready child is withdrawn after a while",
	    withdraws_after_a_while },
	{ "a pool on demand is offered on trust until a start fails",
	    on_demand_is_on_trust },
	{ "pools that fail take turns", failing_pools_take_turns },
	{ "a task that costs too many children is refused for good",
	    refuses_poison },
	{ "a task that takes too long is not", time_limits_are_no_poison },
	{ "a cancelled task ends as cancelled", what_is_cancelled_ends_so },
	{ "a deadline passes in the queue as well",
	    deadlines_pass_in_the_queue },
	{ "no more run than may over all categories",
	    keeps_within_what_may_run },
	{ "a paused pool keeps its queue", keeps_its_queue_while_paused },
	{ "a retired pool hands on its queue",
	    hands_on_its_queue_when_it_retires },
	{ "and a task whose handler never began", hands_on_what_never_started },
};
TEST_MAIN(tests)
