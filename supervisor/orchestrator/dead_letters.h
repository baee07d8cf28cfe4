/* SPDX-License-Identifier: ISC */
/* dead_letters.h: what is asked about dead letters, answered from the journal.
 * To deliver one again is its owner's business. */
#ifndef AVTOWORKER_DEAD_LETTERS_H
#define AVTOWORKER_DEAD_LETTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/base/why.h"
#include "supervisor/letters.h"

struct journal;
struct journal_row;

struct dead_letters {
	struct journal *journal; /* NULL: there are none */
	/* Has it delivered again; takes the row. False and why when it stays
	 * what it is. */
	bool (*resend)(struct journal_row *, struct why *, void *arg);
	void *arg;
};

/* Looks at dead letters, or does something with them; id 0: with all. Always
 * answers. */
void dead_letters_ask(const struct dead_letters *, enum letters_order,
    int64_t id, const struct letters_asker *);

#endif
