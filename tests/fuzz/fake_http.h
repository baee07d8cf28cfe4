/* SPDX-License-Identifier: ISC */
/*
 * fake_http.h: requests that nobody sends, linked in place of http.c: they
 * wait until they are told what has come of them.
 */
#ifndef FUZZ_FAKE_HTTP_H
#define FUZZ_FAKE_HTTP_H

#include <stdint.h>

#include "supervisor/orchestrator/http.h"

struct http_call {
	struct http_call *next; /* in the order in which they came */
	const char *kind;
	struct bytes body;
	int64_t begun_ms;
	int64_t until_ms; /* its time is over then */
	http_done done;
	void *arg;
};

/* The oldest that is out, or NULL. */
struct http_call *fake_http_first(void);
/* Answers one, which is gone then. */
void fake_http_answer(struct http_call *, struct http_reply *);
/* Called when one begins, and when one is cancelled. */
void fake_http_on_start(struct http_call *);
void fake_http_on_cancel(struct http_call *);

#endif
