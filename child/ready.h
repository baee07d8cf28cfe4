/* SPDX-License-Identifier: ISC */
/*
 * ready.h: the ready frame: what this child offers, or why it cannot start.
 * Also the describe run, which sends it and does nothing else.
 */
#ifndef AVTOWORKER_READY_H
#define AVTOWORKER_READY_H

#include <stddef.h>

#include "child/bytes.h"
#include "child/handler.h"
#include "child/wire.h"

/* Sends the offer, handler by handler: begin, add each, send. A failed offer
 * is sent as an error. */
void ready_begin(struct bytes *offer);
void ready_add(struct bytes *offer, const struct aw_handler *);
/* Returns -1 when it cannot be sent (errno). Frees the offer. */
int ready_send(struct wire *, struct bytes *offer);
/* Sends the sentence instead; the same. */
int ready_send_error(struct wire *, const struct bytes *sentence);

/* Loads the file without starting its handlers, and sends the offer or the
 * reason why there is none. Returns the exit status. */
int describe(struct wire *, const char *file);

#endif
