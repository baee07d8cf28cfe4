/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child/channel.h"
#include "child/handler.h"
#include "child/json_scan.h"
#include "child/peer.h"
#include "child/task.h"

#define LEASE 1 /* of the one task */

/* In the fork. */
static void __attribute__((__noreturn__)) become(char **argv, int theirs)
{
	int rc = theirs;

	(void)signal(SIGPIPE, SIG_DFL);
	if (theirs == CHANNEL_FD)
		rc = fcntl(theirs, F_SETFD, 0);
	else
		rc = dup2(theirs, CHANNEL_FD);
	if (rc != -1 && setenv("AVTOWORKER_CHANNEL", CHANNEL_FD_TEXT, 1) == 0)
		(void)execvp(argv[0], argv);
	fprintf(stderr, "avtoworker-child: cannot execute %s: %s\n", argv[0],
	    strerror(errno));
	_exit(EXIT_FAILURE);
}

/* What it has to say of itself; -1 and why when it cannot be run. */
static int
read_ready(const char *payload, size_t len, struct bytes *why)
{
	struct jscan_error error;
	struct jslice root, value;
	char *sentence;

	if (jscan_check(payload, len, &jscan_payload_limits, &root, &error) ==
	    -1) {
		bytes_printf(why, "its ready frame: %s", error.text);
		return (-1);
	}
	if (!jscan_get(&root, "error", &value))
		return (0);
	sentence = jscan_strdup(&value, len);
	bytes_puts(why, sentence != NULL ? sentence : "it cannot start");
	free(sentence);
	return (-1);
}

/* The next frame of those that a task needs; what it tells besides is shown. */
static int
next(struct peer *p, struct frame_header *header, const char **payload,
    struct bytes *why)
{
	enum wire_got got;

	while (
	    (got = wire_read(&p->wire, header, payload, why)) == WIRE_FRAME) {
		if (header->type == FRAME_READY ||
		    header->type == FRAME_STARTED ||
		    header->type == FRAME_RESULT)
			return (0);
		fprintf(stderr, "%s: %.*s\n", frame_name(header->type),
		    (int)header->length, *payload);
	}
	if (got == WIRE_END)
		bytes_puts(why, "it has ended, or closed its channel");
	return (-1);
}

static int
expect(struct peer *p, enum frame_type type, struct frame_header *header,
    const char **payload, struct bytes *why)
{
	if (next(p, header, payload, why) == -1)
		return (-1);
	if (header->type == type)
		return (0);
	bytes_printf(why, "it sent %s instead of %s", frame_name(header->type),
	    frame_name(type));
	return (-1);
}

static int
start(void *arg, struct bytes *why)
{
	struct peer *p = arg;
	struct frame_header header;
	const char *payload;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1 ||
	    (p->pid = fork()) == -1) {
		bytes_printf(
		    why, "cannot start %s: %s", p->argv[0], strerror(errno));
		return (-1);
	}
	if (p->pid == 0)
		become(p->argv, ends[1]);
	(void)close(ends[1]);
	wire_init(&p->wire, ends[0]);
	if (expect(p, FRAME_READY, &header, &payload, why) == -1 ||
	    read_ready(payload, header.length, why) == -1)
		return (-1);
	return (0);
}

static void
offer(void *arg, struct bytes *out)
{
	(void)arg;
	(void)out;
}

static void
run(void *arg, struct aw_task *task)
{
	struct peer *p = arg;
	struct frame_header header;
	struct bytes why = { 0 };
	const char *payload;

	if (wire_send(&p->wire, FRAME_TASK, LEASE, task->payload,
		task->payload_len) == -1)
		bytes_printf(
		    &why, "cannot give it the task: %s", strerror(errno));
	else if (expect(p, FRAME_STARTED, &header, &payload, &why) == 0 &&
	    expect(p, FRAME_RESULT, &header, &payload, &why) == 0) {
		task_set_result(task, payload, header.length);
		return;
	}
	aw_failure(task, "TRANSIENT_ERROR", "%s: %.*s", p->argv[0],
	    (int)why.len, why.p != NULL ? why.p : "");
	bytes_fini(&why);
}

/* Asks it to leave, and waits for it: it may have things to end. */
static void
stop(void *arg)
{
	struct peer *p = arg;

	if (p->wire.fd == -1)
		return;
	(void)wire_send(&p->wire, FRAME_STOP, 0, "{}", 2);
	(void)shutdown(p->wire.fd, SHUT_WR);
	while (waitpid(p->pid, NULL, 0) == -1 && errno == EINTR)
		continue;
}

struct host
peer_host(struct peer *p)
{
	p->wire.fd = -1;
	return ((struct host){ start, offer, run, stop, p });
}

void
peer_fini(struct peer *p)
{
	if (p->wire.fd != -1)
		(void)close(p->wire.fd);
	wire_fini(&p->wire);
}
