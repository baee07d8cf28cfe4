/* SPDX-License-Identifier: ISC */
/*
 * outbox.h: what must survive the end of the supervisor, whatever ends it:
 * leases that have come, and results until they are taken. One for all
 * orchestrators; each is a client, and what is one client's is never given to
 * another. Without a journal (durability = off) everything is in memory alone.
 */
#ifndef AVTOWORKER_OUTBOX_H
#define AVTOWORKER_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "supervisor/base/why.h"
#include "supervisor/letters.h"

struct conf_worker;
struct event_base;
struct lease;
struct lease_table;
struct orchestrator;
struct outbox;

/* One registration at an orchestrator. Filled in by its owner. */
struct outbox_client {
	TAILQ_ENTRY(outbox_client) entry;
	const char *url;
	const char *worker_id;
	struct orchestrator *origin; /* of its leases */
	/* A lease of before, finished, is to be delivered: after the join, or
	 * from the next kick on. */
	void (*deliver)(struct lease *, void *arg);
	/* What waited for the journal may go on. */
	void (*kick)(void *arg);
	void *arg;
};

struct outbox_settings {
	const struct conf_worker *conf; /* durability, result_retention */
	const char *state_dir;
	struct lease_table *leases;
	struct event_base *loop;
	void (*changed)(void *arg); /* tasks may be taken, or not any more */
	void *arg;
};

/* All of it is borrowed while it lives. NULL, why and an exit status. */
struct outbox *outbox_open(
    const struct outbox_settings *, int *status, struct why *);
/* False when something may be lost; NULL is fine. */
bool outbox_close(struct outbox *);

/* Delivers what there is of that client from before. */
void outbox_join(struct outbox *, struct outbox_client *);
void outbox_leave(struct outbox *, struct outbox_client *);
/* All clients of the start are there: says what belongs to none. */
void outbox_tell_strangers(struct outbox *);

/* A lease has come. */
void outbox_leased(
    struct outbox *, const struct outbox_client *, const struct lease *);
/* It has its result. */
void outbox_finished(struct outbox *, struct lease *);
/* True when its result may be sent now; else the client is kicked when that
 * may have changed. once: the orchestrator acts on every copy, so it must be
 * on disk, with a mark that it is being sent, before its first byte goes. */
bool outbox_prepare(struct outbox *, struct lease *, bool once);
/* That attempt is over. It was not taken, for sure: the mark is void, unless it
 * is in doubt since an earlier one. */
void outbox_not_sent(struct outbox *, struct lease *);
/* Nobody knows whether it was taken. */
void outbox_in_doubt(struct lease *);
/* When it is to be given up, in clock_now_ms(), and why. */
int64_t outbox_expires_ms(const struct lease *);
const char *outbox_expiry(const struct lease *);
/* It was taken; how, in a word. */
void outbox_delivered(struct outbox *, const struct outbox_client *,
    struct lease *, const char *outcome);
/* It will not be: it becomes a dead letter, which is told. */
void outbox_gave_up(struct outbox *, const struct outbox_client *,
    struct lease *, const char *reason);
/* True when a task of that id has been here, and its result is not here any
 * more. */
bool outbox_has_ended(
    const struct outbox *, const struct outbox_client *, const char *task_id);

/* More is held in memory than there should be. */
bool outbox_is_full(const struct outbox *);
/* Drops the result of a lease from memory, if it is on disk and not on its
 * way; outbox_prepare() brings it back. */
void outbox_spill(struct outbox *, struct lease *);

/* True while tasks may be taken. */
bool outbox_can_take(const struct outbox *);
/* True when what is not delivered is on disk, or about to be. */
bool outbox_is_durable(const struct outbox *);
/* "ok", "off", or what the trouble is. */
const char *outbox_state(const struct outbox *);
int64_t outbox_letters_count(const struct outbox *);
/* Looks at dead letters, or does something with them; id 0: with all. Always
 * answers. */
void outbox_letters(struct outbox *, enum letters_order, int64_t id,
    const struct letters_asker *);

#endif
