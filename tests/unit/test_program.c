/* SPDX-License-Identifier: ISC */
/* A program's children and its queue, in a life without accidents. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/test.h"
#include "tests/unit/live_program.h"

static void
runs_leases(void)
{
	struct lease *l, *second;
	struct rig p;

	live_open(&p, 2, "echo", "zoo");
	ASSERT(!program_is_offered(p.program));
	ASSERT_INT(live_places(&p), 0);
	program_start(p.program);
	RUN_UNTIL(&p, live_count(&p, CHILD_IDLE) == 2);
	ASSERT(program_is_offered(p.program));
	ASSERT_INT(p.settled, 1);
	ASSERT_INT(live_places(&p), 2);
	l = live_submit(&p, "echo", "t-1", "{\"x\":1.50}");
	ASSERT_INT(l->state, LEASE_RUNNING);
	ASSERT_INT(live_places(&p), 1);
	second = live_submit(&p, "echo", "t-2", "{}");
	RUN_UNTIL(&p, p.ndone == 2);
	ASSERT_STR(l->result.status, "success");
	ASSERT(holds(&l->result.data, "\"echo\":{\"x\":1.50}"));
	ASSERT(holds(&l->result.data, "\"task_id\":\"t-1\""));
	ASSERT(l->task.params.p == NULL);
	ASSERT_STR(second->result.status, "success");
	ASSERT_INT(live_places(&p), 2);
	ASSERT(p.room >= 4); /* each ready, each result */
	live_stop(&p);
	live_close(&p);
}

static void
queues_what_comes_early(void)
{
	struct rig p;

	live_open(&p, 1, "echo", "zoo");
	program_start(p.program);
	(void)live_submit(&p, "echo", "t-1", "{}");
	(void)live_submit(&p, "echo", "t-2", "{}");
	(void)live_submit(&p, "echo", "t-3", "{}");
	ASSERT_INT(p.leases.count[LEASE_QUEUED], 3);
	ASSERT_INT(live_places(&p), -3);
	RUN_UNTIL(&p, live_count(&p, CHILD_BUSY) == 1);
	ASSERT_INT(live_places(&p), -2);
	RUN_UNTIL(&p, p.ndone == 3);
	ASSERT_STR(p.done[0]->task.task_id, "t-1");
	ASSERT_STR(p.done[1]->task.task_id, "t-2");
	ASSERT_STR(p.done[2]->task.task_id, "t-3");
	ASSERT_STR(p.done[2]->result.status, "success");
	live_stop(&p);
	live_close(&p);
}

static void
hands_back_when_abandoned(void)
{
	struct lease *running, *queued;
	struct rig p;

	live_open(&p, 1, "slow", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, live_count(&p, CHILD_IDLE) == 1);
	running = live_submit(&p, "slow", "t-1", "{\"ms\":100000}");
	queued = live_submit(&p, "slow", "t-2", "{}");
	RUN_UNTIL(
	    &p, TAILQ_FIRST(&live_first(&p, CHILD_BUSY)->running)->started);
	program_abandon(p.program);
	ASSERT_INT(p.ndone, 2);
	ASSERT_INT(live_count(&p, CHILD_IDLE), 1); /* it lives */
	check_failure(running, "interrupted: the worker was stopped");
	check_failure(queued, "interrupted: the worker was stopped");
	program_kill(p.program);
	RUN_UNTIL(&p, p.emptied > 0);
	ASSERT_INT(p.ndone, 2);
	ASSERT_INT(p.emptied, 1);
	ASSERT(TAILQ_EMPTY(&p.program->children));
	live_close(&p);
}

static void
lets_a_task_end_before_it_stops(void)
{
	struct lease *l;
	struct rig p;

	live_open(&p, 2, "slow", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, live_count(&p, CHILD_IDLE) == 2);
	l = live_submit(&p, "slow", "t-1", "{\"ms\":50}");
	live_stop(&p);
	ASSERT_INT(p.ndone, 1);
	ASSERT_STR(l->result.status, "success");
	live_close(&p);
}

static void
stops_what_is_not_ready(void)
{
	struct rig p;

	live_open(&p, 2, "echo", "zoo");
	program_start(p.program);
	ASSERT_INT(live_count(&p, CHILD_STARTING), 2);
	live_stop(&p);
	ASSERT_INT(p.settled, 0);
	live_close(&p);
}

static void
is_freed_while_busy(void)
{
	struct rig p;

	live_open(&p, 1, "slow", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, live_count(&p, CHILD_IDLE) == 1);
	(void)live_submit(&p, "slow", "t-1", "{\"ms\":100000}");
	live_close(&p);
	program_free(NULL);
}

/* Sizes. */

static void
starts_on_demand(void)
{
	struct rig p;

	live_open_dynamic(&p, 0, 2, 50);
	program_start(p.program);
	ASSERT_INT(p.settled, 1);
	ASSERT(program_is_offered(p.program));
	ASSERT(TAILQ_EMPTY(&p.program->children));
	ASSERT_INT(live_places(&p), 2);
	(void)live_submit(&p, "slow", "t-1", "{}");
	ASSERT_INT(live_count(&p, CHILD_STARTING), 1);
	ASSERT_INT(live_places(&p), 1);
	(void)live_submit(&p, "slow", "t-2", "{}");
	(void)live_submit(&p, "slow", "t-3", "{}");
	ASSERT_INT(live_count(&p, CHILD_STARTING), 2);
	ASSERT_INT(live_places(&p), -1);
	RUN_UNTIL(&p, p.ndone == 3);
	RUN_UNTIL(&p, TAILQ_EMPTY(&p.program->children));
	ASSERT_STR(p.reasons, "idle idle ");
	ASSERT_INT(p.settled, 1);
	ASSERT_INT(live_places(&p), 2);
	(void)live_submit(&p, "slow", "t-4", "{}");
	RUN_UNTIL(&p, p.ndone == 4);
	live_stop(&p);
	live_close(&p);
}

/* Where handlers wait for us; gate is what tells them of it. */
static int
open_gate(struct sockaddr_un *sun, char gate[160])
{
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(sun->sun_path, sizeof(sun->sun_path),
	    "/tmp/avtoworker-gate-%d", (int)getpid());
	(void)snprintf(gate, 160, "{\"gate\":\"%s\"}", sun->sun_path);
	ASSERT(fd != -1);
	ASSERT_INT(bind(fd, (const struct sockaddr *)sun, sizeof(*sun)), 0);
	ASSERT_INT(listen(fd, 10), 0);
	return (fd);
}

/* Lets so many pass, once they are there. */
static void
pass_gate(int fd, const struct sockaddr_un *sun, int count)
{
	int at[8], i;

	for (i = 0; i < count; i++)
		ASSERT((at[i] = accept(fd, NULL, NULL)) != -1);
	for (i = 0; i < count; i++)
		(void)close(at[i]);
	(void)close(fd);
	ASSERT_INT(unlink(sun->sun_path), 0);
}

static void
grows_and_shrinks(void)
{
	struct sockaddr_un sun;
	char gate[160];
	struct rig p;
	int fd;

	fd = open_gate(&sun, gate);
	live_open_dynamic(&p, 1, 3, 50);
	program_start(p.program);
	RUN_UNTIL(&p, live_count(&p, CHILD_IDLE) == 1);
	ASSERT_INT(live_places(&p), 3);
	(void)live_submit(&p, "slow", "t-1", gate);
	(void)live_submit(&p, "slow", "t-2", gate);
	ASSERT_INT(live_count(&p, CHILD_STARTING), 1);
	(void)live_submit(&p, "slow", "t-3", gate);
	(void)live_submit(&p, "slow", "t-4", "{}");
	RUN_UNTIL(&p, live_count(&p, CHILD_BUSY) == 3);
	ASSERT_INT(p.program->queued, 1);
	pass_gate(fd, &sun, 3);
	RUN_UNTIL(&p, p.ndone == 4);
	RUN_UNTIL(&p, strcmp(p.reasons, "idle idle ") == 0);
	ASSERT_INT(live_count(&p, CHILD_IDLE), 1);
	live_stop(&p);
	live_close(&p);
}

static void
uses_the_one_used_last(void)
{
	struct child *c;
	struct rig p;
	unsigned i;

	live_open(&p, 3, "echo", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, live_count(&p, CHILD_IDLE) == 3);
	c = live_first(&p, CHILD_IDLE);
	for (i = 0; i < 4; i++) {
		(void)live_submit(&p, "echo", "t", "{}");
		ASSERT_INT(c->state, CHILD_BUSY);
		RUN_UNTIL(&p, p.ndone == i + 1);
		lease_free(&p.leases, p.done[i]);
	}
	ASSERT_INT(c->tasks, 4);
	live_stop(&p);
	live_close(&p);
}

/* Orders from above. */

static void
keeps_within_what_may_run(void)
{
	struct rig p;

	live_open_dynamic(&p, 0, 4, LIVE_LIMIT_S * 1000);
	p.program->max_running = 2;
	p.leases.count[LEASE_RUNNING] = 1; /* in another category */
	program_start(p.program);
	(void)live_submit(&p, "slow", "t-1", "{}");
	(void)live_submit(&p, "slow", "t-2", "{}");
	(void)live_submit(&p, "slow", "t-3", "{}");
	ASSERT_INT(live_count(&p, CHILD_STARTING), 1); /* more could not run */
	RUN_UNTIL(&p, p.ndone == 3);
	ASSERT_INT(live_count(&p, CHILD_IDLE), 1);
	p.leases.count[LEASE_RUNNING]++;
	(void)live_submit(&p, "slow", "t-4", "{}");
	ASSERT_INT(live_count(&p, CHILD_IDLE), 1);
	p.leases.count[LEASE_RUNNING]--;
	program_balance(p.program);
	ASSERT_INT(live_count(&p, CHILD_BUSY), 1);
	RUN_UNTIL(&p, p.ndone == 4);
	p.leases.count[LEASE_RUNNING]--;
	live_stop(&p);
	live_close(&p);
}

static void
keeps_its_queue_while_paused(void)
{
	struct lease *l;
	struct rig p;

	live_open(&p, 1, "echo", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, live_count(&p, CHILD_IDLE) == 1);
	live_pause(&p, true);
	ASSERT_INT(live_places(&p), 0);
	l = live_submit(&p, "echo", "t-1", "{}");
	program_balance(p.program);
	ASSERT_INT(l->state, LEASE_QUEUED);
	ASSERT(program_is_offered(p.program));
	live_pause(&p, false);
	ASSERT_INT(l->state, LEASE_RUNNING);
	RUN_UNTIL(&p, p.ndone == 1);
	ASSERT_INT(live_places(&p), 1);
	live_stop(&p);
	live_close(&p);
}

static void
hands_on_its_queue_when_it_retires(void)
{
	struct lease *running, *queued;
	struct rig p;

	live_open(&p, 2, "slow", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, live_count(&p, CHILD_IDLE) == 2);
	running = live_submit(&p, "slow", "t-1", "{\"ms\":100}");
	live_pause(&p, true);
	queued = live_submit(&p, "slow", "t-2", "{}");
	ASSERT(program_take_queued(p.program, p.program->lanes) == queued);
	ASSERT(program_take_queued(p.program, p.program->lanes) == NULL);
	program_submit(p.program, queued);
	program_retire(p.program);
	ASSERT(p.returned == queued);
	ASSERT_INT(queued->state, LEASE_QUEUED);
	ASSERT_INT(live_count(&p, CHILD_STOPPING), 1);
	RUN_UNTIL(&p, p.emptied > 0);
	ASSERT_INT(p.emptied, 1);
	ASSERT_STR(running->result.status, "success");
	ASSERT_STR(p.reasons, "stopped stopped ");
	live_close(&p);
}

static const struct test tests[] = {
	{ "leases are run by idle children", runs_leases },
	{ "what comes early waits for a child", queues_what_comes_early },
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
	{ "no more run than may over all categories",
	    keeps_within_what_may_run },
	{ "a paused pool keeps its queue", keeps_its_queue_while_paused },
	{ "a retired pool hands on its queue",
	    hands_on_its_queue_when_it_retires },
};

TEST_MAIN(tests)
