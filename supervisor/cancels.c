/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "supervisor/cancels.h"

void
cancels_init(struct cancels *c)
{
	*c = (struct cancels){ 0 };
}

void
cancels_note(struct cancels *c, const struct orchestrator *origin,
    const char *id, int64_t now_ms)
{
	struct cancel_note *note = &c->notes[c->next];
	const size_t len = strlen(id);

	if (len > TASK_ID_MAX)
		return;
	note->origin = origin;
	note->noted_ms = now_ms;
	(void)memcpy(note->id, id, len + 1);
	c->next = (c->next + 1) % CANCELS_MAX;
}

bool
cancels_has(const struct cancels *c, const struct orchestrator *origin,
    const struct task *task, int64_t now_ms)
{
	const struct cancel_note *note;

	for (note = c->notes; note < c->notes + CANCELS_MAX; note++)
		if (note->origin == origin &&
		    now_ms - note->noted_ms < CANCELS_AGE_MS &&
		    (strcmp(note->id, task->task_id) == 0 ||
			strcmp(note->id, task->job_id) == 0))
			return (true);
	return (false);
}
