/* SPDX-License-Identifier: ISC */
/*
 * fleet.h: all orchestrators of a worker as one: each keeps its own clocks,
 * token and results; what they share is the places, so it is decided here who
 * is polled. An orchestrator may know the worker as one, or as one for each
 * category.
 */
#ifndef AVTOWORKER_FLEET_H
#define AVTOWORKER_FLEET_H

#include "supervisor/base/why.h"

struct conf;
struct event_base;
struct fleet;
struct http;
struct orchestrator;
struct orchestrator_ops;
struct outbox;
struct stats;

/* Borrowed while the fleet lives. */
struct fleet_settings {
	const struct conf *conf;
	const char *worker_id;
	struct event_base *loop;
	struct http *http;
	struct outbox *outbox;
	struct stats *stats; /* requests are counted there; or NULL */
};

/* An orchestrator that stands for all of them. Leases come from, and go back
 * to, those it stands for. NULL and why. */
struct orchestrator *fleet_new(const struct fleet_settings *,
    const struct orchestrator_ops *, void *arg, struct why *);
/* One of them may have become ready to be polled. */
void fleet_kick(struct fleet *);

#endif
