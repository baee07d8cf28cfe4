/* SPDX-License-Identifier: ISC */
/* arguments.h: what the command line says that this process shall be. */
#ifndef AVTOWORKER_ARGUMENTS_H
#define AVTOWORKER_ARGUMENTS_H

#include <stdbool.h>

#include "child/launch.h"
#include "child/pins.h"
#include "child/sweep.h"

/* What runs the handlers. */
enum kind {
	KIND_MODULE, /* this process: TYPE=FILE... */
	KIND_EXEC, /* a process for each task: TYPE PATH [ARG...] */
	KIND_CHANNEL, /* a program that speaks the channel: PATH [ARG...] */
};

struct arguments {
	const char *describe; /* FILE; or NULL */
	const char *category;
	struct launch launch;
	enum kind kind;
	bool kind_given;
	const char *run; /* TYPE of a developer's run; or NULL */
	const char *params; /* of that: JSON */
	enum sweep_when sweep;
	struct pins pins;
	bool launcher;
	bool remove; /* directories, and nothing else */
};

/* Reads the options; optind is then behind them. Returns EX_OK, or EX_USAGE
 * after saying why. */
int arguments_parse(struct arguments *, int argc, char **argv);
/* Says what is wrong with the command line; which may be NULL. EX_USAGE. */
int arguments_usage(const char *what, const char *which);

#endif
