/* SPDX-License-Identifier: ISC */
/*
 * control.h: the control socket, by which avtoworkerctl(8) asks a running
 * supervisor for what it sees and tells it what to do. One line of JSON in,
 * one out, see CONTROL SOCKET in avtoworkerd(8).
 */
#ifndef AVTOWORKER_CONTROL_H
#define AVTOWORKER_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include "supervisor/base/why.h"
#include "supervisor/letters.h"

#define CONTROL_SOCKET      "control.sock" /* in the state directory */
#define CONTROL_REQUEST_MAX (64u * 1024) /* bytes, newline included */

struct bytes;
struct control;
struct event_base;
struct view_ops;

/* Listens in that folder, which must be there; takes the place of a socket
 * that nobody serves any more. ops and arg are borrowed while it lives. NULL
 * and why. */
struct control *control_new(struct event_base *, const char *state_dir,
    const struct view_ops *, void *arg, struct why *);
/* Sends what has been answered, removes the socket; NULL is fine. */
void control_free(struct control *);

/* control_reply.c: carries out a request, given without its newline, and
 * appends the answer, with one. False when the answer comes later, to asker. */
bool control_reply(const char *line, size_t len, const struct view_ops *,
    void *arg, const struct letters_asker *asker, struct bytes *out);
/* The answer that came later. */
void control_put_letters(const struct letters_answer *, struct bytes *out);

#endif
