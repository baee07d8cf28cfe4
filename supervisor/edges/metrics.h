/* SPDX-License-Identifier: ISC */
/*
 * metrics.h: figures and health over HTTP: GET /metrics, /health and /ready.
 * Runs on the loop like everything else, so it is served while every child is
 * busy; no client can hold up more than itself.
 */
#ifndef AVTOWORKER_METRICS_H
#define AVTOWORKER_METRICS_H

#include "supervisor/base/why.h"

struct bytes;
struct conf_metrics;
struct event_base;
struct metrics;
struct view;
struct view_ops;

/*
 * Listens as the configuration says. Without a port in it, one that cannot
 * be had is a warning in the log, and nothing is served; NULL and why when a
 * port is set and cannot be had, when the address is none, or when memory is
 * short. conf is borrowed for the call; ops and arg while it lives.
 */
struct metrics *metrics_new(struct event_base *, const struct conf_metrics *,
    const struct view_ops *, void *arg, struct why *);
/* Where it listens: "127.0.0.1:8083"; NULL when it does not. */
const char *metrics_address(const struct metrics *);
/* Ends what is being served; NULL is fine. */
void metrics_free(struct metrics *);

/* Whether a worker is ready for tasks; appends that as JSON, with everything
 * that is missing. Returns the HTTP status: 200 or 503. */
int metrics_readiness(const struct view *, struct bytes *);

#endif
