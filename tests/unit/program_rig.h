/* SPDX-License-Identifier: ISC */
/*
 * program_rig.h: one program with all that a supervisor has around it, and a
 * record of what it tells its owner. What it is made of is the test's: real
 * children, or those of fake_world.h. Aborts when it cannot be set up.
 */
#ifndef UNIT_PROGRAM_RIG_H
#define UNIT_PROGRAM_RIG_H

#include "supervisor/children/poison.h"
#include "supervisor/children/program.h"
#include "supervisor/children/reaper.h"
#include "supervisor/conf.h"
#include "supervisor/handler.h"
#include "supervisor/lease.h"
#include "supervisor/places.h"

#define RIG_LEASES_MAX 200

struct rig {
	struct reaper reaper;
	struct child_env env;
	struct handler_table handlers;
	struct lease_table leases;
	struct conf_category conf; /* of every category */
	struct poison *poison; /* NULL: none; freed with the rig */
	struct start_gate gate;
	struct category_list categories;
	struct category *category; /* the first: the program's */
	struct program *program;
	struct program_ops ops; /* finish leases and record what follows; their
				   argument is the rig, and a test may put in
				   its own */
	struct lease *lease[RIG_LEASES_MAX]; /* as they were made */
	struct lease *done[RIG_LEASES_MAX]; /* in the order they ended */
	struct lease *returned; /* the last one */
	char reasons[256]; /* why children ended, one after the other */
	unsigned count; /* leases that were made */
	unsigned ndone;
	unsigned settled, room, emptied; /* times that it has said so */
};

/* Empty tables, and no categories; the environment gets the rig's reaper. */
void rig_init(struct rig *, struct child_env);
/* The source of a program that speaks the channel. */
struct handler_source *rig_add_source(struct rig *, const char *category);
/* A task type of that source; NULL: of a C module. */
void rig_add_handler(struct rig *, const char *type, const char *category,
    struct handler_source *);
/* A category with the rig's settings, as they are whenever they are asked. */
void rig_add_category(struct rig *, const char *name);
/* The program, not started, of the first category and of the source, if there
 * is one. Of the settings name, inherit, max_running and gate count; the rest
 * is the rig's. */
void rig_open(struct rig *, const struct program_settings *);
/* The program is described by what its children say when they are ready. */
void rig_describe(struct rig *, const char *ready);
/* Everything is gone, but for what the environment borrows. */
void rig_close(struct rig *);
/* A queued lease, not submitted yet. */
struct lease *rig_lease(struct rig *, const char *type, const char *task_id,
    const char *job_id, const char *params);
/* Places for more leases; only: NULL, or the category that they are of. */
struct places rig_places(struct rig *, const struct category *only);

#endif
