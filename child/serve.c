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
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "child/module.h"
#include "child/pins.h"
#include "child/ready.h"
#include "child/serve.h"
#include "child/task.h"
#include "child/turn.h"

struct server_handler {
	const struct aw_handler *table; /* in its module */
	const char *file;
	void *state; /* of init, for run and fini */
	bool started : 1; /* init was successful */
};

struct server {
	struct wire *wire; /* borrowed */
	struct turn *turn; /* the same */
	const char *category;
	struct module *modules; /* each file once */
	size_t modules_len;
	struct server_handler *handlers; /* in the order of the arguments */
	size_t handlers_len;
	struct aw_task task; /* the one at hand */
};

static void
complain(const struct server *s, const char *what, const struct bytes *why)
{
	fprintf(stderr, "avtoworker-child [%s]: %s: %.*s\n", s->category, what,
	    why->p != NULL ? (int)why->len : 0, why->p != NULL ? why->p : "");
}

static const struct module *
find_module(struct server *s, const struct pins *pins, const char *file,
    struct bytes *why)
{
	char path[PIN_PATH_SIZE];
	size_t i;

	for (i = 0; i < s->modules_len; i++)
		if (strcmp(s->modules[i].file, file) == 0)
			return (&s->modules[i]);
	if (module_load(
		&s->modules[i], file, pins_path(pins, file, path), why) == -1)
		return (NULL);
	s->modules_len++;
	return (&s->modules[i]);
}

static int
load(struct server *s, const struct pins *pins, const struct assignment *what,
    size_t count, struct bytes *why)
{
	const struct module *module;
	struct server_handler *h;
	size_t i;

	s->modules = calloc(count, sizeof(*s->modules));
	s->handlers = calloc(count, sizeof(*s->handlers));
	if (s->modules == NULL || s->handlers == NULL) {
		bytes_puts(why, "out of memory while loading the modules");
		return (-1);
	}
	for (i = 0; i < count; i++) {
		h = &s->handlers[i];
		if ((module = find_module(s, pins, what[i].file, why)) == NULL)
			return (-1);
		h->file = what[i].file;
		if ((h->table = module_find(module, what[i].type)) == NULL) {
			bytes_printf(why, "%s has no handler of type \"%s\"",
			    h->file, what[i].type);
			return (-1);
		}
		s->handlers_len++;
	}
	pins_close(pins);
	return (0);
}

static int
start_handlers(struct server *s, struct bytes *why)
{
	struct server_handler *h;
	struct aw_error error;
	size_t i;

	for (i = 0; i < s->handlers_len; i++) {
		h = &s->handlers[i];
		error.text[0] = '\0';
		if (h->table->init != NULL &&
		    h->table->init(&h->state, &error) != 0) {
			bytes_printf(why,
			    "handler \"%s\" of %s cannot start: "
			    "%s",
			    h->table->type, h->file,
			    error.text[0] != '\0' ?
				error.text :
				"its init failed without a reason (it should "
				"call aw_error_set)");
			return (-1);
		}
		h->started = true;
	}
	return (0);
}

/* In the opposite order, those that were started. */
static void
stop_handlers(struct server *s)
{
	struct server_handler *h;
	size_t i;

	for (i = s->handlers_len; i-- > 0;) {
		h = &s->handlers[i];
		if (h->started && h->table->fini != NULL)
			h->table->fini(h->state);
		h->started = false;
	}
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
	size_t i;

	ready_begin(&offer);
	for (i = 0; i < s->handlers_len; i++)
		ready_add(&offer, s->handlers[i].table);
	flush_output();
	turn_ready(s->turn);
	return (ready_send(s->wire, &offer));
}

static void
run_handler(struct server *s)
{
	struct aw_task *task = &s->task;
	const struct server_handler *h;
	size_t i;

	for (i = 0; i < s->handlers_len; i++) {
		h = &s->handlers[i];
		if (strcmp(h->table->type, task->type) == 0) {
			h->table->run(task, h->state);
			return;
		}
	}
	aw_failure(task, "TRANSIENT_ERROR",
	    "this child of category \"%s\" has no handler of type \"%s\"",
	    s->category, task->type);
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
			run_handler(s);
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
			break;
		case FRAME_CANCEL:
			/* It came after the end of what it was about. */
			break;
		case FRAME_STOP:
			stop_handlers(s);
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
serve(struct wire *wire, struct turn *turn, const struct pins *pins,
    const struct assignment *what, size_t count)
{
	struct server s = {
		.wire = wire,
		.turn = turn,
		.category = turn->category,
	};
	struct bytes why = { 0 };
	int status;
	size_t i;

	if (load(&s, pins, what, count, &why) == -1 ||
	    start_handlers(&s, &why) == -1) {
		status = EX_UNAVAILABLE;
		(void)ready_send_error(wire, &why);
		stop_handlers(&s);
	} else if (say_ready(&s) == -1) {
		status = EX_IOERR;
		bytes_printf(&why, "write: %s", strerror(errno));
		complain(&s, "cannot say ready", &why);
	} else if ((status = loop(&s, &why)) != EX_OK)
		complain(&s, "trouble on the channel, giving up", &why);
	for (i = 0; i < s.modules_len; i++)
		module_fini(&s.modules[i]);
	free(s.modules);
	free(s.handlers);
	task_fini(&s.task);
	bytes_fini(&why);
	return (status);
}
