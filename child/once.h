/* SPDX-License-Identifier: ISC */
/*
 * once.h: one task in this process, for whoever writes a handler: no
 * supervisor, no limits, no sandbox, nothing between it and a debugger.
 */
#ifndef AVTOWORKER_ONCE_H
#define AVTOWORKER_ONCE_H

struct arguments;

/* Runs the task that the arguments name, in the file that words begins with:
 * without --kind a module when its name ends in .so, a script of the Python
 * module when in .py, and else an executable. Prints the result, one line of
 * JSON, on standard output; what the handler prints goes to standard error.
 * Returns 0, or 1 when it is an error or there is none. */
int once(const struct arguments *, char **words);

#endif
