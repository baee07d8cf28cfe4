/* SPDX-License-Identifier: ISC */
/*
 * discover_rules.c: the table of handlers, from what the configuration says
 * and what its files hold. A module block takes every handler of its file; a
 * handler block selects one, says what runs it, or gives it another category.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/children/discover_parts.h"
#include "supervisor/conf.h"
#include "supervisor/conf_problem.h"
#include "supervisor/handler.h"

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
	return (h->category != NULL ? h->category : CONF_DEFAULT_CATEGORY);
}

/* True when a handler block says what runs that type. */
static bool
is_overridden(const struct conf *conf, const char *type)
{
	const struct conf_handler *h;

	TAILQ_FOREACH(h, &conf->handlers, entry)
		if ((h->module != NULL || h->exec != NULL) &&
		    strcmp(h->name, type) == 0)
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
	if (h == NULL)
		return (NULL);
	h->pinned = f->kept;
	return (handler_declare(h, &offered->declared) == 0 ? h : NULL);
}

/* module NAME { file = ... }: all of it, but what is overridden. */
static void
resolve_module(struct discovery *d, const struct conf_module *m,
    struct handler_table *t, struct conf_problems *problems)
{
	struct file *f = discovery_file(d, m->file);
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

/* handler TYPE { exec = ... }; NULL and a problem. */
static struct handler *
add_executable(const struct conf_handler *ch, struct handler_table *t,
    struct conf_problems *problems)
{
	struct handler_source *source;
	struct handler *h;
	struct why why;
	char **words;

	if ((words = discovery_command(ch->exec, &why)) == NULL) {
		conf_problem_add(
		    problems, "handler %s: exec %s", ch->name, why.text);
		return (NULL);
	}
	source = handler_source_add(t, SOURCE_EXEC, ch->name,
	    ch->category != NULL ? ch->category : CONF_DEFAULT_CATEGORY, words);
	h = source != NULL ?
	    handler_add(t, ch->name, source->category, source->words[0]) :
	    NULL;
	if (h == NULL)
		conf_problem_memory(problems);
	else {
		h->source = source;
		source->settings = &ch->settings;
	}
	return (h);
}

/* A handler that a resident offers; false when it cannot be. */
static bool
add_resident(struct discovery *d, struct resident *r,
    const struct offer_handler *offered, struct handler_table *t,
    struct conf_problems *problems)
{
	const struct handler *other;
	struct handler *h;

	if (is_overridden(d->conf, offered->type))
		return (true);
	h = handler_add(t, offered->type,
	    offered->category != NULL ? offered->category : r->category,
	    r->source->words[0]);
	if (h != NULL) {
		h->source = r->source;
		if (handler_declare(h, &offered->declared) == 0)
			return (true);
		conf_problem_memory(problems);
		return (false);
	}
	if ((other = handler_find(t, offered->type)) == NULL) {
		conf_problem_memory(problems);
		return (false);
	}
	if (other->source == r->source)
		conf_problem_add(problems,
		    "%s: it offers task type \"%s\" twice", r->from,
		    offered->type);
	else
		conf_problem_add(problems,
		    "%s: task type \"%s\" is in %s too; choose one with "
		    "handler %s { module = FILE } or { exec = PATH }",
		    r->from, offered->type,
		    other->source != NULL ? other->source->name : other->file,
		    offered->type);
	return (false);
}

/* python or channel NAME { }: all that it offers, but what is overridden. */
static void
resolve_resident(struct discovery *d, struct resident *r,
    struct handler_table *t, struct conf_problems *problems)
{
	size_t i;

	if (!r->described)
		return;
	r->source =
	    handler_source_add(t, r->kind, r->name, r->category, r->words);
	r->words = NULL;
	if (r->source == NULL) {
		conf_problem_memory(problems);
		return;
	}
	r->source->settings = r->settings;
	if (r->offer.count == 0)
		conf_problem_add(
		    problems, "%s: it offers no handlers", r->from);
	for (i = 0; i < r->offer.count; i++)
		if (!add_resident(d, r, &r->offer.handlers[i], t, problems))
			return;
}

/* handler TYPE { module = ..., exec = ..., category = ... } */
static void
resolve_handler(struct discovery *d, const struct conf_handler *ch,
    struct handler_table *t, struct conf_problems *problems)
{
	const struct offer_handler *h;
	struct handler *handler;
	struct file *f;

	if (ch->module != NULL) {
		f = discovery_file(d, ch->module);
		if (f->failure[0] != '\0')
			return; /* said already */
		if ((h = offered(f, ch->name)) == NULL) {
			conf_problem_add(problems,
			    "handler %s: %s has no handler of that name",
			    ch->name, f->path);
			return;
		}
		handler = add_handler(t, f, h);
	} else if (ch->exec != NULL) {
		if ((handler = add_executable(ch, t, problems)) == NULL)
			return;
	} else if ((handler = handler_find(t, ch->name)) == NULL) {
		if (discovery_is_partial(d) || discovery_is_failing(d))
			return; /* it may be of one that is not known yet */
		conf_problem_add(problems,
		    "handler %s: no module or script has a handler of that "
		    "name; name its file with module = FILE, or a program "
		    "with exec = PATH",
		    ch->name);
		return;
	}
	if (handler == NULL ||
	    (ch->category != NULL &&
		handler_set_category(handler, ch->category) == -1)) {
		conf_problem_memory(problems);
		return;
	}
	if (handler_source_stays(handler->source) &&
	    (ch->settings.set != NULL || ch->settings.set_file != NULL)) {
		conf_problem_add(problems,
		    "handler %s: its settings are those of its program; write "
		    "them into block %s",
		    ch->name, handler->source->name);
		return;
	}
	handler->settings = &ch->settings;
	handler->time_limit_ms = ch->time_limit_ms;
	handler->soft_time_limit_ms = ch->soft_time_limit_ms;
}

/* True when it need not start now: it is tried again. */
static bool
may_wait(const struct discovery *d, const struct resident *r)
{
	return (d->mode == DISCOVER_SOME && r->was_started);
}

/* waiting: of those that may wait, or of the others. */
static void
add_failures(struct discovery *d, bool waiting, struct conf_problems *problems)
{
	const struct resident *r;

	TAILQ_FOREACH(r, &d->residents, entry)
		if (r->failure[0] != '\0' && may_wait(d, r) == waiting)
			conf_problem_add(
			    problems, "%s: %s", r->from, r->failure);
}

int
discovery_resolve(struct discovery *d, struct handler_table *t,
    struct conf_problems *problems)
{
	const struct conf_handler *h;
	const struct conf_module *m;
	const struct file *f;
	struct resident *r;

	TAILQ_FOREACH(f, &d->files, entry)
		if (f->failure[0] != '\0')
			conf_problem_add(problems, "module %s: %s",
			    f->path != NULL ? f->path : f->written, f->failure);
	TAILQ_FOREACH(m, &d->conf->modules, entry)
		resolve_module(d, m, t, problems);
	add_failures(d, false, problems);
	TAILQ_FOREACH(r, &d->residents, entry)
		resolve_resident(d, r, t, problems);
	TAILQ_FOREACH(h, &d->conf->handlers, entry)
		resolve_handler(d, h, t, problems);
	/* The worker does not start without the others, or with none. */
	if (problems->count > 0 || t->count == 0)
		add_failures(d, true, problems);
	return (problems->count == 0 ? 0 : -1);
}

void
discovery_forget(struct resident *r, struct handler_table *t)
{
	r->words = handler_source_remove(t, r->source);
	r->source = NULL;
}

int
discovery_resolve_late(struct discovery *d, struct resident *r,
    struct handler_table *t, struct conf_problems *problems)
{
	const struct conf_handler *h;
	const struct handler *found;

	resolve_resident(d, r, t, problems);
	TAILQ_FOREACH(h, &d->conf->handlers, entry)
		if (h->module == NULL && h->exec == NULL &&
		    (found = handler_find(t, h->name)) != NULL &&
		    found->source == r->source)
			resolve_handler(d, h, t, problems);
	if (problems->count == 0)
		return (0);
	if (r->source != NULL)
		discovery_forget(r, t);
	return (-1);
}
