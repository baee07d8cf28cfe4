/* SPDX-License-Identifier: ISC */
/* bad_empty.c: a module without handlers. */
#include "child/handler.h"

static const struct aw_handler *const none[] = { NULL };

const struct aw_module avtoworker_module = {
	.size = sizeof(struct aw_module),
	.abi_version = AW_ABI_VERSION,
	.handlers = none,
};
