/* SPDX-License-Identifier: ISC */
/*
 * exec.h: one executable as a handler: each task is a process of its own that
 * reads the params from its standard input and writes the data of its result
 * to its standard output.
 */
#ifndef AVTOWORKER_EXEC_H
#define AVTOWORKER_EXEC_H

#include <stdbool.h>

#include "child/bytes.h"
#include "child/host.h"

struct limits;

struct exec {
	const char *type; /* everything is borrowed */
	const char *category;
	char **argv; /* with a NULL; argv[0] is the file */
	const struct limits *limits; /* of the process, and of its task */
	bool in_workspace; /* it runs in the task's workspace */
	bool sweep; /* what it has started ends with it */
	/* Its own: */
	struct bytes path; /* of the file, absolute and terminated */
};

/* The executable as a host; start looks whether it can be executed. */
struct host exec_host(struct exec *);
void exec_fini(struct exec *);

#endif
