/* SPDX-License-Identifier: ISC */
/*
 * child_task.c: a child's tasks, from the frame that hands one over to what
 * its limits ask for: a line in the log, a cancel frame, the end. The process
 * gets no signal before that end, which is that of all its tasks.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "supervisor/base/clock.h"
#include "supervisor/children/child_parts.h"
#include "supervisor/children/procinfo.h"
#include "supervisor/children/workspace.h"
#include "supervisor/lease.h"

struct log_context
child_task_context(const struct child *c, const struct child_task *t)
{
	struct log_context ctx = lease_context(t->lease);

	ctx.category = c->category;
	ctx.pid = c->pid;
	return (ctx);
}

struct child_task *
child_task_find(const struct child *c, uint64_t lease_id)
{
	struct child_task *t;

	TAILQ_FOREACH(t, &c->running, entry)
		if (t->lease->id == lease_id)
			break;
	return (t);
}

void
child_task_free(struct child *c, struct child_task *t)
{
	TAILQ_REMOVE(&c->running, t, entry);
	c->running_len--;
	free(t);
}

struct lease *
child_take(struct child *c)
{
	struct child_task *t = TAILQ_FIRST(&c->running);
	struct lease *l;

	if (t == NULL)
		return (NULL);
	l = t->lease;
	child_task_free(c, t);
	return (l);
}

void
child_let_go(struct child *c)
{
	assert(c->running_len == 0);
	frame_stream_deafen(&c->channel);
	if (c->state == CHILD_BUSY)
		child_set_state(c, CHILD_IDLE);
}

/* It is the child's from now on. */
static void
begin(struct child *c, struct child_task *t, struct lease *l,
    const struct task_limits *limits)
{
	if (c->running_len == 0)
		output_section(&c->output, limits->output_max);
	t->lease = l;
	task_clock_start(&t->clock, limits, clock_now_ms());
	TAILQ_INSERT_TAIL(&c->running, t, entry);
	c->running_len++;
	if (c->state == CHILD_IDLE)
		child_set_state(c, CHILD_BUSY);
	child_arm(c);
}

int
child_run(struct child *c, struct lease *l, const struct task_limits *limits,
    struct why *why)
{
	char workspace[WORKSPACE_PATH_MAX];
	struct child_task *t = calloc(1, sizeof(*t));
	struct bytes b = { 0 };

	assert(child_is_open(c));
	workspaces_path(c->workspaces, l->id, workspace);
	task_put(&l->task, workspace, &b);
	if (t == NULL || bytes_failed(&b))
		why_set(why, "no memory to hand it to a child");
	else if (b.len > CHANNEL_TO_CHILD_MAX)
		why_set(why, "params are larger than a child takes (%u bytes)",
		    CHANNEL_TO_CHILD_MAX);
	else if (frame_stream_send(
		     &c->channel, FRAME_TASK, l->id, b.p, b.len) == -1) {
		why_errno(why, "cannot hand it to a child");
		child_kill(
		    c, DEATH_PROTOCOL, why->text); /* half of it may be sent */
	} else {
		begin(c, t, l, limits);
		bytes_fini(&b);
		return (0);
	}
	bytes_fini(&b);
	free(t);
	return (-1);
}

/* Sends what the clock has noted. A child that has no memory left for it, or
 * is gone, needs no answer: the end comes by itself. */
static void
ask(struct child *c, const struct child_task *t)
{
	const struct log_context ctx = child_task_context(c, t);
	char payload[96];
	int len;

	len = snprintf(payload, sizeof(payload),
	    "{\"reason\":\"%s\",\"grace_ms\":%lld}",
	    cancel_reason_name(t->clock.reason), (long long)t->clock.grace_ms);
	if (frame_stream_send(&c->channel, FRAME_CANCEL, t->lease->id, payload,
		(size_t)len) == -1)
		log_line(LOG_LEVEL_ERR, &ctx,
		    "no memory to ask a child to stop its task");
}

void
child_cancel(struct child *c, struct child_task *t, enum cancel_reason reason,
    int64_t grace_ms)
{
	if (c->state != CHILD_BUSY)
		return;
	if (task_clock_cancel(&t->clock, reason, grace_ms, clock_now_ms()))
		ask(c, t);
	child_arm(c);
}

void
child_cancel_all(struct child *c, enum cancel_reason reason, int64_t grace_ms)
{
	struct child_task *t;

	TAILQ_FOREACH(t, &c->running, entry)
		child_cancel(c, t, reason, grace_ms);
}

void
child_task_tell(const struct child *c, const struct child_task *t,
    enum log_level level, const char *what)
{
	const struct log_context ctx = child_task_context(c, t);
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
	    t->lease->task.type,
	    (double)(clock_now_ms() - t->clock.started_ms) / 1000, what, text);
}

static void
due_ask(struct child *c, const struct child_task *t)
{
	struct why what;

	why_set(&what, "asking it to stop within %.10g s",
	    (double)t->clock.grace_ms / 1000);
	child_task_tell(c, t, LOG_LEVEL_INFO, what.text);
	ask(c, t);
}

/* Does what is due for one task; true when its child has to be ended. */
static bool
is_over(struct child *c, const struct child_task *t, enum task_due due)
{
	if (due == TASK_SLOW)
		child_task_tell(c, t, LOG_LEVEL_WARN, "longer than slow_after");
	else if (due == TASK_ASK)
		due_ask(c, t);
	return (due == TASK_END);
}

/* Some of its tasks are guilty; the first of them says why it is ended. */
static void
end_for(struct child *c, const struct child_task *first, unsigned guilty)
{
	char reason[sizeof(c->reason)];

	c->one_guilty = guilty < c->running_len;
	task_clock_reason(&first->clock, reason, sizeof(reason));
	child_kill(c, first->clock.cause, reason);
}

void
child_tasks_due(struct child *c, int64_t now_ms)
{
	const struct child_task *first = NULL;
	struct child_task *t;
	unsigned guilty = 0;
	enum task_due due;

	TAILQ_FOREACH(t, &c->running, entry)
		while (!t->guilty &&
		    (due = task_clock_due(&t->clock, now_ms)) != TASK_NOTHING)
			if (is_over(c, t, due)) {
				t->guilty = true;
				guilty++;
				first = first != NULL ? first : t;
			}
	if (first != NULL)
		end_for(c, first, guilty);
}

int64_t
child_tasks_wait_ms(const struct child *c, int64_t now_ms)
{
	const struct child_task *t;
	int64_t wait_ms, next_ms = -1;

	TAILQ_FOREACH(t, &c->running, entry) {
		wait_ms = task_clock_wait_ms(&t->clock, now_ms);
		if (wait_ms != -1 && (next_ms == -1 || wait_ms < next_ms))
			next_ms = wait_ms;
	}
	return (next_ms);
}
