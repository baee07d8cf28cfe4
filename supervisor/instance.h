/* SPDX-License-Identifier: ISC */
/*
 * instance.h: which of the workers of this machine we are: its name, and its
 * state directory, which belongs to one running worker at a time. Owned by
 * main(); one that was never opened can be closed.
 */
#ifndef AVTOWORKER_INSTANCE_H
#define AVTOWORKER_INSTANCE_H

#include <stdbool.h>

#include "supervisor/base/why.h"

struct instance {
	char *name; /* NULL: the one without a name */
	char *state_dir; /* absolute; NULL before instance_open() */
	int lock_fd; /* -1: not locked */
};

#define INSTANCE_NONE ((struct instance){ .lock_fd = -1 })

/* What -n may be: [A-Za-z0-9_.-]{1,64}, not beginning with "." or "-", for
 * it is the name of a folder, too. */
bool instance_name_ok(const char *);
/* Sets the name: the given one; else the base name of the configuration, or
 * without one of the first handler; none for an avtoworker.conf. Each may be
 * NULL. -1 and why. */
int instance_set_name(struct instance *, const char *given, const char *conf,
    const char *handler, struct why *);
/* The state directory that instance_open() would take, see there; name NULL:
 * of the one without a name. Caller frees; NULL and errno. */
char *instance_state_dir(const char *configured, const char *name);
/*
 * Finds the state directory, makes it (0700) and locks it, with our process id
 * in the lock file. It is the configured one; else the first of
 * $STATE_DIRECTORY; else for root LOCALSTATEDIR/lib/avtoworker, for others
 * ~/.local/state/avtoworker, and below these a folder of our name.
 * 0, or an exit status and why: EX_TEMPFAIL when another worker has it.
 */
int instance_open(struct instance *, const char *configured, struct why *);
/* True when others than we and root may write to the state directory. */
bool instance_is_exposed(const struct instance *);
/* Lets the state directory go and frees what is in the struct. */
void instance_close(struct instance *);

#endif
