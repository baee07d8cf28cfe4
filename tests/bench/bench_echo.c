/* SPDX-License-Identifier: ISC */
/* The least a handler can do: its result is what it was given. */
#include <avtoworker/handler.h>

static void
run(struct aw_task *task, void *state)
{
	const char *params;
	size_t len;

	(void)state;
	params = aw_params(task, &len);
	aw_json_text(aw_data(task), "echo", params, len);
	aw_success_data(task);
}

static const struct aw_handler echo = {
	.size = sizeof(struct aw_handler),
	.type = "echo",
	.category = "light",
	.run = run,
};

AW_MODULE(&echo);
