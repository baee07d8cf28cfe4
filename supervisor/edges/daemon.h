/* SPDX-License-Identifier: ISC */
/*
 * daemon.h: into the background, with a starting process that stays until the
 * outcome is known, and the pid file.
 */
#ifndef AVTOWORKER_DAEMON_H
#define AVTOWORKER_DAEMON_H

#include <stdbool.h>

#include "supervisor/base/why.h"

struct pidfh;

struct daemon {
	int told_fd; /* who started us reads the outcome; -1: in the
			foreground, or it has been told */
};

#define DAEMON_NONE ((struct daemon){ .told_fd = -1 })

/*
 * Forks; no thread and no event loop may be there yet.
 *
 * Returns 0 in the daemon: in a session of its own, its working directory "/"
 * unless keep_directory, standard input from /dev/null. Its standard error is
 * still that of the caller, and log lines from warnings on go there, too.
 *
 * Returns 1 in the starting process, when the daemon is ready or has ended:
 * *status is the exit status to end with, and why a sentence for the user if
 * the daemon has not said everything itself. SIGINT and the like stop the
 * daemon meanwhile.
 *
 * Returns -1 and why when nothing was started.
 */
int daemon_start(
    struct daemon *, bool keep_directory, int *status, struct why *);
/* The worker is ready: the starting process ends with 0, and standard output
 * and error go to /dev/null. In the foreground, and a second time, nothing. A
 * daemon that fails before just ends: its exit status is passed on. */
void daemon_ready(struct daemon *);

/* Where a daemon logs: "stderr" is nobody's there, so it means syslog. */
const char *daemon_log_destination(bool is_daemon, const char *configured);

/* Makes the pid file and writes our process id into it; *file is removed by
 * pidfile_remove(). 0, or an exit status and why: EX_TEMPFAIL when the process
 * in it still runs. */
int daemon_pid_file(const char *path, struct pidfh **file, struct why *);

#endif
