/* SPDX-License-Identifier: ISC */
/*
 * nofile.h: how many descriptors we may have. A child costs three, so a
 * supervisor needs more than the 1024 that most are started with; children get
 * those back, because programs that use select(2) break beyond them.
 */
#ifndef AVTOWORKER_NOFILE_H
#define AVTOWORKER_NOFILE_H

#include <sys/resource.h>

#include "supervisor/base/why.h"

/* Raises the soft limit to the hard one. *original gets what it was. -1 and
 * why; the limit and *original are then as they were. */
int nofile_raise(rlim_t *original, struct why *);

#endif
