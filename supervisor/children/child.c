/* SPDX-License-Identifier: ISC */
/*
 * child.c: a child from its start to its reaping. Policy (how many, what a
 * death costs) is the owner's; here are the states, the frames that may come
 * in each, and the order of an end: kill the group while the zombie pins its
 * number, read what is left in the channel, then judge. Every way out of a
 * state that could last for ever has a timer.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>
#include <event2/event.h>

#include "child/json_scan.h"
#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/children/child.h"
#include "supervisor/children/offer.h"
#include "supervisor/children/spawn.h"
#include "supervisor/lease.h"

#define STOP_TIMEOUT_MS ((int64_t)5 * 1000)

static const struct {
	const char *name;
	unsigned next; /* bit per state */
} states[] = {
#define S(state)             (1u << CHILD_##state)
#define X(state, name, next) { name, next },
	CHILD_STATES(X)
#undef X
};

static struct log_context
context(const struct child *c)
{
	struct log_context ctx = { 0 };

	if (c->lease != NULL)
		ctx = lease_context(c->lease);
	ctx.category = c->category;
	ctx.pid = c->pid;
	return (ctx);
}

static void
set_state(struct child *c, enum child_state to)
{
	assert(states[c->state].next & (1u << to));
	c->state = to;
	c->since_ms = clock_now_ms();
}

static void
set_timer(struct child *c, int64_t ms)
{
	const struct timeval tv = clock_timeval(ms);

	if (event_add(&c->timer, &tv) == -1) {
		const struct log_context ctx = context(c);

		log_line(LOG_LEVEL_ERR, &ctx, "cannot set a timer for a child");
	}
}

void
child_kill(struct child *c, enum death_cause cause, const char *reason)
{
	if (c->state == CHILD_ENDING)
		return;
	c->blamed = cause;
	(void)strlcpy(c->reason, reason, sizeof(c->reason));
	set_state(c, CHILD_ENDING);
	(void)event_del(&c->timer);
	/* Its own session: the number of its group is its own. The child may
	 * not have got that far, so it is killed by itself as well. */
	(void)kill(-c->pid, SIGKILL);
	(void)kill(c->pid, SIGKILL);
}

/* It broke the channel's rules. */
static void
on_malformed(const char *text, void *arg)
{
	struct child *c = arg;
	const struct log_context ctx = context(c);
	struct why why;

	why_set(&why, "broke the channel: %s", text);
	log_line(LOG_LEVEL_WARN, &ctx, "child %s; ending it", why.text);
	child_kill(c, DEATH_PROTOCOL, why.text);
}

static void
on_ready(struct child *c, const struct frame_header *h, const char *payload)
{
	struct offer offer = { 0 };
	struct why why;

	if (offer_read(payload, h->length, &offer, &why) == -1) {
		child_kill(c, DEATH_START, why.text);
		return;
	}
	(void)event_del(&c->timer);
	c->was_ready = true;
	set_state(c, CHILD_IDLE);
	c->ops->ready(c, &offer, c->arg);
	offer_fini(&offer);
}

static void
on_started(struct child *c, const struct frame_header *h, const char *payload)
{
	(void)h;
	(void)payload;
	if (c->lease_started)
		on_malformed("started twice", c);
	c->lease_started = true;
}

static void
on_result(struct child *c, const struct frame_header *h, const char *payload)
{
	struct lease *l = c->lease;
	struct result result = { 0 };
	struct why why, what;

	if (result_read(payload, h->length, &result, &why) == -1) {
		why_set(&what, "result: %.200s", why.text);
		on_malformed(what.text, c);
		return;
	}
	output_drain(&c->output);
	c->lease = NULL;
	c->lease_started = false;
	if (c->state == CHILD_BUSY)
		set_state(c, CHILD_IDLE);
	c->ops->finished(c, l, &result, c->arg);
	result_fini(&result);
}

static enum log_level
level_named(const struct jslice *name)
{
	static const struct {
		const char *name;
		enum log_level level;
	} names[] = {
		{ "debug", LOG_LEVEL_DEBUG },
		{ "warning", LOG_LEVEL_WARN },
		{ "error", LOG_LEVEL_ERR },
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (jscan_string_is(name, names[i].name))
			return (names[i].level);
	return (LOG_LEVEL_INFO);
}

static void
on_log(struct child *c, const struct frame_header *h, const char *payload)
{
	struct log_context ctx = context(c);
	enum log_level level = LOG_LEVEL_INFO;
	struct jscan_error error;
	struct jslice root, value;
	char text[OUTPUT_LINE_MAX], name[64];

	if (jscan_check(payload, h->length, &jscan_payload_limits, &root,
		&error) == -1 ||
	    !jscan_get(&root, "message", &value) ||
	    jscan_string(&value, text, sizeof(text)) == -1) {
		on_malformed("log without a message", c);
		return;
	}
	if (jscan_get(&root, "level", &value))
		level = level_named(&value);
	if (jscan_get(&root, "name", &value) &&
	    jscan_string(&value, name, sizeof(name)) > 0 && task_id_ok(name))
		ctx.name = name;
	log_line(level, &ctx, "%s", text);
}

#define IN(state) (1u << CHILD_##state)
static const struct {
	unsigned allowed; /* states in which it may come */
	bool leased; /* it names the lease the child holds */
	void (*handle)(
	    struct child *, const struct frame_header *, const char *);
} from_child[] = {
	[FRAME_READY] = { IN(STARTING) | IN(STOPPING), false, on_ready },
	/* A child we have killed may have answered before. */
	[FRAME_STARTED] = { IN(BUSY) | IN(ENDING), true, on_started },
	[FRAME_RESULT] = { IN(BUSY) | IN(ENDING), true, on_result },
	[FRAME_LOG] = { ~0u, false, on_log },
};

static void
on_frame(const struct frame_header *h, const char *payload, void *arg)
{
	struct child *c = arg;
	struct why why;

	if (h->type >= sizeof(from_child) / sizeof(from_child[0]) ||
	    from_child[h->type].handle == NULL) {
		why_set(&why, "a %s frame is not for us", frame_name(h->type));
		on_malformed(why.text, c);
		return;
	}
	if (c->state == CHILD_ENDING && c->lease == NULL)
		return; /* whatever it was, it has been answered */
	if (!(from_child[h->type].allowed & (1u << c->state)) ||
	    (from_child[h->type].leased && c->lease == NULL)) {
		why_set(&why, "a %s frame while %s", frame_name(h->type),
		    states[c->state].name);
		on_malformed(why.text, c);
		return;
	}
	if (from_child[h->type].leased && h->lease != c->lease->id) {
		why_set(
		    &why, "a %s frame for another lease", frame_name(h->type));
		on_malformed(why.text, c);
		return;
	}
	if (h->type == FRAME_READY && c->state == CHILD_STOPPING)
		return; /* it was told to leave before it was ready */
	from_child[h->type].handle(c, h, payload);
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
	set_timer(c, STOP_TIMEOUT_MS);
}

static const struct frame_stream_ops stream_ops = {
	.frame = on_frame,
	.malformed = on_malformed,
	.closed = on_closed,
};

static void
on_line(const char *text, void *arg)
{
	const struct child *c = arg;
	const struct log_context ctx = context(c);

	log_line(LOG_LEVEL_INFO, &ctx, "%s", text);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;

	(void)fd;
	(void)what;
	if (c->closed)
		child_kill(c, DEATH_PROTOCOL, "closed its channel");
	else if (c->state == CHILD_STARTING)
		child_kill(
		    c, DEATH_START, "was not ready within start_timeout");
	else
		child_kill(c, DEATH_STOP, "did not leave within 5 s");
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
	frame_stream_drain(&c->channel);
	output_drain(&c->output);
}

static void
on_dead(void *arg, int status, const struct rusage *usage)
{
	struct child *c = arg;
	struct death death;

	death_read(&death, c->pid, status, usage);
	if (c->reason[0] != '\0')
		death_blame(&death, c->blamed, c->reason);
	if (c->state != CHILD_ENDING)
		set_state(c, CHILD_ENDING);
	frame_stream_close(&c->channel);
	output_close(&c->output);
	c->ops->gone(c, &death, c->arg);
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
	c->channel.fd = c->output.fd = c->pidfd = -1;
	c->ops = how->ops;
	c->arg = how->arg;
	c->category = how->category;
	c->reaper = env->reaper;
	c->born_ms = c->since_ms = clock_now_ms();
	if (spawn(how->argv, how->envp, &p, why) == -1)
		goto fail;
	c->pid = p.pid;
	c->pidfd = p.pidfd;
	if (frame_stream_open(
		&c->channel, env->base, p.channel_fd, &stream_ops, c) == -1)
		goto fail_errno;
	p.channel_fd = -1;
	if (output_open(&c->output, env->base, p.output_fd, on_line, c) == -1)
		goto fail_errno;
	p.output_fd = -1;
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
	set_timer(c, how->timeout_ms);
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

bool
child_is_free(const struct child *c)
{
	return (c->state == CHILD_IDLE && !c->dying && !c->closed);
}

int
child_run(struct child *c, struct lease *l, const struct task_limits *limits,
    struct why *why)
{
	struct bytes b = { 0 };
	int rc = -1;

	(void)limits;
	assert(child_is_free(c));
	bytes_printf(&b,
	    "{\"task_id\":\"%s\",\"job_id\":\"%s\",\"type\":\"%s\",\"params\":",
	    l->task.task_id, l->task.job_id, l->task.type);
	bytes_append(&b, l->task.params.p, l->task.params.len);
	bytes_puts(&b, "}");
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
		c->lease = l;
		c->lease_started = false;
		set_state(c, CHILD_BUSY);
	}
	return (rc);
}

void
child_stop(struct child *c)
{
	if (c->state != CHILD_IDLE && c->state != CHILD_STARTING)
		return;
	set_state(c, CHILD_STOPPING);
	(void)frame_stream_send(&c->channel, FRAME_STOP, 0, "{}", 2);
	set_timer(c, STOP_TIMEOUT_MS);
}

void
child_free(struct child *c)
{
	if (c == NULL)
		return;
	if (c->reaped.pid != 0)
		reaper_remove(c->reaper, &c->reaped);
	frame_stream_close(&c->channel);
	output_close(&c->output);
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
