/* SPDX-License-Identifier: ISC */
/* Children that are replaced when they have done, grown or lived enough. */
#include <string.h>

#include "tests/test.h"
#include "tests/unit/live_program.h"

static void
recycles_after_tasks(void)
{
	struct rig p;

	live_open(&p, 1, "echo", "zoo");
	p.conf.max_tasks_per_child = 2;
	program_start(p.program);
	(void)live_submit(&p, "echo", "t-1", "{}");
	(void)live_submit(&p, "echo", "t-2", "{}");
	RUN_UNTIL(&p, p.ndone == 2);
	/* Its successor does not wait for it to be gone. */
	ASSERT_INT(live_count(&p, CHILD_STOPPING), 1);
	ASSERT_INT(live_count(&p, CHILD_STARTING), 1);
	ASSERT_INT(live_places(&p), 1);
	(void)live_submit(&p, "echo", "t-3", "{}");
	RUN_UNTIL(&p, p.ndone == 3);
	RUN_UNTIL(&p, strcmp(p.reasons, "recycled_tasks ") == 0);
	ASSERT_INT(p.program->backoff.failures, 0);
	live_stop(&p);
	live_close(&p);
}

static void
recycles_after_memory(void)
{
	struct rig p;

	live_open(&p, 1, "echo", "zoo");
	p.conf.max_memory_per_child = 1;
	program_start(p.program);
	(void)live_submit(&p, "echo", "t-1", "{}");
	RUN_UNTIL(&p, strcmp(p.reasons, "recycled_memory ") == 0);
	ASSERT_INT(p.ndone, 1);
	RUN_UNTIL(&p, live_count(&p, CHILD_IDLE) == 1);
	live_stop(&p);
	live_close(&p);
}

/* Eight of them, two at a time. */
static void
recycles_by_age(void)
{
	struct rig p;

	live_open(&p, 8, "echo", "zoo");
	program_start(p.program);
	RUN_UNTIL(&p, live_count(&p, CHILD_IDLE) == 8);
	p.conf.max_child_age_ms = 1;
	program_balance(p.program);
	while (strlen(p.reasons) < 8 * strlen("recycled_age ")) {
		ASSERT(live_count(&p, CHILD_STARTING) <= 2);
		ASSERT(live_count(&p, CHILD_STOPPING) <= 2);
		ASSERT(live_count(&p, CHILD_IDLE) >= 6);
		live_turn(&p, __FILE__, __LINE__, "all are replaced");
	}
	p.conf.max_child_age_ms = 0;
	ASSERT(strncmp(p.reasons, "recycled_age recycled_age ", 26) == 0);
	ASSERT_INT(p.program->backoff.failures, 0);
	live_stop(&p);
	live_close(&p);
}

static void
age_comes_by_a_timer(void)
{
	struct rig p;

	live_open(&p, 1, "echo", "zoo");
	p.conf.max_child_age_ms = 1000;
	program_start(p.program);
	RUN_UNTIL(&p, strcmp(p.reasons, "recycled_age ") == 0);
	live_stop(&p);
	live_close(&p);
}

static void
children_draw_their_own_limits(void)
{
	const struct child *c;
	unsigned first, differ = 0;
	struct rig p;

	live_open(&p, 20, "echo", "zoo");
	program_start(p.program);
	first = TAILQ_FIRST(&p.program->children)->jitter;
	TAILQ_FOREACH(c, &p.program->children, entry) {
		ASSERT(c->jitter <= 1000);
		differ += c->jitter != first;
	}
	ASSERT(differ > 0);
	live_stop(&p);
	live_close(&p);
}

static const struct test tests[] = {
	{ "a child is replaced after its last task", recycles_after_tasks },
	{ "a child that has grown is replaced", recycles_after_memory },
	{ "old children are replaced a quarter at a time", recycles_by_age },
	{ "an idle child grows old by itself", age_comes_by_a_timer },
	{ "children draw limits of their own", children_draw_their_own_limits },
};

TEST_MAIN(tests)
