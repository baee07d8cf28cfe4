/* SPDX-License-Identifier: ISC */
/*
 * serve.c: the loop of a child. One frame in, one task run, one result out;
 * it waits in read(2) and nowhere else.
 *
 * Invariants: ready is sent after every init and before any task; a task gets
 * one started and one result, both with its lease. What the supervisor sends
 * against the protocol ends the process: there is nobody to answer to.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>

#include "child/host.h"
#include "child/ready.h"
#include "child/serve.h"
#include "child/task.h"
#include "child/turn.h"

struct server {
	struct wire *wire; /* borrowed, as all but the task */
	struct turn *turn;
	const struct host *host;
	const char *category;
	struct aw_task task; /* the one at hand */
};

static void
complain(const struct server *s, const char *what, const struct bytes *why)
{
	fprintf(stderr, "avtoworker-child [%s]: %s: %.*s\n", s->category, what,
	    why->p != NULL ? (int)why->len : 0, why->p != NULL ? why->p : "");
}

/* What the handler printed must be in the pipe before the result is in the
 * channel: it is still that task's. */
static void
flush_output(void)
{
	(void)fflush(stdout);
	(void)fflush(stderr);
}

static int
say_ready(struct server *s)
{
	struct bytes offer = { 0 };

	ready_begin(&offer);
	s->host->offer(s->host->arg, &offer);
	flush_output();
	turn_ready(s->turn);
	return (ready_send(s->wire, &offer));
}

/* Returns -1 and why when it was no task or the answer could not be sent. */
static int
run_task(struct server *s, uint64_t lease, const char *payload, size_t len,
    struct bytes *why)
{
	const char *result;
	int rc;

	if (lease == 0) {
		bytes_puts(why, "a task frame without a lease");
		return (-1);
	}
	if (task_begin(&s->task, payload, len, why) == -1)
		return (-1);
	s->task.wire = s->wire;
	s->task.lease = lease;
	rc = wire_send(s->wire, FRAME_STARTED, lease, "{}", 2);
	if (rc == 0) {
		turn_begin(s->turn, s->task.type, s->task.task_id);
		if (!s->task.has_result)
			s->host->run(s->host->arg, &s->task);
		flush_output();
		result = task_result(&s->task, &len);
		rc = wire_send(s->wire, FRAME_RESULT, lease, result, len);
		turn_end(s->turn);
	}
	if (rc == -1)
		bytes_printf(why, "write: %s", strerror(errno));
	task_end(&s->task);
	return (rc);
}

static int
loop(struct server *s, struct bytes *why)
{
	struct frame_header header;
	const char *payload;
	enum wire_got got;

	while (
	    (got = wire_read(s->wire, &header, &payload, why)) == WIRE_FRAME) {
		switch (header.type) {
		case FRAME_TASK:
			if (run_task(s, header.lease, payload, header.length,
				why) == -1)
				return (EX_PROTOCOL);
			if (s->turn->sweep.undying) {
				/* Nobody waits for us for ever from now on,
				 * and no task comes. */
				(void)shutdown(s->wire->fd, SHUT_RDWR);
				s->host->stop(s->host->arg);
				return (EX_OSERR);
			}
			break;
		case FRAME_CANCEL:
			/* It came after the end of what it was about. */
			break;
		case FRAME_STOP:
			s->host->stop(s->host->arg);
			return (EX_OK);
		default:
			bytes_printf(why,
			    "a %s frame, which only a child "
			    "may send",
			    frame_name(header.type));
			return (EX_PROTOCOL);
		}
	}
	return (got == WIRE_END ? EX_OK : EX_PROTOCOL);
}

int
serve(struct wire *wire, struct turn *turn, const struct host *host)
{
	struct server s = {
		.wire = wire,
		.turn = turn,
		.host = host,
		.category = turn->category,
	};
	struct bytes why = { 0 };
	int status;

	if (host->start(host->arg, &why) == -1) {
		status = EX_UNAVAILABLE;
		(void)ready_send_error(wire, &why);
		host->stop(host->arg);
	} else if (say_ready(&s) == -1) {
		status = EX_IOERR;
		bytes_printf(&why, "write: %s", strerror(errno));
		complain(&s, "cannot say ready", &why);
	} else if ((status = loop(&s, &why)) == EX_PROTOCOL)
		complain(&s, "trouble on the channel, giving up", &why);
	task_fini(&s.task);
	bytes_fini(&why);
	return (status);
}
