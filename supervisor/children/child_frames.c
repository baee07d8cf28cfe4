/* SPDX-License-Identifier: ISC */
/*
 * child_frames.c: what a child says, and in which states it may say it.
 * Anything else is the end of that child; so is a frame for a lease that it
 * does not hold.
 */
#include "child/json_scan.h"
#include "supervisor/children/child_parts.h"
#include "supervisor/children/offer.h"
#include "supervisor/children/workspace.h"
#include "supervisor/lease.h"
#include "supervisor/task_event.h"

static void
on_ready(struct child *c, struct child_task *t, const struct frame_header *h,
    const char *payload)
{
	struct offer offer = { 0 };
	struct why why;

	(void)t;
	if (offer_read(payload, h->length, &offer, &why) == -1) {
		child_kill(c, DEATH_START, why.text);
		return;
	}
	c->was_ready = true;
	child_set_state(c, CHILD_IDLE);
	child_set_limit(c, 0);
	c->ops->ready(c, &offer, c->arg);
	offer_fini(&offer);
}

static void
on_started(struct child *c, struct child_task *t, const struct frame_header *h,
    const char *payload)
{
	(void)h;
	(void)payload;
	if (t->started)
		child_malformed("started twice", c);
	t->started = true;
}

static void
on_result(struct child *c, struct child_task *t, const struct frame_header *h,
    const char *payload)
{
	struct lease *l = t->lease;
	struct result result = { 0 };
	struct why why, what;

	if (result_read(payload, h->length, &result, &why) == -1) {
		why_set(&what, "result: %.200s", why.text);
		child_malformed(what.text, c);
		return;
	}
	output_drain(&c->output);
	if (c->dying || c->state == CHILD_ENDING)
		c->answered = true; /* its output is wanted in the record */
	else if (c->running_len > 1) /* and that of the others in theirs */
		output_renew(&c->output, t->clock.limits.output_max);
	else
		output_section(&c->output, t->clock.limits.output_max);
	workspaces_remove(c->workspaces, l->id);
	child_task_free(c, t);
	c->tasks++;
	if (c->state == CHILD_BUSY) {
		if (c->running_len == 0)
			child_set_state(c, CHILD_IDLE);
		child_arm(c);
	}
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
on_log(struct child *c, struct child_task *t, const struct frame_header *h,
    const char *payload)
{
	struct log_context ctx =
	    t != NULL ? child_task_context(c, t) : child_context(c);
	enum log_level level = LOG_LEVEL_INFO;
	struct jscan_error error;
	struct jslice root, value;
	char text[OUTPUT_LINE_MAX], name[64];

	if (jscan_check(payload, h->length, &jscan_payload_limits, &root,
		&error) == -1 ||
	    !jscan_get(&root, "message", &value) ||
	    jscan_string(&value, text, sizeof(text)) == -1) {
		child_malformed("log without a message", c);
		return;
	}
	if (!output_takes(&c->output, h->length))
		return;
	if (jscan_get(&root, "level", &value))
		level = level_named(&value);
	if (jscan_get(&root, "name", &value) &&
	    jscan_string(&value, name, sizeof(name)) > 0 && task_id_ok(name))
		ctx.name = name;
	log_line(level, &ctx, "%s", text);
}

static void
tell(struct child *c, const struct child_task *t, const char *type,
    const struct jslice *payload)
{
	const struct task_event event = {
		.type = type,
		.payload = payload->p,
		.len = payload->len,
	};

	if (c->ops->event != NULL && c->state == CHILD_BUSY)
		c->ops->event(c, t->lease, &event, c->arg);
}

static void
on_progress(struct child *c, struct child_task *t, const struct frame_header *h,
    const char *payload)
{
	struct jscan_error error;
	struct jslice root, value;
	double fraction;

	if (jscan_check(payload, h->length, &jscan_payload_limits, &root,
		&error) == -1 ||
	    !jscan_get(&root, "progress", &value) ||
	    jscan_double(&value, &fraction) == -1 || fraction < 0 ||
	    fraction > 1) {
		child_malformed("progress that is none", c);
		return;
	}
	tell(c, t, TASK_EVENT_PROGRESS, &root);
}

static void
on_event(struct child *c, struct child_task *t, const struct frame_header *h,
    const char *payload)
{
	struct jscan_error error;
	struct jslice root, value;
	char type[TASK_ID_MAX + 1];

	if (jscan_check(payload, h->length, &jscan_payload_limits, &root,
		&error) == -1 ||
	    !jscan_get(&root, "type", &value) ||
	    jscan_string(&value, type, sizeof(type)) > TASK_ID_MAX ||
	    !task_id_ok(type) || !jscan_get(&root, "payload", &value) ||
	    value.type != JSCAN_OBJECT) {
		child_malformed("an event that is none", c);
		return;
	}
	tell(c, t, type, &value);
}

/* A mistake in it harms nobody: it is said, and what was told before stays. */
static void
on_state(struct child *c, struct child_task *t, const struct frame_header *h,
    const char *payload)
{
	const struct log_context ctx = child_context(c);
	struct why why;

	(void)t;
	if (held_read(payload, h->length, &c->held, &why) == -1) {
		log_line(c->complained ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, &ctx,
		    "a state frame is left out: %s", why.text);
		c->complained = true;
	} else if (c->ops->held != NULL)
		c->ops->held(c, c->arg);
}

#define IN(state) (1u << CHILD_##state)
static const struct {
	unsigned allowed; /* states in which it may come */
	bool leased; /* it names a lease that the child holds */
	/* The task is that lease's; NULL: it names none that is here. */
	void (*handle)(struct child *, struct child_task *,
	    const struct frame_header *, const char *);
} from_child[] = {
	[FRAME_READY] = { IN(STARTING) | IN(STOPPING), false, on_ready },
	/* A child we have killed may have answered before. */
	[FRAME_STARTED] = { IN(BUSY) | IN(ENDING), true, on_started },
	[FRAME_RESULT] = { IN(BUSY) | IN(ENDING), true, on_result },
	[FRAME_LOG] = { ~0u, false, on_log },
	[FRAME_PROGRESS] = { IN(BUSY) | IN(ENDING), true, on_progress },
	[FRAME_EVENT] = { IN(BUSY) | IN(ENDING), true, on_event },
	[FRAME_STATE] = { ~(unsigned)IN(STARTING), false, on_state },
};

void
child_frame(const struct frame_header *h, const char *payload, void *arg)
{
	struct child *c = arg;
	struct child_task *t;
	struct why why;

	if (h->type >= sizeof(from_child) / sizeof(from_child[0]) ||
	    from_child[h->type].handle == NULL) {
		why_set(&why, "a %s frame is not for us", frame_name(h->type));
		child_malformed(why.text, c);
		return;
	}
	if (c->state == CHILD_ENDING && c->running_len == 0)
		return; /* whatever it was, it has been answered */
	if (!(from_child[h->type].allowed & (1u << c->state)) ||
	    (from_child[h->type].leased && c->running_len == 0)) {
		why_set(&why, "a %s frame while %s", frame_name(h->type),
		    child_state_name(c->state));
		child_malformed(why.text, c);
		return;
	}
	t = child_task_find(c, h->lease);
	if (from_child[h->type].leased && t == NULL) {
		why_set(
		    &why, "a %s frame for another lease", frame_name(h->type));
		child_malformed(why.text, c);
		return;
	}
	if (h->type == FRAME_READY && c->state == CHILD_STOPPING)
		return; /* it was told to leave before it was ready */
	from_child[h->type].handle(c, t, h, payload);
}
