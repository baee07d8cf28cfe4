/* SPDX-License-Identifier: ISC */
/*
 * rxon_sign.h: the text that an RXON signature covers, and the signature.
 * Pure functions over bytes. Source: wire contract of RXON 1.0b15; see
 * docs/wire.md.
 */
#ifndef AVTOWORKER_RXON_SIGN_H
#define AVTOWORKER_RXON_SIGN_H

#include <stddef.h>

#include "child/bytes.h"
#include "supervisor/base/why.h"

#define RXON_SIGNATURE_SIZE 65 /* 64 lower-case hex digits and a NUL */

/*
 * Appends the canonical text of a JSON message to out: top-level "security"
 * dropped, and every top-level member named in ignore (NULL-terminated list,
 * or NULL); null members dropped at any depth; members sorted by the bytes of
 * their key; numbers and strings in their one form; no white space.
 * Returns -1 and why when the text is no JSON that a server would take, or
 * holds what cannot be signed (an integral number outside -2^63..2^64-1, more
 * than 100 levels).
 */
int rxon_canonical(const char *text, size_t len, const char *const *ignore,
    struct bytes *out, struct why *);

/* HMAC-SHA256 of the canonical text; secret must not be empty. */
int rxon_sign(const char *secret, const struct bytes *canonical,
    char signature[RXON_SIGNATURE_SIZE], struct why *);

/* SHA-256 of some bytes as 64 lower-case hex digits, for skills_hash. */
int rxon_digest(
    const struct bytes *, char digest[RXON_SIGNATURE_SIZE], struct why *);

#endif
