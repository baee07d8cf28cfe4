/* SPDX-License-Identifier: ISC */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "supervisor/base/words.h"
#include "supervisor/children/environment.h"
#include "supervisor/edges/signals.h"
#include "tests/test.h"
#include "tests/unit/live_program.h"

extern char **environ;

/* What stands around the rig; one for each case. */
static struct {
	struct event *limit;
	struct signals signals;
	char child[PATH_MAX];
	bool late;
} loop;

static void
on_limit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	loop.late = true;
}

/* A child that somebody traces can be reaped later than its pidfd says. */
static void
on_sigchld(int number, void *arg)
{
	struct rig *p = arg;

	(void)number;
	reaper_run(&p->reaper);
}

static const struct signal_row signal_rows[] = {
	{ SIGCHLD, on_sigchld },
};

/* The loop, and what a category stands on: children that know one handler. */
static void
open_base(struct rig *p, const char *type, const char *module)
{
	const struct timeval limit = { LIVE_LIMIT_S, 0 };
	const char *top = getenv("top_builddir");
	struct child_env env = {
		.base = event_base_new(),
		.program = loop.child,
		.clean = environment_clean(environ),
		.inherited = environment_inherited(environ),
	};
	char file[PATH_MAX];
	struct why why;

	if (top == NULL)
		top = ".";
	(void)snprintf(
	    loop.child, sizeof(loop.child), "%s/avtoworker-child", top);
	(void)snprintf(file, sizeof(file), "%s/tests/integration/.libs/%s.so",
	    top, module);
	ASSERT(env.base != NULL && env.clean != NULL && env.inherited != NULL);
	ASSERT((loop.limit = evtimer_new(env.base, on_limit, NULL)) != NULL);
	ASSERT_INT(evtimer_add(loop.limit, &limit), 0);
	ASSERT_INT(
	    signals_open(&loop.signals, env.base, signal_rows, 1, p, &why), 0);
	rig_init(p, env);
	ASSERT(handler_add(&p->handlers, type, "pool", file) != NULL);
	ASSERT(
	    handler_add(&p->handlers, "other", "elsewhere", "/none") != NULL);
	ASSERT((p->poison = poison_new(2)) != NULL);
	p->conf.start_timeout_ms = LIVE_LIMIT_S * 1000;
	p->conf.stop_timeout_ms = LIVE_LIMIT_S * 1000;
	p->conf.withdraw_after_ms = LIVE_LIMIT_S * 1000;
	p->conf.idle_timeout_ms = LIVE_LIMIT_S * 1000;
	p->conf.output_limit = 1000000;
}

/* The program, as p->conf is now; not started. */
static void
open_program(struct rig *p)
{
	rig_add_category(p, "pool");
	rig_open(
	    p, &(struct program_settings){ .name = "pool", .gate = &p->gate });
}

void
live_open(
    struct rig *p, unsigned children, const char *type, const char *module)
{
	open_base(p, type, module);
	p->conf.children = children;
	open_program(p);
}

void
live_open_dynamic(
    struct rig *p, unsigned min, unsigned max, int64_t idle_timeout_ms)
{
	open_base(p, "slow", "zoo");
	p->conf.min_children = min;
	p->conf.max_children = max;
	p->conf.idle_timeout_ms = idle_timeout_ms;
	open_program(p);
}

void
live_close(struct rig *p)
{
	rig_close(p);
	words_free((char **)p->env.clean);
	words_free((char **)p->env.inherited);
	signals_close(&loop.signals);
	event_free(loop.limit);
	event_base_free(p->env.base);
}

void
live_turn(struct rig *p, const char *file, int line, const char *what)
{
	if (loop.late)
		test_fail(
		    file, line, "not within %d s: %s", LIVE_LIMIT_S, what);
	(void)event_base_loop(p->env.base, EVLOOP_ONCE);
}

struct lease *
live_submit(
    struct rig *p, const char *type, const char *task_id, const char *params)
{
	struct lease *l = rig_lease(p, type, task_id, "j-1", params);

	program_submit(p->program, l);
	return (l);
}

void
live_pause(struct rig *p, bool paused)
{
	p->category->paused = paused;
	program_balance(p->program);
}

void
live_stop(struct rig *p)
{
	program_stop(p->program);
	RUN_UNTIL(p, p->emptied > 0);
	ASSERT_INT(p->emptied, 1);
	ASSERT(TAILQ_EMPTY(&p->program->children));
}

unsigned
live_count(const struct rig *p, enum child_state state)
{
	const struct child *c;
	unsigned n = 0;

	TAILQ_FOREACH(c, &p->program->children, entry)
		n += c->state == state;
	return (n);
}

struct child *
live_first(const struct rig *p, enum child_state state)
{
	struct child *c;

	TAILQ_FOREACH(c, &p->program->children, entry)
		if (c->state == state)
			return (c);
	return (NULL);
}

int
live_places(struct rig *p)
{
	const struct places places = rig_places(p, NULL);

	return (
	    (int)(places.children + places.taken) - (int)p->program->queued);
}

void
check_failure(const struct lease *l, const char *message)
{
	ASSERT_INT(l->state, LEASE_FINISHED);
	ASSERT_STR(l->result.status, "failure");
	ASSERT_STR(l->result.code, CODE_TRANSIENT);
	if (strstr(l->result.message, message) == NULL)
		test_fail(__FILE__, __LINE__, "\"%s\" has no \"%s\"",
		    l->result.message, message);
}

bool
holds(const struct bytes *b, const char *text)
{
	return (memmem(b->p, b->len, text, strlen(text)) != NULL);
}
