/* SPDX-License-Identifier: ISC */
/*
 * local.c: a line is a task: {"type": ..., "params": {...}} with "task_id" and
 * "job_id" if they matter. Lines are read only as there are places, so a file
 * of any length may be piped in. A line that is no task gets a result like any
 * other: a failure that names the line.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "child/channel.h"
#include "child/json_scan.h"
#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/lease.h"
#include "supervisor/orchestrator/local.h"
#include "supervisor/orchestrator/task_read.h"

#define READ_SIZE      (64u * 1024)
#define LINE_MAX_BYTES CHANNEL_TO_CHILD_MAX

struct local {
	struct orchestrator base; /* first */
	int fd;
	struct event readable;
	struct bytes buf; /* what was read */
	size_t start; /* where the next line begins in it */
	size_t scanned; /* no newline between start and here */
	unsigned long line; /* number of the last one taken */
	unsigned long out; /* results owed */
	bool lost_output; /* standard output takes no more */
	unsigned long failed;
	bool is_file : 1; /* always readable, and epoll refuses it */
	bool at_end : 1;
	bool draining : 1;
	bool kicking : 1; /* kick() is running: it need not be called */
	bool skipping : 1; /* the rest of a line that is too long */
};

static void read_more(struct local *);

static void
take(struct local *o, struct task *task, const struct task_fault *fault)
{
	o->out++;
	if (o->base.ops->leased(&o->base, task, fault, o->base.arg))
		return;
	log_err("line %lu is left out", o->line);
	o->out--;
	o->failed++;
}

/* A member that is an id, or the default; NULL and why when it is neither. */
static char *
read_id(const struct jslice *root, const char *name, const char *preset,
    struct why *why)
{
	struct jslice value;
	char *id;

	if (!jscan_get(root, name, &value)) {
		if (preset == NULL)
			why_set(why, "\"%s\" is missing", name);
		return (preset != NULL ? strdup(preset) : NULL);
	}
	if ((id = jscan_strdup(&value, TASK_ID_MAX)) != NULL && task_id_ok(id))
		return (id);
	free(id);
	why_set(why, "\"%s\" is not of the form [A-Za-z0-9._:-]{1,%d}", name,
	    TASK_ID_MAX);
	return (NULL);
}

static int
read_task(struct local *o, const char *text, size_t len, struct task *task,
    struct why *why)
{
	struct jscan_error error;
	struct jslice root, params;
	char preset[32];

	if (jscan_check(text, len, &jscan_payload_limits, &root, &error) ==
	    -1) {
		why_set(why, "%s at byte %zu", error.text, error.at);
		return (-1);
	}
	if (root.type != JSCAN_OBJECT) {
		why_set(why,
		    "not an object such as "
		    "{\"type\": \"NAME\", \"params\": {}}");
		return (-1);
	}
	(void)snprintf(preset, sizeof(preset), "line-%lu", o->line);
	if ((task->task_id = read_id(&root, "task_id", preset, why)) == NULL ||
	    (task->job_id = read_id(&root, "job_id", "local", why)) == NULL ||
	    (task->type = read_id(&root, "type", NULL, why)) == NULL)
		return (-1);
	if (!jscan_get(&root, "params", &params))
		bytes_puts(&task->params, "{}");
	else if (params.type != JSCAN_OBJECT) {
		why_set(why, "\"params\" is not an object");
		return (-1);
	} else
		bytes_append(&task->params, params.p, params.len);
	if (bytes_failed(&task->params)) {
		why_set(why, "no memory for its params");
		return (-1);
	}
	return (task_read_more(&root, task, why));
}

static void
take_bad_line(struct local *o, struct task *task, const struct why *why)
{
	struct why problem;
	char id[32];

	why_set(&problem, "line %lu: %.200s", o->line, why->text);
	log_warn("%s", problem.text);
	(void)snprintf(id, sizeof(id), "line-%lu", o->line);
	if (task->task_id == NULL)
		task->task_id = strdup(id);
	if (task->job_id == NULL)
		task->job_id = strdup("local");
	if (task->task_id == NULL || task->job_id == NULL) {
		task_fini(task);
		o->failed++;
		return;
	}
	take(o, task,
	    &(struct task_fault){
		errno == ENOMEM ? CODE_TRANSIENT : CODE_INVALID_INPUT,
		problem.text });
}

static bool
is_blank(const char *text, size_t len)
{
	while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL)
		len--;
	return (len == 0);
}

static void
take_line(struct local *o, const char *text, size_t len)
{
	struct task task = { 0 };
	struct why why;

	o->line++;
	if (o->skipping) {
		o->skipping = false;
		why_set(&why, "longer than %u bytes", LINE_MAX_BYTES);
		errno = EMSGSIZE;
		take_bad_line(o, &task, &why);
		return;
	}
	if (is_blank(text, len))
		return;
	why_set(&why, "out of memory");
	errno = 0;
	if (read_task(o, text, len, &task, &why) == -1)
		take_bad_line(o, &task, &why);
	else
		take(o, &task, NULL);
}

/* The end of the next line, terminated in place; NULL when it is not whole. */
static char *
end_of_line(struct local *o)
{
	struct bytes *b = &o->buf;
	char *newline = NULL;

	if (b->len > o->scanned)
		newline = memchr(b->p + o->scanned, '\n', b->len - o->scanned);
	o->scanned = b->len;
	if (newline == NULL && o->at_end &&
	    (b->len > o->start || o->skipping)) {
		bytes_append(b, "\n", 1); /* the last line has none */
		if (bytes_failed(b))
			return (NULL);
		newline = b->p + b->len - 1;
	}
	return (newline);
}

/* Takes one whole line out of the buffer; false when there is none. */
static bool
next_line(struct local *o)
{
	const char *text;
	char *newline;

	if ((newline = end_of_line(o)) == NULL) {
		if (o->buf.len - o->start > LINE_MAX_BYTES) {
			o->skipping = true;
			o->buf.len = o->start = o->scanned = 0;
		}
		return (false);
	}
	text = o->buf.p + o->start;
	o->start = o->scanned = (size_t)(newline + 1 - o->buf.p);
	take_line(o, text, (size_t)(newline - text));
	return (true);
}

static void
kick(struct orchestrator *base)
{
	struct local *o = (struct local *)base;

	if (o->kicking)
		return;
	o->kicking = true;
	while (!o->draining && base->ops->places(NULL, base->arg) > 0)
		if (!next_line(o)) {
			read_more(o);
			break;
		}
	o->kicking = false;
}

/* Forgets the lines that are taken. */
static void
compact(struct local *o)
{
	o->buf.len -= o->start;
	if (o->start > 0 && o->buf.len > 0)
		memmove(o->buf.p, o->buf.p + o->start, o->buf.len);
	o->scanned -= o->start;
	o->start = 0;
}

/* Asks to be called when there is more to read. */
static void
read_more(struct local *o)
{
	/* A file is always readable, and epoll refuses it. */
	static const struct timeval at_once = { 0, 0 };

	if (o->at_end)
		o->base.ops->changed(&o->base, o->base.arg);
	else if (event_add(&o->readable, o->is_file ? &at_once : NULL) == -1)
		log_err("cannot watch the tasks' file");
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct local *o = arg;
	char buf[READ_SIZE];
	ssize_t n;

	(void)fd;
	(void)what;
	if ((n = read(o->fd, buf, sizeof(buf))) == -1) {
		if (errno == EINTR || errno == EAGAIN) {
			read_more(o);
			return;
		}
		log_err("cannot read the tasks: %s", strerror(errno));
		o->failed++;
	}
	compact(o);
	if (n <= 0)
		o->at_end = true;
	else
		bytes_append(&o->buf, buf, (size_t)n);
	if (bytes_failed(&o->buf)) {
		log_err("no memory for the tasks' file");
		o->failed++;
		o->at_end = true;
	}
	kick(&o->base);
}

/* One line, however many lines its data came in: within JSON text, the end of
 * a line is never part of a string. */
static void
put_result(struct bytes *b, const struct lease *l)
{
	const struct result *r = &l->result;
	size_t i;

	bytes_printf(b, "{\"task_id\":\"%s\",\"job_id\":\"%s\"",
	    l->task.task_id, l->task.job_id);
	if (l->task.type != NULL)
		bytes_printf(b, ",\"type\":\"%s\"", l->task.type);
	bytes_printf(
	    b, ",\"status\":\"%s\"", r->status != NULL ? r->status : "failure");
	if (r->data.len > 0) {
		bytes_puts(b, ",\"data\":");
		bytes_append(b, r->data.p, r->data.len);
	}
	result_put_error(r, NULL, 0, b);
	for (i = 0; i < b->len; i++)
		if (b->p[i] == '\n' || b->p[i] == '\r')
			b->p[i] = ' ';
	bytes_puts(b, "}\n");
}

static int
write_all(int fd, const char *p, size_t len)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n)
		if ((n = write(fd, p, len)) == -1) {
			if (errno == EAGAIN)
				(void)poll(&room, 1, -1);
			else if (errno != EINTR)
				return (-1);
			n = 0;
		}
	return (0);
}

/* A pipe that is full holds us up, which is right here: nobody else waits. */
static void
deliver(struct orchestrator *base, struct lease *l)
{
	struct local *o = (struct local *)base;
	struct bytes line = { 0 };

	put_result(&line, l);
	if (l->result.status == NULL ||
	    strcmp(l->result.status, "success") != 0)
		o->failed++;
	if (bytes_failed(&line) ||
	    write_all(STDOUT_FILENO, line.p, line.len) == -1) {
		log_err("cannot write a result: %s", strerror(errno));
		o->lost_output = true;
	}
	bytes_fini(&line);
	o->out--;
	base->ops->delivered(base, l, LEASE_ACCEPTED, base->arg);
	base->ops->changed(base, base->arg);
}

static void
offer(struct orchestrator *base, const struct offered *offered)
{
	(void)offered;
	kick(base);
}

static void
drain(struct orchestrator *base)
{
	struct local *o = (struct local *)base;

	o->draining = true;
	(void)event_del(&o->readable);
}

static bool
registered(const struct orchestrator *o)
{
	(void)o;
	return (true);
}

static unsigned
none(const struct orchestrator *base)
{
	(void)base;
	return (0);
}

static void
abandon_polls(struct orchestrator *base)
{
	(void)base; /* there are none */
}

static void
local_free(struct orchestrator *base)
{
	struct local *o = (struct local *)base;

	if (event_initialized(&o->readable))
		(void)event_del(&o->readable);
	if (o->fd > STDIN_FILENO)
		(void)close(o->fd);
	bytes_fini(&o->buf);
	free(o);
}

static const struct orchestrator_driver driver = {
	.offer = offer,
	.kick = kick,
	.deliver = deliver,
	.drain = drain,
	.tried = registered,
	.registered = registered,
	.polls = none,
	.undelivered = none,
	.abandon_polls = abandon_polls,
	.free = local_free,
};

struct orchestrator *
local_new(struct event_base *loop, const char *path,
    const struct orchestrator_ops *ops, void *arg, struct why *why)
{
	struct local *o;
	struct stat st;

	if ((o = calloc(1, sizeof(*o))) == NULL) {
		why_errno(why, "local mode");
		return (NULL);
	}
	o->base = (struct orchestrator){ &driver, ops, arg };
	o->fd = STDIN_FILENO;
	/* A FIFO need not have a writer yet: the loop waits for one. */
	if ((strcmp(path, "-") != 0 &&
		(o->fd = open(path,
		     O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)) == -1) ||
	    fstat(o->fd, &st) == -1) {
		why_errno(why, "cannot read tasks from %s", path);
		goto fail;
	}
	if (S_ISDIR(st.st_mode)) {
		why_set(why, "cannot read tasks from %s: it is a folder", path);
		goto fail;
	}
	o->is_file = S_ISREG(st.st_mode) || S_ISCHR(st.st_mode);
	if (isatty(o->fd))
		o->is_file = false;
	if (event_assign(&o->readable, loop, o->is_file ? -1 : o->fd,
		o->is_file ? EV_TIMEOUT : EV_READ, on_readable, o) == -1) {
		why_set(why, "local mode: no memory");
		goto fail;
	}
	return (&o->base);

fail:
	local_free(&o->base);
	return (NULL);
}

bool
local_is_done(const struct orchestrator *base)
{
	const struct local *o = (const struct local *)base;

	return (
	    (o->at_end ? o->buf.len == o->start : o->draining) && o->out == 0);
}

bool
local_lost_output(const struct orchestrator *base)
{
	return (((const struct local *)base)->lost_output);
}

unsigned long
local_failed(const struct orchestrator *base)
{
	return (((const struct local *)base)->failed);
}
