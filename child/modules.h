/* SPDX-License-Identifier: ISC */
/*
 * modules.h: handlers in C: loads the files that the command line names, once
 * each, and runs what is in them.
 */
#ifndef AVTOWORKER_MODULES_H
#define AVTOWORKER_MODULES_H

#include <stddef.h>
#include <sys/types.h>

#include "child/bytes.h"
#include "child/host.h"

struct module;
struct modules_handler;
struct pins;

/* The command line's TYPE=FILE. */
struct assignment {
	const char *type;
	const char *file;
};

struct modules {
	const char *category; /* borrowed, as the next three */
	const struct pins *pins;
	const struct assignment *what;
	size_t count;
	/* Its own: */
	pid_t pid; /* of the process that they run in */
	struct module *loaded; /* each file once */
	size_t loaded_len;
	struct modules_handler *handlers; /* in the order of what */
	size_t handlers_len;
};

/* The modules as a host; start loads them and runs their init. */
struct host modules_host(struct modules *);
void modules_fini(struct modules *);

#endif
