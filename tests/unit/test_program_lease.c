/* SPDX-License-Identifier: ISC */
/* Leases whose children are lost, or whose time is over. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/base/clock.h"
#include "tests/test.h"
#include "tests/unit/live_program.h"

static void
answers_for_a_killed_child(void)
{
	struct child *c;
	struct lease *l;
	struct rig p;
	char details[64];
	pid_t pid;

	expect_log("child was killed by signal 9 (Killed)");
	live_open(&p, 1, "slow", "zoo");
	program_start(p.program);
	(void)live_submit(&p, "slow", "t-1", "{}");
	RUN_UNTIL(&p, p.ndone == 1); /* the pool is a healthy one */
	l = live_submit(&p, "slow", "t-2", "{\"ms\":100000}");
	c = live_first(&p, CHILD_BUSY);
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
	ASSERT_INT(live_count(&p, CHILD_STARTING), 1);
	ASSERT(program_is_offered(p.program));
	(void)live_submit(&p, "slow", "t-3", "{}");
	RUN_UNTIL(&p, p.ndone == 3);
	ASSERT_STR(p.done[2]->result.status, "success");
	live_stop(&p);
	live_close(&p);
}

/* Gives a lease to a child that does not move, and kills the child. */
static void
lose_before_it_started(struct rig *p, struct lease **l)
{
	struct child *c;
	pid_t pid;

	RUN_UNTIL(p, live_count(p, CHILD_IDLE) == 1);
	c = live_first(p, CHILD_IDLE);
	pid = c->pid;
	ASSERT_INT(kill(pid, SIGSTOP), 0);
	if (*l == NULL)
		*l = live_submit(p, "echo", "t-1", "{}");
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
	live_open(&p, 1, "echo", "zoo");
	program_start(p.program);
	first = live_submit(&p, "echo", "t-0", "{}");
	RUN_UNTIL(&p, first->state == LEASE_FINISHED);
	lose_before_it_started(&p, &l);
	ASSERT_INT(l->state, LEASE_QUEUED);
	ASSERT_INT(l->requeues, 1);
	ASSERT_INT(p.ndone, 1);
	RUN_UNTIL(&p, p.ndone == 2);
	ASSERT_STR(l->result.status, "success");
	live_stop(&p);
	live_close(&p);
}

/* In a pool that has never succeeded, the same death means a wait. */
static void
waits_after_a_first_task_that_kills(void)
{
	struct lease *l = NULL;
	struct rig p;

	expect_log("before the handler began; queued again");
	expect_log("its first task ended it: it was killed by signal 9");
	live_open(&p, 1, "echo", "zoo");
	program_start(p.program);
	lose_before_it_started(&p, &l);
	ASSERT_INT(l->state, LEASE_QUEUED);
	ASSERT_INT(p.program->backoff.failures, 1);
	ASSERT(TAILQ_EMPTY(&p.program->children));
	ASSERT(program_is_offered(p.program)); /* it has been ready */
	RUN_UNTIL(&p, p.ndone == 1);
	ASSERT_STR(l->result.status, "success");
	ASSERT_INT(p.program->backoff.failures, 0);
	live_stop(&p);
	live_close(&p);
}

static void
gives_up_after_two_more_tries(void)
{
	struct lease *l;
	struct rig p;

	expect_log("child was killed by signal 9 (Killed)");
	live_open(&p, 1, "echo", "zoo");
	program_start(p.program);
	(void)live_submit(&p, "echo", "t-0", "{}");
	RUN_UNTIL(&p, p.ndone == 1);
	RUN_UNTIL(&p, live_count(&p, CHILD_IDLE) == 1);
	ASSERT_INT(kill(live_first(&p, CHILD_IDLE)->pid, SIGSTOP), 0);
	l = live_submit(&p, "echo", "t-1", "{}");
	l->requeues = 2; /* two children are lost already */
	ASSERT_INT(kill(live_first(&p, CHILD_BUSY)->pid, SIGKILL), 0);
	RUN_UNTIL(&p, p.ndone == 2);
	check_failure(l, "was killed by signal 9 (Killed)");
	live_stop(&p);
	live_close(&p);
}

/* Has a lease lose its child after its handler began. */
static struct lease *
lose_running(struct rig *p, const char *task_id)
{
	const unsigned before = p->ndone;
	struct child *c;
	struct lease *l;

	l = live_submit(p, "slow", task_id, "{\"ms\":100000}");
	RUN_UNTIL(p,
	    (c = live_first(p, CHILD_BUSY)) != NULL &&
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
	live_open(&p, 1, "slow", "zoo");
	program_start(p.program);
	(void)live_submit(&p, "slow", "t-1", "{}");
	RUN_UNTIL(&p, p.ndone == 1);
	check_failure(lose_running(&p, "t-2"), "was killed by signal 9");
	(void)live_submit(&p, "slow", "t-3", "{}"); /* clears it */
	RUN_UNTIL(&p, p.ndone == 3);
	check_failure(lose_running(&p, "t-4"), "was killed by signal 9");
	l = lose_running(&p, "t-5");
	ASSERT_STR(l->result.code, CODE_PERMANENT);
	ASSERT(strstr(l->result.message,
		   "2 children died over this task (crash 2); the last, child "
		   "") != NULL);
	ASSERT(holds(&l->result.details, "\"cause\":\"crash\""));
	ASSERT_STR(p.reasons, "crash crash crash ");
	live_stop(&p);
	live_close(&p);
}

static void
time_limits_are_no_poison(void)
{
	struct handler *h;
	struct rig p;
	int i;

	for (i = 0; i < 3; i++)
		expect_log("starting another");
	live_open(&p, 1, "slow", "zoo");
	ASSERT((h = handler_find(&p.handlers, "slow")) != NULL);
	h->time_limit_ms = 50;
	p.conf.time_limit_ms = 100000;
	program_start(p.program);
	for (i = 0; i < 3; i++) {
		(void)live_submit(&p, "slow", "t-1", "{\"ms\":100000}");
		RUN_UNTIL(&p, p.ndone == 1);
		ASSERT_STR(p.done[0]->result.code, CODE_TIMEOUT);
		lease_free(&p.leases, p.done[0]);
		p.ndone = 0;
	}
	ASSERT_STR(p.reasons, "time_limit time_limit time_limit ");
	ASSERT_INT(p.program->backoff.failures, 0);
	live_stop(&p);
	live_close(&p);
}

static void
what_is_cancelled_ends_so(void)
{
	struct child *c;
	struct rig p;

	live_open(&p, 1, "slow", "zoo");
	program_start(p.program);
	(void)live_submit(&p, "slow", "t-1", "{\"ms\":100000}");
	RUN_UNTIL(&p,
	    (c = live_first(&p, CHILD_BUSY)) != NULL &&
		TAILQ_FIRST(&c->running)->started);
	child_cancel_all(c, CANCEL_CANCEL, 10);
	RUN_UNTIL(&p, p.ndone == 1);
	ASSERT_STR(p.done[0]->result.status, "cancelled");
	ASSERT(p.done[0]->result.code == NULL);
	ASSERT_STR(p.reasons, "cancelled ");
	ASSERT_INT(p.program->backoff.failures, 0);
	live_stop(&p);
	live_close(&p);
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
	struct child *c;
	struct rig p;

	live_open(&p, 1, "slow", "zoo");
	program_start(p.program);
	(void)live_submit(&p, "slow", "t-1", "{\"ms\":100000}");
	ASSERT((l = lease_new(&p.leases, &task, NULL, 0)) != NULL);
	l->deadline_ms = clock_now_ms() + 100;
	program_submit(p.program, l);
	(void)live_submit(&p, "slow", "t-3", "{}");
	RUN_UNTIL(&p, p.ndone == 1);
	ASSERT(p.done[0] == l);
	ASSERT_STR(l->result.code, CODE_TIMEOUT);
	ASSERT_STR(
	    l->result.message, "its deadline passed before a child was free");
	RUN_UNTIL(&p, (c = live_first(&p, CHILD_BUSY)) != NULL);
	child_cancel_all(c, CANCEL_CANCEL, 10);
	RUN_UNTIL(&p, p.ndone == 3);
	ASSERT_STR(p.done[1]->result.status, "cancelled");
	ASSERT_STR(p.done[2]->result.status, "success");
	live_stop(&p);
	live_close(&p);
}

/* A child of an old generation dies before its handler began. */
static void
hands_on_what_never_started(void)
{
	struct lease *l;
	struct rig p;

	expect_log("before the handler began; queued again");
	live_open(&p, 1, "echo", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, live_count(&p, CHILD_IDLE) == 1);
	ASSERT_INT(kill(live_first(&p, CHILD_IDLE)->pid, SIGSTOP), 0);
	l = live_submit(&p, "echo", "t-1", "{}");
	program_retire(p.program);
	ASSERT_INT(kill(live_first(&p, CHILD_BUSY)->pid, SIGKILL), 0);
	RUN_UNTIL(&p, p.emptied > 0);
	ASSERT(p.returned == l);
	ASSERT_INT(l->state, LEASE_QUEUED);
	ASSERT_INT(p.ndone, 0);
	live_close(&p);
}

static const struct test tests[] = {
	{ "a child killed over its task is answered for, and replaced at once",
	    answers_for_a_killed_child },
	{ "a task whose handler never began is queued again",
	    queues_again_what_never_started },
	{ "a pool that never succeeded waits after a death",
	    waits_after_a_first_task_that_kills },
	{ "a task is queued again twice, not more",
	    gives_up_after_two_more_tries },
	{ "a task that costs too many children is refused for good",
	    refuses_poison },
	{ "a task that takes too long is not", time_limits_are_no_poison },
	{ "a cancelled task ends as cancelled", what_is_cancelled_ends_so },
	{ "a deadline passes in the queue as well",
	    deadlines_pass_in_the_queue },
	{ "and a task whose handler never began", hands_on_what_never_started },
};

TEST_MAIN(tests)
