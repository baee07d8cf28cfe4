/* SPDX-License-Identifier: ISC */
/*
 * stop.c: signals, pause and the end of the run: drain, hand back, kill. What
 * the end waits for is compared with what is there in one function,
 * run_progress(), called after every change.
 */
#include <signal.h>
#include <string.h>
#include <sysexits.h>

#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/conf.h"
#include "supervisor/edges/notify.h"
#include "supervisor/orchestrator/local.h"
#include "supervisor/orchestrator/orchestrator.h"
#include "supervisor/orchestrator/outbox.h"
#include "supervisor/run.h"

#define DUPLICATE_TERM_MS ((int64_t)2000) /* platforms send two */
#define FAREWELL_MS       ((int64_t)5000) /* notice before the deadline */
#define LAST_DELIVERY_MS  ((int64_t)3000) /* after leases are handed back */
#define HAND_BACK_MS      ((int64_t)1000) /* then children are killed */
#define LOOK_AGAIN_MS     ((int64_t)500)

static void
set_deadline(struct supervisor *s, int64_t ms)
{
	const struct timeval tv = clock_timeval(ms);

	if (event_add(&s->deadline, &tv) == -1)
		log_err("cannot set the deadline of the stop");
}

/* Calls a function for every program, those of old generations included. */
static void
for_all_programs(struct supervisor *s, void (*fn)(struct program *))
{
	struct program *p, *next;
	struct generation *g;

	TAILQ_FOREACH_SAFE(p, &s->now->programs, entry, next)
		fn(p);
	TAILQ_FOREACH(g, &s->old, entry)
		TAILQ_FOREACH_SAFE(p, &g->programs, entry, next)
			fn(p);
}

/* Nothing is left to be run: let the children go. */
static void
stop_children(struct supervisor *s)
{
	run_set_state(s, RUN_STOPPING);
	for_all_programs(s, program_stop);
	run_progress(s);
}

static bool
has_children(const struct generation *g)
{
	const struct program *p;

	TAILQ_FOREACH(p, &g->programs, entry)
		if (!TAILQ_EMPTY(&p->children))
			return (true);
	return (false);
}

static bool
children_left(const struct supervisor *s)
{
	const struct generation *g;

	TAILQ_FOREACH(g, &s->old, entry)
		if (has_children(g))
			return (true);
	return (has_children(s->now));
}

/* Handlers that listen are told that the end is near, while there is time to
 * end well. */
void
run_on_farewell(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	if (s->state == RUN_DRAINING)
		for_all_programs(s, program_say_farewell);
}

static void
set_farewell(struct supervisor *s)
{
	const int64_t timeout = s->now->conf->worker.shutdown_timeout_ms;
	const int64_t notice =
	    FAREWELL_MS < timeout / 2 ? FAREWELL_MS : timeout / 2;
	const struct timeval tv = clock_timeval(timeout - notice);

	if (event_add(&s->farewell, &tv) == -1)
		log_err("cannot set a timer of the stop");
}

/* Nobody will order them to be run any more. */
static void
give_back_paused(struct supervisor *s)
{
	struct program *p;
	struct lane *lane;
	struct lease *l;

	TAILQ_FOREACH(p, &s->now->programs, entry)
		for (lane = p->lanes; lane < p->lanes + p->lanes_len; lane++)
			while (lane->category->paused &&
			    (l = program_take_queued(p, lane)) != NULL)
				run_place(s, l);
}

static void
drain(struct supervisor *s, const char *cause)
{
	const unsigned tasks = run_unfinished(s);
	const unsigned polls = orchestrator_polls(s->orchestrator);

	if (s->options->local_path == NULL || tasks > 0)
		log_info("%s: draining: %u task%s to finish, %u poll%s parked; "
			 "at most %lld s, a second SIGINT stops now",
		    cause, tasks, tasks == 1 ? "" : "s", polls,
		    polls == 1 ? "" : "s",
		    (long long)(s->now->conf->worker.shutdown_timeout_ms /
			1000));
	reload_abandon(s);
	generation_give_up_failing(s->now);
	notify_stopping(s->notify,
	    s->now->conf->worker.shutdown_timeout_ms + LAST_DELIVERY_MS);
	view_show_soon(s);
	orchestrator_drain(s->orchestrator);
	set_deadline(s, s->now->conf->worker.shutdown_timeout_ms);
	set_farewell(s);
	if (s->state == RUN_STARTING) {
		stop_children(s);
		return;
	}
	run_set_state(s, RUN_DRAINING);
	give_back_paused(s);
	run_progress(s);
}

/* Leases first, then the children, when the orchestrator has been told or does
 * not listen: better a task run twice than one lost. */
static void
abort_run(struct supervisor *s, const char *cause)
{
	log_warn("%s: handing back %u task%s", cause, run_unfinished(s),
	    run_unfinished(s) == 1 ? "" : "s");
	run_set_state(s, RUN_ABORTING);
	reload_abandon(s);
	generation_give_up_failing(s->now);
	orchestrator_drain(s->orchestrator);
	orchestrator_abandon_polls(s->orchestrator);
	set_deadline(s, LAST_DELIVERY_MS);
	s->handed_back_ms = clock_now_ms();
	for_all_programs(s, program_abandon);
	run_progress(s);
}

/* What is not delivered outlives us, or does not. */
static bool
are_kept(const struct supervisor *s)
{
	return (s->outbox != NULL && outbox_is_durable(s->outbox));
}

static void
report_undelivered(const struct supervisor *s)
{
	const unsigned n = orchestrator_undelivered(s->orchestrator);

	if (n > 0 && are_kept(s))
		log_warn("%u result%s could not be delivered in time and "
			 "wait%s in the journal for the next start",
		    n, n == 1 ? "" : "s", n == 1 ? "s" : "");
	else if (n > 0)
		log_err("%u result%s could not be delivered in time and %s "
			"lost",
		    n, n == 1 ? "" : "s", n == 1 ? "is" : "are");
}

static int
final_status(const struct supervisor *s)
{
	if (s->options->local_path != NULL &&
	    local_lost_output(s->orchestrator))
		return (EX_IOERR);
	if (s->options->local_path != NULL)
		return (local_failed(s->orchestrator) > 0 ? 1 : EX_OK);
	return (orchestrator_undelivered(s->orchestrator) > 0 && !are_kept(s) ?
		EX_TEMPFAIL :
		EX_OK);
}

/* True when nothing is left to be delivered now: all is, or what is not is on
 * disk, and nobody there who would take it. Nothing tells of that but time. */
static bool
is_delivered(struct supervisor *s)
{
	const struct timeval tv = clock_timeval(LOOK_AGAIN_MS);

	if (orchestrator_undelivered(s->orchestrator) == 0 ||
	    (are_kept(s) && orchestrator_is_gone(s->orchestrator)))
		return (true);
	if (!evtimer_pending(&s->look_again, NULL) &&
	    event_add(&s->look_again, &tv) == -1)
		log_err("cannot set a timer of the stop");
	return (false);
}

static void
tell_end(const struct supervisor *s)
{
	if (orchestrator_undelivered(s->orchestrator) > 0)
		report_undelivered(s);
	else if (s->options->local_path == NULL)
		log_info("stopped: every result is delivered");
}

/* What was handed back has gone, or has had its time. */
static void
kill_children(struct supervisor *s, bool delivered)
{
	if (s->killed ||
	    (!delivered && clock_now_ms() - s->handed_back_ms < HAND_BACK_MS))
		return;
	s->killed = true;
	for_all_programs(s, program_kill);
}

/* Nothing is left to be waited for. */
static bool
is_over(struct supervisor *s, bool delivered)
{
	return (run_unfinished(s) == 0 && delivered &&
	    orchestrator_goodbye(s->orchestrator) && !children_left(s));
}

void
run_progress(struct supervisor *s)
{
	bool delivered;

	switch (s->state) {
	case RUN_RUNNING:
		if (s->options->local_path != NULL &&
		    local_is_done(s->orchestrator))
			run_stop(s, "all tasks are done");
		break;
	case RUN_DRAINING:
		if (run_unfinished(s) == 0 && is_delivered(s) &&
		    orchestrator_polls(s->orchestrator) == 0)
			stop_children(s);
		break;
	case RUN_STOPPING:
	case RUN_ABORTING:
		delivered = is_delivered(s);
		if (s->state == RUN_ABORTING)
			kill_children(s, delivered);
		/* That may have been the end, as seen from in there. */
		if (s->state != RUN_ENDED && is_over(s, delivered)) {
			tell_end(s);
			run_end(s, final_status(s));
		}
		break;
	case RUN_STARTING:
	case RUN_ENDED:
		break;
	}
}

void
run_on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	if (s->state == RUN_ENDED)
		return; /* in the same turn of the loop */
	if (s->state == RUN_ABORTING) {
		report_undelivered(s);
		run_end(s, final_status(s));
	} else
		abort_run(s, "shutdown_timeout is over");
}

void
run_stop(struct supervisor *s, const char *cause)
{
	if (s->state != RUN_STARTING && s->state != RUN_RUNNING)
		return;
	if (s->now->discovery != NULL) {
		/* Nothing has begun yet; and nothing is known to be right. */
		run_end(s, s->options->check_only ? EX_TEMPFAIL : EX_OK);
		return;
	}
	s->stop_asked_ms = clock_now_ms();
	drain(s, cause);
}

static void
on_stop_signal(int number, void *arg)
{
	struct supervisor *s = arg;
	const bool duplicate = number == SIGTERM &&
	    clock_now_ms() - s->stop_asked_ms < DUPLICATE_TERM_MS;

	if (s->state == RUN_STARTING || s->state == RUN_RUNNING)
		run_stop(s, strsignal(number));
	else if (s->state != RUN_ABORTING && s->state != RUN_ENDED &&
	    !duplicate)
		abort_run(s, strsignal(number));
}

static void
on_child_signal(int number, void *arg)
{
	struct supervisor *s = arg;

	(void)number;
	reaper_run(&s->reaper);
}

static void
on_reopen_signal(int number, void *arg)
{
	struct why why;

	(void)number;
	(void)arg;
	if (log_reopen(&why) == -1)
		log_err("%s; writing on to the old one", why.text);
}

static void
on_reload_signal(int number, void *arg)
{
	(void)number;
	reload_begin(arg);
}

static const char *
pause_cause(enum run_pause cause)
{
	return (cause == PAUSED_BY_SIGNAL ? "SIGTSTP" : "by order");
}

void
run_pause(struct supervisor *s, enum run_pause cause)
{
	if ((s->state != RUN_STARTING && s->state != RUN_RUNNING) ||
	    s->options->check_only || (s->paused & cause))
		return;
	s->paused |= cause;
	view_show_soon(s);
	log_info("%s: paused, no more tasks are taken", pause_cause(cause));
}

void
run_resume(struct supervisor *s, enum run_pause cause)
{
	if (!(s->paused & cause))
		return;
	s->paused &= ~(unsigned)cause;
	view_show_soon(s);
	if (s->paused != 0)
		log_info(
		    "still paused: %s", pause_cause((enum run_pause)s->paused));
	else {
		log_info("resumed");
		if (s->state == RUN_RUNNING)
			orchestrator_kick(s->orchestrator);
	}
}

static void
on_pause_signal(int number, void *arg)
{
	(void)number;
	run_pause(arg, PAUSED_BY_SIGNAL);
}

/* systemd sends one with every stop, so it undoes a pause and nothing else. */
static void
on_continue_signal(int number, void *arg)
{
	(void)number;
	run_resume(arg, PAUSED_BY_SIGNAL);
}

const struct signal_row run_signal_rows[] = {
	{ SIGTERM, on_stop_signal },
	{ SIGINT, on_stop_signal },
	{ SIGQUIT, on_stop_signal },
	{ SIGCHLD, on_child_signal },
	{ SIGUSR1, on_reopen_signal },
	{ SIGHUP, on_reload_signal },
	{ SIGTSTP, on_pause_signal },
	{ SIGCONT, on_continue_signal },
};
const size_t run_signal_rows_len =
    sizeof(run_signal_rows) / sizeof(run_signal_rows[0]);
