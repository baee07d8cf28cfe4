/* SPDX-License-Identifier: ISC */
/* environment.h: what children see of our environment: never a secret. */
#ifndef AVTOWORKER_ENVIRONMENT_H
#define AVTOWORKER_ENVIRONMENT_H

/* The few variables that any program may want (PATH, HOME, LANG, TZ ...).
 * Caller frees with environment_free(). NULL with errno. */
char **environment_clean(char *const from[]);
/* All of it; secret variables hold the word "withheld" (so that reading them
 * does not fail), and what is between us and systemd is left out. */
char **environment_inherited(char *const from[]);
void environment_free(char **);

#endif
