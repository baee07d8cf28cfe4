/* SPDX-License-Identifier: ISC */
/*
 * program_start.c: starts and what failures cost. Two rules for a death
 * (Dovecot's and Postfix's). Before ready, or on the first task of a pool that
 * has never succeeded, it means that the handler is broken: the next start
 * waits, longer each time, and shows with one child whether it works again.
 * In a healthy pool it is the task's doing, and the child is replaced at once.
 * An end that was our wish says nothing about the handler.
 */
#include <signal.h>
#include <stdio.h>

#include <bsd/string.h>

#include "supervisor/base/clock.h"
#include "supervisor/children/program_parts.h"
#include "supervisor/children/poison.h"
#include "supervisor/conf.h"
#include "supervisor/handler.h"

#define STABLE_MS ((int64_t)10 * 1000) /* a life that clears old failures */

void
program_settle(struct program *p)
{
	if (p->settled && p->offered == p->usable)
		return;
	p->settled = true;
	p->offered = p->usable;
	p->ops->settled(p, p->arg);
}

/* It is not offered any more, and what waits is better given back. */
static void
withdraw(struct program *p)
{
	p->was_ready = false;
	p->usable = false;
	program_give_queue_back(p);
	program_settle(p);
}

/* A start came to nothing, for that reason: wait before the next. Children
 * that fail together count as one failure. */
static void
start_failed(struct program *p, const char *reason)
{
	const struct log_context ctx = program_context(p);
	const int64_t now_ms = clock_now_ms();
	int64_t delay;

	(void)strlcpy(p->failure, reason, sizeof(p->failure));
	if (now_ms >= p->not_before_ms) {
		delay = backoff_next_ms(&p->backoff);
		log_line(LOG_LEVEL_ERR, &ctx,
		    "cannot start child of \"%s\": %s; trying again in "
		    "%lld ms",
		    p->name, reason, (long long)delay);
		p->not_before_ms = now_ms + delay;
	}
	if (!p->was_ready)
		withdraw(p);
}

/* Says once of each file that its name stands for something else now. */
static void
look_at_files(struct program *p)
{
	const struct log_context ctx = program_context(p);
	struct handler_file *f;

	TAILQ_FOREACH(f, &p->handlers->files, entry) {
		if (f->told || handler_file_is_current(f))
			continue;
		f->told = true;
		log_line(LOG_LEVEL_WARN, &ctx,
		    "%s is not the file any more that it was when the worker "
		    "read its configuration; SIGHUP takes the new one%s",
		    f->path,
		    handler_file_was_overwritten(f) ?
			" (it was written over: replace it by renaming, or "
			"children may crash)" :
			", until then children get the old one");
	}
}

/* Starts one more child; false when that failed. */
static bool
start_one(struct program *p)
{
	const struct command_settings set = program_command_settings(p);
	struct child_start how = { .ops = &program_child_ops, .arg = p };
	struct child *c;
	struct why why;

	look_at_files(p);
	command_fill(&how, &p->command, &set);
	c = child_new(&how, &why);
	if (c == NULL) {
		start_failed(p, why.text);
		return (false);
	}
	program_draw(c);
	TAILQ_INSERT_TAIL(&p->children, c, entry);
	return (true);
}

/* While starts fail: one child, on trial. Without one a pool that starts its
 * children on demand would never again be known to work. */
static void
start_on_trial(struct program *p, const struct pool_counts *n)
{
	const bool wanted = n->idle + n->busy == 0 ||
	    n->idle + n->busy < pool_wanted(&p->pool, n);

	pool_reset_rounds(&p->pool);
	if (n->starting > 0 || !wanted)
		return;
	if (p->gate != NULL && !start_gate_enter(p->gate, &p->ticket))
		return;
	if (!start_one(p) && p->gate != NULL)
		start_gate_leave(p->gate, &p->ticket);
}

void
program_start_missing(
    struct program *p, const struct pool_counts *n, int64_t now_ms)
{
	unsigned missing;

	if (now_ms < p->not_before_ms) {
		pool_reset_rounds(&p->pool);
		return;
	}
	if (p->backoff.failures > 0) {
		start_on_trial(p, n);
		return;
	}
	missing = pool_to_start(&p->pool, n, now_ms);
	while (missing-- > 0)
		if (!start_one(p))
			return;
}

/* The first of the ready children has been so since then; 0: none is. */
static int64_t
ready_since(const struct program *p)
{
	const struct child *c;
	int64_t first = 0;

	TAILQ_FOREACH(c, &p->children, entry)
		if ((c->state == CHILD_IDLE || c->state == CHILD_BUSY) &&
		    (first == 0 || c->born_ms < first))
			first = c->born_ms;
	return (first);
}

void
program_review(struct program *p, const struct pool_counts *n, int64_t now_ms)
{
	const bool wanted =
	    p->backoff.failures > 0 || pool_wanted(&p->pool, n) > 0;
	const struct log_context ctx = program_context(p);

	if (n->idle + n->busy > 0) {
		p->down_ms = 0;
		if (p->backoff.failures > 0 &&
		    now_ms - ready_since(p) >= STABLE_MS)
			backoff_reset(&p->backoff);
	} else if (!wanted)
		p->down_ms = 0;
	else if (p->down_ms == 0)
		p->down_ms = now_ms;
	if (!p->was_ready || p->down_ms == 0 ||
	    now_ms - p->down_ms < p->conf->withdraw_after_ms)
		return;
	if (p->failure[0] == '\0')
		(void)strlcpy(
		    p->failure, "no child became ready", sizeof(p->failure));
	log_line(LOG_LEVEL_ERR, &ctx,
	    "no child of \"%s\" has been ready for %lld s: not offering its "
	    "task types until one is",
	    p->name, (long long)(now_ms - p->down_ms) / 1000);
	withdraw(p);
}

int64_t
program_review_ms(const struct program *p)
{
	const int64_t since = p->backoff.failures > 0 ? ready_since(p) : 0;

	if (since != 0)
		return (since + STABLE_MS);
	if (p->was_ready && p->down_ms != 0)
		return (p->down_ms + p->conf->withdraw_after_ms);
	return (INT64_MAX);
}

/* True when the death is no sign of a handler that does not work: its child
 * was somebody's whom it could not resist. */
static bool
is_innocent(
    const struct program *p, const struct child *c, const struct death *death)
{
	if (!poison_counts(death->cause) && death->cause != DEATH_START)
		return (true); /* our wish */
	if (!c->was_ready)
		return (false);
	if (c->lost > 0)
		return (p->succeeded);
	if (c->tasks > 0 || clock_now_ms() - c->born_ms >= STABLE_MS)
		return (true);
	/* Ready, unused and young: a handler may do that to itself time and
	 * again; but a SIGKILL comes from outside, or a limit of ours. */
	return (death->signal == SIGKILL || death->cause == DEATH_OOM ||
	    death->cause == DEATH_MEMORY_LIMIT);
}

void
program_judge(
    struct program *p, const struct child *c, const struct death *death)
{
	const bool leased = c->lost > 0;
	const struct log_context ctx = {
		.category = p->category->name,
		.pid = death->pid,
	};
	char reason[sizeof(death->text) + 64];

	if (c->was_ready && clock_now_ms() - c->born_ms >= STABLE_MS)
		backoff_reset(&p->backoff);
	if (program_was_dismissed(c)) {
		/* What it was cut off from may matter to somebody. */
		log_line(death->cause == DEATH_STOP ? LOG_LEVEL_WARN :
						      LOG_LEVEL_DEBUG,
		    &ctx, "child %s (%s)", death->text, c->leaving);
		return;
	}
	if (p->stopping) {
		log_line(LOG_LEVEL_DEBUG, &ctx, "child %s", death->text);
		return;
	}
	if (is_innocent(p, c, death)) {
		log_line(death->cause == DEATH_CANCELLED ? LOG_LEVEL_INFO :
							   LOG_LEVEL_WARN,
		    &ctx, "child %s; starting another", death->text);
		return;
	}
	if (leased) {
		(void)snprintf(reason, sizeof(reason),
		    "its first task ended it: it %s", death->text);
		start_failed(p, reason);
	} else
		start_failed(p, death->text);
}
