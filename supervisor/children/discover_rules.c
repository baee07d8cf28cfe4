/* SPDX-License-Identifier: ISC */
/*
 * discover_rules.c: the table of handlers, from what the configuration says
 * and what its files hold. A module block takes every handler of its file; a
 * handler block selects one, says what runs it, or gives it another category.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/children/discover_parts.h"
#include "supervisor/conf.h"
#include "supervisor/conf_problem.h"
#include "supervisor/handler.h"

#define DEFAULT_CATEGORY "default"

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

static void
words_free(char **words)
{
	size_t i;

	for (i = 0; words != NULL && words[i] != NULL; i++)
		free(words[i]);
	free(words);
}

/* A command with the absolute path of its program. Caller frees with
 * words_free(). NULL and why. */
static char **
find_command(char *const *words, struct why *why)
{
	struct stat st;
	size_t n = 0;
	char **found;

	while (words[n] != NULL)
		n++;
	if ((found = calloc(n + 1, sizeof(*found))) == NULL) {
		why_errno(why, "command");
		return (NULL);
	}
	if ((found[0] = discovery_find(words[0], why)) == NULL)
		goto fail;
	if (stat(found[0], &st) == -1 || !S_ISREG(st.st_mode) ||
	    access(found[0], X_OK) == -1) {
		/* Root may execute what nobody may: then X_OK says no. */
		why_set(why,
		    "cannot be executed: %s: not an executable file (chmod "
		    "+x)",
		    found[0]);
		goto fail;
	}
	while (--n > 0)
		if ((found[n] = strdup(words[n])) == NULL) {
			why_errno(why, "command");
			goto fail;
		}
	return (found);

fail:
	words_free(found);
	return (NULL);
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

	if ((words = find_command(ch->exec, &why)) == NULL) {
		conf_problem_add(
		    problems, "handler %s: exec %s", ch->name, why.text);
		return (NULL);
	}
	source = handler_source_add(t, SOURCE_EXEC, ch->name, words);
	h = source != NULL ?
	    handler_add(t, ch->name, DEFAULT_CATEGORY, source->words[0]) :
	    NULL;
	if (h == NULL)
		conf_problem_memory(problems);
	else
		h->source = source;
	return (h);
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
		conf_problem_add(problems,
		    "handler %s: no module has a handler of that name; "
		    "name its file with module = FILE, or a program with "
		    "exec = PATH",
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
