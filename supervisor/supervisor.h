/* SPDX-License-Identifier: ISC */
/*
 * supervisor.h: joins the two halves: leases come from the orchestrator side,
 * are run by the children side, and go back. One per process.
 */
#ifndef AVTOWORKER_SUPERVISOR_H
#define AVTOWORKER_SUPERVISOR_H

#include <stdbool.h>

struct conf;
struct conf_source;
struct daemon;
struct instance;

struct supervisor_options {
	const char *child_program; /* path of avtoworker-child */
	const char *python; /* folder of the module that scripts find */
	const char *local_path; /* local mode: tasks' file, "-"; or NULL */
	char **environment; /* children get it without secrets; then they
			       are wiped from it */
	const struct conf_source *source; /* for reading it again */
	const struct instance *instance; /* without state_dir in local mode
					    and with check_only */
	struct daemon *daemon; /* told when the worker is ready */
	bool is_daemon : 1; /* -d */
	bool check_only : 1; /* -t: describe the modules, then end */
	bool check_starts : 1; /* -tt: start scripts for it, too */
};

/* Runs until it is drained; returns main()'s exit status (sysexits). Whatever
 * goes wrong is logged. */
int supervisor_run(const struct conf *, const struct supervisor_options *);

#endif
