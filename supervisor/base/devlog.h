/* SPDX-License-Identifier: ISC */
/*
 * devlog.h: lines to the system's log. syslog(3) waits for as long as nobody
 * reads there, and with it our event loop would: this does not.
 */
#ifndef AVTOWORKER_DEVLOG_H
#define AVTOWORKER_DEVLOG_H

#include <stdbool.h>
#include <stddef.h>

/* Sends a line of that priority (LOG_INFO, ...), as of the facility daemon, to
 * the datagram socket at path. *fd is the connection, -1 before the first; it
 * is made anew when the other side was. False when the line is lost. */
bool devlog_send(int *fd, const char *path, int priority, const char *tag,
    const char *text, size_t len);

#endif
