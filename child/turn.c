/* SPDX-License-Identifier: ISC */
#include <time.h>

#include "child/turn.h"

void
turn_ready(struct turn *t)
{
	sweep_remember(&t->sweep);
	title_set(&t->title, "[%s] idle", t->category);
}

void
turn_begin(struct turn *t, const char *type, const char *task_id)
{
	const time_t now = time(NULL);
	struct tm tm = { 0 };

	(void)localtime_r(&now, &tm);
	title_set(&t->title, "[%s] %s %s since %02d:%02d:%02d", t->category,
	    type, task_id, tm.tm_hour, tm.tm_min, tm.tm_sec);
	limits_task_begin(t->limits);
}

void
turn_end(struct turn *t)
{
	limits_task_end(t->limits);
	sweep_task(&t->sweep);
	title_set(&t->title, "[%s] idle", t->category);
}

void
turn_over(struct turn *t)
{
	title_set(&t->title, "[%s] leaving", t->category);
	sweep_exit(&t->sweep);
	sweep_fini(&t->sweep);
}
