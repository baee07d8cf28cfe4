/* SPDX-License-Identifier: ISC */
/* bad_twice.c: a module that names one task type twice. */
#include "child/handler.h"

static void
run(struct aw_task *task, void *state)
{
	(void)state;
	aw_success_data(task);
}

static const struct aw_handler one = {
	.size = sizeof(struct aw_handler),
	.type = "twin",
	.run = run,
};
static const struct aw_handler other = {
	.size = sizeof(struct aw_handler),
	.type = "twin",
	.category = "light",
	.run = run,
};

AW_MODULE(&one, &other);
