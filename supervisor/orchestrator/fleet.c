/* SPDX-License-Identifier: ISC */
/* fleet.c: hands on what concerns all orchestrators, and shares out the polls
 * among them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/sys/queue.h>

#include "supervisor/base/log.h"
#include "supervisor/base/text.h"
#include "supervisor/conf.h"
#include "supervisor/orchestrator/fleet.h"
#include "supervisor/orchestrator/outbox.h"
#include "supervisor/orchestrator/remote.h"

#define WORKER_ID_MAX 64

/* One registration. */
struct member {
	TAILQ_ENTRY(member) entry;
	struct remote *remote; /* owned */
	char *worker_id;
	char *category; /* whose tasks it is for; NULL: any */
	int64_t turn; /* of the round robin */
};

struct fleet {
	struct orchestrator base; /* first */
	struct fleet_settings set;
	TAILQ_HEAD(, member) members; /* by priority */
	bool kicking; /* fleet_kick() is at work */
	bool draining;
	bool offered; /* something has been: all members are there */
};

static struct orchestrator *
part(const struct member *m)
{
	return (&m->remote->base);
}

/*
 * Polls.
 */

/* Polls that are out for a category, or all with NULL, where tasks flow. */
static unsigned
polls_out(const struct fleet *f, const char *category)
{
	const struct member *m;
	unsigned n = 0;

	TAILQ_FOREACH(m, &f->members, entry)
		if (polling_is_flowing(m->remote) &&
		    (category == NULL ||
			(m->category != NULL &&
			    strcmp(m->category, category) == 0)))
			n += m->remote->polling.in_flight;
	return (n);
}

static unsigned
places(const struct fleet *f, const char *category)
{
	return (f->base.ops->places(category, f->base.arg));
}

static bool
has_room(const struct fleet *f, const struct member *m)
{
	return (m->category == NULL ||
	    places(f, m->category) > polls_out(f, m->category));
}

/* Where no task has come of late, one poll is parked: there is always
 * somebody who hears of the next, and it costs nobody a place. */
static void
park(struct fleet *f)
{
	struct member *m;

	TAILQ_FOREACH(m, &f->members, entry)
		if (!polling_is_flowing(m->remote) &&
		    polling_wants_more(m->remote) &&
		    (m->category == NULL || places(f, m->category) > 0))
			polling_start(m->remote);
}

/* May be given one of the places that tasks flow into. */
static bool
is_candidate(const struct fleet *f, const struct member *m)
{
	return (polling_is_flowing(m->remote) &&
	    polling_wants_more(m->remote) && has_room(f, m));
}

/* Smooth weighted: each candidate gains its weight, and the one that has most
 * pays for all. */
static struct member *
next_in_turn(struct fleet *f)
{
	struct member *m, *best = NULL;
	int64_t total = 0;

	TAILQ_FOREACH(m, &f->members, entry) {
		if (!is_candidate(f, m))
			continue;
		m->turn += m->remote->conf->weight;
		total += m->remote->conf->weight;
		if (best == NULL || m->turn > best->turn)
			best = m;
	}
	if (best != NULL)
		best->turn -= total;
	return (best);
}

/* In order. With alone, those behind the first that answers get a single
 * poll. */
static struct member *
next_in_order(struct fleet *f, bool alone)
{
	struct member *m;
	bool answered = false;

	TAILQ_FOREACH(m, &f->members, entry) {
		if (is_candidate(f, m) &&
		    !(alone && answered && m->remote->polling.in_flight > 0))
			return (m);
		answered = answered || polling_answers(m->remote);
	}
	return (NULL);
}

static struct member *
next_member(struct fleet *f)
{
	switch (f->set.conf->worker.orchestrator_mode) {
	case CONF_MODE_ROUND_ROBIN:
		return (next_in_turn(f));
	case CONF_MODE_FAILOVER:
		return (next_in_order(f, true));
	case CONF_MODE_WATERFALL:
		break;
	}
	return (next_in_order(f, false));
}

void
fleet_kick(struct fleet *f)
{
	struct member *m;
	unsigned left;

	if (f->kicking || f->draining || (left = places(f, NULL)) == 0)
		return;
	f->kicking = true;
	park(f);
	/* A poll that cannot be started is not wanted for a while. */
	while (polls_out(f, NULL) < left && (m = next_member(f)) != NULL)
		polling_start(m->remote);
	f->kicking = false;
}

static void
kick(struct orchestrator *o)
{
	fleet_kick((struct fleet *)o);
}

/*
 * Members.
 */

static void
member_free(struct member *m)
{
	if (m->remote != NULL)
		orchestrator_free(part(m));
	free(m->worker_id);
	free(m->category);
	free(m);
}

/* The last member of an orchestrator and all before it, or NULL. */
static struct member *
last_before(struct fleet *f, const struct conf_orchestrator *conf)
{
	struct member *m, *found = NULL;
	const struct conf_orchestrator *c;

	TAILQ_FOREACH(c, &f->set.conf->orchestrators, entry) {
		TAILQ_FOREACH(m, &f->members, entry)
			if (m->remote->conf == c)
				found = m;
		if (c == conf)
			break;
	}
	return (found);
}

/* Takes worker_id and category. NULL and why. */
static struct member *
member_new(struct fleet *f, const struct conf_orchestrator *conf,
    char *worker_id, char *category, struct why *why)
{
	struct member *m, *before = last_before(f, conf);

	if ((m = calloc(1, sizeof(*m))) == NULL) {
		why_errno(why, "orchestrator %s", conf->name);
		free(worker_id);
		free(category);
		return (NULL);
	}
	m->worker_id = worker_id;
	m->category = category;
	m->remote = remote_new(
	    &(struct remote_settings){
		.conf = conf,
		.worker = &f->set.conf->worker,
		.resources = &f->set.conf->resources,
		.storage = &f->set.conf->storage,
		.worker_id = worker_id,
		.loop = f->set.loop,
		.http = f->set.http,
		.outbox = f->set.outbox,
		.stats = f->set.stats,
		.fleet = f,
	    },
	    f->base.ops, f->base.arg, why);
	if (m->remote == NULL) {
		member_free(m);
		return (NULL);
	}
	if (before != NULL)
		TAILQ_INSERT_AFTER(&f->members, before, m, entry);
	else
		TAILQ_INSERT_HEAD(&f->members, m, entry);
	return (m);
}

/* ID-CATEGORY, with what ids may not have as "_". NULL and why. */
static char *
category_id(const char *worker_id, const char *category, struct why *why)
{
	char *id = text_format("%s-%s", worker_id, category), *p;

	if (id == NULL) {
		why_errno(why, "category %s", category);
		return (NULL);
	}
	if (strlen(id) > WORKER_ID_MAX) {
		why_set(why,
		    "\"%.128s\" is longer than the %d characters of an id; "
		    "shorten worker.id or the category's name",
		    id, WORKER_ID_MAX);
		free(id);
		return (NULL);
	}
	for (p = id; *p != '\0'; p++)
		if (*p == '.' || *p == ':')
			*p = '_';
	return (id);
}

static struct member *
find_member(
    struct fleet *f, const struct conf_orchestrator *conf, const char *category)
{
	struct member *m;

	TAILQ_FOREACH(m, &f->members, entry)
		if (m->remote->conf == conf && m->category != NULL &&
		    strcmp(m->category, category) == 0)
			return (m);
	return (NULL);
}

static bool
is_taken(
    const struct fleet *f, const struct conf_orchestrator *conf, const char *id)
{
	const struct member *m;

	TAILQ_FOREACH(m, &f->members, entry)
		if (m->remote->conf == conf && strcmp(m->worker_id, id) == 0)
			return (true);
	return (false);
}

/* Makes one for a category that has none yet; says why when it cannot. */
static void
ensure_member(
    struct fleet *f, const struct conf_orchestrator *conf, const char *category)
{
	char *id, *name;
	struct why why;

	if (find_member(f, conf, category) != NULL)
		return;
	if ((id = category_id(f->set.worker_id, category, &why)) != NULL) {
		if (is_taken(f, conf, id))
			why_set(&why,
			    "its id would be that of another category, %s", id);
		else if ((name = strdup(category)) == NULL)
			why_errno(&why, "category");
		else if (member_new(f, conf, id, name, &why) != NULL)
			return;
		else
			id = NULL; /* is gone with it */
	}
	free(id);
	log_err("category %s is not registered at %s: %s", category, conf->url,
	    why.text);
}

/*
 * What concerns all.
 */

static void
offer_to(struct member *m, const struct offered *offered)
{
	struct offered own = *offered;
	struct skill *skills;
	size_t i;

	if (m->category == NULL) {
		orchestrator_offer(part(m), offered);
		return;
	}
	if ((skills = calloc(offered->count + 1, sizeof(*skills))) == NULL) {
		log_err("no memory for the offer of category %s", m->category);
		return;
	}
	own.count = 0;
	own.skills = skills;
	for (i = 0; i < offered->count; i++)
		if (strcmp(offered->skills[i].category, m->category) == 0)
			skills[own.count++] = offered->skills[i];
	/* One that is not registered yet would be with what it knows. */
	if (own.count > 0 || m->remote->facts.skills_count > 0)
		orchestrator_offer(part(m), &own);
	free(skills);
}

static void
offer(struct orchestrator *o, const struct offered *offered)
{
	struct fleet *f = (struct fleet *)o;
	const struct conf_orchestrator *conf;
	struct member *m;
	size_t i;

	TAILQ_FOREACH(conf, &f->set.conf->orchestrators, entry)
		for (i = 0; i < offered->count &&
		     conf->registration == CONF_REGISTRATION_CATEGORY;
		     i++)
			ensure_member(f, conf, offered->skills[i].category);
	if (!f->offered)
		outbox_tell_strangers(f->set.outbox);
	f->offered = true;
	TAILQ_FOREACH(m, &f->members, entry)
		offer_to(m, offered);
}

static void
touch(struct orchestrator *o)
{
	struct member *m;

	TAILQ_FOREACH(m, &((struct fleet *)o)->members, entry)
		orchestrator_touch(part(m));
}

static bool
goodbye(struct orchestrator *o)
{
	struct member *m;
	bool said = true;

	TAILQ_FOREACH(m, &((struct fleet *)o)->members, entry)
		said = orchestrator_goodbye(part(m)) && said;
	return (said);
}

static void
drain(struct orchestrator *o)
{
	struct fleet *f = (struct fleet *)o;
	struct member *m;

	f->draining = true;
	TAILQ_FOREACH(m, &f->members, entry)
		orchestrator_drain(part(m));
}

/* Nobody waits for one that is down while another has answered. */
static bool
tried(const struct orchestrator *o)
{
	const struct member *m;
	bool all = true;

	TAILQ_FOREACH(m, &((const struct fleet *)o)->members, entry) {
		if (orchestrator_registered(part(m)))
			return (true);
		all = all && orchestrator_tried(part(m));
	}
	return (all);
}

static bool
registered(const struct orchestrator *o)
{
	const struct member *m;

	TAILQ_FOREACH(m, &((const struct fleet *)o)->members, entry)
		if (orchestrator_registered(part(m)))
			return (true);
	return (false);
}

static unsigned
polls(const struct orchestrator *o)
{
	const struct member *m;
	unsigned n = 0;

	TAILQ_FOREACH(m, &((const struct fleet *)o)->members, entry)
		n += orchestrator_polls(part(m));
	return (n);
}

static unsigned
undelivered(const struct orchestrator *o)
{
	const struct member *m;
	unsigned n = 0;

	TAILQ_FOREACH(m, &((const struct fleet *)o)->members, entry)
		n += orchestrator_undelivered(part(m));
	return (n);
}

static bool
is_gone(const struct orchestrator *o)
{
	const struct member *m;

	TAILQ_FOREACH(m, &((const struct fleet *)o)->members, entry)
		if (!orchestrator_is_gone(part(m)))
			return (false);
	return (true);
}

static void
abandon_polls(struct orchestrator *o)
{
	struct member *m;

	TAILQ_FOREACH(m, &((struct fleet *)o)->members, entry)
		orchestrator_abandon_polls(part(m));
}

static bool
facts(const struct orchestrator *o, size_t i, struct orchestrator_facts *out)
{
	const struct member *m;

	TAILQ_FOREACH(m, &((const struct fleet *)o)->members, entry)
		if (i-- == 0)
			return (orchestrator_facts(part(m), 0, out));
	return (false);
}

static void
fleet_free(struct orchestrator *o)
{
	struct fleet *f = (struct fleet *)o;
	struct member *m;

	while ((m = TAILQ_FIRST(&f->members)) != NULL) {
		TAILQ_REMOVE(&f->members, m, entry);
		member_free(m);
	}
	free(f);
}

static const struct orchestrator_driver driver = {
	.offer = offer,
	.kick = kick,
	.touch = touch,
	.goodbye = goodbye,
	.drain = drain,
	.tried = tried,
	.registered = registered,
	.polls = polls,
	.undelivered = undelivered,
	.is_gone = is_gone,
	.abandon_polls = abandon_polls,
	.facts = facts,
	.free = fleet_free,
};

struct orchestrator *
fleet_new(const struct fleet_settings *set, const struct orchestrator_ops *ops,
    void *arg, struct why *why)
{
	const struct conf_orchestrator *conf;
	struct fleet *f;
	char *id;

	if ((f = calloc(1, sizeof(*f))) == NULL) {
		why_errno(why, "orchestrators");
		return (NULL);
	}
	f->base = (struct orchestrator){ &driver, ops, arg };
	f->set = *set;
	TAILQ_INIT(&f->members);
	TAILQ_FOREACH(conf, &set->conf->orchestrators, entry) {
		/* Those of categories are made when there are some. */
		if (conf->registration == CONF_REGISTRATION_CATEGORY)
			continue;
		if ((id = strdup(set->worker_id)) == NULL)
			why_errno(why, "orchestrator %s", conf->name);
		if (id == NULL || member_new(f, conf, id, NULL, why) == NULL) {
			fleet_free(&f->base);
			return (NULL);
		}
	}
	return (&f->base);
}
