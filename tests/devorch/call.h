/* SPDX-License-Identifier: ISC */
/*
 * call.h: one request on its way through the API: what it says, who sent it,
 * and how it is answered. Shared by the endpoints and nobody else.
 */
#ifndef DEVORCH_CALL_H
#define DEVORCH_CALL_H

#include <stdbool.h>
#include <stddef.h>

#include <bsd/sys/queue.h>

#include "child/json_scan.h"
#include "tests/devorch/api.h"
#include "tests/devorch/fault.h"

#define CALL_ID_SIZE 129 /* of worker ids */

struct conn;
struct request;
struct server;
struct worker;

struct api {
	struct event_base *base;
	const struct api_options *options;
	struct work *work;
	struct faults *faults;
	struct stats *stats;
	struct server *server;
	struct polls *polls;
	unsigned port; /* that we listen on */
	TAILQ_HEAD(, worker) workers; /* that have registered */
};

struct call {
	struct api *api;
	struct conn *conn;
	const struct request *request;
	char worker[CALL_ID_SIZE]; /* from the path, else the body; or "" */
	struct jslice root; /* of the body, once call_read() has passed */
	enum fault_step step;
};

/* Answers: JSON as it is, {"error": text}, or plain text. */
void call_answer(const struct call *, unsigned status, const char *body);
void call_error(const struct call *, unsigned status, const char *text);
void call_text(const struct call *, unsigned status, const char *text);

/* Reads the body as a JSON object; false when it was refused. */
bool call_read(struct call *);
/* The sender of a message: it must be the same everywhere, and its signature
 * right (ignore: as for rxon_canonical()). False when it was refused. */
bool call_check_sender(struct call *, const char *const *ignore);
/* Decodes a string member; "" when there is none. False when it is longer
 * than the buffer. */
bool call_string(
    const struct jslice *object, const char *name, char *buf, size_t size);

/* The endpoint that takes results (call_result.c). */
void call_result(struct call *);

#endif
