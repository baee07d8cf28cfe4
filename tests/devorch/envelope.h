/* SPDX-License-Identifier: ISC */
/* envelope.h: timestamp and signature of an RXON message. */
#ifndef DEVORCH_ENVELOPE_H
#define DEVORCH_ENVELOPE_H

#include <stddef.h>

struct jslice;

struct envelope_fault {
	unsigned status; /* HTTP status to refuse it with */
	char text[256]; /* what a real orchestrator says */
};

/* Checks a message of worker, given as text and as the root of its scan.
 * ignore is as for rxon_canonical(). -1 and the fault when it is refused. */
int envelope_check(const char *text, size_t len, const struct jslice *root,
    const char *worker, const char *secret, const char *const *ignore,
    struct envelope_fault *);

#endif
