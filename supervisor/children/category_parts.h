/* SPDX-License-Identifier: ISC */
/*
 * category_parts.h: what the files of the category know of each other:
 * category.c (its life, and balance(), which calls the others in their order),
 * category_lease.c (queue, dispatch, results of our own making),
 * category_start.c (starts, failures, back-off) and category_recycle.c (which
 * children leave while nothing is wrong). Nobody else includes this.
 */
#ifndef AVTOWORKER_CATEGORY_PARTS_H
#define AVTOWORKER_CATEGORY_PARTS_H

#include "supervisor/base/log.h"
#include "supervisor/children/category.h"

static inline struct log_context
category_context(const struct category *cat)
{
	return ((struct log_context){ .category = cat->name });
}

/* Idle children come first in the list, perhaps with some among them that are
 * ending; true when no idle one stands behind this one. */
static inline bool
category_no_idle_behind(const struct child *c)
{
	return (c->state == CHILD_BUSY || c->state == CHILD_STARTING);
}

/* Children by state, and the leases that could run if there were more. */
struct pool_counts category_counts(const struct category *);

/*
 * category_lease.c
 */

/* Running leases that may still be added; not more than are queued. */
unsigned category_may_run(const struct category *);
void category_enqueue(struct category *, struct lease *);
/* The first of the queue, which is then the caller's; or NULL. */
struct lease *category_dequeue(struct category *);
/* Ends a lease of the queue; takes the result's content. */
void category_finish(struct category *, struct lease *, struct result *);
/* Ends it as interrupted by a stop of the worker. */
void category_interrupt(struct category *, struct lease *);
/* Ends all that is queued: nobody will run it. */
void category_give_queue_back(struct category *);
/* Ends what is queued and past its deadline. */
void category_expire(struct category *, int64_t now_ms);
/* Gives queued leases to free children. */
void category_dispatch(struct category *);
/* What becomes of the lease of a child that has died. */
void category_lose(struct category *, struct child *, const struct death *);

/*
 * category_start.c
 */

/* Starts the children that are missing. */
void category_start_missing(
    struct category *, const struct pool_counts *, int64_t now_ms);
/* Takes back the offer when no child has been ready for too long, and forgets
 * old failures when one has been for long enough. */
void category_review(
    struct category *, const struct pool_counts *, int64_t now_ms);
/* When category_review() has something to see; INT64_MAX: never. */
int64_t category_review_ms(const struct category *);
/* What a death means for the next start. leased: it held a lease. */
void category_judge(
    struct category *, const struct child *, bool leased, const struct death *);
/* Tells when it is known, or has changed, whether it can be offered. */
void category_settle(struct category *);
/* Events of a child. */
extern const struct child_ops category_child_ops; /* category.c */

/*
 * category_recycle.c
 */

/* Draws what is the child's own of the limits. */
void category_draw(struct child *);
/* Has it leave, for that reason; a string that stays. */
void category_dismiss(struct category *, struct child *, const char *reason);
/* It has ended a task: has it leave if it is used up. */
void category_check_used(struct category *, struct child *);
/* Has those leave that are too old, and those that nobody needs; the counts
 * are then without them. */
void category_recycle(struct category *, struct pool_counts *, int64_t now_ms);
/* When the next one is too old; INT64_MAX: never. */
int64_t category_recycle_ms(const struct category *, int64_t now_ms);

#endif
