/* SPDX-License-Identifier: ISC */
/* identity.h: the worker id when nobody has given one. */
#ifndef AVTOWORKER_IDENTITY_H
#define AVTOWORKER_IDENTITY_H

#include "supervisor/base/why.h"

/*
 * The short host name and six hex digits, made at the first start and kept in
 * the state directory, so that a restarted worker finds its queue at the
 * orchestrator again; made anew when /etc/machine-id has changed, so that a
 * cloned machine is not taken for its model. The directory must be there, see
 * instance.h.
 * Caller frees. NULL and why.
 */
char *identity_worker_id(const char *state_dir, struct why *);

#endif
