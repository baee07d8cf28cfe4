/* SPDX-License-Identifier: ISC */
/* bad_hang.c: a module that hangs when it is loaded, or when its process
 * ends, as HANG says. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child/handler.h"

static void
hang(const char *when)
{
	const char *wanted = getenv("HANG");

	while (wanted != NULL && strcmp(wanted, when) == 0)
		(void)pause();
}

__attribute__((__constructor__)) static void
begin(void)
{
	hang("load");
}

__attribute__((__destructor__)) static void
end(void)
{
	hang("exit");
}

static void
run(struct aw_task *task, void *state)
{
	(void)state;
	aw_success_data(task);
}

static const struct aw_handler patient = {
	.size = sizeof(struct aw_handler),
	.type = "patient",
	.run = run,
};

AW_MODULE(&patient);
