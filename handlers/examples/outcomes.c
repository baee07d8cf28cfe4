/* SPDX-License-Identifier: ISC */
/*
 * outcomes: every way in which a task can end, to try what an orchestrator
 * makes of each; shows the names of a task and what a handler prints.
 *
 *	my_task	params	{"outcome": "success" | "failure" | "retry" |
 *			    "invalid" | "permanent" | "nothing" | "crash" |
 *			    "wait"}
 *		data	{"task_id": "...", "job_id": "..."}
 *
 * "wait" works until it is asked to stop: by soft_time_limit, by a cancel or
 * because the worker stops.
 */
#include <avtoworker/handler.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STEP_NS 10000000L /* between two looks */

/* Works until the task is to stop, and says why it was. */
static void
wait_for_end(struct aw_task *task)
{
	const struct timespec step = { .tv_nsec = STEP_NS };

	while (!aw_cancelled(task))
		(void)nanosleep(&step, NULL);
	aw_failure(
	    task, "TIMEOUT", "Operation stopped: %s", aw_cancel_reason(task));
}

static void
succeed(struct aw_task *task)
{
	aw_json_string(aw_data(task), "task_id", aw_task_id(task));
	aw_json_string(aw_data(task), "job_id", aw_job_id(task));
	aw_success_data(task);
}

static void
fail(struct aw_task *task)
{
	aw_failure(task, "VALIDATION_ERROR", "the value is not valid");
}

static void
ask_again(struct aw_task *task)
{
	aw_retry(
	    task, "CONNECTION_ERROR", "Failed to connect to external service");
}

static void
refuse(struct aw_task *task)
{
	aw_invalid_input(task, "required_field is missing");
}

static void
give_up(struct aw_task *task)
{
	aw_failure(task, "PERMANENT_ERROR", "this will never work");
}

/* Returning without a result is a failure, too. */
static void
do_nothing(struct aw_task *task)
{
	(void)task;
}

/* Costs this child, and nobody else. */
static void
crash(struct aw_task *task)
{
	(void)task;
	abort();
}

static const struct {
	const char *name;
	void (*run)(struct aw_task *);
} outcomes[] = {
	{ "success", succeed },
	{ "failure", fail },
	{ "retry", ask_again },
	{ "invalid", refuse },
	{ "permanent", give_up },
	{ "nothing", do_nothing },
	{ "crash", crash },
	{ "wait", wait_for_end },
};

static void
run(struct aw_task *task, void *state)
{
	const char *outcome;
	enum aw_got got;
	size_t i;

	(void)state;
	if ((got = aw_get_string(task, "outcome", &outcome, NULL)) != AW_GOT) {
		aw_invalid_input(task, "\"outcome\" %s", aw_got_text(got));
		return;
	}
	/* Lines in the log of the worker, with the ids of the task. */
	(void)printf("Processing task %s for job %s: %s\n", aw_task_id(task),
	    aw_job_id(task), outcome);
	for (i = 0; i < sizeof(outcomes) / sizeof(*outcomes); i++)
		if (strcmp(outcome, outcomes[i].name) == 0) {
			outcomes[i].run(task);
			return;
		}
	aw_invalid_input(task, "no such outcome: %s", outcome);
}

static const struct aw_handler my_task = {
	.size = sizeof(struct aw_handler),
	.type = "my_task",
	.run = run,
};

AW_MODULE(&my_task);
