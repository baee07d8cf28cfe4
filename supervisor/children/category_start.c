/* SPDX-License-Identifier: ISC */
/*
 * category_start.c: starts and what failures cost. Two rules for a death
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
#include "supervisor/children/category_parts.h"
#include "supervisor/children/poison.h"
#include "supervisor/conf.h"
#include "supervisor/handler.h"

#define STABLE_MS ((int64_t)10 * 1000) /* a life that clears old failures */

void
category_settle(struct category *cat)
{
	if (cat->settled && cat->offered == cat->usable)
		return;
	cat->settled = true;
	cat->offered = cat->usable;
	cat->ops->settled(cat, cat->arg);
}

/* It is not offered any more, and what waits is better given back. */
static void
withdraw(struct category *cat)
{
	cat->was_ready = false;
	cat->usable = false;
	category_give_queue_back(cat);
	category_settle(cat);
}

/* A start came to nothing, for that reason: wait before the next. Children
 * that fail together count as one failure. */
static void
start_failed(struct category *cat, const char *reason)
{
	const struct log_context ctx = category_context(cat);
	const int64_t now_ms = clock_now_ms();
	int64_t delay;

	(void)strlcpy(cat->failure, reason, sizeof(cat->failure));
	if (now_ms >= cat->not_before_ms) {
		delay = backoff_next_ms(&cat->backoff);
		log_line(LOG_LEVEL_ERR, &ctx,
		    "cannot start child of \"%s\": %s; trying again in "
		    "%lld ms",
		    cat->name, reason, (long long)delay);
		cat->not_before_ms = now_ms + delay;
	}
	if (!cat->was_ready)
		withdraw(cat);
}

/* Says once of each file that its name stands for something else now. */
static void
look_at_files(struct category *cat)
{
	const struct log_context ctx = category_context(cat);
	struct handler_file *f;

	TAILQ_FOREACH(f, &cat->handlers->files, entry) {
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
start_one(struct category *cat)
{
	struct child *c;
	struct why why;

	look_at_files(cat);
	c = child_new(
	    &(struct child_start){
		.env = cat->env,
		.category = cat->name,
		.argv = cat->program.argv,
		.envp = cat->program.envp,
		.files = &cat->program.files,
		.timeout_ms = cat->conf->start_timeout_ms,
		.cpu_limit_ms = cat->conf->cpu_time_limit_ms,
		.launched = cat->conf->launcher,
		.memory_limit = cat->conf->memory_limit,
		.ops = &category_child_ops,
		.arg = cat,
	    },
	    &why);
	if (c == NULL) {
		start_failed(cat, why.text);
		return (false);
	}
	category_draw(c);
	TAILQ_INSERT_TAIL(&cat->children, c, entry);
	return (true);
}

/* While starts fail: one child, on trial. Without one a pool that starts its
 * children on demand would never again be known to work. */
static void
start_on_trial(struct category *cat, const struct pool_counts *n)
{
	const bool wanted = n->idle + n->busy == 0 ||
	    n->idle + n->busy < pool_wanted(&cat->pool, n);

	pool_reset_rounds(&cat->pool);
	if (n->starting > 0 || !wanted)
		return;
	if (cat->gate != NULL && !start_gate_enter(cat->gate, &cat->ticket))
		return;
	if (!start_one(cat) && cat->gate != NULL)
		start_gate_leave(cat->gate, &cat->ticket);
}

void
category_start_missing(
    struct category *cat, const struct pool_counts *n, int64_t now_ms)
{
	unsigned missing;

	if (now_ms < cat->not_before_ms) {
		pool_reset_rounds(&cat->pool);
		return;
	}
	if (cat->backoff.failures > 0) {
		start_on_trial(cat, n);
		return;
	}
	missing = pool_to_start(&cat->pool, n, now_ms);
	while (missing-- > 0)
		if (!start_one(cat))
			return;
}

/* The first of the ready children has been so since then; 0: none is. */
static int64_t
ready_since(const struct category *cat)
{
	const struct child *c;
	int64_t first = 0;

	TAILQ_FOREACH(c, &cat->children, entry)
		if ((c->state == CHILD_IDLE || c->state == CHILD_BUSY) &&
		    (first == 0 || c->born_ms < first))
			first = c->born_ms;
	return (first);
}

void
category_review(
    struct category *cat, const struct pool_counts *n, int64_t now_ms)
{
	const bool wanted =
	    cat->backoff.failures > 0 || pool_wanted(&cat->pool, n) > 0;
	const struct log_context ctx = category_context(cat);

	if (n->idle + n->busy > 0) {
		cat->down_ms = 0;
		if (cat->backoff.failures > 0 &&
		    now_ms - ready_since(cat) >= STABLE_MS)
			backoff_reset(&cat->backoff);
	} else if (!wanted)
		cat->down_ms = 0;
	else if (cat->down_ms == 0)
		cat->down_ms = now_ms;
	if (!cat->was_ready || cat->down_ms == 0 ||
	    now_ms - cat->down_ms < cat->conf->withdraw_after_ms)
		return;
	if (cat->failure[0] == '\0')
		(void)strlcpy(cat->failure, "no child became ready",
		    sizeof(cat->failure));
	log_line(LOG_LEVEL_ERR, &ctx,
	    "no child of \"%s\" has been ready for %lld s: not offering its "
	    "task types until one is",
	    cat->name, (long long)(now_ms - cat->down_ms) / 1000);
	withdraw(cat);
}

int64_t
category_review_ms(const struct category *cat)
{
	const int64_t since = cat->backoff.failures > 0 ? ready_since(cat) : 0;

	if (since != 0)
		return (since + STABLE_MS);
	if (cat->was_ready && cat->down_ms != 0)
		return (cat->down_ms + cat->conf->withdraw_after_ms);
	return (INT64_MAX);
}

/* True when the death is no sign of a handler that does not work: its child
 * was somebody's whom it could not resist. */
static bool
is_innocent(const struct category *cat, const struct child *c, bool leased,
    const struct death *death)
{
	if (!poison_counts(death->cause) && death->cause != DEATH_START)
		return (true); /* our wish */
	if (!c->was_ready)
		return (false);
	if (leased)
		return (cat->succeeded);
	if (c->tasks > 0 || clock_now_ms() - c->born_ms >= STABLE_MS)
		return (true);
	/* Ready, unused and young: a handler may do that to itself time and
	 * again; but a SIGKILL comes from outside, or a limit of ours. */
	return (death->signal == SIGKILL || death->cause == DEATH_OOM ||
	    death->cause == DEATH_MEMORY_LIMIT);
}

void
category_judge(struct category *cat, const struct child *c, bool leased,
    const struct death *death)
{
	const struct log_context ctx = {
		.category = cat->name,
		.pid = death->pid,
	};
	char reason[sizeof(death->text) + 64];

	if (c->was_ready && clock_now_ms() - c->born_ms >= STABLE_MS)
		backoff_reset(&cat->backoff);
	if (c->leaving != NULL) {
		log_line(LOG_LEVEL_DEBUG, &ctx, "child %s (%s)", death->text,
		    c->leaving);
		return;
	}
	if (cat->stopping) {
		log_line(LOG_LEVEL_DEBUG, &ctx, "child %s", death->text);
		return;
	}
	if (is_innocent(cat, c, leased, death)) {
		log_line(death->cause == DEATH_CANCELLED ? LOG_LEVEL_INFO :
							   LOG_LEVEL_WARN,
		    &ctx, "child %s; starting another", death->text);
		return;
	}
	if (leased) {
		(void)snprintf(reason, sizeof(reason),
		    "its first task ended it: it %s", death->text);
		start_failed(cat, reason);
	} else
		start_failed(cat, death->text);
}
