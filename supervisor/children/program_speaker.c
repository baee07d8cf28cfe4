/* SPDX-License-Identifier: ISC */
/*
 * program_speaker.c: the one child that speaks for its program. What a script
 * has to say of the machine, and commands of the orchestrator, would otherwise
 * be said and done once in each child. It is told so by a frame and stays the
 * speaker until it is told to leave or dies; then another is. What it has said
 * outlives it, but not for long: a speaker that is silent holds nothing back.
 */
#include <stdlib.h>
#include <string.h>

#include "supervisor/base/clock.h"
#include "supervisor/children/names.h"
#include "supervisor/children/program_parts.h"
#include "supervisor/handler.h"
#include "supervisor/used.h"

#define SPOKEN_MS ((int64_t)30 * 1000) /* so long is what was said true */

/* One that will stay for a while, rather than one that is to leave. */
static struct child *
candidate(const struct program *p)
{
	struct child *c;

	TAILQ_FOREACH(c, &p->children, entry)
		if (child_is_open(c) && c->leaving == NULL && !c->held.leaving)
			return (c);
	return (NULL);
}

void
program_choose_speaker(struct program *p)
{
	const struct log_context ctx = program_context(p);
	struct child *c;
	struct why why;

	if (p->speaker != NULL && !child_is_open(p->speaker))
		p->speaker = NULL;
	if (p->speaker != NULL || p->stopping || p->offer.commands == NULL ||
	    (c = candidate(p)) == NULL)
		return;
	if (child_tell(c, FRAME_SPEAK, "{}", 2, &why) == -1)
		log_line(LOG_LEVEL_WARN, &ctx,
		    "nobody speaks for \"%s\" yet: %s", p->name, why.text);
	else
		p->speaker = c;
}

/* None of the lane's task types is to come. */
static bool
is_full(const struct program *p, const struct lane *lane)
{
	struct handler *h = NULL;

	if (p->spoken.full == NULL)
		return (false);
	while ((h = handler_next(p->handlers, h)) != NULL)
		if (h->program == p &&
		    strcmp(h->category, lane->category->name) == 0 &&
		    !names_have(p->spoken.full, h->type))
			return (false);
	return (true);
}

/* Marks the lanes; true when one is not full any more. */
static bool
mark_lanes(struct program *p)
{
	struct lane *lane;
	bool full, more = false;

	for (lane = p->lanes; lane < p->lanes + p->lanes_len; lane++) {
		full = is_full(p, lane);
		more = more || (lane->full && !full);
		lane->full = full;
	}
	return (more);
}

bool
program_hear(struct program *p, struct child *c)
{
	struct held *held = &c->held;
	const int64_t now_ms = clock_now_ms();
	bool more = false;

	if (c == p->speaker && held->full != NULL) {
		free(p->spoken.full);
		p->spoken.full = held->full;
		held->full = NULL;
		p->spoken.full_ms = now_ms;
		more = mark_lanes(p);
	}
	if (c == p->speaker && held->used != NULL) {
		used_free(p->spoken.used);
		p->spoken.used = held->used;
		held->used = NULL;
		p->spoken.used_ms = now_ms;
	}
	/* Anybody else is not asked. */
	free(held->full);
	held->full = NULL;
	used_free(held->used);
	held->used = NULL;
	return (more);
}

bool
program_forget_spoken(struct program *p, int64_t now_ms)
{
	const struct log_context ctx = program_context(p);
	bool more;

	if (p->spoken.full == NULL || now_ms - p->spoken.full_ms < SPOKEN_MS)
		return (false);
	free(p->spoken.full);
	p->spoken.full = NULL;
	if ((more = mark_lanes(p)))
		log_line(LOG_LEVEL_WARN, &ctx,
		    "\"%s\" has not said for %d s that it has no capacity: "
		    "asking for its tasks again",
		    p->name, (int)(SPOKEN_MS / 1000));
	return (more);
}

int64_t
program_spoken_ms(const struct program *p)
{
	return (
	    p->spoken.full != NULL ? p->spoken.full_ms + SPOKEN_MS : INT64_MAX);
}

bool
program_is_full(const struct program *p, const char *type)
{
	return (names_have(p->spoken.full, type));
}

const struct used *
program_used(const struct program *p)
{
	if (p->spoken.used == NULL ||
	    clock_now_ms() - p->spoken.used_ms >= SPOKEN_MS)
		return (NULL);
	return (p->spoken.used);
}

bool
program_takes_command(const struct program *p, const char *name)
{
	return (names_have(p->offer.commands, name));
}

int
program_command(
    struct program *p, const char *payload, size_t len, struct why *why)
{
	program_choose_speaker(p);
	if (p->speaker == NULL) {
		why_set(why, "no child of \"%s\" is ready", p->name);
		return (-1);
	}
	return (child_tell(p->speaker, FRAME_COMMAND, payload, len, why));
}

void
program_spoken_fini(struct program *p)
{
	free(p->spoken.full);
	used_free(p->spoken.used);
}
