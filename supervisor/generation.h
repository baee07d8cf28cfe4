/* SPDX-License-Identifier: ISC */
/*
 * generation.h: one reading of the configuration at work: what it says, the
 * handlers that there are, the programs that run them and the categories that
 * limit these. A reload
 * makes a new one beside the old, and swaps them when it is known to work. What
 * does not start with the first one is tried again, and joins it.
 */
#ifndef AVTOWORKER_GENERATION_H
#define AVTOWORKER_GENERATION_H

#include <stdbool.h>

#include <bsd/sys/queue.h>

#include "supervisor/base/why.h"
#include "supervisor/children/category.h"
#include "supervisor/children/discover.h"
#include "supervisor/children/program.h"
#include "supervisor/handler.h"

struct child_env;
struct conf;
struct conf_problems;
struct conf_tolds;
struct generation;

struct generation_ops {
	/* Its files are described, or have turned out to be none. */
	void (*described)(struct generation *, void *arg);
	/* Something does not start, or does now. */
	void (*changed)(void *arg);
};

struct generation {
	TAILQ_ENTRY(generation) entry; /* of the owner's list of old ones */
	unsigned number; /* 1, 2, ...; 0: it was refused */
	const struct conf *conf;
	struct conf *owned; /* conf, when it goes with the generation */
	struct handler_table handlers;
	struct category_list categories;
	TAILQ_HEAD(, program) programs;
	struct discovery *discovery; /* NULL once there are programs */
	struct discovery *again; /* the same, while something of it does not
				    start and is tried again; or NULL */
	struct program_settings common; /* of its programs */
	const struct generation_ops *ops;
	void *arg;
};

/* Starts to describe what a configuration (borrowed) names. NULL and why. */
struct generation *generation_new(unsigned number, const struct conf *,
    const struct child_env *, enum discovery_mode,
    const struct generation_ops *, void *arg, struct why *);
/* After described(): fills the handlers. -1 with what is wrong in problems. */
int generation_resolve(struct generation *, struct conf_problems *);
/* After described(): what scripts say of the worker. -1 and why. */
int generation_told(
    const struct generation *, struct conf_tolds *, struct why *);
/* Makes categories and programs, none of them started. What the settings say
 * of one program is filled in. -1 and why. */
int generation_make_programs(
    struct generation *, const struct program_settings *common, struct why *);
/* Removes those that the old one has just the same, with children that can
 * stay. Called before generation_start(). */
void generation_leave_out_same(
    struct generation *, const struct generation *old);
/* Starts the programs, and tries again what has not started. */
void generation_start(struct generation *);
/* Calls found() for what does not start, at any time. */
void generation_each_failing(const struct generation *,
    void (*found)(const struct discovery_failing *, void *arg), void *arg);
/* Tries no more. */
void generation_give_up_failing(struct generation *);
/* True when the program is one of it. */
bool generation_has(const struct generation *, const struct program *);
/* The program that runs a task type, or NULL. */
struct program *generation_program_of(
    const struct generation *, const char *type);
/* True when every program has been ready once, or has failed once. */
bool generation_is_settled(const struct generation *);
/* Takes over from the old one what was left out, and what is paused. */
void generation_take_same(struct generation *, struct generation *old,
    const struct program_settings *common);
/* How many more leases there are places for, of that category or of all with
 * NULL: see places_left(). running: those that run already. */
unsigned generation_places(
    const struct generation *, const struct category *only, unsigned running);
/* Kills what is left of it and frees it; NULL is fine. */
void generation_free(struct generation *);

#endif
