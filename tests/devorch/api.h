/* SPDX-License-Identifier: ISC */
/*
 * api.h: the worker API of an orchestrator, in both dialects: which request
 * means what, and what is answered.
 */
#ifndef DEVORCH_API_H
#define DEVORCH_API_H

#include <stdbool.h>

#include "supervisor/base/why.h"
#include "tests/devorch/polls.h"

struct api;
struct event_base;
struct faults;
struct stats;
struct work;

struct api_options {
	const char *listen; /* ADDRESS:PORT */
	const char *token; /* NULL: none is asked for */
	struct polls_options polls;
	bool rxon : 1;
	bool verify : 1; /* check signatures and timestamps */
	bool print_results : 1; /* a JSON line for each, on stdout */
	bool exit_when_done : 1; /* the loop ends with the last result */
};

/* Listens and serves on the loop. Everything is borrowed. */
struct api *api_new(struct event_base *, const struct api_options *,
    struct work *, struct faults *, struct stats *, struct why *);
/* Ends the hold on tasks. */
void api_release(struct api *);
/* No new jobs from here on. */
void api_close(struct api *);
unsigned api_port(const struct api *);
/* Ends waiting polls and closes every connection; NULL is fine. */
void api_free(struct api *);

#endif
