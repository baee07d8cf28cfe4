/* SPDX-License-Identifier: ISC */
/* Children that do not start, or end before they have done anything. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "tests/test.h"
#include "tests/unit/live_program.h"

/* From now on every start fails; or none of them, any more. */
static void
set_child(struct rig *p, const char *program)
{
	free(p->program->command.argv[0]);
	p->program->command.argv[0] = strdup(program);
	ASSERT(p->program->command.argv[0] != NULL);
}

#define NO_LICENCE "the licence has run out"

static void
gives_back_what_cannot_start(void)
{
	struct lease *early, *late;
	struct rig p;

	expect_log(NO_LICENCE);
	live_open(&p, 1, "sad", "bad_init");
	p.program->backoff.first_ms = 60000; /* one failure is enough here */
	p.program->backoff.max_ms = 60000;
	program_start(p.program);
	early = live_submit(&p, "sad", "t-1", "{}");
	RUN_UNTIL(&p, p.settled > 0);
	ASSERT_INT(p.settled, 1);
	ASSERT(!program_is_offered(p.program));
	ASSERT_INT(p.ndone, 1);
	check_failure(
	    early, "no child of category \"pool\" could be started: ");
	check_failure(early, NO_LICENCE);
	ASSERT_INT(p.program->backoff.failures, 1);
	ASSERT(TAILQ_EMPTY(&p.program->children));
	ASSERT(live_places(&p) <= 0);
	/* Nobody waits for what is known to fail. */
	late = live_submit(&p, "sad", "t-2", "{}");
	check_failure(late, NO_LICENCE);
	ASSERT_INT(live_places(&p), 0);
	live_stop(&p);
	live_close(&p);
}

static void
tries_again_after_a_while(void)
{
	struct rig p;

	expect_log("trying again in");
	expect_log("trying again in");
	live_open(&p, 1, "sad", "bad_init");
	program_start(p.program);
	RUN_UNTIL(&p, p.program->backoff.failures == 2);
	ASSERT_INT(p.settled, 1);
	live_stop(&p);
	live_close(&p);
}

static void
says_that_there_is_no_program(void)
{
	struct rig p;

	expect_log("cannot start child of \"pool\": cannot start ");
	live_open(&p, 1, "echo", "zoo");
	set_child(&p, "/nonexistent/child");
	program_start(p.program);
	ASSERT_INT(p.settled, 1);
	ASSERT(!program_is_offered(p.program));
	live_stop(&p);
	live_close(&p);
}

/* One child that is idle and new dies of that signal. */
static void
kill_new(struct rig *p, int sig)
{
	program_start(p->program);
	RUN_UNTIL(p, live_count(p, CHILD_IDLE) == 1);
	ASSERT_INT(kill(live_first(p, CHILD_IDLE)->pid, sig), 0);
	RUN_UNTIL(p, p->reasons[0] != '\0');
	ASSERT_STR(p->reasons, "crash ");
}

static void
waits_after_an_idle_death(void)
{
	struct rig p;

	expect_log("trying again in");
	live_open(&p, 1, "echo", "zoo");
	kill_new(&p, SIGABRT);
	ASSERT_INT(p.program->backoff.failures, 1);
	ASSERT(TAILQ_EMPTY(&p.program->children));
	ASSERT_INT(live_places(&p), 0);
	ASSERT(program_is_offered(p.program));
	RUN_UNTIL(&p, live_count(&p, CHILD_IDLE) == 1);
	ASSERT_INT(live_places(&p), 1);
	live_stop(&p);
	live_close(&p);
}

static void
replaces_what_somebody_killed(void)
{
	struct rig p;

	expect_log("starting another");
	live_open(&p, 1, "echo", "zoo");
	kill_new(&p, SIGKILL);
	ASSERT_INT(p.program->backoff.failures, 0);
	ASSERT_INT(live_count(&p, CHILD_STARTING), 1);
	live_stop(&p);
	live_close(&p);
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
	live_open(&p, 1, "echo", "zoo");
	p.conf.withdraw_after_ms = 1000;
	p.program->backoff.first_ms = p.program->backoff.max_ms = 100000;
	program_start(p.program);
	RUN_UNTIL(&p, live_count(&p, CHILD_IDLE) == 1);
	ASSERT_INT(p.settled, 1);
	set_child(&p, "/nonexistent/child");
	since = clock_now_ms();
	ASSERT_INT(kill(live_first(&p, CHILD_IDLE)->pid, SIGKILL), 0);
	RUN_UNTIL(&p, TAILQ_EMPTY(&p.program->children));
	l = live_submit(&p, "echo", "t-1", "{}");
	ASSERT_INT(l->state, LEASE_QUEUED); /* it waits, for now */
	ASSERT(program_is_offered(p.program));
	RUN_UNTIL(&p, p.ndone == 1);
	ASSERT(clock_now_ms() - since >= 1000);
	check_failure(l, "could be started: cannot start");
	ASSERT(!program_is_offered(p.program));
	ASSERT_INT(p.settled, 2);
	/* It comes back as soon as a child does; the next start is now. */
	set_child(&p, p.env.program);
	p.program->not_before_ms = clock_now_ms();
	event_active(&p.program->timer, EV_TIMEOUT, 1);
	RUN_UNTIL(&p, p.settled == 3);
	ASSERT(program_is_offered(p.program));
	live_stop(&p);
	live_close(&p);
}

static void
on_demand_is_on_trust(void)
{
	struct lease *l;
	struct rig p;

	expect_log("cannot start child of \"pool\"");
	live_open_dynamic(&p, 0, 4, 50);
	set_child(&p, "/nonexistent/child");
	program_start(p.program);
	ASSERT(program_is_offered(p.program));
	l = live_submit(&p, "slow", "t-1", "{}");
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
	live_stop(&p);
	live_close(&p);
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
	live_open(&p, 1, "sad", "bad_init");
	ASSERT(start_gate_enter(&p.gate, &other));
	program_start(p.program);
	RUN_UNTIL(&p, p.program->ticket.place == GATE_WAITING);
	ASSERT(TAILQ_EMPTY(&p.program->children));
	ASSERT_INT(p.program->backoff.failures, 1);
	start_gate_leave(&p.gate, &other);
	ASSERT_INT(p.program->ticket.place, GATE_INSIDE);
	ASSERT_INT(live_count(&p, CHILD_STARTING), 1);
	RUN_UNTIL(&p, p.program->backoff.failures == 2);
	ASSERT_INT(p.gate.inside, 0);
	live_stop(&p);
	live_close(&p);
}

static const struct test tests[] = {
	{ "a pool that cannot start gives its queue back with the reason",
	    gives_back_what_cannot_start },
	{ "a failed start is tried again", tries_again_after_a_while },
	{ "a missing program settles the pool", says_that_there_is_no_program },
	{ "a new child that dies idle means a wait",
	    waits_after_an_idle_death },
	{ "a new child that somebody killed is replaced at once",
	    replaces_what_somebody_killed },
	{ "a pool without a ready child is withdrawn after a while",
	    withdraws_after_a_while },
	{ "a pool on demand is offered on trust until a start fails",
	    on_demand_is_on_trust },
	{ "pools that fail take turns", failing_pools_take_turns },
};

TEST_MAIN(tests)
