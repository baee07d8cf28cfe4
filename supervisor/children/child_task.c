/* SPDX-License-Identifier: ISC */
/*
 * child_task.c: a child's task, from the frame that hands it over to what its
 * limits ask for: a line in the log, a cancel frame, the end. The process gets
 * no signal before that end.
 */
#include <assert.h>
#include <stdio.h>

#include "supervisor/base/clock.h"
#include "supervisor/children/child_parts.h"
#include "supervisor/children/procinfo.h"
#include "supervisor/children/workspace.h"
#include "supervisor/lease.h"

int
child_run(struct child *c, struct lease *l, const struct task_limits *limits,
    struct why *why)
{
	char workspace[WORKSPACE_PATH_MAX];
	struct bytes b = { 0 };
	int rc = -1;

	assert(child_is_free(c));
	workspaces_path(c->workspaces, l->id, workspace);
	task_put(&l->task, workspace, &b);
	if (bytes_failed(&b))
		why_set(why, "no memory to hand it to a child");
	else if (b.len > CHANNEL_TO_CHILD_MAX)
		why_set(why, "params are larger than a child takes (%u bytes)",
		    CHANNEL_TO_CHILD_MAX);
	else if (frame_stream_send(
		     &c->channel, FRAME_TASK, l->id, b.p, b.len) == -1) {
		why_errno(why, "cannot hand it to a child");
		child_kill(
		    c, DEATH_PROTOCOL, why->text); /* half of it may be sent */
	} else
		rc = 0;
	bytes_fini(&b);
	if (rc == 0) {
		output_section(&c->output, limits->output_max);
		c->lease = l;
		c->lease_started = false;
		task_clock_start(&c->clock, limits, clock_now_ms());
		child_set_state(c, CHILD_BUSY);
		child_arm(c);
	}
	return (rc);
}

/* Sends what the clock has noted. A child that has no memory left for it, or
 * is gone, needs no answer: the end comes by itself. */
static void
ask(struct child *c)
{
	const struct log_context ctx = child_context(c);
	char payload[96];
	int len;

	len = snprintf(payload, sizeof(payload),
	    "{\"reason\":\"%s\",\"grace_ms\":%lld}",
	    cancel_reason_name(c->clock.reason), (long long)c->clock.grace_ms);
	if (frame_stream_send(&c->channel, FRAME_CANCEL, c->lease->id, payload,
		(size_t)len) == -1)
		log_line(LOG_LEVEL_ERR, &ctx,
		    "no memory to ask a child to stop its task");
}

void
child_cancel(struct child *c, enum cancel_reason reason, int64_t grace_ms)
{
	if (c->state != CHILD_BUSY || c->lease == NULL)
		return;
	if (task_clock_cancel(&c->clock, reason, grace_ms, clock_now_ms()))
		ask(c);
	child_arm(c);
}

void
child_task_tell(const struct child *c, enum log_level level, const char *what)
{
	const struct log_context ctx = child_context(c);
	char text[PROCINFO_TEXT_MAX] = "nothing is known of its child";
	struct procinfo p;
	pid_t pid = 0;

	if (!log_enabled(level))
		return;
	if (c->launched)
		pid = procinfo_oldest_child(c->pid);
	if (procinfo_read(pid > 0 ? pid : c->pid, &p))
		procinfo_format(&p, text, sizeof(text));
	log_line(level, &ctx, "task \"%s\" has run for %.10g s, %s; %s",
	    c->lease != NULL ? c->lease->task.type : "",
	    (double)(clock_now_ms() - c->clock.started_ms) / 1000, what, text);
}

static void
due_ask(struct child *c)
{
	struct why what;

	why_set(&what, "asking it to stop within %.10g s",
	    (double)c->clock.grace_ms / 1000);
	child_task_tell(c, LOG_LEVEL_INFO, what.text);
	ask(c);
}

void
child_task_due(struct child *c, int64_t now_ms)
{
	char reason[sizeof(c->reason)];

	for (;;)
		switch (task_clock_due(&c->clock, now_ms)) {
		case TASK_NOTHING:
			return;
		case TASK_SLOW:
			child_task_tell(
			    c, LOG_LEVEL_WARN, "longer than slow_after");
			break;
		case TASK_ASK:
			due_ask(c);
			break;
		case TASK_END:
			task_clock_reason(&c->clock, reason, sizeof(reason));
			child_kill(c, c->clock.cause, reason);
			return;
		}
}
