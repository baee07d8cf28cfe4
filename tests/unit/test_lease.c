/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/base/clock.h"
#include "supervisor/lease.h"
#include "tests/test.h"

static struct task
make_task(const char *task_id)
{
	struct task t = {
		.task_id = strdup(task_id),
		.job_id = strdup("j-1"),
		.type = strdup("echo"),
	};

	bytes_puts(&t.params, "{\"a\":1}");
	ASSERT(t.task_id != NULL && t.job_id != NULL && t.type != NULL);
	ASSERT(!bytes_failed(&t.params));
	return (t);
}

static struct lease *
add(struct lease_table *t, const char *task_id)
{
	struct task task = make_task(task_id);
	struct lease *l = lease_new(t, &task, NULL, 1234);

	ASSERT(l != NULL);
	ASSERT(task.task_id == NULL && task.params.p == NULL);
	return (l);
}

static void
check_counts(const struct lease_table *t, unsigned queued, unsigned running,
    unsigned finished)
{
	ASSERT_INT(t->count[LEASE_QUEUED], queued);
	ASSERT_INT(t->count[LEASE_RUNNING], running);
	ASSERT_INT(t->count[LEASE_FINISHED], finished);
}

static void
walks_through_its_states(void)
{
	struct result result = result_failure(CODE_TRANSIENT, "no");
	struct lease_table t;
	struct lease *l;

	lease_table_init(&t);
	check_counts(&t, 0, 0, 0);
	l = add(&t, "t-1");
	(void)add(&t, "t-2");
	ASSERT_INT(l->leased_ms, 1234);
	check_counts(&t, 2, 0, 0);
	lease_set_running(&t, l);
	check_counts(&t, 1, 1, 0);
	lease_set_queued(&t, l);
	check_counts(&t, 2, 0, 0);
	lease_set_running(&t, l);
	lease_finish(&t, l, &result);
	check_counts(&t, 1, 0, 1);
	lease_free(&t, l);
	check_counts(&t, 1, 0, 0);
	lease_free(&t, NULL);
	lease_table_fini(&t);
	check_counts(&t, 0, 0, 0);
}

/* At every moment: what has come is what has ended and what is here. */
static void
adds_up(const struct lease_table *t)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < LEASE_NSOURCES; i++)
		sum += t->received[i];
	for (i = 0; i < LEASE_NOUTCOMES; i++)
		sum -= t->ended[i];
	for (i = 0; i < LEASE_NSTATES; i++)
		sum -= t->count[i];
	ASSERT_INT(sum, 0);
}

static void
figures_add_up(void)
{
	struct result result = result_failure(CODE_TRANSIENT, "no");
	struct task task = make_task("old"), again = make_task("old");
	struct lease_table t;
	struct lease *old, *new;

	lease_table_init(&t);
	t.last_id = 70;
	old = lease_restore(&t, &task, NULL, 7, 10, LEASE_FROM_JOURNAL);
	ASSERT(old != NULL);
	ASSERT_INT(old->id, 7);
	adds_up(&t);
	ASSERT(lease_restore(&t, &again, NULL, 8, 10, LEASE_FROM_DEAD_LETTER) ==
	    NULL);
	adds_up(&t);
	new = add(&t, "new");
	ASSERT_INT(new->id, 71);
	ASSERT(lease_find(&t, 71) == new);
	ASSERT(lease_find(&t, 8) == NULL);
	ASSERT(lease_find_task(&t, "old") == old);
	ASSERT(lease_find_task(&t, "other") == NULL);
	adds_up(&t);
	lease_set_running(&t, new);
	adds_up(&t);
	lease_finish(&t, old, &result);
	adds_up(&t);
	lease_end(&t, old, LEASE_DEAD);
	adds_up(&t);
	ASSERT_INT(t.received[LEASE_FROM_POLL], 1);
	ASSERT_INT(t.received[LEASE_FROM_JOURNAL], 1);
	ASSERT_INT(t.ended[LEASE_DEAD], 1);
	lease_table_fini(&t);
}

static void
can_be_answered_unrun(void)
{
	struct result result = result_failure(CODE_INVALID_INPUT, "no");
	struct lease_table t;

	lease_table_init(&t);
	lease_finish(&t, add(&t, "t-1"), &result);
	check_counts(&t, 0, 0, 1);
	lease_table_fini(&t);
}

static void
takes_the_result_and_frees_the_params(void)
{
	struct result result = result_failure(CODE_PERMANENT, "%s %d", "no", 7);
	struct lease_table t;
	struct lease *l;

	lease_table_init(&t);
	l = add(&t, "t-1");
	ASSERT_MEM(l->task.params.p, l->task.params.len, "{\"a\":1}", 7);
	lease_set_running(&t, l);
	lease_finish(&t, l, &result);
	ASSERT(l->task.params.p == NULL);
	ASSERT_INT(l->task.params.len, 0);
	ASSERT_STR(l->task.task_id, "t-1");
	ASSERT_STR(l->result.status, "failure");
	ASSERT_STR(l->result.code, "PERMANENT_ERROR");
	ASSERT_STR(l->result.message, "no 7");
	ASSERT(result.status == NULL && result.message == NULL);
	lease_table_fini(&t);
}

/* What a transition does that LEASE_STATES does not have. */
static int
end_of(enum lease_state from, enum lease_state to)
{
	const struct rlimit no_core = { 0, 0 };
	struct lease_table t;
	struct lease *l;
	int status;
	pid_t pid;

	lease_table_init(&t);
	l = add(&t, "t-1");
	l->state = from;
	if ((pid = fork()) == 0) {
		struct result r = { 0 };

		(void)setrlimit(RLIMIT_CORE, &no_core);
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(1);
		if (to == LEASE_QUEUED)
			lease_set_queued(&t, l);
		else if (to == LEASE_RUNNING)
			lease_set_running(&t, l);
		else
			lease_finish(&t, l, &r);
		_exit(0);
	}
	ASSERT(pid != -1);
	ASSERT_INT(waitpid(pid, &status, 0), pid);
	l->state = LEASE_QUEUED;
	lease_table_fini(&t);
	return (status);
}

static void
refuses_other_transitions(void)
{
	static const bool allowed[LEASE_NSTATES][LEASE_NSTATES] = {
		[LEASE_QUEUED] = { [LEASE_RUNNING] = true,
		    [LEASE_FINISHED] = true },
		[LEASE_RUNNING] = { [LEASE_QUEUED] = true,
		    [LEASE_FINISHED] = true },
	};
	int from, to;

#ifdef NDEBUG
	return; /* nobody looks */
#endif
	for (from = 0; from < LEASE_NSTATES; from++)
		for (to = 0; to < LEASE_NSTATES; to++)
			ASSERT_INT(end_of((enum lease_state)from,
				       (enum lease_state)to) == 0,
			    allowed[from][to]);
}

static void
holds_a_task_once(void)
{
	struct lease_table t;
	struct task task;
	struct lease *l;

	lease_table_init(&t);
	l = add(&t, "t-1");
	task = make_task("t-1");
	errno = 0;
	ASSERT(lease_new(&t, &task, NULL, 0) == NULL);
	ASSERT_INT(errno, EEXIST);
	ASSERT(task.task_id == NULL && task.params.p == NULL);
	check_counts(&t, 1, 0, 0);
	/* Once it is gone, the same task may come again. */
	lease_free(&t, l);
	(void)add(&t, "t-1");
	check_counts(&t, 1, 0, 0);
	lease_table_fini(&t);
}

static void
never_uses_an_id_twice(void)
{
	struct lease_table t;
	struct lease *l;
	uint64_t last = 0;
	int i;

	lease_table_init(&t);
	for (i = 0; i < 5; i++) {
		l = add(&t, "t-1");
		ASSERT(l->id > last);
		last = l->id;
		lease_free(&t, l);
	}
	lease_table_fini(&t);
}

static void
names_itself(void)
{
	struct log_context ctx;
	struct lease_table t;

	lease_table_init(&t);
	ctx = lease_context(add(&t, "t-1"));
	ASSERT_STR(ctx.task_id, "t-1");
	ASSERT_STR(ctx.job_id, "j-1");
	ASSERT_STR(lease_state_name(LEASE_QUEUED), "queued");
	ASSERT_STR(lease_state_name(LEASE_RUNNING), "running");
	ASSERT_STR(lease_state_name(LEASE_FINISHED), "finished");
	lease_table_fini(&t);
}

static void
knows_ids(void)
{
	char text[TASK_ID_MAX + 2];
	int c;

	ASSERT(!task_id_ok(""));
	memset(text, 'x', sizeof(text));
	text[TASK_ID_MAX + 1] = '\0';
	ASSERT(!task_id_ok(text));
	text[TASK_ID_MAX] = '\0';
	ASSERT(task_id_ok(text));
	ASSERT(task_id_ok("task-786f1368-6ec3_4239.9157:A"));
	for (c = 1; c < 256; c++) {
		const bool letter = (c >= 'a' && c <= 'z') ||
		    (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		text[0] = 'a';
		text[1] = (char)c;
		text[2] = '\0';
		ASSERT_INT(task_id_ok(text),
		    letter || c == '.' || c == '_' || c == ':' || c == '-');
	}
}

static void
counts_deadlines_on_its_own_clock(void)
{
	struct lease_table t;
	struct task task = make_task("t-1");
	struct lease *l;

	lease_table_init(&t);
	ASSERT_INT(add(&t, "t-0")->deadline_ms, 0);
	task.deadline_ms = clock_wall_ms() + 60000;
	l = lease_new(&t, &task, NULL, 1234);
	ASSERT(l != NULL);
	ASSERT(l->deadline_ms <= 1234 + 60000);
	ASSERT(l->deadline_ms > 1234 + 60000 - 20000);
	lease_table_fini(&t);
}

static const struct test tests[] = {
	{ "a lease goes its way, and the counts go with it",
	    walks_through_its_states },
	{ "what has come is what has ended and what is here", figures_add_up },
	{ "a queued lease can be answered at once", can_be_answered_unrun },
	{ "finishing takes the result and frees the params",
	    takes_the_result_and_frees_the_params },
	{ "no other transition is survived", refuses_other_transitions },
	{ "a deadline is counted on the clock that does not jump",
	    counts_deadlines_on_its_own_clock },
	{ "a task is held once at a time", holds_a_task_once },
	{ "a lease's id is never used twice", never_uses_an_id_twice },
	{ "log lines can name it", names_itself },
	{ "ids are 1 to 128 characters of a small set", knows_ids },
};
TEST_MAIN(tests)
