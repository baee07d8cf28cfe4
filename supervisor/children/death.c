/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <bsd/string.h>

#include "supervisor/children/death.h"

static const struct {
	const char *word;
	const char *code;
} causes[] = {
#define X(cause, word, code) { word, code },
	DEATH_CAUSES(X)
#undef X
};

static int64_t
milliseconds(const struct timeval *tv)
{
	return ((int64_t)tv->tv_sec * 1000 + tv->tv_usec / 1000);
}

void
death_read(struct death *d, pid_t pid, int status, const struct rusage *usage)
{
	*d = (struct death){
		.pid = pid,
		.cause = DEATH_CRASH,
		.max_rss_kb = usage->ru_maxrss,
		.user_ms = milliseconds(&usage->ru_utime),
		.system_ms = milliseconds(&usage->ru_stime),
	};
	if (WIFSIGNALED(status)) {
		d->signal = WTERMSIG(status);
		d->core = WCOREDUMP(status);
		(void)snprintf(d->text, sizeof(d->text),
		    "was killed by signal %d (%s)%s", d->signal,
		    strsignal(d->signal), d->core ? ", core dumped" : "");
	} else {
		d->exit_status = WEXITSTATUS(status);
		(void)snprintf(d->text, sizeof(d->text),
		    "exited with status %d", d->exit_status);
	}
}

void
death_blame(struct death *d, enum death_cause cause, const char *text)
{
	d->cause = cause;
	(void)strlcpy(d->text, text, sizeof(d->text));
}

static void
put_number_or_null(struct bytes *out, const char *key, bool known, int value)
{
	if (known)
		bytes_printf(out, ",\"%s\":%d", key, value);
	else
		bytes_printf(out, ",\"%s\":null", key);
}

void
death_put_details(const struct death *d, struct bytes *out)
{
	bytes_printf(out, "{\"cause\":\"%s\"", causes[d->cause].word);
	put_number_or_null(out, "signal", d->signal != 0, d->signal);
	put_number_or_null(out, "exit_status", d->signal == 0, d->exit_status);
	bytes_printf(out,
	    ",\"core\":%s,\"max_rss_kb\":%ld,\"user_ms\":%lld,"
	    "\"system_ms\":%lld,\"child_pid\":%d}",
	    d->core ? "true" : "false", d->max_rss_kb, (long long)d->user_ms,
	    (long long)d->system_ms, (int)d->pid);
}

const char *
death_cause_name(enum death_cause cause)
{
	return (causes[cause].word);
}

const char *
death_code(enum death_cause cause)
{
	return (causes[cause].code);
}
