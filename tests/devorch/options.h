/* SPDX-License-Identifier: ISC */
/* options.h: the command line. */
#ifndef DEVORCH_OPTIONS_H
#define DEVORCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/devorch/api.h"
#include "tests/devorch/work.h"

struct specs;

/* A repeatable option, kept until there is something to give it to. */
struct option_use {
	int option; /* its letter in options.c */
	const char *text; /* borrowed from argv */
};

struct options {
	struct api_options api;
	struct work_options work;
	const char *ledger; /* path; NULL: none */
	bool resume : 1; /* go on from the ledger */
	bool summary : 1; /* at the end, on stdout */
	bool json : 1; /* as one line of JSON */
	struct option_use *uses;
	size_t nuses;
};

/* Reads argv. Returns -1 to go on, else the exit status: 0 after --help, 64
 * after one line about what is wrong. */
int options_read(struct options *, int argc, char **argv);
/* Gives the repeatable options to those they are for. */
int options_apply(
    const struct options *, struct specs *, struct faults *, struct why *);
void options_fini(struct options *);

#endif
