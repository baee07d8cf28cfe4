/* SPDX-License-Identifier: ISC */
/* rival.c: a good module with a task type that the zoo has too. */
#include "child/handler.h"

static void
echo(struct aw_task *task, void *state)
{
	(void)state;
	aw_json_string(aw_data(task), "from", "rival");
	aw_success_data(task);
}

static const struct aw_handler rival = {
	.size = sizeof(struct aw_handler),
	.type = "echo",
	.run = echo,
};

AW_MODULE(&rival);
