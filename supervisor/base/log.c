/* SPDX-License-Identifier: ISC */
/*
 * log.c: the one sink of the supervisor's log lines, and so the one file with
 * state of its own. Called from the loop thread only. Lines are put together
 * whole and written with one call, so that they never interleave; a sink that
 * cannot take a line loses it and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "child/bytes.h"
#include "supervisor/base/clock.h"
#include "supervisor/base/devlog.h"
#include "supervisor/base/log.h"

#define DEFAULT_NAME "avtoworkerd"
#define LINE_SIZE    3072 /* longer messages are cut */

enum sink {
	SINK_STDERR,
	SINK_SYSLOG,
	SINK_FILE
};

static const struct {
	const char *name; /* as Python's logging has it */
	int priority; /* syslog's */
} levels[] = {
	[LOG_LEVEL_DEBUG] = { "DEBUG", LOG_DEBUG },
	[LOG_LEVEL_INFO] = { "INFO", LOG_INFO },
	[LOG_LEVEL_WARN] = { "WARNING", LOG_WARNING },
	[LOG_LEVEL_ERR] = { "ERROR", LOG_ERR },
};

static struct {
	enum sink sink;
	enum log_level level;
	enum log_format format;
	int fd;
	unsigned lost; /* lines that the sink did not take */
	char *path; /* of the file; or NULL */
	char tag[96]; /* of syslog */
	bool to_journal; /* standard error is the journal's */
	bool echo;
	bool part; /* the file's last line has no end: its disk was full */
	void (*divert)(enum log_level, const char *);
} out = {
	.sink = SINK_STDERR,
	.level = LOG_LEVEL_INFO,
	.fd = STDERR_FILENO,
	.tag = DEFAULT_NAME,
};

/* Never waits for the reader of a FIFO: without one that is an error. */
static int
open_file(const char *path, struct why *why)
{
	int fd;

	fd = open(path,
	    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
	    0640);
	if (fd == -1)
		why_errno(why, "cannot open log file %s", path);
	return (fd);
}

/* The journal says "DEVICE:INODE" of what it has connected; standard error may
 * be something else by now. */
static bool
stderr_is_journal(void)
{
	const char *given = getenv("JOURNAL_STREAM");
	char text[64];
	struct stat st;

	if (given == NULL || fstat(STDERR_FILENO, &st) == -1)
		return (false);
	(void)snprintf(text, sizeof(text), "%llu:%llu",
	    (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	return (strcmp(given, text) == 0);
}

int
log_open(const char *destination, enum log_level level, enum log_format format,
    struct why *why)
{
	enum sink sink = SINK_FILE;
	char *path = NULL;
	int fd = -1;

	if (strcmp(destination, "stderr") == 0) {
		sink = SINK_STDERR;
		fd = STDERR_FILENO;
	} else if (strcmp(destination, "syslog") == 0)
		sink = SINK_SYSLOG;
	else if ((path = strdup(destination)) == NULL) {
		why_errno(why, "log");
		return (-1);
	} else if ((fd = open_file(path, why)) == -1) {
		free(path);
		return (-1);
	}

	if (out.sink != SINK_STDERR && out.fd != -1)
		(void)close(out.fd);
	out.sink = sink;
	out.to_journal = sink == SINK_STDERR && stderr_is_journal();
	out.fd = fd;
	out.part = false;
	free(out.path);
	out.path = path;
	out.level = level;
	out.format = format;
	return (0);
}

int
log_reopen(struct why *why)
{
	int fd;

	if (out.sink != SINK_FILE)
		return (0);
	if ((fd = open_file(out.path, why)) == -1)
		return (-1);
	(void)close(out.fd);
	out.fd = fd;
	out.part = false;
	return (0);
}

void
log_identify(const char *tag)
{
	(void)snprintf(out.tag, sizeof(out.tag), "%s", tag);
}

void
log_echo(bool on)
{
	out.echo = on;
}

int
log_enabled(enum log_level level)
{
	return (level >= out.level);
}

void
log_divert(void (*fn)(enum log_level, const char *))
{
	out.divert = fn;
}

/* Replaces what would break a line or a terminal, in place. */
static void
make_safe(char *text)
{
	unsigned char *p;

	for (p = (unsigned char *)text; *p != '\0'; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = *p == '\t' || *p == '\n' ? ' ' : '?';
}

static void
put_time(struct bytes *b, enum log_format format)
{
	const int64_t ms = clock_wall_ms();
	const time_t seconds = (time_t)(ms / 1000);
	struct tm tm;
	char text[32];

	if (format == LOG_FORMAT_JSON) {
		(void)gmtime_r(&seconds, &tm);
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
		bytes_printf(b, "%s.%03dZ", text, (int)(ms % 1000));
		return;
	}
	(void)localtime_r(&seconds, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	bytes_printf(b, "%s,%03d", text, (int)(ms % 1000));
}

static void
put_text_field(struct bytes *b, const char *key, const char *value)
{
	if (value != NULL)
		bytes_printf(b, " %s=%s", key, value);
}

static void
put_text(struct bytes *b, enum log_level level, const struct log_context *ctx,
    const char *text)
{
	if (out.to_journal)
		bytes_printf(b, "<%d>", levels[level].priority);
	if (out.sink != SINK_SYSLOG) {
		put_time(b, LOG_FORMAT_TEXT);
		bytes_printf(b, " - %s - %s - ",
		    ctx->name != NULL ? ctx->name : DEFAULT_NAME,
		    levels[level].name);
	}
	bytes_puts(b, text);
	put_text_field(b, "task_id", ctx->task_id);
	put_text_field(b, "job_id", ctx->job_id);
	put_text_field(b, "category", ctx->category);
	if (ctx->pid != 0)
		bytes_printf(b, " pid=%d", (int)ctx->pid);
}

static void
put_json_field(struct bytes *b, const char *key, const char *value)
{
	if (value == NULL)
		return;
	bytes_printf(b, ",\"%s\":", key);
	bytes_put_json(b, value, strlen(value));
}

static void
put_json(struct bytes *b, enum log_level level, const struct log_context *ctx,
    const char *text)
{
	bytes_puts(b, "{\"timestamp\":\"");
	put_time(b, LOG_FORMAT_JSON);
	bytes_puts(b, "\"");
	put_json_field(b, "name", ctx->name != NULL ? ctx->name : DEFAULT_NAME);
	put_json_field(b, "level", levels[level].name);
	put_json_field(b, "message", text);
	put_json_field(b, "task_id", ctx->task_id);
	put_json_field(b, "job_id", ctx->job_id);
	put_json_field(b, "category", ctx->category);
	if (ctx->pid != 0)
		bytes_printf(b, ",\"pid\":%d", (int)ctx->pid);
	bytes_puts(b, "}");
}

/* True when a descriptor takes a line of up to PIPE_BUF bytes without waiting.
 * A file always does; a pipe, socket or terminal whose reader is stuck must
 * not hold up the loop. */
static bool
takes_line(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return (poll(&p, 1, 0) == 1);
}

/* A line without its end, of less than PIPE_BUF bytes, so that a pipe takes it
 * whole; text is cut for that. */
static void
put_line(struct bytes *line, enum log_level level,
    const struct log_context *ctx, char *text)
{
	size_t len, over;

	for (;;) {
		line->len = 0;
		if (out.format == LOG_FORMAT_JSON)
			put_json(line, level, ctx, text);
		else
			put_text(line, level, ctx, text);
		len = strlen(text);
		if (line->len < PIPE_BUF || len == 0)
			return;
		over = line->len - PIPE_BUF + 1;
		text[over < len ? len - over : 0] = '\0';
	}
}

/* False when it is lost, or a part of it. */
static bool
write_line(struct bytes *line)
{
	ssize_t n;

	if (out.sink != SINK_FILE && !takes_line(out.fd))
		return (false);
	bytes_puts(line, "\n");
	if (bytes_failed(line) || (out.part && write(out.fd, "\n", 1) != 1))
		return (false);
	n = write(out.fd, line->p, line->len);
	out.part = n > 0 && (size_t)n < line->len;
	return (n > 0 && !out.part);
}

static bool
say(enum log_level level, const struct log_context *ctx, char *text)
{
	struct bytes line = { 0 };
	bool said;

	put_line(&line, level, ctx, text);
	if (out.sink == SINK_SYSLOG)
		said = !bytes_failed(&line) &&
		    devlog_send(&out.fd, _PATH_LOG, levels[level].priority,
			out.tag, line.p, line.len);
	else
		said = write_line(&line);
	bytes_fini(&line);
	return (said);
}

/* True when all that were lost are told of. */
static bool
say_lost(void)
{
	static const struct log_context nothing;
	char text[80];

	if (out.lost == 0)
		return (true);
	(void)snprintf(text, sizeof(text),
	    "%u line%s of this log could not be written and %s lost", out.lost,
	    out.lost == 1 ? "" : "s", out.lost == 1 ? "is" : "are");
	if (!say(LOG_LEVEL_WARN, &nothing, text))
		return (false);
	out.lost = 0;
	return (true);
}

static void
echo_line(const char *text)
{
	if (takes_line(STDERR_FILENO))
		(void)dprintf(
		    STDERR_FILENO, DEFAULT_NAME ": %.*s\n", LINE_SIZE, text);
}

void
log_line(
    enum log_level level, const struct log_context *ctx, const char *fmt, ...)
{
	static const struct log_context nothing;
	const int saved = errno;
	char text[LINE_SIZE];
	va_list ap;

	if (level < out.level && out.divert == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	make_safe(text);
	if (out.divert != NULL) {
		out.divert(level, text);
		errno = saved;
		return;
	}

	if (out.echo && level >= LOG_LEVEL_WARN && out.sink != SINK_STDERR)
		echo_line(text);
	if (ctx == NULL)
		ctx = &nothing;
	if (!say_lost() || !say(level, ctx, text))
		out.lost++;
	errno = saved;
}
