/* SPDX-License-Identifier: ISC */
/* ask.h: finds a worker's control socket, and asks over it. */
#ifndef AVTOWORKER_ASK_H
#define AVTOWORKER_ASK_H

#include "child/bytes.h"
#include "supervisor/base/why.h"

/* Path of the control socket of the worker of that name, NULL: of the one
 * without. Caller frees. NULL and why. */
char *ask_find_socket(const char *name, struct why *);
/* The names of the workers that answer beside the one without a name, with
 * blanks between them; empty when there is none. Caller frees; NULL: no
 * memory. */
char *ask_names(void);
/* Sends a request and reads the whole answer, which bytes_fini() frees; waits
 * for at most 10 s. -1 and why when nobody answers. */
int ask(const char *path, const struct bytes *request, struct bytes *answer,
    struct why *);

#endif
