/* SPDX-License-Identifier: ISC */
/*
 * figures.h: what scripts count with prometheus_client, added up over all
 * their processes. Each of these writes files in one directory of ours; their
 * format is the library's own, so it is the library that reads them, in a
 * process of its own (handlers/python/avtoworker_figures.py), whenever somebody
 * asks.
 */
#ifndef AVTOWORKER_FIGURES_H
#define AVTOWORKER_FIGURES_H

#include <stddef.h>

#include "supervisor/base/why.h"

#define FIGURES_VARIABLE "PROMETHEUS_MULTIPROC_DIR"

struct event_base;
struct figures;
struct reaper;

struct figures_settings {
	const char *directory; /* is made, and emptied */
	const char *python; /* folder of the module that scripts find */
	char *const *environment; /* of the process that reads */
	struct reaper *reaper;
	struct event_base *loop;
};

/* text: as Prometheus reads it; nothing when there are no figures. Borrowed
 * during the call. */
typedef void (*figures_done)(const char *text, size_t len, void *to);

/* Everything is borrowed but the directory's name. NULL and why. */
struct figures *figures_new(const struct figures_settings *, struct why *);
const char *figures_directory(const struct figures *);
/* Has them added up by the first of the interpreters (NULL-terminated, copied)
 * that knows the library. done is called once, now or later; not any more
 * after figures_free(). */
void figures_ask(
    struct figures *, char *const interpreters[], figures_done, void *to);
/* Removes the directory; NULL is fine. */
void figures_free(struct figures *);

#endif
