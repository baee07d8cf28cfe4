/* SPDX-License-Identifier: ISC */
/*
 * discover_parts.h: what the two files of the discovery know of each other:
 * discover.c (the runs) and discover_rules.c (what comes of them). Nobody else
 * includes this.
 */
#ifndef AVTOWORKER_DISCOVER_PARTS_H
#define AVTOWORKER_DISCOVER_PARTS_H

#include <stdbool.h>
#include <sys/stat.h>

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>

#include "supervisor/children/discover.h"
#include "supervisor/children/offer.h"

struct child;
struct handler_file;

/* A file that the configuration names. */
struct file {
	TAILQ_ENTRY(file) entry;
	struct discovery *discovery;
	struct child *child; /* NULL when it is not running */
	char *path; /* absolute; NULL when it cannot be found */
	char *written; /* as the configuration has it */
	struct offer offer;
	char failure[320]; /* why it cannot be used; or "" */
	struct handler_file *kept; /* the table's, once resolved */
	struct stat st; /* as it was before it was described */
	int fd; /* the same file, kept open; -1 when given away */
	bool described : 1;
};

struct discovery {
	const struct child_env *env;
	const struct conf *conf;
	discovery_done done;
	void *arg;
	TAILQ_HEAD(, file) files;
	struct event finished; /* calls done from the loop */
	unsigned running;
};

/* The file that is written so, or NULL. */
struct file *discovery_file(const struct discovery *, const char *written);
/* The absolute path of a file: one without slash is among the installed
 * handlers. Caller frees. NULL and why. */
char *discovery_find(const char *written, struct why *);

#endif
