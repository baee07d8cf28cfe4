/* SPDX-License-Identifier: ISC */
/* rxon_number.h: the one form that a number has in a signed text. */
#ifndef AVTOWORKER_RXON_NUMBER_H
#define AVTOWORKER_RXON_NUMBER_H

struct bytes;
struct jslice;

/*
 * Appends a number in its canonical form: integers and integral floats as
 * digits, others as the shortest digits that read back the same double.
 * Whatever the locale. Returns NULL, or a static sentence that says why the
 * number cannot be signed.
 */
const char *rxon_put_number(struct bytes *, const struct jslice *number);

#endif
