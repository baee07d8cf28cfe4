/* SPDX-License-Identifier: ISC */
/*
 * discover_resident.c: the first child of each script and channel program. It
 * is started as all later ones will be, and what it says when it is ready is
 * the program's description; then it waits to be given to the program that is
 * made of it. One that dies in the meantime has still described it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>

#include "supervisor/base/log.h"
#include "supervisor/base/words.h"
#include "supervisor/children/child.h"
#include "supervisor/children/command.h"
#include "supervisor/children/discover_parts.h"
#include "supervisor/children/python.h"
#include "supervisor/conf.h"
#include "supervisor/handler.h"

char **
discovery_command(char *const *words, struct why *why)
{
	struct words w = { 0 };
	struct stat st;
	char *path, **found;

	if ((path = discovery_find(*words, why)) == NULL)
		return (NULL);
	if (stat(path, &st) == -1 || !S_ISREG(st.st_mode) ||
	    access(path, X_OK) == -1) {
		/* Root may execute what nobody may: then X_OK says no. */
		why_set(why,
		    "cannot be executed: %s: not an executable file (chmod "
		    "+x)",
		    path);
		free(path);
		return (NULL);
	}
	words_add(&w, path);
	while (*++words != NULL)
		words_add(&w, strdup(*words));
	if ((found = words_take(&w)) == NULL)
		why_errno(why, "command");
	return (found);
}

static void
answered(struct resident *r)
{
	r->discovery->running--;
	discovery_check(r->discovery);
}

static void
on_ready(struct child *c, const struct offer *offer, void *arg)
{
	struct resident *r = arg;

	(void)c;
	if (offer_copy(offer, &r->offer) == -1)
		(void)strlcpy(r->failure, "out of memory", sizeof(r->failure));
	else /* what was only compiled offers nothing */
		r->described = r->discovery->mode != DISCOVER_FILES;
	answered(r);
}

void
discovery_note_death(struct resident *r, const struct death *death)
{
	(void)snprintf(r->failure, sizeof(r->failure), "%s%s",
	    death->cause == DEATH_CRASH ? "while it started, its child " : "",
	    death->text);
}

static void
on_gone(struct child *c, const struct death *death, void *arg)
{
	struct resident *r = arg;
	const bool had_answered = c->was_ready;

	r->child = NULL;
	child_free(c);
	if (had_answered)
		return;
	discovery_note_death(r, death);
	answered(r);
}

static const struct child_ops ops = {
	.ready = on_ready,
	.finished = NULL, /* it is given no lease yet */
	.gone = on_gone,
};

int
discovery_start(
    struct resident *r, const struct child_ops *child_ops, struct why *why)
{
	const struct discovery *d = r->discovery;
	const struct handler_source source = {
		.kind = r->kind,
		.name = (char *)(uintptr_t)r->name,
		.words = r->words,
		.settings = r->settings,
	};
	const struct command_settings set = {
		.category = r->category,
		.conf = conf_category_or_default(d->conf, r->category),
		.source = &source,
		.env = d->env,
		.inherit = conf_inherits(d->conf),
	};
	struct child_start how = { .ops = child_ops, .arg = r };
	struct command command;

	if (command_init(&command, &set, why) == -1)
		return (-1);
	command_fill(&how, &command, &set);
	r->child = child_new(&how, why);
	command_fini(&command);
	return (r->child != NULL ? 0 : -1);
}

/* For the first time. */
static void
start(struct resident *r)
{
	struct why why;

	if (discovery_start(r, &ops, &why) == -1) {
		(void)strlcpy(r->failure, why.text, sizeof(r->failure));
		return;
	}
	r->was_started = true;
	r->discovery->running++;
}

/* Takes the words; NULL: why says what is wrong with them. */
static int
add(struct discovery *d, enum source_kind kind, const char *name,
    const char *category, const struct conf_settings *settings, char **words,
    struct why *why)
{
	struct resident *r;

	if ((r = calloc(1, sizeof(*r))) == NULL) {
		why_errno(why, "discovery");
		words_free(words);
		return (-1);
	}
	r->discovery = d;
	r->kind = kind;
	r->name = name;
	(void)snprintf(r->from, sizeof(r->from), "%s %s",
	    kind == SOURCE_PYTHON ? "python" : "channel", name);
	r->category = category != NULL ? category : CONF_DEFAULT_CATEGORY;
	r->settings = settings;
	r->words = words;
	TAILQ_INSERT_TAIL(&d->residents, r, entry);
	if (words == NULL)
		(void)strlcpy(r->failure, why->text, sizeof(r->failure));
	else if (d->mode != DISCOVER_FILES || kind == SOURCE_PYTHON)
		start(r);
	return (0);
}

int
discovery_add_residents(struct discovery *d, struct why *why)
{
	const struct conf_python *py;
	const struct conf_channel *ch;

	TAILQ_FOREACH(py, &d->conf->pythons, entry)
		if (add(d, SOURCE_PYTHON, py->name, py->category, &py->settings,
			python_command(
			    py, d->env->python, d->mode == DISCOVER_FILES, why),
			why) == -1)
			return (-1);
	TAILQ_FOREACH(ch, &d->conf->channels, entry)
		if (add(d, SOURCE_CHANNEL, ch->name, ch->category,
			&ch->settings, discovery_command(ch->exec, why),
			why) == -1)
			return (-1);
	return (0);
}

bool
discovery_may_pass(const struct discovery *d)
{
	return (d->mode != DISCOVER_FILES && discovery_is_failing(d));
}

bool
discovery_is_partial(const struct discovery *d)
{
	return (d->mode == DISCOVER_FILES && !TAILQ_EMPTY(&d->residents));
}

void
discovery_each_offer(const struct discovery *d,
    void (*found)(const char *from, const struct offer *, void *arg), void *arg)
{
	const struct resident *r;

	TAILQ_FOREACH(r, &d->residents, entry)
		if (r->described)
			found(r->from, &r->offer, arg);
}

struct child *
discovery_take(struct discovery *d, const struct handler_source *source,
    struct offer *offer)
{
	struct resident *r;
	struct child *c;

	TAILQ_FOREACH(r, &d->residents, entry)
		if (r->source == source)
			break;
	if (r == NULL)
		return (NULL);
	c = r->child;
	r->child = NULL;
	*offer = r->offer;
	r->offer = (struct offer){ 0 };
	return (c);
}

void
discovery_free_residents(struct discovery *d)
{
	struct resident *r;

	while ((r = TAILQ_FIRST(&d->residents)) != NULL) {
		TAILQ_REMOVE(&d->residents, r, entry);
		if (r->child != NULL) {
			child_kill(
			    r->child, DEATH_STOP, "was no longer needed");
			child_free(r->child);
		}
		discovery_again_fini(r);
		offer_fini(&r->offer);
		words_free(r->words);
		free(r);
	}
}
