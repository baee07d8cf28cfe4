/* SPDX-License-Identifier: ISC */
/*
 * output.h: what a child writes to stdout and stderr, line by line into the
 * log. It comes in sections, one for each task and one for each time between
 * two; each may be so long, and what is beyond that is read and dropped. The
 * traceback of a Python that dies of a signal is one line, as far as it goes.
 * Embedded in its owner.
 */
#ifndef AVTOWORKER_OUTPUT_H
#define AVTOWORKER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event_struct.h>

struct event_base;

#define OUTPUT_LINE_MAX 2048 /* a longer line is cut into several */
#define OUTPUT_TAIL_MAX 2048 /* bytes of a section that are remembered */

struct output_ops {
	/* A line without its newline. */
	void (*line)(const char *text, void *arg);
	/* Something about the output: what is dropped, a whole sentence. */
	void (*note)(const char *text, void *arg);
};

struct output {
	const struct output_ops *ops;
	void *arg;
	struct event readable;
	char *buf; /* an unfinished line */
	size_t len; /* of it */
	char *tail; /* last bytes of the section, a ring; NULL before the
		       first */
	uint64_t tail_end; /* bytes that ever went into the section's ring */
	int64_t max; /* bytes of a section that are given out; 0: all */
	int64_t given; /* bytes of this section, newlines included */
	int64_t dropped; /* bytes of this section; > 0: so is all the rest */
	int fd; /* owned; -1 when closed */
	bool fatal; /* what an interpreter says that dies: the lines are one */
};

/* Takes fd on success. -1 and errno. */
int output_open(struct output *, struct event_base *, int fd,
    const struct output_ops *, void *arg);
/* Ends a section (an unfinished line is given out, what was dropped is told)
 * and begins the next, of which max bytes are given out; 0: all. */
void output_section(struct output *, int64_t max);
/* Gives out so many bytes from here on, in the same section. */
void output_renew(struct output *, int64_t max);
/* Takes room for so many bytes that come to the log another way; false when
 * the section has no more: then they are to be dropped like the rest. */
bool output_takes(struct output *, size_t bytes);
/* Reads what is there without waiting and gives out an unfinished line, too:
 * what was written before a result is logged before it, and with its task. */
void output_drain(struct output *);
/* The end of the section, dropped or not: whole lines as far as there are
 * any, without NULs and without the last newline; terminated. */
void output_tail(const struct output *, char buf[OUTPUT_TAIL_MAX + 1]);
/* Ends the section and closes. */
void output_close(struct output *);

#endif
