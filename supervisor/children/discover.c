/* SPDX-License-Identifier: ISC */
/*
 * discover.c: one describing child for each distinct file, all at once, so
 * that a file that crashes or hangs while it is loaded names itself and holds
 * nobody up. What comes of it is decided in discover_rules.c.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>
#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/children/child.h"
#include "supervisor/children/discover_parts.h"
#include "supervisor/children/spawn.h"
#include "supervisor/conf.h"
#include "supervisor/handler.h"

#define DESCRIBE_TIMEOUT_MS ((int64_t)60 * 1000)
#define LEAVE_TIMEOUT_MS    ((int64_t)5000) /* once it is described */

void
discovery_check(struct discovery *d)
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

	if (f->described)
		return;
	f->described = true;
	child_stop(c); /* it ends by itself; this limits how long it may take */
	if (offer_copy(offer, &f->offer) == -1)
		(void)strlcpy(f->failure, "out of memory", sizeof(f->failure));
}

static void on_gone(struct child *, const struct death *, void *);

static const struct child_ops ops = {
	.ready = on_ready,
	.finished = NULL, /* a describing child is given no lease */
	.gone = on_gone,
};

/* -1 and why. */
static int
start(struct file *f, struct why *why)
{
	struct discovery *d = f->discovery;
	char *const argv[] = { (char *)d->env->program, (char *)"--describe",
		f->path, NULL };

	f->child = child_new(
	    &(struct child_start){
		.env = d->env,
		.argv = argv,
		.envp =
		    conf_inherits(d->conf) ? d->env->inherited : d->env->clean,
		.timeout_ms = DESCRIBE_TIMEOUT_MS,
		.stop_timeout_ms = LEAVE_TIMEOUT_MS,
		.ops = &ops,
		.arg = f,
	    },
	    why);
	if (f->child == NULL)
		return (-1);
	d->running++;
	return (0);
}

/* True when that death may be no fault of the file's, and it is described
 * again: once, for a file that eats all memory dies like that as well. */
static bool
describe_again(struct file *f, const struct death *death)
{
	struct why why;

	if (f->again || death->cause != DEATH_CRASH || death->signal != SIGKILL)
		return (false);
	f->again = true;
	log_warn("module %s: while it was loaded, the child %s; trying again",
	    f->path, death->text);
	if (start(f, &why) == 0)
		return (true);
	(void)strlcpy(f->failure, why.text, sizeof(f->failure));
	return (false);
}

static void
on_gone(struct child *c, const struct death *death, void *arg)
{
	struct file *f = arg;
	const bool failed = !f->described && f->failure[0] == '\0';

	f->child = NULL;
	if (failed && !describe_again(f, death) && f->failure[0] == '\0')
		(void)snprintf(f->failure, sizeof(f->failure), "%s%s",
		    death->cause == DEATH_CRASH ?
			"while it was loaded, the child " :
			"",
		    death->text);
	child_free(c);
	f->discovery->running--;
	discovery_check(f->discovery);
}

char *
discovery_find(const char *written, struct why *why)
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
	struct why why;

	if ((f->path = discovery_find(f->written, &why)) == NULL ||
	    pin(f, &why) == -1 || start(f, &why) == -1)
		(void)strlcpy(f->failure, why.text, sizeof(f->failure));
}

struct file *
discovery_file(const struct discovery *d, const char *written)
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

	if (discovery_file(d, written) != NULL)
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
    enum discovery_mode mode, discovery_done done, void *arg, struct why *why)
{
	const struct conf_handler *h;
	const struct conf_module *m;
	struct discovery *d;

	if ((d = calloc(1, sizeof(*d))) == NULL) {
		why_errno(why, "discovery");
		return (NULL);
	}
	TAILQ_INIT(&d->files);
	TAILQ_INIT(&d->residents);
	d->mode = mode;
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
	if (discovery_add_residents(d, why) == -1)
		goto fail;
	discovery_check(d);
	return (d);

fail:
	discovery_free(d);
	return (NULL);
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
	discovery_free_residents(d);
	free(d);
}
