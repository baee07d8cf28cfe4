/* SPDX-License-Identifier: ISC */
/* environment.h: what children see of our environment: never a secret. */
#ifndef AVTOWORKER_ENVIRONMENT_H
#define AVTOWORKER_ENVIRONMENT_H

#include <stdint.h>

#include "supervisor/base/why.h"

struct bytes;
struct conf_settings;

/* The few variables that any program may want (PATH, HOME, LANG, TZ ...).
 * Caller frees with words_free(). NULL with errno. */
char **environment_clean(char *const from[]);
/* All of it; secret variables hold the word "withheld" (so that reading them
 * does not fail), and what is between us and systemd is left out. */
char **environment_inherited(char *const from[]);

/* Tells children which category they are of, and us that a process descends
 * from one of ours. */
#define ENVIRONMENT_MARK "AVTOWORKER_CATEGORY"

/* A copy of one of the above for a category: with the lines of its env_file
 * (or NULL), which win, and the mark. Caller frees with words_free().
 * NULL and why: FILE:LINE where it is a line's fault. */
char **environment_of_category(
    char *const base[], const char *category, const char *file, struct why *);

/* Adds a variable to such a copy, unless it has it. -1 with errno. */
int environment_add(char ***, const char *name, const char *value);
/* Sets a variable of such a copy to a number; 0: it is none of it. -1 with
 * errno. */
int environment_set_number(char ***, const char *name, int64_t value);
/* Adds settings: KEY=VALUE as it is, and KEY_FILE=PATH, for a file that must be
 * there; files is told which it is and when it was written. -1 and why; the
 * environment is still good. */
int environment_add_settings(
    char ***, struct bytes *files, const struct conf_settings *, struct why *);

#endif
