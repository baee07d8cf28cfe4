/* SPDX-License-Identifier: ISC */
/* A pool with the real child program, on a real loop. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "supervisor/children/category.h"
#include "supervisor/children/environment.h"
#include "supervisor/conf.h"
#include "supervisor/edges/signals.h"
#include "supervisor/handler.h"
#include "supervisor/lease.h"
#include "tests/test.h"

#define LIMIT_S  30
#define DONE_MAX 8

extern char **environ;

struct pool {
	struct event_base *base;
	struct event *limit;
	struct signals signals;
	struct reaper reaper;
	struct child_env env;
	struct handler_table handlers;
	struct lease_table leases;
	struct conf_category conf;
	struct category *cat;
	char program[PATH_MAX];
	struct lease *done[DONE_MAX]; /* in the order they ended */
	unsigned ndone;
	unsigned settled;
	unsigned room;
	unsigned emptied;
	bool late;
};

static void
on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct pool *p = arg;

	(void)fd;
	(void)what;
	p->late = true;
}

static void
on_finished(struct lease *l, struct result *result, void *arg)
{
	struct pool *p = arg;

	ASSERT(p->ndone < DONE_MAX);
	lease_finish(&p->leases, l, result);
	p->done[p->ndone++] = l;
}

static void
on_settled(struct category *cat, void *arg)
{
	struct pool *p = arg;

	(void)cat;
	p->settled++;
}

static void
on_room(void *arg)
{
	struct pool *p = arg;

	p->room++;
}

static void
on_emptied(struct category *cat, void *arg)
{
	struct pool *p = arg;

	(void)cat;
	p->emptied++;
}

static const struct category_ops ops = {
	.finished = on_finished,
	.settled = on_settled,
	.room = on_room,
	.emptied = on_emptied,
};

/* A child that somebody traces can be reaped later than its pidfd says. */
static void
on_sigchld(int number, void *arg)
{
	struct pool *p = arg;

	(void)number;
	reaper_run(&p->reaper);
}

static const struct signal_row signal_rows[] = {
	{ SIGCHLD, on_sigchld },
};

/* A pool of children that know one handler; not started. */
static void
open_pool(
    struct pool *p, unsigned children, const char *type, const char *module)
{
	const struct timeval limit = { LIMIT_S, 0 };
	const char *top = getenv("top_builddir");
	char file[PATH_MAX];
	struct why why;

	*p = (struct pool){ 0 };
	if (top == NULL)
		top = ".";
	(void)snprintf(
	    p->program, sizeof(p->program), "%s/avtoworker-child", top);
	(void)snprintf(file, sizeof(file), "%s/tests/integration/.libs/%s.so",
	    top, module);
	ASSERT((p->base = event_base_new()) != NULL);
	ASSERT((p->limit = evtimer_new(p->base, on_limit, p)) != NULL);
	ASSERT_INT(evtimer_add(p->limit, &limit), 0);
	ASSERT_INT(
	    signals_open(&p->signals, p->base, signal_rows, 1, p, &why), 0);
	reaper_init(&p->reaper);
	p->env = (struct child_env){
		.base = p->base,
		.reaper = &p->reaper,
		.program = p->program,
		.clean = environment_clean(environ),
		.inherited = environment_inherited(environ),
	};
	ASSERT(p->env.clean != NULL && p->env.inherited != NULL);
	handler_table_init(&p->handlers);
	ASSERT(handler_add(&p->handlers, type, "pool", file) != NULL);
	ASSERT(
	    handler_add(&p->handlers, "other", "elsewhere", "/none") != NULL);
	lease_table_init(&p->leases);
	p->conf.children = children;
	p->conf.start_timeout_ms = LIMIT_S * 1000;
	p->cat = category_new(
	    &(struct category_settings){
		.name = "pool",
		.conf = &p->conf,
		.handlers = &p->handlers,
		.leases = &p->leases,
		.env = &p->env,
		.ops = &ops,
		.arg = p,
	    },
	    &why);
	ASSERT(p->cat != NULL);
}

static void
close_pool(struct pool *p)
{
	category_free(p->cat);
	lease_table_fini(&p->leases);
	handler_table_fini(&p->handlers);
	environment_free((char **)p->env.clean);
	environment_free((char **)p->env.inherited);
	signals_close(&p->signals);
	event_free(p->limit);
	event_base_free(p->base);
}

/* Runs the loop until the claim holds. */
#define RUN_UNTIL(p, claim) \
	do { \
		while (!(claim)) { \
			if ((p)->late) \
				test_fail(__FILE__, __LINE__, \
				    "not within %d s: %s", LIMIT_S, #claim); \
			(void)event_base_loop((p)->base, EVLOOP_ONCE); \
		} \
	} while (0)

static unsigned
count_in(const struct pool *p, enum child_state state)
{
	const struct child *c;
	unsigned n = 0;

	TAILQ_FOREACH(c, &p->cat->children, entry)
		n += c->state == state;
	return (n);
}

static struct child *
first_in(const struct pool *p, enum child_state state)
{
	struct child *c;

	TAILQ_FOREACH(c, &p->cat->children, entry)
		if (c->state == state)
			return (c);
	return (NULL);
}

static struct lease *
submit(
    struct pool *p, const char *type, const char *task_id, const char *params)
{
	struct task task = {
		.task_id = strdup(task_id),
		.job_id = strdup("j-1"),
		.type = strdup(type),
	};
	struct lease *l;

	bytes_puts(&task.params, params);
	ASSERT(!bytes_failed(&task.params));
	ASSERT((l = lease_new(&p->leases, &task, NULL, 0)) != NULL);
	category_submit(p->cat, l);
	return (l);
}

/* Whether the bytes hold that text. */
static bool
holds(const struct bytes *b, const char *text)
{
	return (memmem(b->p, b->len, text, strlen(text)) != NULL);
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
stop(struct pool *p)
{
	category_stop(p->cat);
	RUN_UNTIL(p, p->emptied > 0);
	ASSERT_INT(p->emptied, 1);
	ASSERT(TAILQ_EMPTY(&p->cat->children));
}

static void
runs_leases(void)
{
	struct lease *l, *second;
	struct pool p;

	open_pool(&p, 2, "echo", "zoo");
	ASSERT(!category_is_offered(p.cat));
	ASSERT_INT(category_places(p.cat), 0);
	category_start(p.cat);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 2);
	ASSERT(category_is_offered(p.cat));
	ASSERT_INT(p.settled, 1);
	ASSERT_INT(category_places(p.cat), 2);
	l = submit(&p, "echo", "t-1", "{\"x\":1.50}");
	ASSERT_INT(l->state, LEASE_RUNNING);
	ASSERT_INT(category_places(p.cat), 1);
	second = submit(&p, "echo", "t-2", "{}");
	RUN_UNTIL(&p, p.ndone == 2);
	ASSERT_STR(l->result.status, "success");
	ASSERT(holds(&l->result.data, "\"echo\":{\"x\":1.50}"));
	ASSERT(holds(&l->result.data, "\"task_id\":\"t-1\""));
	ASSERT(l->task.params.p == NULL);
	ASSERT_STR(second->result.status, "success");
	ASSERT_INT(category_places(p.cat), 2);
	ASSERT(p.room >= 4); /* each ready, each result */
	stop(&p);
	close_pool(&p);
}

static void
queues_what_comes_early(void)
{
	struct pool p;

	open_pool(&p, 1, "echo", "zoo");
	category_start(p.cat);
	(void)submit(&p, "echo", "t-1", "{}");
	(void)submit(&p, "echo", "t-2", "{}");
	(void)submit(&p, "echo", "t-3", "{}");
	ASSERT_INT(p.leases.count[LEASE_QUEUED], 3);
	ASSERT_INT(category_places(p.cat), -3);
	RUN_UNTIL(&p, count_in(&p, CHILD_BUSY) == 1);
	ASSERT_INT(category_places(p.cat), -2);
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
	struct pool p;
	char details[64];
	pid_t pid;

	expect_log("child was killed by signal 9 (Killed); starting another");
	open_pool(&p, 1, "slow", "zoo");
	category_start(p.cat);
	(void)submit(&p, "slow", "t-1", "{}");
	RUN_UNTIL(&p, p.ndone == 1); /* the pool is a healthy one */
	l = submit(&p, "slow", "t-2", "{\"ms\":100000}");
	c = first_in(&p, CHILD_BUSY);
	RUN_UNTIL(&p, c->lease_started);
	pid = c->pid;
	ASSERT_INT(kill(pid, SIGKILL), 0);
	RUN_UNTIL(&p, p.ndone == 2);
	check_failure(l, "was killed by signal 9 (Killed)");
	ASSERT(holds(&l->result.details, "\"signal\":9,\"exit_status\":null"));
	(void)snprintf(details, sizeof(details), "\"child_pid\":%d", (int)pid);
	ASSERT(holds(&l->result.details, details));
	/* At once: its successor was born in the same turn of the loop. */
	ASSERT_INT(p.cat->backoff.failures, 0);
	ASSERT_INT(count_in(&p, CHILD_STARTING), 1);
	ASSERT(category_is_offered(p.cat));
	(void)submit(&p, "slow", "t-3", "{}");
	RUN_UNTIL(&p, p.ndone == 3);
	ASSERT_STR(p.done[2]->result.status, "success");
	stop(&p);
	close_pool(&p);
}

/* Gives a lease to a child that does not move, and kills the child. */
static void
lose_before_it_started(struct pool *p, struct lease **l)
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
	struct pool p;

	expect_log("before the handler began; queued again");
	expect_log("child was killed by signal 9 (Killed); starting another");
	open_pool(&p, 1, "echo", "zoo");
	category_start(p.cat);
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
	struct pool p;

	expect_log("before the handler began; queued again");
	expect_log("its first task ended it; trying again in");
	open_pool(&p, 1, "echo", "zoo");
	category_start(p.cat);
	lose_before_it_started(&p, &l);
	ASSERT_INT(l->state, LEASE_QUEUED);
	ASSERT_INT(p.cat->backoff.failures, 1);
	ASSERT(TAILQ_EMPTY(&p.cat->children));
	ASSERT(category_is_offered(p.cat)); /* it has been ready */
	RUN_UNTIL(&p, p.ndone == 1);
	ASSERT_STR(l->result.status, "success");
	ASSERT_INT(p.cat->backoff.failures, 0);
	stop(&p);
	close_pool(&p);
}

static void
gives_up_after_two_more_tries(void)
{
	struct lease *l;
	struct pool p;

	expect_log("child was killed by signal 9 (Killed); starting another");
	open_pool(&p, 1, "echo", "zoo");
	category_start(p.cat);
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
	struct pool p;

	expect_log(NO_LICENCE);
	open_pool(&p, 2, "sad", "bad_init");
	p.cat->backoff.first_ms = 60000; /* one failure is enough here */
	p.cat->backoff.max_ms = 60000;
	p.cat->wanted = 1;
	category_start(p.cat);
	early = submit(&p, "sad", "t-1", "{}");
	RUN_UNTIL(&p, p.settled > 0);
	ASSERT_INT(p.settled, 1);
	ASSERT(!category_is_offered(p.cat));
	ASSERT_INT(p.ndone, 1);
	check_failure(
	    early, "no child of category \"pool\" could be started: ");
	check_failure(early, NO_LICENCE);
	ASSERT_INT(p.cat->backoff.failures, 1);
	ASSERT(TAILQ_EMPTY(&p.cat->children));
	ASSERT(category_places(p.cat) <= 0);
	/* Nobody waits for what is known to fail. */
	late = submit(&p, "sad", "t-2", "{}");
	check_failure(late, NO_LICENCE);
	ASSERT_INT(category_places(p.cat), 0);
	stop(&p);
	close_pool(&p);
}

static void
tries_again_after_a_while(void)
{
	struct pool p;

	expect_log("trying again in");
	expect_log("trying again in");
	open_pool(&p, 1, "sad", "bad_init");
	category_start(p.cat);
	RUN_UNTIL(&p, p.cat->backoff.failures == 2);
	ASSERT_INT(p.settled, 1);
	stop(&p);
	close_pool(&p);
}

static void
says_that_there_is_no_program(void)
{
	struct pool p;

	expect_log("cannot start child of \"pool\": cannot start ");
	open_pool(&p, 1, "echo", "zoo");
	free(p.cat->program.argv[0]);
	ASSERT((p.cat->program.argv[0] = strdup("/nonexistent/child")) != NULL);
	category_start(p.cat);
	ASSERT_INT(p.settled, 1);
	ASSERT(!category_is_offered(p.cat));
	stop(&p);
	close_pool(&p);
}

static void
hands_back_when_abandoned(void)
{
	struct lease *running, *queued;
	struct pool p;

	open_pool(&p, 1, "slow", "zoo");
	category_start(p.cat);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 1);
	running = submit(&p, "slow", "t-1", "{\"ms\":100000}");
	queued = submit(&p, "slow", "t-2", "{}");
	RUN_UNTIL(&p, first_in(&p, CHILD_BUSY)->lease_started);
	category_abandon(p.cat);
	ASSERT_INT(p.ndone, 2);
	check_failure(running, "interrupted: the worker was stopped");
	check_failure(queued, "interrupted: the worker was stopped");
	RUN_UNTIL(&p, p.emptied > 0);
	ASSERT_INT(p.ndone, 2);
	ASSERT_INT(p.emptied, 1);
	ASSERT(TAILQ_EMPTY(&p.cat->children));
	close_pool(&p);
}

static void
lets_a_task_end_before_it_stops(void)
{
	struct lease *l;
	struct pool p;

	open_pool(&p, 2, "slow", "zoo");
	category_start(p.cat);
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
	struct pool p;

	open_pool(&p, 2, "echo", "zoo");
	category_start(p.cat);
	ASSERT_INT(count_in(&p, CHILD_STARTING), 2);
	stop(&p);
	ASSERT_INT(p.settled, 0);
	close_pool(&p);
}

static void
is_freed_while_busy(void)
{
	struct pool p;

	open_pool(&p, 1, "slow", "zoo");
	category_start(p.cat);
	RUN_UNTIL(&p, count_in(&p, CHILD_IDLE) == 1);
	(void)submit(&p, "slow", "t-1", "{\"ms\":100000}");
	close_pool(&p);
	category_free(NULL);
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
};
TEST_MAIN(tests)
