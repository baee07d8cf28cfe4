/* SPDX-License-Identifier: ISC */
/*
 * discover_again.c: scripts and channel programs whose first child did not
 * start are tried again beside those that serve, each with a back-off of its
 * own, and no more of them at once than there are cores. One that starts is
 * given to whoever made the programs of the others.
 */
#include <stdio.h>
#include <string.h>

#include <bsd/string.h>
#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/children/child.h"
#include "supervisor/children/discover_parts.h"
#include "supervisor/conf_problem.h"

#define RETRY_FIRST_MS ((int64_t)500)
#define RETRY_MAX_MS   ((int64_t)30 * 1000)

static struct log_context
context_of(const struct resident *r)
{
	return ((struct log_context){ .category = r->category });
}

static void
drop_child(struct resident *r)
{
	if (r->child == NULL)
		return;
	child_kill(r->child, DEATH_STOP, "cannot be used");
	child_free(r->child);
	r->child = NULL;
}

/* It has not started, or cannot be used: wait before the next time. The same
 * reason is not told for ever. */
static void
failed(struct resident *r, const char *reason, bool told)
{
	const struct log_context ctx = context_of(r);
	const int64_t delay_ms = backoff_next_ms(&r->backoff);
	const struct timeval tv = clock_timeval(delay_ms);

	start_gate_leave(r->discovery->again.gate, &r->ticket);
	log_line(told ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERR, &ctx,
	    "%s does not start: %s; trying again in %lld ms, ever more rarely",
	    r->from, reason, (long long)delay_ms);
	if (reason != r->failure)
		(void)strlcpy(r->failure, reason, sizeof(r->failure));
	r->described = false;
	offer_fini(&r->offer);
	drop_child(r);
	r->retry_ms = clock_now_ms() + delay_ms;
	if (event_add(&r->timer, &tv) == -1)
		log_line(LOG_LEVEL_ERR, &ctx,
		    "cannot set a timer: %s is not tried again", r->from);
	r->discovery->again.changed(r->discovery->again.arg);
}

static void
on_ready(struct child *c, const struct offer *offer, void *arg)
{
	struct resident *r = arg;

	(void)c;
	if (offer_copy(offer, &r->offer) == 0)
		r->described = true;
	/* Not from within the child, which may have to go. */
	event_active(&r->timer, EV_TIMEOUT, 0);
}

static void
on_gone(struct child *c, const struct death *death, void *arg)
{
	struct resident *r = arg;
	const bool had_answered = c->was_ready;
	char before[sizeof(r->failure)];

	r->child = NULL;
	child_free(c);
	if (had_answered)
		return;
	(void)strlcpy(before, r->failure, sizeof(before));
	discovery_note_death(r, death);
	failed(r, r->failure, strcmp(before, r->failure) == 0);
}

static const struct child_ops ops = {
	.ready = on_ready,
	.finished = NULL, /* it is given no lease yet */
	.gone = on_gone,
};

static void
try(struct resident *r)
{
	struct why why;

	if (!start_gate_enter(r->discovery->again.gate, &r->ticket))
		return;
	if (discovery_start(r, &ops, &why) == -1)
		failed(r, why.text, strcmp(r->failure, why.text) == 0);
}

static void
on_gate(void *arg)
{
	try(arg);
}

/* False when handler blocks say of all that it offers that others run it. */
static bool
is_of_use(const struct resident *r)
{
	const struct handler_table *t = r->discovery->again.table;
	struct handler *h = NULL;

	while ((h = handler_next(t, h)) != NULL)
		if (h->source == r->source)
			return (true);
	return (false);
}

/* It has started: it is one of the others, unless that cannot be. */
static void
join(struct resident *r)
{
	struct discovery *d = r->discovery;
	const struct discovery_again *again = &d->again;
	const struct log_context ctx = context_of(r);
	char before[sizeof(r->failure)], reason[sizeof(r->failure)] = "";
	struct conf_problems problems;
	struct why why;

	(void)strlcpy(before, r->failure, sizeof(before));
	conf_problems_init(&problems);
	if (discovery_resolve_late(d, r, again->table, &problems) == -1)
		(void)strlcpy(reason,
		    TAILQ_EMPTY(&problems.list) ?
			"out of memory" :
			TAILQ_FIRST(&problems.list)->text,
		    sizeof(reason));
	conf_problems_fini(&problems);
	if (reason[0] == '\0') {
		r->failure[0] = '\0';
		start_gate_leave(again->gate, &r->ticket);
		log_line(LOG_LEVEL_INFO, &ctx, "%s starts now", r->from);
		if (!is_of_use(r)) {
			drop_child(r);
			again->changed(again->arg);
			return;
		}
		if (again->joined(d, r->source, again->arg, &why) == 0)
			return; /* which may have been the end of us */
		discovery_forget(r, again->table);
		(void)strlcpy(reason, why.text, sizeof(reason));
	}
	failed(r, reason, strcmp(before, reason) == 0);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct resident *r = arg;

	(void)fd;
	(void)what;
	r->retry_ms = 0;
	if (r->described)
		join(r);
	else if (r->child != NULL)
		failed(r, "out of memory", false);
	else
		try(r);
}

void
discovery_try_again(struct discovery *d, const struct discovery_again *again)
{
	struct resident *r;

	d->again = *again;
	TAILQ_FOREACH(r, &d->residents, entry) {
		if (!r->was_started || r->failure[0] == '\0')
			continue;
		r->backoff.first_ms = RETRY_FIRST_MS;
		r->backoff.max_ms = RETRY_MAX_MS;
		r->ticket.open = on_gate;
		r->ticket.arg = r;
		if (evtimer_assign(&r->timer, d->env->base, on_timer, r) == 0)
			failed(r, r->failure, false);
	}
}

bool
discovery_is_failing(const struct discovery *d)
{
	const struct resident *r;

	TAILQ_FOREACH(r, &d->residents, entry)
		if (r->was_started && r->failure[0] != '\0')
			return (true);
	return (false);
}

void
discovery_each_failing(const struct discovery *d,
    void (*found)(const struct discovery_failing *, void *arg), void *arg)
{
	struct discovery_failing f;
	const struct resident *r;

	TAILQ_FOREACH(r, &d->residents, entry) {
		if (!r->was_started || r->failure[0] == '\0')
			continue;
		f = (struct discovery_failing){
			.from = r->from,
			.reason = r->failure,
			.retry_ms = r->retry_ms,
		};
		found(&f, arg);
	}
}

void
discovery_again_fini(struct resident *r)
{
	if (r->discovery->again.gate != NULL)
		start_gate_leave(r->discovery->again.gate, &r->ticket);
	if (event_initialized(&r->timer))
		(void)event_del(&r->timer);
}
