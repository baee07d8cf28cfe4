/* SPDX-License-Identifier: ISC */
/*
 * All polls wait equally long, so the list is ordered by their ends and one
 * timer serves all. It is left running when its poll was answered, and looks
 * again when it fires: a timer set and cleared for each poll would cost more
 * than the poll.
 */
#include <stdio.h>
#include <stdlib.h>

#include <bsd/sys/queue.h>
#include <event2/event.h>

#include "child/bytes.h"
#include "supervisor/base/clock.h"
#include "tests/devorch/ledger.h"
#include "tests/devorch/polls.h"
#include "tests/devorch/server.h"
#include "tests/devorch/stats.h"
#include "tests/devorch/work.h"

struct poll {
	TAILQ_ENTRY(poll) entry; /* polls->waiting or polls->spare */
	struct conn *conn; /* NULL: abandoned */
	int64_t end_ms;
	enum fault_step step;
};

TAILQ_HEAD(poll_list, poll);

struct polls {
	const struct polls_options *options;
	struct work *work;
	struct stats *stats;
	struct poll_list waiting; /* oldest first; owns them */
	struct poll_list spare; /* to be used again; owns them */
	struct event *expiry; /* the oldest poll's end, or before it */
	struct event *pace; /* the next task's time, at a limited rate */
	struct bytes message; /* of the task that is handed out */
	bool announced : 1;
};

static void
answer_empty(struct polls *ps, struct conn *c, enum fault_step step)
{
	ps->stats->empty_polls++;
	fault_reply(c, step, &(struct reply){ .status = 204 });
}

/* Leases a task to a client; conn is NULL when it has gone. False when there
 * is no task. */
static bool
give_task(struct polls *ps, struct conn *c, enum fault_step step)
{
	const int64_t now_ns = server_now_ns();
	struct job *job;

	ps->message.len = 0;
	if ((job = work_lease(ps->work, now_ns, &ps->message)) == NULL)
		return (false);
	ledger_task(ps->options->ledger, ps->work, job);
	if (ps->stats->first_lease_ns == 0)
		ps->stats->first_lease_ns = now_ns;
	if (c == NULL) {
		ps->stats->lost_polls++;
		return (true);
	}
	if (bytes_failed(&ps->message)) {
		/* Memory for the message is short; the task counts as lost. */
		bytes_fini(&ps->message);
		conn_drop(c);
		return (true);
	}
	fault_reply(c, step,
	    &(struct reply){ .status = 200,
		.body = ps->message.p,
		.body_len = ps->message.len });
	return (true);
}

/* The poll is over; takes it off the list. */
static void
poll_end(struct polls *ps, struct poll *p)
{
	if (p->conn != NULL)
		conn_set_data(p->conn, NULL);
	TAILQ_REMOVE(&ps->waiting, p, entry);
	TAILQ_INSERT_HEAD(&ps->spare, p, entry);
}

static struct poll *
poll_new(struct polls *ps)
{
	struct poll *p = TAILQ_FIRST(&ps->spare);

	if (p != NULL)
		TAILQ_REMOVE(&ps->spare, p, entry);
	else
		p = calloc(1, sizeof(*p));
	return (p);
}

static void
arm(struct event *timer, int64_t ms)
{
	const struct timeval tv = clock_timeval(ms);

	if (!event_pending(timer, EV_TIMEOUT, NULL))
		(void)event_add(timer, &tv);
}

/* Sees to it that the waiting polls are looked at when it is time. */
static void
arm_timers(struct polls *ps, int64_t now_ms)
{
	const struct poll *p = TAILQ_FIRST(&ps->waiting);
	int64_t wait_ns;

	if (p == NULL)
		return;
	arm(ps->expiry, p->end_ms - now_ms);
	wait_ns = work_wait_ns(ps->work, server_now_ns());
	if (wait_ns > 0)
		arm(ps->pace, wait_ns / 1000000 + 1);
}

void
polls_take(struct polls *ps, struct conn *c, enum fault_step step)
{
	const int64_t now_ms = clock_now_ms();
	struct poll *p;

	ps->stats->polls++;
	if (give_task(ps, c, step))
		return;
	if (ps->options->timeout_ms == 0 || (p = poll_new(ps)) == NULL) {
		answer_empty(ps, c, step);
		return;
	}
	p->conn = c;
	p->step = step;
	p->end_ms = now_ms + ps->options->timeout_ms;
	conn_set_data(c, p);
	TAILQ_INSERT_TAIL(&ps->waiting, p, entry);
	arm_timers(ps, now_ms);
	if (ps->options->announce && !ps->announced) {
		ps->announced = true;
		printf("POLLING\n");
		(void)fflush(stdout);
	}
}

void
polls_gone(struct polls *ps, struct conn *c)
{
	struct poll *p = conn_data(c);

	if (p == NULL)
		return;
	conn_set_data(c, NULL);
	p->conn = NULL;
	if (!ps->options->lose_abandoned)
		poll_end(ps, p);
}

void
polls_serve(struct polls *ps)
{
	struct poll *p;
	struct conn *c;

	while ((p = TAILQ_FIRST(&ps->waiting)) != NULL &&
	    work_wait_ns(ps->work, server_now_ns()) == 0) {
		c = p->conn;
		poll_end(ps, p);
		if (!give_task(ps, c, p->step) && c != NULL)
			answer_empty(ps, c, p->step);
	}
	arm_timers(ps, clock_now_ms());
}

static void
on_expiry(evutil_socket_t fd, short what, void *arg)
{
	struct polls *ps = arg;
	const int64_t now_ms = clock_now_ms();
	struct poll *p;
	struct conn *c;

	(void)fd;
	(void)what;
	while ((p = TAILQ_FIRST(&ps->waiting)) != NULL && p->end_ms <= now_ms) {
		c = p->conn;
		poll_end(ps, p);
		if (c != NULL)
			answer_empty(ps, c, p->step);
	}
	arm_timers(ps, now_ms);
}

static void
on_pace(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	polls_serve(arg);
}

struct polls *
polls_new(struct event_base *base, const struct polls_options *options,
    struct work *work, struct stats *stats, struct why *why)
{
	struct polls *ps;

	if ((ps = calloc(1, sizeof(*ps))) == NULL) {
		why_errno(why, "polls");
		return (NULL);
	}
	TAILQ_INIT(&ps->waiting);
	TAILQ_INIT(&ps->spare);
	ps->options = options;
	ps->work = work;
	ps->stats = stats;
	ps->expiry = evtimer_new(base, on_expiry, ps);
	ps->pace = evtimer_new(base, on_pace, ps);
	if (ps->expiry == NULL || ps->pace == NULL) {
		why_set(why, "cannot make the polls' timers");
		polls_free(ps);
		return (NULL);
	}
	return (ps);
}

void
polls_free(struct polls *ps)
{
	struct poll *p;

	if (ps == NULL)
		return;
	while ((p = TAILQ_FIRST(&ps->waiting)) != NULL) {
		struct conn *c = p->conn;

		poll_end(ps, p);
		if (c != NULL)
			answer_empty(ps, c, p->step);
	}
	while ((p = TAILQ_FIRST(&ps->spare)) != NULL) {
		TAILQ_REMOVE(&ps->spare, p, entry);
		free(p);
	}
	if (ps->expiry != NULL)
		event_free(ps->expiry);
	if (ps->pace != NULL)
		event_free(ps->pace);
	bytes_fini(&ps->message);
	free(ps);
}
