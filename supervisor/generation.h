/* SPDX-License-Identifier: ISC */
/*
 * generation.h: one reading of the configuration at work: what it says, the
 * handlers that its files hold, and the categories that run them. A reload
 * makes a new one beside the old, and swaps them when it is known to work.
 */
#ifndef AVTOWORKER_GENERATION_H
#define AVTOWORKER_GENERATION_H

#include <stdbool.h>

#include <bsd/sys/queue.h>

#include "supervisor/base/why.h"
#include "supervisor/handler.h"

struct category;
struct category_settings;
struct child_env;
struct conf;
struct conf_problems;
struct discovery;
struct generation;

/* Its files are described, or have turned out to be none. */
typedef void (*generation_described)(struct generation *, void *arg);

struct generation {
	TAILQ_ENTRY(generation) entry; /* of the owner's list of old ones */
	unsigned number; /* 1, 2, ...; 0: it was refused */
	const struct conf *conf;
	struct conf *owned; /* conf, when it goes with the generation */
	struct handler_table handlers;
	TAILQ_HEAD(, category) categories;
	struct discovery *discovery; /* NULL once described */
	generation_described described;
	void *arg;
};

/* Starts to describe the files of a configuration (borrowed). NULL and why. */
struct generation *generation_new(unsigned number, const struct conf *,
    const struct child_env *, generation_described, void *arg, struct why *);
/* After described(): fills the handlers. -1 with what is wrong in problems. */
int generation_resolve(struct generation *, struct conf_problems *);
/* Makes the categories, none of them started. What the settings say of one
 * category (name, conf, handlers, inherit) is filled in. -1 and why. */
int generation_make_categories(
    struct generation *, const struct category_settings *common, struct why *);
/* Removes those that the old one has just the same, with children that can
 * stay. Called before generation_start(). */
void generation_leave_out_same(
    struct generation *, const struct generation *old);
/* Starts the categories. */
void generation_start(struct generation *);
/* The category of that name, or NULL. */
struct category *generation_category(
    const struct generation *, const char *name);
/* The category that runs a task type, or NULL. */
struct category *generation_category_of(
    const struct generation *, const char *type);
/* True when every category has been ready once, or has failed once. */
bool generation_is_settled(const struct generation *);
/* Takes over from the old one what was left out, and what is paused. */
void generation_take_same(struct generation *, struct generation *old);
/* Kills what is left of it and frees it; NULL is fine. */
void generation_free(struct generation *);

#endif
