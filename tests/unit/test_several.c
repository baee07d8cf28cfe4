/* SPDX-License-Identifier: ISC */
/* Children that have several tasks at once, without processes and time. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/fuzz/fake_world.h"
#include "tests/test.h"
#include "tests/unit/program_rig.h"

#define READY \
	"{\"version\":1,\"handlers\":[{\"type\":\"t\",\"category\":\"pool\"}]}"
#define SUCCESS "{\"status\":\"success\",\"data\":{}}"

/* A channel program, or a C module, whose children may have three tasks. */
static void
open_rig(struct rig *r, bool module)
{
	world_reset();
	rig_init(r, world_env());
	rig_add_handler(
	    r, "t", "pool", module ? NULL : rig_add_source(r, "pool"));
	ASSERT((r->poison = poison_new(1)) != NULL);
	r->conf = (struct conf_category){
		.children = 1,
		.tasks_per_child = 3,
		.start_timeout_ms = 1000,
		.stop_timeout_ms = 200,
		.withdraw_after_ms = 10000,
		.idle_timeout_ms = 10000,
		.cancel_grace_ms = 50,
	};
}

/* As r->conf is now; its first children are ready. */
static void
start(struct rig *r, bool module)
{
	rig_add_category(r, "pool");
	rig_open(r, &(struct program_settings){ .name = "pool" });
	if (!module)
		rig_describe(r, READY);
	program_start(r->program);
	world_say_all(FRAME_READY, READY);
}

static void
close_rig(struct rig *r)
{
	rig_close(r);
	world_reset();
}

static void
submit(struct rig *r, unsigned n)
{
	char id[16];

	for (; n > 0; n--) {
		(void)snprintf(id, sizeof(id), "%u", r->count);
		program_submit(r->program, rig_lease(r, "t", id, id, "{}"));
	}
	world_turn();
}

/* The n-th child says that of a lease. */
static void
say(struct rig *r, unsigned n, enum frame_type type, unsigned lease)
{
	world_say(world_child(n), type, r->lease[lease]->id,
	    type == FRAME_RESULT ? SUCCESS : "{}");
	world_turn();
}

/* Frames of that type that the n-th child has got; the last one's lease. */
static unsigned
heard(unsigned n, enum frame_type type, uint64_t *lease)
{
	struct frame_header header;
	char payload[1024];
	unsigned count = 0;

	while (world_hear(world_child(n), &header, payload, sizeof(payload)))
		if (header.type == type) {
			count++;
			if (lease != NULL)
				*lease = header.lease;
		}
	return (count);
}

static const struct child *
child(const struct rig *r, unsigned n)
{
	const pid_t pid = world_child(n)->pid;
	const struct child *c;

	TAILQ_FOREACH(c, &r->program->children, entry)
		if (c->pid == pid)
			return (c);
	test_fail(__FILE__, __LINE__, "no child %u", n);
}

static unsigned
places(struct rig *r)
{
	return ((unsigned)rig_places(r, NULL).children);
}

static void
check_state(const struct rig *r, const char *states)
{
	char got[RIG_LEASES_MAX + 1] = "";
	unsigned i;

	for (i = 0; i < r->count; i++)
		got[i] = lease_state_name(r->lease[i]->state)[0];
	ASSERT_STR(got, states);
}

static void
check_end(const struct lease *l, const char *code, const char *message)
{
	ASSERT_INT(l->state, LEASE_FINISHED);
	ASSERT_STR(l->result.code, code);
	if (strstr(l->result.message, message) == NULL)
		test_fail(__FILE__, __LINE__, "\"%s\" has no \"%s\"",
		    l->result.message, message);
}

static void
results_in_any_order(void)
{
	struct rig r;

	open_rig(&r, false);
	start(&r, false);
	ASSERT_INT(places(&r), 3);
	submit(&r, 1);
	ASSERT_INT(places(&r), 2);
	submit(&r, 4);
	check_state(&r, "rrrqq");
	ASSERT_INT(heard(0, FRAME_TASK, NULL), 3);
	ASSERT_INT(child(&r, 0)->running_len, 3);
	say(&r, 0, FRAME_STARTED, 0);
	say(&r, 0, FRAME_STARTED, 1);
	say(&r, 0, FRAME_RESULT, 1);
	check_state(&r, "rfrrq");
	ASSERT_STR(r.lease[1]->result.status, "success");
	say(&r, 0, FRAME_STARTED, 3);
	say(&r, 0, FRAME_RESULT, 3);
	say(&r, 0, FRAME_RESULT, 0);
	check_state(&r, "ffrfr");
	ASSERT_STR(child_state_name(child(&r, 0)->state), "busy");
	say(&r, 0, FRAME_RESULT, 4);
	say(&r, 0, FRAME_RESULT, 2);
	check_state(&r, "fffff");
	ASSERT_STR(child_state_name(child(&r, 0)->state), "idle");
	ASSERT_INT(child(&r, 0)->tasks, 5);
	ASSERT_INT(places(&r), 3);
	close_rig(&r);
}

static void
fills_what_is_there_first(void)
{
	struct rig r;

	open_rig(&r, false);
	r.conf.children = 0;
	r.conf.min_children = 2;
	r.conf.max_children = 3;
	start(&r, false);
	ASSERT_INT(places(&r), 9);
	submit(&r, 2);
	ASSERT_INT(child(&r, 0)->running_len, 1);
	ASSERT_INT(child(&r, 1)->running_len, 1);
	submit(&r, 2);
	ASSERT_INT(child(&r, 0)->running_len, 2);
	ASSERT_INT(child(&r, 1)->running_len, 2);
	submit(&r, 2);
	ASSERT_INT(world.count, 2);
	submit(&r, 3); /* for one child, which is starting */
	ASSERT_INT(world.count, 3);
	check_state(&r, "rrrrrrqqq");
	ASSERT_INT(places(&r), 0);
	world_say(world_child(2), FRAME_READY, 0, READY);
	world_turn();
	check_state(&r, "rrrrrrrrr");
	submit(&r, 1); /* there may be no more of them */
	ASSERT_INT(world.count, 3);
	close_rig(&r);
}

static void
a_crash_is_everybodys(void)
{
	struct rig r;

	expect_log("before the handler began; queued again");
	expect_log("starting another");
	open_rig(&r, false);
	start(&r, false);
	r.program->succeeded = true;
	submit(&r, 3);
	say(&r, 0, FRAME_STARTED, 0);
	say(&r, 0, FRAME_STARTED, 2);
	world_pass(10);
	world_die(world_child(0), SIGSEGV);
	world_turn();
	check_state(&r, "fqf");
	/* One is enough here. */
	check_end(r.lease[0], CODE_PERMANENT, "was killed by signal 11");
	check_end(r.lease[2], CODE_PERMANENT, "was killed by signal 11");
	ASSERT_INT(r.lease[1]->requeues, 1);
	ASSERT_STR(r.reasons, "crash ");
	world_say(world_child(0), FRAME_READY, 0, READY);
	world_turn();
	check_state(&r, "frf");
	close_rig(&r);
}

/* What happens to the others when a task does not end in time. */
static void
check_innocent(const struct rig *r, const char *what)
{
	const struct lease *l = r->lease[1];
	char message[256];

	(void)snprintf(message, sizeof(message),
	    "was ended because another of its tasks %s", what);
	check_end(l, CODE_TRANSIENT, message);
	ASSERT(memmem(l->result.details.p, l->result.details.len,
		   "\"cause\":\"other_task\"", 20) != NULL);
	ASSERT_INT(r->lease[2]->requeues, 1); /* had not begun */
	ASSERT_INT(r->lease[2]->state, LEASE_QUEUED);
}

static void
one_is_cancelled(void)
{
	uint64_t lease = 0;
	struct rig r;

	expect_log("before the handler began; queued again");
	open_rig(&r, false);
	start(&r, false);
	submit(&r, 4);
	say(&r, 0, FRAME_STARTED, 0);
	ASSERT(program_cancel(r.program, r.lease[3])); /* waits */
	ASSERT(program_cancel(r.program, r.lease[0]));
	ASSERT_INT(heard(0, FRAME_CANCEL, &lease), 1);
	ASSERT(lease == r.lease[0]->id);
	/* It listens. */
	say(&r, 0, FRAME_RESULT, 0);
	check_state(&r, "frrf");
	ASSERT(!program_cancel(r.program, r.lease[0]));
	/* Another one does not. */
	submit(&r, 1);
	say(&r, 0, FRAME_STARTED, 1);
	say(&r, 0, FRAME_STARTED, 4);
	ASSERT(program_cancel(r.program, r.lease[4]));
	world_pass(49);
	check_state(&r, "frrfr");
	world_pass(1);
	ASSERT_STR(r.lease[4]->result.status, "cancelled");
	check_innocent(&r, "did not stop within 0.05 s of being cancelled");
	ASSERT_STR(r.reasons, "cancelled ");
	close_rig(&r);
}

static void
one_is_too_slow(void)
{
	uint64_t lease = 0;
	struct rig r;

	expect_log("before the handler began; queued again");
	expect_log("child ran longer than time_limit (0.1 s)");
	expect_log("child ran longer than time_limit (0.1 s)");
	open_rig(&r, false);
	r.conf.time_limit_ms = 100;
	r.conf.cancel_grace_ms = 10;
	start(&r, false);
	submit(&r, 1);
	say(&r, 0, FRAME_STARTED, 0);
	world_pass(50);
	submit(&r, 2);
	say(&r, 0, FRAME_STARTED, 1);
	world_pass(40);
	ASSERT_INT(heard(0, FRAME_CANCEL, &lease), 1);
	ASSERT(lease == r.lease[0]->id);
	world_pass(10);
	check_end(r.lease[0], CODE_TIMEOUT, "ran longer than time_limit");
	check_innocent(&r, "ran longer than time_limit (0.1 s)");
	ASSERT_STR(r.reasons, "time_limit ");
	/* Two that are both too slow are both to blame. */
	world_say(world_child(0), FRAME_READY, 0, READY);
	world_turn();
	submit(&r, 1);
	world_pass(100);
	check_end(r.lease[2], CODE_TIMEOUT, "ran longer than time_limit");
	check_end(r.lease[3], CODE_TIMEOUT, "ran longer than time_limit");
	close_rig(&r);
}

static void
a_stranger_is_a_breach(void)
{
	struct rig r;

	expect_log("a result frame for another lease; ending it");
	expect_log("starting another");
	open_rig(&r, false);
	start(&r, false);
	r.program->succeeded = true;
	submit(&r, 2);
	say(&r, 0, FRAME_STARTED, 0);
	say(&r, 0, FRAME_STARTED, 1);
	say(&r, 0, FRAME_RESULT, 0);
	check_state(&r, "fr");
	say(&r, 0, FRAME_RESULT, 0);
	check_end(r.lease[1], CODE_PERMANENT, "broke the channel");
	close_rig(&r);
}

static void
a_stop_waits_for_all(void)
{
	struct rig r;

	open_rig(&r, false);
	start(&r, false);
	submit(&r, 4);
	program_stop(r.program);
	world_turn();
	say(&r, 0, FRAME_RESULT, 1);
	check_state(&r, "rfrr"); /* what waits is still run */
	say(&r, 0, FRAME_RESULT, 0);
	say(&r, 0, FRAME_RESULT, 3);
	ASSERT_INT(heard(0, FRAME_STOP, NULL), 0);
	say(&r, 0, FRAME_RESULT, 2);
	check_state(&r, "ffff");
	ASSERT_INT(heard(0, FRAME_STOP, NULL), 1);
	world_die(world_child(0), 0);
	world_turn();
	ASSERT_INT(r.emptied, 1);
	ASSERT_STR(r.reasons, "stopped ");
	close_rig(&r);
}

static void
a_stop_asks_all(void)
{
	struct rig r;

	open_rig(&r, false);
	start(&r, false);
	submit(&r, 3);
	program_stop(r.program);
	program_say_farewell(r.program);
	ASSERT_INT(heard(0, FRAME_CANCEL, NULL), 3);
	world_pass(20);
	program_abandon(r.program);
	world_turn();
	ASSERT_INT(r.emptied, 0);
	program_kill(r.program);
	world_turn();
	check_state(&r, "fff");
	check_end(r.lease[2], CODE_TRANSIENT, "the worker was stopped");
	ASSERT_INT(r.emptied, 1);
	close_rig(&r);
}

static void
a_reload_lets_all_end(void)
{
	struct rig r;

	expect_log("before the handler began; queued again");
	open_rig(&r, false);
	start(&r, false);
	submit(&r, 4);
	program_retire(r.program);
	ASSERT(r.returned == r.lease[3]);
	say(&r, 0, FRAME_STARTED, 0);
	say(&r, 0, FRAME_RESULT, 0);
	say(&r, 0, FRAME_RESULT, 2);
	ASSERT_INT(r.emptied, 0);
	world_die(world_child(0), SIGKILL);
	world_turn();
	ASSERT(r.returned == r.lease[1]); /* had not begun */
	ASSERT_INT(r.emptied, 1);
	ASSERT_INT(r.ndone, 2);
	close_rig(&r);
}

static void
is_recycled_when_it_has_none(void)
{
	struct rig r;

	open_rig(&r, false);
	r.conf.max_tasks_per_child = 4;
	start(&r, false);
	submit(&r, 6);
	say(&r, 0, FRAME_RESULT, 0);
	check_state(&r, "frrrqq");
	say(&r, 0, FRAME_RESULT, 3);
	say(&r, 0, FRAME_RESULT, 1);
	check_state(&r, "ffrfqq"); /* four are enough */
	ASSERT_INT(world.count, 1);
	ASSERT_INT(heard(0, FRAME_STOP, NULL), 0);
	say(&r, 0, FRAME_RESULT, 2);
	ASSERT_INT(heard(0, FRAME_STOP, NULL), 1);
	ASSERT_INT(world.count, 2);
	world_say(world_child(1), FRAME_READY, 0, READY);
	world_turn();
	check_state(&r, "ffffrr");
	world_die(world_child(0), 0);
	world_turn();
	ASSERT_STR(r.reasons, "recycled_tasks ");
	close_rig(&r);
}

static void
ages_while_it_is_busy(void)
{
	struct rig r;

	open_rig(&r, false);
	r.conf.max_child_age_ms = 1000;
	start(&r, false);
	submit(&r, 2);
	world_pass(1000);
	say(&r, 0, FRAME_RESULT, 0);
	submit(&r, 1);
	check_state(&r, "frq");
	say(&r, 0, FRAME_RESULT, 1);
	ASSERT_INT(heard(0, FRAME_STOP, NULL), 1);
	world_die(world_child(0), 0);
	world_turn();
	ASSERT_STR(r.reasons, "recycled_age ");
	close_rig(&r);
}

static void
leaves_when_it_has_none(void)
{
	struct rig r;

	expect_log("starting another");
	open_rig(&r, false);
	start(&r, false);
	r.program->succeeded = true;
	submit(&r, 2);
	world_say(world_child(0), FRAME_STATE, 0, "{\"leaving\":true}");
	world_turn();
	submit(&r, 1);
	check_state(&r, "rrq");
	ASSERT_INT(heard(0, FRAME_STOP, NULL), 0);
	say(&r, 0, FRAME_RESULT, 0);
	check_state(&r, "frq");
	say(&r, 0, FRAME_RESULT, 1);
	ASSERT_INT(heard(0, FRAME_STOP, NULL), 1);
	world_die(world_child(0), 0);
	world_turn();
	ASSERT_STR(r.reasons, "left ");
	/* One that dies before that has not left. */
	world_say(world_child(0), FRAME_READY, 0, READY);
	world_turn();
	world_say(world_child(0), FRAME_STATE, 0, "{\"leaving\":true}");
	world_turn();
	say(&r, 0, FRAME_STARTED, 2);
	world_die(world_child(0), SIGSEGV);
	world_turn();
	check_end(r.lease[2], CODE_PERMANENT, "was killed by signal 11");
	ASSERT_STR(r.reasons, "left crash ");
	close_rig(&r);
}

static void
has_its_time_to_leave(void)
{
	struct rig r;

	open_rig(&r, false);
	start(&r, false);
	program_stop(r.program);
	ASSERT_INT(heard(0, FRAME_STOP, NULL), 1);
	world_pass(199);
	ASSERT_INT(child(&r, 0)->state, CHILD_STOPPING);
	expect_log("did not leave within stop_timeout");
	world_pass(1);
	ASSERT_INT(r.emptied, 1);
	close_rig(&r);
}

static void
modules_have_one(void)
{
	struct rig r;

	expect_log("have one task at a time");
	open_rig(&r, true);
	start(&r, true);
	ASSERT_INT(places(&r), 1);
	submit(&r, 2);
	check_state(&r, "rq");
	say(&r, 0, FRAME_RESULT, 0);
	check_state(&r, "fr");
	close_rig(&r);
}

static const struct test tests[] = {
	{ "results come in any order", results_in_any_order },
	{ "idle children come first, then room, then another child",
	    fills_what_is_there_first },
	{ "a crash is charged to all that had begun", a_crash_is_everybodys },
	{ "one that is cancelled and does not listen takes the others along",
	    one_is_cancelled },
	{ "so does one that is too slow, and it alone is to blame",
	    one_is_too_slow },
	{ "a result of a lease that it has no more is a breach",
	    a_stranger_is_a_breach },
	{ "a stop waits for all", a_stop_waits_for_all },
	{ "all are asked to stop, and handed back", a_stop_asks_all },
	{ "a reload lets all end, and hands on what had not begun",
	    a_reload_lets_all_end },
	{ "a child is recycled when its last task has ended",
	    is_recycled_when_it_has_none },
	{ "one grows old while it is busy", ages_while_it_is_busy },
	{ "one that wants to leave does so then", leaves_when_it_has_none },
	{ "one that is told to leave has stop_timeout for it",
	    has_its_time_to_leave },
	{ "children of C modules have one at a time", modules_have_one },
};
TEST_MAIN(tests)
