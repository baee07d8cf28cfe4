/* SPDX-License-Identifier: ISC */
/*
 * multi.h: libcurl's multi interface, driven by the loop: what http.c and
 * stream.c have in common. Never blocks.
 */
#ifndef AVTOWORKER_MULTI_H
#define AVTOWORKER_MULTI_H

#include <curl/curl.h>

#include "supervisor/base/why.h"

struct event_base;
struct multi;

/* A transfer has come to its end. Called when libcurl has returned, so that it
 * may start and end transfers; not the multi itself. */
typedef void (*multi_ended)(CURL *, CURLcode, void *arg);

/* NULL and why when libcurl or memory fails. */
struct multi *multi_new(
    struct event_base *, multi_ended, void *arg, struct why *);
/* There are no transfers any more; NULL is fine. */
void multi_free(struct multi *);

/* Makes the memory that one more transfer needs here: for its connection, in two
 * families of addresses at most. -1 when there is none. */
int multi_make_room(struct multi *);

/* libcurl's handle, to add transfers to, and to remove them from. */
CURLM *multi_handle(const struct multi *);

/* Sets what holds for every connection of ours: never to another host than the
 * one that is named, and never in the loop's way. */
CURLcode multi_set_up(CURL *);

#endif
