/* SPDX-License-Identifier: ISC */
/*
 * child.c: a child from its start to its reaping. Policy (how many, what a
 * death costs) is the owner's; here are the states and the order of an end:
 * kill the group while the zombie pins its number, read what is left in the
 * channel, then judge. One timer stands for whatever is due next, so every way
 * out of a state that could last for ever has one.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>
#include <event2/event.h>

#include "child/tree.h"
#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/children/child_parts.h"
#include "supervisor/children/command.h"
#include "supervisor/children/spawn.h"
#include "supervisor/children/workspace.h"
#include "supervisor/lease.h"

/* Alive, and deaf and mute. A launcher is so while it ends what a dead host has
 * left behind, and tells then how that died. */
#define CLOSED_MS  ((int64_t)TREE_END_MS + 5 * 1000)
#define LATE_MS    ((int64_t)2 * 1000) /* no load explains that */
#define UNREAD_MAX ((size_t)1024 * 1024) /* that a child is told */
#define OUTPUT_MAX ((int64_t)1024 * 1024) /* before its first task */

static const struct {
	const char *name;
	unsigned next; /* bit per state */
} states[] = {
#define S(state)             (1u << CHILD_##state)
#define X(state, name, next) { name, next },
	CHILD_STATES(X)
#undef X
};

struct log_context
child_context(const struct child *c)
{
	struct log_context ctx = { 0 };

	if (c->running_len == 1)
		return (child_task_context(c, TAILQ_FIRST(&c->running)));
	ctx.category = c->category;
	ctx.pid = c->pid;
	return (ctx);
}

void
child_set_state(struct child *c, enum child_state to)
{
	assert(states[c->state].next & (1u << to));
	c->last = c->state;
	c->state = to;
	c->since_ms = clock_now_ms();
	c->put_off = false;
	memory_use_busy(&c->memory, to == CHILD_BUSY);
}

void
child_set_limit(struct child *c, int64_t ms)
{
	c->limit_ms = ms > 0 ? clock_now_ms() + ms : 0;
	child_arm(c);
}

void
child_arm(struct child *c)
{
	const int64_t now_ms = clock_now_ms();
	struct timeval tv;
	int64_t wait_ms = -1, left_ms;

	if (c->state == CHILD_BUSY)
		wait_ms = child_tasks_wait_ms(c, now_ms);
	if (c->limit_ms != 0) {
		left_ms = c->limit_ms > now_ms ? c->limit_ms - now_ms : 0;
		if (wait_ms == -1 || left_ms < wait_ms)
			wait_ms = left_ms;
	}
	if (wait_ms == -1) {
		if (evtimer_pending(&c->timer, NULL))
			(void)event_del(&c->timer);
		return;
	}
	c->due_ms = now_ms + wait_ms;
	tv = clock_timeval(wait_ms);
	if (event_add(&c->timer, &tv) == -1) {
		const struct log_context ctx = child_context(c);

		log_line(LOG_LEVEL_ERR, &ctx,
		    "no memory for a child's timer; ending the child");
		/* Whatever it does now might last for ever. */
		child_kill(c, DEATH_INTERRUPTED,
		    "had to be ended: no memory for its timer");
	}
}

/* The first task that is to blame for its end, or else that it has. */
static const struct child_task *
foremost(const struct child *c)
{
	const struct child_task *t;

	TAILQ_FOREACH(t, &c->running, entry)
		if (t->guilty)
			return (t);
	return (TAILQ_FIRST(&c->running));
}

/* Ends that somebody may wonder about: what was it doing? */
static bool
is_worth_telling(enum death_cause cause)
{
	return (cause == DEATH_TIME_LIMIT || cause == DEATH_DEADLINE ||
	    cause == DEATH_MEMORY_LIMIT || cause == DEATH_CPU_LIMIT ||
	    cause == DEATH_CANCELLED);
}

void
child_kill(struct child *c, enum death_cause cause, const char *reason)
{
	struct why what;

	if (c->state == CHILD_ENDING)
		return;
	if (c->running_len > 0 && is_worth_telling(cause)) {
		why_set(&what, "ending it: it %s", reason);
		child_task_tell(c, foremost(c), LOG_LEVEL_INFO, what.text);
	}
	c->blamed = cause;
	(void)strlcpy(c->reason, reason, sizeof(c->reason));
	child_set_state(c, CHILD_ENDING);
	child_set_limit(c, 0);
	/* Its own session: the number of its group is its own. The child may
	 * not have got that far, so it is killed by itself as well. */
	(void)kill(-c->pid, SIGKILL);
	(void)kill(c->pid, SIGKILL);
	memory_use_kill(&c->memory);
}

void
child_malformed(const char *text, void *arg)
{
	struct child *c = arg;
	const struct log_context ctx = child_context(c);
	struct why why;

	why_set(&why, "broke the channel: %s", text);
	log_line(LOG_LEVEL_WARN, &ctx, "child %s; ending it", why.text);
	frame_stream_deafen(&c->channel); /* or there is a line for each */
	child_kill(c, DEATH_PROTOCOL, why.text);
}

/* An end of file is no verdict: it is dead, as the kernel will tell at once,
 * or it has closed its end, and will never answer again. */
static void
on_closed(void *arg)
{
	struct child *c = arg;

	if (c->closed || c->dying || c->state == CHILD_ENDING ||
	    c->state == CHILD_STOPPING)
		return;
	c->closed = true;
	child_set_limit(c, CLOSED_MS);
}

static const struct frame_stream_ops stream_ops = {
	.frame = child_frame,
	.malformed = child_malformed,
	.closed = on_closed,
};

static void
on_line(const char *text, void *arg)
{
	const struct log_context ctx = child_context(arg);

	log_line(LOG_LEVEL_INFO, &ctx, "%s", text);
}

static void
on_note(const char *text, void *arg)
{
	const struct log_context ctx = child_context(arg);

	log_line(LOG_LEVEL_WARN, &ctx, "%s", text);
}

static const struct output_ops output_ops = {
	.line = on_line,
	.note = on_note,
};

/* The state has lasted too long. */
static void
limit_over(struct child *c)
{
	if (c->closed)
		child_kill(c, DEATH_PROTOCOL, "closed its channel");
	else if (c->state == CHILD_STARTING)
		child_kill(
		    c, DEATH_START, "was not ready within start_timeout");
	else
		child_kill(c, DEATH_STOP, "did not leave within stop_timeout");
}

/* We did not run for so long, being stopped, or frozen together with our
 * children: they are not to pay for it. What they have said meanwhile is read
 * first, and they get the time again, once. */
static void
put_off(struct child *c, int64_t late_ms, int64_t now_ms)
{
	struct child_task *t;

	c->put_off = true;
	if (c->limit_ms != 0 && c->limit_ms <= now_ms)
		c->limit_ms = now_ms + late_ms;
	TAILQ_FOREACH(t, &c->running, entry)
		task_clock_put_off(&t->clock, late_ms, now_ms);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	const int64_t now_ms = clock_now_ms();

	(void)fd;
	(void)what;
	if (now_ms - c->due_ms >= LATE_MS && !c->put_off)
		put_off(c, now_ms - c->due_ms, now_ms);
	if (c->limit_ms != 0 && now_ms >= c->limit_ms)
		limit_over(c);
	else if (c->state == CHILD_BUSY)
		child_tasks_due(c, now_ms);
	if (c->state != CHILD_ENDING)
		child_arm(c);
}

static void
on_pidfd(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	reaper_run(arg);
}

/* Dead, but its number is still its own. */
static void
on_dying(void *arg)
{
	struct child *c = arg;

	c->dying = true;
	(void)kill(-c->pid, SIGKILL);
	memory_use_kill(&c->memory);
	frame_stream_drain(&c->channel);
	output_drain(&c->output);
}

static void
on_memory(const char *text, void *arg)
{
	child_kill(arg, DEATH_MEMORY_LIMIT, text);
}

static enum death_stage
task_stage(const struct child_task *t)
{
	return (t->started ? DEATH_STAGE_HANDLER : DEATH_STAGE_BEFORE);
}

static enum death_stage
stage(const struct child *c)
{
	static const enum death_stage stages[CHILD_NSTATES] = {
		[CHILD_STARTING] = DEATH_STAGE_STARTING,
		[CHILD_IDLE] = DEATH_STAGE_IDLE,
		[CHILD_BUSY] = DEATH_STAGE_BEFORE,
		[CHILD_STOPPING] = DEATH_STAGE_LEAVING,
	};

	if (!TAILQ_EMPTY(&c->running))
		return (task_stage(foremost(c)));
	if (c->answered)
		return (DEATH_STAGE_AFTER);
	return (stages[c->last]);
}

/* Whose doing it was: ours comes before what the kernel says, because the
 * kernel only says what we did. */
static void
judge(const struct child *c, struct death *death)
{
	death->stage = stage(c);
	if (c->reason[0] != '\0')
		death_blame(death, c->blamed, c->reason);
	else {
		death_judge_cpu(death, c->cpu_limit_ms);
		memory_use_judge(&c->memory, death);
	}
}

/* The same death, as one of its tasks has met it. What nobody of ours has
 * caused may be the doing of any of them. */
static void
judge_task(
    const struct child *c, const struct child_task *t, struct death *death)
{
	char reason[sizeof(c->reason)];
	struct why why;

	death->stage = task_stage(t);
	death->wall_ms = clock_now_ms() - t->clock.started_ms;
	if (t->guilty) {
		task_clock_reason(&t->clock, reason, sizeof(reason));
		death_blame(death, t->clock.cause, reason);
	} else if (c->one_guilty) {
		why_set(&why, "was ended because another of its tasks %s",
		    c->reason);
		death_blame(death, DEATH_OTHER_TASK, why.text);
	} else if (death->cause == DEATH_CRASH && t->clock.asked)
		death_asked(death, t->clock.cause);
}

/* The record of a death over a task. */
static void
tell_death(const struct child *c, const struct child_task *t,
    const struct death *death)
{
	const struct log_context ctx = child_task_context(c, t);
	char text[512];

	death_format(death, text, sizeof(text));
	log_line(LOG_LEVEL_INFO, &ctx, "task \"%s\": its child %s",
	    t->lease->task.type, text);
}

/* It takes its tasks with it; the last one first, for each that is to be queued
 * again goes to the head of the queue. */
static void
lose_tasks(struct child *c, const struct death *of_child)
{
	struct child_task *t;
	struct death death;
	struct lease *l;
	bool started;

	while ((t = TAILQ_LAST(&c->running, child_tasks)) != NULL) {
		death = *of_child;
		judge_task(c, t, &death);
		tell_death(c, t, &death);
		l = t->lease;
		started = t->started;
		child_task_free(c, t);
		workspaces_remove(c->workspaces, l->id);
		c->ops->lost(c, l, started, &death, c->arg);
	}
}

/* And as its owner has. */
static void
judge_child(const struct child *c, struct death *death)
{
	const struct child_task *t = foremost(c);

	if (t == NULL)
		return;
	death->wall_ms = clock_now_ms() - t->clock.started_ms;
	if (death->cause != DEATH_CRASH)
		return;
	TAILQ_FOREACH(t, &c->running, entry)
		if (t->clock.asked) {
			death_asked(death, t->clock.cause);
			return;
		}
}

static void
on_dead(void *arg, int status, const struct rusage *usage)
{
	struct child *c = arg;
	char tail[OUTPUT_TAIL_MAX + 1];
	struct death death, own;

	if (c->state != CHILD_ENDING)
		child_set_state(c, CHILD_ENDING);
	death_read(&death, c->pid, status, usage);
	judge(c, &death);
	output_tail(&c->output, tail);
	death.tail = tail;
	frame_stream_close(&c->channel);
	output_close(&c->output);
	own = death;
	judge_child(c, &own);
	c->lost = c->running_len;
	lose_tasks(c, &death);
	c->ops->gone(c, &own, c->arg);
}

/* Starts the program, in the control group that it got, if any. */
static int
start(const struct child *c, const struct child_start *how, struct spawned *p,
    struct why *why)
{
	char **argv;
	int rc;

	if (c->memory.group == NULL)
		return (spawn(how->argv, how->envp, how->files, p, why));
	if ((argv = command_argv_in(how->argv, c->memory.group)) == NULL) {
		why_errno(why, "child");
		return (-1);
	}
	rc = spawn(argv, how->envp, how->files, p, why);
	free(argv);
	return (rc);
}

struct child *
child_new(const struct child_start *how, struct why *why)
{
	const struct child_env *env = how->env;
	struct spawned p = { 0, -1, -1, -1 };
	struct child *c;

	if ((c = calloc(1, sizeof(*c))) == NULL) {
		why_errno(why, "child");
		return (NULL);
	}
	TAILQ_INIT(&c->running);
	c->channel.fd = c->output.fd = c->pidfd = -1;
	c->ops = how->ops;
	c->arg = how->arg;
	c->category = how->category;
	c->reaper = env->reaper;
	c->workspaces = env->workspaces;
	c->stop_timeout_ms = how->stop_timeout_ms;
	c->cpu_limit_ms = how->cpu_limit_ms;
	c->launched = how->launched;
	c->born_ms = c->since_ms = clock_now_ms();
	memory_use_init(
	    &c->memory, env->memory, how->memory_limit, on_memory, c);
	if (start(c, how, &p, why) == -1)
		goto fail;
	c->pid = p.pid;
	memory_use_started(&c->memory, c->pid);
	c->pidfd = p.pidfd;
	if (frame_stream_open(
		&c->channel, env->base, p.channel_fd, &stream_ops, c) == -1)
		goto fail_errno;
	p.channel_fd = -1;
	if (output_open(&c->output, env->base, p.output_fd, &output_ops, c) ==
	    -1)
		goto fail_errno;
	p.output_fd = -1;
	output_section(&c->output, OUTPUT_MAX);
	if (event_assign(&c->dead, env->base, c->pidfd, EV_READ, on_pidfd,
		env->reaper) == -1 ||
	    evtimer_assign(&c->timer, env->base, on_timer, c) == -1 ||
	    event_add(&c->dead, NULL) == -1)
		goto fail_errno;
	c->reaped = (struct reaped){
		.pid = c->pid,
		.dying = on_dying,
		.dead = on_dead,
		.arg = c,
	};
	reaper_add(env->reaper, &c->reaped);
	child_set_limit(c, how->timeout_ms);
	return (c);

fail_errno:
	why_errno(why, "cannot watch a child");
	(void)kill(p.pid, SIGKILL); /* the reaper takes it as a stranger */
fail:
	if (p.channel_fd != -1)
		(void)close(p.channel_fd);
	if (p.output_fd != -1)
		(void)close(p.output_fd);
	child_free(c);
	return (NULL);
}

void
child_adopt(struct child *c, const char *category, const struct child_ops *ops,
    void *arg)
{
	c->category = category;
	c->ops = ops;
	c->arg = arg;
}

bool
child_is_open(const struct child *c)
{
	return ((c->state == CHILD_IDLE || c->state == CHILD_BUSY) &&
	    !c->dying && !c->closed);
}

bool
child_is_free(const struct child *c)
{
	return (c->state == CHILD_IDLE && child_is_open(c));
}

int
child_tell(struct child *c, enum frame_type type, const char *payload,
    size_t len, struct why *why)
{
	assert(child_is_open(c));
	if (len > CHANNEL_TO_CHILD_MAX ||
	    frame_stream_unsent(&c->channel) + len > UNREAD_MAX) {
		why_set(
		    why, "child %d does not read what it is told", (int)c->pid);
		return (-1);
	}
	if (frame_stream_send(&c->channel, type, 0, payload, len) == -1) {
		why_errno(why, "cannot tell a child");
		child_kill(
		    c, DEATH_PROTOCOL, why->text); /* half of it may be sent */
		return (-1);
	}
	if (!child_is_open(c)) { /* as it turned out just now */
		why_set(why, "child %d has closed its channel", (int)c->pid);
		return (-1);
	}
	return (0);
}

void
child_stop(struct child *c)
{
	if (c->state != CHILD_IDLE && c->state != CHILD_STARTING)
		return;
	child_set_state(c, CHILD_STOPPING);
	(void)frame_stream_send(&c->channel, FRAME_STOP, 0, "{}", 2);
	child_set_limit(c, c->stop_timeout_ms);
}

void
child_free(struct child *c)
{
	if (c == NULL)
		return;
	while (child_take(c) != NULL)
		continue;
	if (c->reaped.pid != 0)
		reaper_remove(c->reaper, &c->reaped);
	frame_stream_close(&c->channel);
	output_close(&c->output);
	memory_use_fini(&c->memory);
	held_fini(&c->held);
	if (event_initialized(&c->dead))
		(void)event_del(&c->dead);
	if (event_initialized(&c->timer))
		(void)event_del(&c->timer);
	if (c->pidfd != -1)
		(void)close(c->pidfd);
	free(c);
}

const char *
child_state_name(enum child_state state)
{
	return (states[state].name);
}
