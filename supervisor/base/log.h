/* SPDX-License-Identifier: ISC */
/*
 * log.h: where log lines go and how they look.
 *
 * err: somebody must act. warn: we coped. info: a state that an operator
 * knows has changed. debug: the rest. errno survives every call.
 */
#ifndef AVTOWORKER_LOG_H
#define AVTOWORKER_LOG_H

#include <stdbool.h>
#include <sys/types.h>

#include "supervisor/base/why.h"

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARN,
	LOG_LEVEL_ERR
};
enum log_format {
	LOG_FORMAT_TEXT,
	LOG_FORMAT_JSON
};

/* What a line is about; every field may be NULL or 0. */
struct log_context {
	const char *name; /* logger name; NULL: "avtoworkerd" */
	const char *task_id;
	const char *job_id;
	const char *category;
	pid_t pid; /* of the child it is about */
};

/* Opens the sink. destination is "stderr", "syslog" or a path. Returns -1 and
 * why, keeping the sink that was open. */
int log_open(
    const char *destination, enum log_level, enum log_format, struct why *);
/* Reopens a log file after rotation; other sinks ignore it. */
int log_reopen(struct why *);
/* The name of our lines in syslog; by default "avtoworkerd". Before
 * log_open(). */
void log_identify(const char *tag);
/* While on, lines from warn on go to standard error as well, when they go
 * elsewhere otherwise: for whoever has started us and still listens. */
void log_echo(bool on);
/* True when a line of that level would be written. */
int log_enabled(enum log_level);

/* Writes one line. The text is made safe: control characters are escaped. */
void log_line(enum log_level, const struct log_context *, const char *fmt, ...)
    __attribute__((__format__(printf, 3, 4)));

#define log_err(...)   log_line(LOG_LEVEL_ERR, NULL, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, NULL, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, NULL, __VA_ARGS__)

/* For tests: lines go to fn instead of the sink; NULL undoes it. */
void log_divert(void (*fn)(enum log_level, const char *text));

#endif
