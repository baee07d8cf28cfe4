/* SPDX-License-Identifier: ISC */
/* exit_report.h: says why a child ended, in words and as error details. */
#ifndef AVTOWORKER_EXIT_REPORT_H
#define AVTOWORKER_EXIT_REPORT_H

#include <stdbool.h>
#include <sys/types.h>

#include "child/bytes.h"

struct rusage;

struct exit_report {
	pid_t pid;
	int signal; /* that ended it; 0 when it exited */
	int exit_status; /* 0 when a signal ended it */
	long max_rss_kb;
	bool core : 1; /* a core file was written */
	char text[128]; /* "killed by signal 11 (Segmentation fault), ..." */
};

/* Fills the report from what wait4() said. */
void exit_report(
    struct exit_report *, pid_t, int status, const struct rusage *);
/* Appends {"signal":..,"exit_status":..,...}; what does not apply is null. */
void exit_report_put_details(const struct exit_report *, struct bytes *);

#endif
