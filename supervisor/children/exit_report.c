/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "supervisor/children/exit_report.h"

void
exit_report(
    struct exit_report *r, pid_t pid, int status, const struct rusage *usage)
{
	*r = (struct exit_report){
		.pid = pid,
		.max_rss_kb = usage->ru_maxrss,
	};
	if (WIFSIGNALED(status)) {
		r->signal = WTERMSIG(status);
		r->core = WCOREDUMP(status);
		(void)snprintf(r->text, sizeof(r->text),
		    "killed by signal %d (%s)%s", r->signal,
		    strsignal(r->signal), r->core ? ", core dumped" : "");
	} else {
		r->exit_status = WEXITSTATUS(status);
		(void)snprintf(r->text, sizeof(r->text),
		    "exited with status %d", r->exit_status);
	}
}

static void
put_number_or_null(struct bytes *out, const char *key, bool known, int value)
{
	if (known)
		bytes_printf(out, "\"%s\":%d,", key, value);
	else
		bytes_printf(out, "\"%s\":null,", key);
}

void
exit_report_put_details(const struct exit_report *r, struct bytes *out)
{
	bytes_puts(out, "{");
	put_number_or_null(out, "signal", r->signal != 0, r->signal);
	put_number_or_null(out, "exit_status", r->signal == 0, r->exit_status);
	bytes_printf(out, "\"core\":%s,\"max_rss_kb\":%ld,\"child_pid\":%d}",
	    r->core ? "true" : "false", r->max_rss_kb, (int)r->pid);
}
