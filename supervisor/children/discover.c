/* SPDX-License-Identifier: ISC */
/*
 * discover.c: one describing child for each distinct file, all at once, so
 * that a file that crashes or hangs while it is loaded names itself and holds
 * nobody up. Then the rules: a module block takes every handler of its file;
 * a handler block selects one, gives it another file, or another category.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>
#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/children/child.h"
#include "supervisor/children/discover.h"
#include "supervisor/children/offer.h"
#include "supervisor/children/spawn.h"
#include "supervisor/conf.h"
#include "supervisor/conf_problem.h"
#include "supervisor/handler.h"

#define DEFAULT_CATEGORY    "default"
#define DESCRIBE_TIMEOUT_MS ((int64_t)60 * 1000)

/* A file that the configuration names. */
struct file {
	TAILQ_ENTRY(file) entry;
	struct discovery *discovery;
	struct child *child; /* NULL when it is not running */
	char *path; /* absolute; NULL when it cannot be found */
	char *written; /* as the configuration has it */
	struct offer offer;
	char failure[320]; /* why it cannot be used; or "" */
	struct handler_file *kept; /* the table's, once resolved */
	struct stat st; /* as it was before it was described */
	int fd; /* the same file, kept open; -1 when given away */
	bool described : 1;
};

struct discovery {
	const struct child_env *env;
	const struct conf *conf;
	discovery_done done;
	void *arg;
	TAILQ_HEAD(, file) files;
	struct event finished; /* calls done from the loop */
	unsigned running;
};

static void
check_finished(struct discovery *d)
{
	if (d->running == 0)
		event_active(&d->finished, EV_TIMEOUT, 0);
}

static void
on_finished(evutil_socket_t fd, short what, void *arg)
{
	struct discovery *d = arg;

	(void)fd;
	(void)what;
	d->done(d, d->arg);
}

static void
on_ready(struct child *c, const struct offer *offer, void *arg)
{
	struct file *f = arg;
	size_t i;

	if (f->described)
		return;
	f->described = true;
	child_stop(c); /* it ends by itself; this limits how long it may take */
	f->offer.handlers = calloc(offer->count, sizeof(*f->offer.handlers));
	if (f->offer.handlers == NULL)
		goto fail;
	for (i = 0; i < offer->count; i++) {
		const struct offer_handler *h = &offer->handlers[i];

		if ((f->offer.handlers[i].type = strdup(h->type)) == NULL)
			goto fail;
		f->offer.count++;
		if (h->category != NULL &&
		    (f->offer.handlers[i].category = strdup(h->category)) ==
			NULL)
			goto fail;
	}
	return;

fail:
	(void)strlcpy(f->failure, "out of memory", sizeof(f->failure));
}

static void
on_gone(struct child *c, const struct death *death, void *arg)
{
	struct file *f = arg;

	if (!f->described && f->failure[0] == '\0')
		(void)snprintf(f->failure, sizeof(f->failure), "%s%s",
		    death->cause == DEATH_CRASH ?
			"while it was loaded, the child " :
			"",
		    death->text);
	f->child = NULL;
	child_free(c);
	f->discovery->running--;
	check_finished(f->discovery);
}

static const struct child_ops ops = {
	.ready = on_ready,
	.finished = NULL, /* a describing child is given no lease */
	.gone = on_gone,
};

/* The absolute path of a file, or NULL and why. */
static char *
find(const char *written, struct why *why)
{
	char path[PATH_MAX];
	char *found;

	if (strchr(written, '/') != NULL)
		(void)strlcpy(path, written, sizeof(path));
	else
		(void)snprintf(
		    path, sizeof(path), "%s/handlers/%s", PKGLIBDIR, written);
	if ((found = realpath(path, NULL)) == NULL)
		why_errno(why, "%s", path);
	return (found);
}

/* Opened before it is described, so that it is the one that is. */
static int
pin(struct file *f, struct why *why)
{
	int fd, high = -1;

	fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd != -1 && fstat(fd, &f->st) == 0)
		high = fcntl(fd, F_DUPFD_CLOEXEC, SPAWN_FILES_FD_MIN);
	if (high == -1)
		why_errno(why, "%s", f->path);
	if (fd != -1)
		(void)close(fd);
	if ((f->fd = high) == -1)
		return (-1);
	return (0);
}

static void
describe(struct file *f)
{
	struct discovery *d = f->discovery;
	struct why why;

	if ((f->path = find(f->written, &why)) != NULL && pin(f, &why) == 0) {
		char *const argv[] = { (char *)d->env->program,
			(char *)"--describe", f->path, NULL };

		f->child = child_new(
		    &(struct child_start){
			.env = d->env,
			.argv = argv,
			.envp = conf_inherits(d->conf) ? d->env->inherited :
							 d->env->clean,
			.timeout_ms = DESCRIBE_TIMEOUT_MS,
			.ops = &ops,
			.arg = f,
		    },
		    &why);
	}
	if (f->child == NULL)
		(void)strlcpy(f->failure, why.text, sizeof(f->failure));
	else
		d->running++;
}

static struct file *
file_of(struct discovery *d, const char *written)
{
	struct file *f;

	TAILQ_FOREACH(f, &d->files, entry)
		if (strcmp(f->written, written) == 0)
			return (f);
	return (NULL);
}

static int
add_file(struct discovery *d, const char *written, struct why *why)
{
	struct file *f;

	if (file_of(d, written) != NULL)
		return (0);
	if ((f = calloc(1, sizeof(*f))) == NULL ||
	    (f->written = strdup(written)) == NULL) {
		why_errno(why, "discovery");
		free(f);
		return (-1);
	}
	f->discovery = d;
	f->fd = -1;
	TAILQ_INSERT_TAIL(&d->files, f, entry);
	describe(f);
	return (0);
}

struct discovery *
discovery_new(const struct child_env *env, const struct conf *conf,
    discovery_done done, void *arg, struct why *why)
{
	const struct conf_handler *h;
	const struct conf_module *m;
	struct discovery *d;

	if ((d = calloc(1, sizeof(*d))) == NULL) {
		why_errno(why, "discovery");
		return (NULL);
	}
	TAILQ_INIT(&d->files);
	d->env = env;
	d->conf = conf;
	d->done = done;
	d->arg = arg;
	if (evtimer_assign(&d->finished, env->base, on_finished, d) == -1) {
		why_set(why, "discovery: no memory for a timer");
		goto fail;
	}
	TAILQ_FOREACH(m, &conf->modules, entry)
		if (add_file(d, m->file, why) == -1)
			goto fail;
	TAILQ_FOREACH(h, &conf->handlers, entry)
		if (h->module != NULL && add_file(d, h->module, why) == -1)
			goto fail;
	check_finished(d);
	return (d);

fail:
	discovery_free(d);
	return (NULL);
}

static const struct offer_handler *
offered(const struct file *f, const char *type)
{
	size_t i;

	for (i = 0; i < f->offer.count; i++)
		if (strcmp(f->offer.handlers[i].type, type) == 0)
			return (&f->offer.handlers[i]);
	return (NULL);
}

static const char *
category_of(const struct offer_handler *h)
{
	return (h->category != NULL ? h->category : DEFAULT_CATEGORY);
}

/* True when a handler block says which file that type comes from. */
static bool
is_overridden(const struct conf *conf, const char *type)
{
	const struct conf_handler *h;

	TAILQ_FOREACH(h, &conf->handlers, entry)
		if (h->module != NULL && strcmp(h->name, type) == 0)
			return (true);
	return (false);
}

/* A handler that this file holds. */
static struct handler *
add_handler(struct handler_table *t, struct file *f,
    const struct offer_handler *offered)
{
	struct handler *h;

	if (f->kept == NULL) {
		f->kept = handler_file_keep(t, f->path, f->fd, &f->st);
		f->fd = -1;
	}
	if (f->kept == NULL)
		return (NULL);
	h = handler_add(t, offered->type, category_of(offered), f->path);
	if (h != NULL)
		h->pinned = f->kept;
	return (h);
}

/* module NAME { file = ... }: all of it, but what is overridden. */
static void
resolve_module(struct discovery *d, const struct conf_module *m,
    struct handler_table *t, struct conf_problems *problems)
{
	struct file *f = file_of(d, m->file);
	const struct handler *other;
	const struct offer_handler *h;
	size_t i;

	for (i = 0; i < f->offer.count; i++) {
		h = &f->offer.handlers[i];
		if (is_overridden(d->conf, h->type))
			continue;
		if (add_handler(t, f, h) != NULL)
			continue;
		if ((other = handler_find(t, h->type)) != NULL)
			conf_problem_add(problems,
			    "module %s: %s: task type \"%s\" is in %s too; "
			    "choose one with handler %s { module = FILE }",
			    m->name, f->path, h->type, other->file, h->type);
		else
			conf_problem_memory(problems);
	}
}

/* handler TYPE { module = ..., category = ... } */
static void
resolve_handler(struct discovery *d, const struct conf_handler *ch,
    struct handler_table *t, struct conf_problems *problems)
{
	const struct offer_handler *h;
	struct handler *handler;
	struct file *f;

	if (ch->module != NULL) {
		f = file_of(d, ch->module);
		if (f->failure[0] != '\0')
			return; /* said already */
		if ((h = offered(f, ch->name)) == NULL) {
			conf_problem_add(problems,
			    "handler %s: %s has no handler of that name",
			    ch->name, f->path);
			return;
		}
		handler = add_handler(t, f, h);
	} else if ((handler = handler_find(t, ch->name)) == NULL) {
		conf_problem_add(problems,
		    "handler %s: no module has a handler of that name; "
		    "name its file with module = FILE",
		    ch->name);
		return;
	}
	if (handler == NULL ||
	    (ch->category != NULL &&
		handler_set_category(handler, ch->category) == -1)) {
		conf_problem_memory(problems);
		return;
	}
	handler->time_limit_ms = ch->time_limit_ms;
	handler->soft_time_limit_ms = ch->soft_time_limit_ms;
}

int
discovery_resolve(struct discovery *d, struct handler_table *t,
    struct conf_problems *problems)
{
	const struct conf_handler *h;
	const struct conf_module *m;
	const struct file *f;

	TAILQ_FOREACH(f, &d->files, entry)
		if (f->failure[0] != '\0')
			conf_problem_add(problems, "module %s: %s",
			    f->path != NULL ? f->path : f->written, f->failure);
	TAILQ_FOREACH(m, &d->conf->modules, entry)
		resolve_module(d, m, t, problems);
	TAILQ_FOREACH(h, &d->conf->handlers, entry)
		resolve_handler(d, h, t, problems);
	return (problems->count == 0 ? 0 : -1);
}

void
discovery_free(struct discovery *d)
{
	struct file *f;

	if (d == NULL)
		return;
	if (event_initialized(&d->finished))
		(void)event_del(&d->finished);
	while ((f = TAILQ_FIRST(&d->files)) != NULL) {
		TAILQ_REMOVE(&d->files, f, entry);
		if (f->child != NULL) {
			child_kill(
			    f->child, DEATH_STOP, "was no longer needed");
			child_free(f->child);
		}
		offer_fini(&f->offer);
		if (f->fd != -1)
			(void)close(f->fd);
		free(f->path);
		free(f->written);
		free(f);
	}
	free(d);
}
