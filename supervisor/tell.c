/* SPDX-License-Identifier: ISC */
/*
 * tell.c: what the orchestrator is told of the children's side: which task
 * types are offered, which of them have a child that is ready, and what is
 * being done.
 */
#include <stdlib.h>
#include <string.h>

#include "supervisor/base/log.h"
#include "supervisor/base/pairs.h"
#include "supervisor/base/reserve.h"
#include "supervisor/conf.h"
#include "supervisor/orchestrator/orchestrator.h"
#include "supervisor/run.h"

/* Parallel dispatch asks for this one (contract, S15). */
#define SKILL_VERSION "1.0.0"

/* As the handler's block has it, else resources.costs, else its program. */
static double
cost_of(const struct conf *conf, const struct handler *h)
{
	const struct conf_handler *block = conf_handler(conf, h->type);
	const char *at = conf->resources.costs;
	const size_t len = strlen(h->type);
	struct pair pair;

	if (block != NULL && block->cost != NULL)
		return (strtod(block->cost, NULL));
	while (pairs_next(&at, &pair) != 0)
		if (pair.name_len == len &&
		    memcmp(pair.name, h->type, len) == 0)
			return (strtod(pair.value, NULL));
	return (h->declared.cost != NULL ? strtod(h->declared.cost, NULL) : -1);
}

static struct skill
skill_of(const struct conf *conf, const struct handler *h)
{
	const struct conf_handler *block = conf_handler(conf, h->type);
	struct skill skill = {
		.name = h->type,
		.category = h->category,
		.type = h->declared.kind,
		.version = h->declared.version,
		.cost = cost_of(conf, h),
		.declared = &h->declared,
	};

	/* Nobody asks for the default one: it is where those go that nobody
	 * has put anywhere. */
	if (skill.type == NULL &&
	    strcmp(h->category, CONF_DEFAULT_CATEGORY) != 0)
		skill.type = h->category;
	if (block != NULL && block->version != NULL)
		skill.version = block->version;
	if (skill.version == NULL)
		skill.version = SKILL_VERSION;
	return (skill);
}

/*
 * Nothing at all is told as well, once there has been something: new jobs then
 * go to other workers, or end at once where there are none, and what has been
 * queued for us stays queued. A status other than idle would have the same
 * effect, and silence would have it later.
 */
static void
say(struct supervisor *s, const struct offered *offered)
{
	if (offered->count > 0 || s->options->local_path != NULL) {
		s->offered = true;
		orchestrator_offer(s->orchestrator, offered);
		return;
	}
	if (!s->offered) {
		log_warn("nothing to offer: no category has a child that "
			 "starts; not registering until one does");
		return;
	}
	log_warn("no category has a child that starts any more; taking back "
		 "what was offered until one does");
	orchestrator_offer(s->orchestrator, offered);
}

void
run_offer(struct supervisor *s)
{
	const struct handler_table *handlers = &s->now->handlers;
	const struct conf *conf = s->now->conf;
	struct offered offered = {
		.max_concurrent_tasks = conf->worker.max_concurrent_tasks,
	};
	struct handler *h = NULL;
	struct skill *skills;

	skills = reserve_calloc(handlers->count + 1, sizeof(*skills));
	if (skills == NULL) {
		log_err("no memory for the offer");
		return;
	}
	while ((h = handler_next(handlers, h)) != NULL)
		if (program_is_offered(h->program))
			skills[offered.count++] = skill_of(conf, h);
	offered.skills = skills;
	say(s, &offered);
	free(skills);
}

void
run_at_work(struct orchestrator *o, struct at_work *work, void *arg)
{
	struct supervisor *s = arg;
	struct lease *l;

	for (l = lease_first(&s->leases); l != NULL; l = lease_next(l)) {
		if (l->state == LEASE_FINISHED || l->origin != o)
			continue;
		work->newest = l->id;
		work->running += l->state == LEASE_RUNNING;
		if (work->ids_count + 2 > AT_WORK_MAX)
			continue;
		work->ids[work->ids_count++] = l->task.task_id;
		work->ids[work->ids_count++] = l->task.job_id;
	}
}

bool
run_is_hot(struct orchestrator *o, const char *type, void *arg)
{
	struct supervisor *s = arg;
	const struct program *p = generation_program_of(s->now, type);
	const struct child *c;

	(void)o;
	if (p == NULL)
		return (false);
	TAILQ_FOREACH(c, &p->children, entry)
		if ((c->state == CHILD_IDLE || c->state == CHILD_BUSY) &&
		    held_has_skill(&c->held, type))
			return (true);
	return (false);
}

size_t
run_hot_cache(struct orchestrator *o, char **names, size_t max, void *arg)
{
	struct supervisor *s = arg;
	const struct program *p;
	const struct child *c;
	size_t count = 0;

	(void)o;
	TAILQ_FOREACH(p, &s->now->programs, entry)
		TAILQ_FOREACH(c, &p->children, entry)
			if (c->state == CHILD_IDLE || c->state == CHILD_BUSY)
				count =
				    held_add_cache(&c->held, names, count, max);
	return (count);
}
