/* SPDX-License-Identifier: ISC */
/* headroom.h: how much memory is left before something has to give. */
#ifndef AVTOWORKER_HEADROOM_H
#define AVTOWORKER_HEADROOM_H

#include <stdint.h>

/* What the machine has available (proc is "/proc"), or what is left below the
 * limits of a control group and of those above it up to root, whichever is
 * less; in bytes. group is a directory, "" when there is none. INT64_MAX when
 * nobody tells. */
int64_t headroom(const char *proc, const char *root, const char *group);

#endif
