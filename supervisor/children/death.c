/* SPDX-License-Identifier: ISC */
/*
 * death.c: what is known of an end, in words and as JSON. Nothing is guessed:
 * what the kernel did not say and none of ours did is called a crash, and a
 * SIGKILL of unknown sender is called just that.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>

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

static const char *const stages[] = {
#define X(stage, words) words,
	DEATH_STAGES(X)
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
		.wall_ms = -1,
		.tail = "",
	};
	if (WIFSIGNALED(status)) {
		d->signal = WTERMSIG(status);
		d->core = WCOREDUMP(status);
		(void)snprintf(d->text, sizeof(d->text),
		    "was killed by signal %d (%s)%s", d->signal,
		    strsignal(d->signal),
		    d->core                  ? ", core dumped" :
			d->signal == SIGKILL ? ", not by us; perhaps for lack "
					       "of memory" :
					       "");
	} else {
		d->exit_status = WEXITSTATUS(status);
		(void)snprintf(d->text, sizeof(d->text),
		    "exited with status %d%s", d->exit_status,
		    d->exit_status == EX_PROTOCOL ?
			", its channel was closed or misused" :
			"");
	}
}

void
death_blame(struct death *d, enum death_cause cause, const char *text)
{
	d->cause = cause;
	(void)strlcpy(d->text, text, sizeof(d->text));
}

void
death_asked(struct death *d, enum death_cause cause)
{
	char text[sizeof(d->text)];

	d->cause = cause;
	(void)snprintf(
	    text, sizeof(text), "%.200s after it was asked to stop", d->text);
	(void)strlcpy(d->text, text, sizeof(d->text));
}

/* The kernel sends SIGXCPU at the limit; a child that sends it to itself has
 * only itself to blame. */
void
death_judge_cpu(struct death *d, int64_t cpu_limit_ms)
{
	if (cpu_limit_ms <= 0 || d->signal != SIGXCPU)
		return;
	d->cause = DEATH_CPU_LIMIT;
	(void)snprintf(d->text, sizeof(d->text),
	    "used more processor time than cpu_time_limit (%.10g s)",
	    (double)cpu_limit_ms / 1000);
}

void
death_format(const struct death *d, char *text, size_t size)
{
	char wall[32] = "";

	if (d->wall_ms >= 0)
		(void)snprintf(wall, sizeof(wall), ", wall %.10g s",
		    (double)d->wall_ms / 1000);
	(void)snprintf(text, size,
	    "%s; %s, cause %s%s, cpu %.10g s, at most %ld kB resident", d->text,
	    stages[d->stage], causes[d->cause].word, wall,
	    (double)(d->user_ms + d->system_ms) / 1000, d->max_rss_kb);
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
	    "\"system_ms\":%lld",
	    d->core ? "true" : "false", d->max_rss_kb, (long long)d->user_ms,
	    (long long)d->system_ms);
	if (d->wall_ms >= 0)
		bytes_printf(out, ",\"wall_ms\":%lld", (long long)d->wall_ms);
	else
		bytes_puts(out, ",\"wall_ms\":null");
	bytes_printf(out, ",\"stage\":\"%s\",\"child_pid\":%d}",
	    stages[d->stage], (int)d->pid);
}

const char *
death_cause_name(enum death_cause cause)
{
	return (causes[cause].word);
}

const char *
death_stage_name(enum death_stage stage)
{
	return (stages[stage]);
}

const char *
death_code(enum death_cause cause)
{
	return (causes[cause].code);
}
