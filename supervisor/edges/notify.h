/* SPDX-License-Identifier: ISC */
/*
 * notify.h: tells the service manager how the worker is, as sd_notify(3) does,
 * over the socket in $NOTIFY_SOCKET. Nothing here waits, and nothing fails:
 * what the socket does not take now is sent soon. Every function but
 * notify_new() takes NULL for "there is no service manager".
 */
#ifndef AVTOWORKER_NOTIFY_H
#define AVTOWORKER_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/base/why.h"

struct event_base;
struct notify;

/*
 * Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the environment and
 * removes them from it. Sends WATCHDOG=1 from then on, twice within
 * WATCHDOG_USEC, if the manager wants it: as long as the loop turns.
 * tells_pid: READY=1 comes with our process id, which the manager does not know
 * after a fork. Without a socket *notify is NULL. -1 and why when there is one that cannot
 * be used; the worker can go on without.
 */
int notify_new(struct event_base *, char **environment, bool tells_pid,
    struct notify **notify, struct why *);
/* READY=1, at the start and after a reload. Ends notify_extend(). */
void notify_ready(struct notify *);
/* RELOADING=1; notify_ready() must follow, whatever the reload comes to. */
void notify_reloading(struct notify *);
/* STOPPING=1; and the stop may take that long from now. The last state. */
void notify_stopping(struct notify *, int64_t ms);
/* A start or a stop may take that long from now: EXTEND_TIMEOUT_USEC, at once
 * and every few seconds. 0 ends it. */
void notify_extend(struct notify *, int64_t ms);
/* STATUS=..., one line for people; sent when it differs from the last. */
void notify_status(struct notify *, const char *fmt, ...)
    __attribute__((__format__(printf, 2, 3)));
/* Sends what is left, if the socket takes it; NULL is fine. */
void notify_free(struct notify *);

#endif
