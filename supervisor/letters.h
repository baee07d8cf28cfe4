/* SPDX-License-Identifier: ISC */
/* letters.h: what may be asked and ordered about dead letters, between those
 * who ask and the outbox that has them. */
#ifndef AVTOWORKER_LETTERS_H
#define AVTOWORKER_LETTERS_H

#include <stddef.h>
#include <stdint.h>

enum letters_order {
	LETTERS_LIST,
	LETTERS_SHOW,
	LETTERS_RESEND,
	LETTERS_DROP
};

/* Borrowed by whoever is called. */
struct letters_answer {
	const char *error; /* NULL: it was done */
	const char *list; /* JSON array, of LIST and SHOW; or NULL */
	size_t list_len;
	int64_t count; /* of those that an order concerned */
};

/* Whom the answer goes to, once, later. */
struct letters_asker {
	void (*answer)(
	    const struct letters_answer *, uint64_t ticket, void *to);
	void *to;
	uint64_t ticket;
};

#endif
