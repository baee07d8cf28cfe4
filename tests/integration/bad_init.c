/* SPDX-License-Identifier: ISC */
/* bad_init.c: a module whose init fails. */
#include "child/handler.h"

static int
init(void **state, struct aw_error *error)
{
	(void)state;
	return (aw_error_set(error, "the licence has run out"));
}

static void
run(struct aw_task *task, void *state)
{
	(void)state;
	aw_success_data(task);
}

static const struct aw_handler sad = {
	.size = sizeof(struct aw_handler),
	.type = "sad",
	.init = init,
	.run = run,
};

AW_MODULE(&sad);
