/* SPDX-License-Identifier: ISC */
/*
 * fault.h: answers given wrongly on purpose: which request of which endpoint
 * gets which. The table of kinds is in fault.c.
 */
#ifndef DEVORCH_FAULT_H
#define DEVORCH_FAULT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "supervisor/base/why.h"

struct conn;
struct faults;
struct reply;

enum endpoint {
	ENDPOINT_POLL,
	ENDPOINT_RESULT,
	ENDPOINT_HEARTBEAT,
	ENDPOINT_REGISTER,
	ENDPOINT_EVENT,
	ENDPOINT_ANY, /* in a fault: all of them, counted together */
	ENDPOINT_NONE = ENDPOINT_ANY,
};

/* What is left to do for a request when fault_apply() has seen it. */
enum fault_step {
	FAULT_NONE, /* answer it properly */
	FAULT_ANSWERED, /* nothing; it has its answer */
	FAULT_THEN_CLOSE, /* answer, and close the connection */
	FAULT_THEN_DROP, /* act on it, but close without the answer */
	FAULT_FORGET, /* forget every worker, then answer */
};

extern const char *const endpoint_names[ENDPOINT_ANY + 1];

struct faults *faults_new(struct why *);
void faults_free(struct faults *);
/* ENDPOINT:KIND[=ARGUMENT][:FIRST[-[LAST]][/EVERY]]. */
int faults_add(struct faults *, const char *text, struct why *);
void faults_help(FILE *);

/* Counts a request and answers it when a fault is due. port is our own, for
 * redirects; rxon chooses the wording. */
enum fault_step fault_apply(
    struct faults *, enum endpoint, struct conn *, unsigned port, bool rxon);
/* Gives a proper answer, as far as the step allows. */
void fault_reply(struct conn *, enum fault_step, struct reply *);
/* Faults given so far. */
uint64_t faults_given(const struct faults *);

#endif
