/* SPDX-License-Identifier: ISC */
/*
 * serve.h: the child at work: starts its handlers, says ready, and runs one
 * task after the other until it is told to stop.
 */
#ifndef AVTOWORKER_SERVE_H
#define AVTOWORKER_SERVE_H

#include "child/wire.h"

struct host;
struct turn;

/* Serves until a stop frame, the end of the channel, or a task that has left
 * behind what does not die. Everything is borrowed. Returns the exit status. */
int serve(struct wire *, struct turn *, const struct host *);

#endif
