/* SPDX-License-Identifier: ISC */
/* bad_version.c: a module of a later, incompatible interface. */
#include "child/handler.h"

static void
run(struct aw_task *task, void *state)
{
	(void)state;
	aw_success_data(task);
}

static const struct aw_handler later = {
	.size = sizeof(struct aw_handler),
	.type = "later",
	.run = run,
};
static const struct aw_handler *const handlers[] = { &later, NULL };

const struct aw_module avtoworker_module = {
	.size = sizeof(struct aw_module),
	.abi_version = AW_ABI_VERSION + 1,
	.handlers = handlers,
};
