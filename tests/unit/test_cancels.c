/* SPDX-License-Identifier: ISC */
#include <stdio.h>

#include "supervisor/cancels.h"
#include "tests/test.h"

#define NOW ((int64_t)1000)

/* Orchestrators are told apart by where they are. */
static const char places[2];
#define A ((const struct orchestrator *)(const void *)&places[0])
#define B ((const struct orchestrator *)(const void *)&places[1])

static struct cancels cancels;

static bool
has(const struct orchestrator *origin, const char *task_id, int64_t now_ms)
{
	char job[] = "job";
	const struct task task = { .task_id = (char *)task_id, .job_id = job };

	return (cancels_has(&cancels, origin, &task, now_ms));
}

static void
a_task_and_a_job_are_known_to_who_cancelled_them(void)
{
	cancels_init(&cancels);
	ASSERT(!has(A, "task", NOW));
	cancels_note(&cancels, A, "task", NOW);
	ASSERT(has(A, "task", NOW));
	ASSERT(!has(A, "task-2", NOW));
	ASSERT(!has(B, "task", NOW));
	cancels_note(&cancels, B, "job", NOW);
	ASSERT(has(B, "task-2", NOW));
	ASSERT(!has(A, "task-2", NOW));
}

static void
they_are_forgotten_in_time(void)
{
	cancels_init(&cancels);
	cancels_note(&cancels, A, "task", NOW);
	ASSERT(has(A, "task", NOW + CANCELS_AGE_MS - 1));
	ASSERT(!has(A, "task", NOW + CANCELS_AGE_MS));
	cancels_note(&cancels, A, "task", NOW + CANCELS_AGE_MS);
	ASSERT(has(A, "task", NOW + CANCELS_AGE_MS));
}

static void
the_latest_are_kept(void)
{
	char id[16];
	int i;

	cancels_init(&cancels);
	for (i = 0; i <= CANCELS_MAX; i++) {
		(void)snprintf(id, sizeof(id), "task-%d", i);
		cancels_note(&cancels, A, id, NOW);
	}
	ASSERT(!has(A, "task-0", NOW));
	ASSERT(has(A, "task-1", NOW));
	ASSERT(has(A, id, NOW));
}

static void
an_id_that_is_too_long_is_none(void)
{
	char id[TASK_ID_MAX + 2];

	(void)snprintf(id, sizeof(id), "%0*d", TASK_ID_MAX + 1, 0);
	cancels_init(&cancels);
	cancels_note(&cancels, A, id, NOW);
	id[TASK_ID_MAX] = '\0';
	ASSERT(!has(A, id, NOW));
	cancels_note(&cancels, A, id, NOW);
	ASSERT(has(A, id, NOW));
}

static const struct test tests[] = {
	{ "a task and a job are known to who cancelled them",
	    a_task_and_a_job_are_known_to_who_cancelled_them },
	{ "they are forgotten in time", they_are_forgotten_in_time },
	{ "the latest are kept", the_latest_are_kept },
	{ "an id that is too long is none", an_id_that_is_too_long_is_none },
};

TEST_MAIN(tests)
