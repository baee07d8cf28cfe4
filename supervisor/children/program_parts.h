/* SPDX-License-Identifier: ISC */
/*
 * program_parts.h: what the files of the program know of each other:
 * program.c (its life, and balance(), which calls the others in their order),
 * program_lease.c (queue, dispatch, results of our own making),
 * program_start.c (starts, failures, back-off), program_recycle.c (which
 * children leave while nothing is wrong) and program_speaker.c (which of them
 * speaks for all). Nobody else includes this.
 */
#ifndef AVTOWORKER_PROGRAM_PARTS_H
#define AVTOWORKER_PROGRAM_PARTS_H

#include "supervisor/base/log.h"
#include "supervisor/children/program.h"

static inline struct log_context
program_context(const struct program *p)
{
	return ((struct log_context){ .category = p->category->name });
}

/* Idle children come first in the list, perhaps with some among them that are
 * ending; true when no idle one stands behind this one. */
static inline bool
program_no_idle_behind(const struct child *c)
{
	return (c->state == CHILD_BUSY || c->state == CHILD_STARTING);
}

/* What its command is made of. */
struct command_settings program_command_settings(const struct program *);
/* Children by state, and how many more the leases could use that wait. */
struct pool_counts program_counts(const struct program *);
/* Leases that one child can hold at once. */
unsigned program_tasks_per_child(const struct program *);

/*
 * program_lanes.c
 */

/* Marks its handlers and makes a lane for each category they name. -1: no
 * memory. */
int program_make_lanes(struct program *, const struct category_list *);
/* The same lanes, of other handlers and categories of the same names. */
void program_move_lanes(struct program *, const struct category_list *);
/* How many children there should be, as the settings are now. */
void program_set_size(struct program *);
/* The lane that a lease of its own belongs to. */
struct lane *program_lane(const struct program *, const struct lease *);

/*
 * program_lease.c
 */

/* A lease of its own runs no more, and will be in another state next. */
void program_leave_running(struct program *, const struct lease *);
/* Running leases that may still be added; not more than are queued. */
unsigned program_may_run(const struct program *);
void program_enqueue(struct program *, struct lease *);
/* The first of a lane, or of all lanes; it is then the caller's. NULL: none. */
struct lease *program_dequeue_lane(struct program *, struct lane *);
struct lease *program_dequeue(struct program *);
/* Ends it as interrupted by a stop of the worker. */
void program_interrupt(struct program *, struct lease *);
/* Ends all that is queued: nobody will run it. */
void program_give_queue_back(struct program *);
/* Ends what is queued and past its deadline. */
void program_expire(struct program *, int64_t now_ms);
/* Gives queued leases to free children. */
void program_dispatch(struct program *);
/* What becomes of a lease whose child has died. started: its handler had
 * begun. */
void program_lose(
    struct program *, struct lease *, bool started, const struct death *);

/*
 * program_start.c
 */

/* Starts the children that are missing. */
void program_start_missing(
    struct program *, const struct pool_counts *, int64_t now_ms);
/* Takes back the offer when no child has been ready for too long, and forgets
 * old failures when one has been for long enough. */
void program_review(
    struct program *, const struct pool_counts *, int64_t now_ms);
/* When program_review() has something to see; INT64_MAX: never. */
int64_t program_review_ms(const struct program *);
/* What a death means for the next start. */
void program_judge(
    struct program *, const struct child *, const struct death *);
/* Tells when it is known, or has changed, whether it can be offered. */
void program_settle(struct program *);
/* Events of a child. */
extern const struct child_ops program_child_ops; /* program.c */

/*
 * program_recycle.c
 */

/* Draws what is the child's own of the limits. */
void program_draw(struct child *);
/* True when it left because it was told to. */
bool program_was_dismissed(const struct child *);
/* Leases that it may be given now, as far as its own limits go. */
unsigned program_room_of(const struct program *, const struct child *);
/* Has it leave, for that reason, a string that stays; a busy one gets no more
 * leases, and leaves when it has none. */
void program_dismiss(struct program *, struct child *, const char *reason);
/* It has ended a task: has it leave if it is used up. */
void program_check_used(struct program *, struct child *);
/* Has those leave that are too old, and those that nobody needs; the counts
 * are then without them. */
void program_recycle(struct program *, struct pool_counts *, int64_t now_ms);
/* When the next one is too old; INT64_MAX: never. */
int64_t program_recycle_ms(const struct program *, int64_t now_ms);

/*
 * program_speaker.c
 */

/* Sees to it that one child speaks for the program, if that wants it. */
void program_choose_speaker(struct program *);
/* A child has said anew what it holds: takes what the speaker has to say. True
 * when leases may come that were held back. */
bool program_hear(struct program *, struct child *);
/* Forgets what was said too long ago; true when leases may come that were held
 * back. */
bool program_forget_spoken(struct program *, int64_t now_ms);
/* When there is something to forget; INT64_MAX: never. */
int64_t program_spoken_ms(const struct program *);
void program_spoken_fini(struct program *);

#endif
