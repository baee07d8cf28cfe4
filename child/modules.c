/* SPDX-License-Identifier: ISC */
/*
 * modules.c: the C handlers of a child. Every init runs before any task, in
 * the order of the command line, and every fini in the opposite one.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "child/module.h"
#include "child/modules.h"
#include "child/pins.h"
#include "child/ready.h"
#include "child/task.h"

struct modules_handler {
	const struct aw_handler *table; /* in its module */
	const char *file;
	void *state; /* of init, for run and fini */
	bool started : 1; /* init was successful */
};

static const struct module *
find_module(struct modules *m, const char *file, struct bytes *why)
{
	struct module *next = &m->loaded[m->loaded_len];
	char path[PIN_PATH_SIZE];
	size_t i;

	for (i = 0; i < m->loaded_len; i++)
		if (strcmp(m->loaded[i].file, file) == 0)
			return (&m->loaded[i]);
	if (module_load(next, file, pins_path(m->pins, file, path), why) == -1)
		return (NULL);
	m->loaded_len++;
	return (next);
}

static int
load(struct modules *m, struct bytes *why)
{
	const struct module *module;
	struct modules_handler *h;
	size_t i;

	m->loaded = calloc(m->count, sizeof(*m->loaded));
	m->handlers = calloc(m->count, sizeof(*m->handlers));
	if (m->loaded == NULL || m->handlers == NULL) {
		bytes_puts(why, "out of memory while loading the modules");
		return (-1);
	}
	for (i = 0; i < m->count; i++) {
		h = &m->handlers[i];
		h->file = m->what[i].file;
		if ((module = find_module(m, h->file, why)) == NULL)
			return (-1);
		h->table = module_find(module, m->what[i].type);
		if (h->table == NULL) {
			bytes_printf(why, "%s has no handler of type \"%s\"",
			    h->file, m->what[i].type);
			return (-1);
		}
		m->handlers_len++;
	}
	pins_close(m->pins);
	return (0);
}

/* A handler has forked, and the fork has come back out of it, as it does when
 * an exec fails: it must not do our work beside us, nor end as we would. */
static void
end_fork(const struct modules *m, const struct aw_handler *table)
{
	if (getpid() == m->pid)
		return;
	fprintf(stderr,
	    "avtoworker-child [%s]: a process that handler \"%s\" has forked "
	    "came back out of it; ending it\n",
	    m->category, table->type);
	_exit(EX_SOFTWARE);
}

static int
start_handlers(struct modules *m, struct bytes *why)
{
	struct modules_handler *h;
	struct aw_error error;
	size_t i;
	int rc;

	for (i = 0; i < m->handlers_len; i++) {
		h = &m->handlers[i];
		error.text[0] = '\0';
		rc = h->table->init != NULL ?
		    h->table->init(&h->state, &error) :
		    0;
		end_fork(m, h->table);
		if (rc != 0) {
			bytes_printf(why,
			    "handler \"%s\" of %s cannot start: %s",
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

static int
start(void *arg, struct bytes *why)
{
	struct modules *m = arg;

	m->pid = getpid();
	return (load(m, why) == -1 ? -1 : start_handlers(m, why));
}

/* In the opposite order, those that were started. */
static void
stop(void *arg)
{
	struct modules *m = arg;
	struct modules_handler *h;
	size_t i;

	for (i = m->handlers_len; i-- > 0;) {
		h = &m->handlers[i];
		if (h->started && h->table->fini != NULL)
			h->table->fini(h->state);
		h->started = false;
	}
}

static void
offer(void *arg, struct bytes *out)
{
	const struct modules *m = arg;
	size_t i;

	for (i = 0; i < m->handlers_len; i++)
		ready_add(out, m->handlers[i].table);
}

static void
run(void *arg, struct aw_task *task)
{
	struct modules *m = arg;
	const struct modules_handler *h;
	size_t i;

	for (i = 0; i < m->handlers_len; i++) {
		h = &m->handlers[i];
		if (strcmp(h->table->type, task->type) == 0) {
			h->table->run(task, h->state);
			end_fork(m, h->table);
			return;
		}
	}
	task_not_ours(task, m->category);
}

struct host
modules_host(struct modules *m)
{
	return ((struct host){ start, offer, run, stop, m });
}

void
modules_fini(struct modules *m)
{
	size_t i;

	for (i = 0; i < m->loaded_len; i++)
		module_fini(&m->loaded[i]);
	free(m->loaded);
	free(m->handlers);
	m->loaded = NULL;
	m->handlers = NULL;
	m->loaded_len = m->handlers_len = 0;
}
