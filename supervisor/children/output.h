/* SPDX-License-Identifier: ISC */
/*
 * output.h: what a child writes to stdout and stderr, line by line into the
 * log. Embedded in its owner.
 */
#ifndef AVTOWORKER_OUTPUT_H
#define AVTOWORKER_OUTPUT_H

#include <stdbool.h>

#include <event2/event_struct.h>

struct event_base;

#define OUTPUT_LINE_MAX 2048 /* a longer line is cut into several */

struct output {
	/* A line without its newline. */
	void (*line)(const char *text, void *arg);
	void *arg;
	struct event readable;
	char *buf; /* an unfinished line */
	size_t len; /* of it */
	int fd; /* owned; -1 when closed */
};

/* Takes fd on success. -1 and errno. */
int output_open(struct output *, struct event_base *, int fd,
    void (*line)(const char *, void *), void *arg);
/* Reads what is there without waiting and gives out an unfinished line, too:
 * what was written before a result is logged before it, and with its task. */
void output_drain(struct output *);
/* Gives out the unfinished line and closes. */
void output_close(struct output *);

#endif
