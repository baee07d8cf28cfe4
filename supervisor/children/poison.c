/* SPDX-License-Identifier: ISC */
/*
 * poison.c: the table of deaths: a tree to find a pair in, and a list of the
 * same entries, latest death first, whose last one makes room.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "supervisor/children/poison.h"

struct entry {
	RB_ENTRY(entry) in_tree;
	TAILQ_ENTRY(entry) in_list;
	char *job_id;
	char *type;
	pid_t last; /* the child that died last */
	unsigned deaths;
	unsigned by_cause[DEATH_NCAUSES];
};

RB_HEAD(entries, entry);

struct poison {
	struct entries tree;
	TAILQ_HEAD(entry_list, entry) list; /* latest death first */
	size_t count;
	unsigned max;
};

static int
compare(const struct entry *a, const struct entry *b)
{
	const int order = strcmp(a->job_id, b->job_id);

	return (order != 0 ? order : strcmp(a->type, b->type));
}

#define UNUSED_STATIC static __attribute__((__unused__))
RB_GENERATE_INTERNAL(entries, entry, in_tree, compare, UNUSED_STATIC)

struct poison *
poison_new(unsigned max)
{
	struct poison *p;

	if ((p = calloc(1, sizeof(*p))) == NULL)
		return (NULL);
	RB_INIT(&p->tree);
	TAILQ_INIT(&p->list);
	p->max = max;
	return (p);
}

static void
entry_free(struct entry *e)
{
	free(e->job_id);
	free(e->type);
	free(e);
}

static void
forget(struct poison *p, struct entry *e)
{
	(void)RB_REMOVE(entries, &p->tree, e);
	TAILQ_REMOVE(&p->list, e, in_list);
	p->count--;
	entry_free(e);
}

void
poison_free(struct poison *p)
{
	struct entry *e;

	if (p == NULL)
		return;
	while ((e = TAILQ_FIRST(&p->list)) != NULL)
		forget(p, e);
	free(p);
}

void
poison_set_max(struct poison *p, unsigned max)
{
	p->max = max;
}

bool
poison_counts(enum death_cause cause)
{
	switch (cause) {
	case DEATH_CRASH:
	case DEATH_OOM:
	case DEATH_MEMORY_LIMIT:
	case DEATH_CPU_LIMIT:
	case DEATH_PROTOCOL:
		return (true);
	default:
		return (false);
	}
}

static struct entry *
find(struct poison *p, const char *job_id, const char *type)
{
	struct entry key = { .job_id = (char *)job_id, .type = (char *)type };

	return (RB_FIND(entries, &p->tree, &key));
}

static struct entry *
insert(struct poison *p, const char *job_id, const char *type)
{
	struct entry *e;

	if ((e = calloc(1, sizeof(*e))) == NULL)
		return (NULL);
	e->job_id = strdup(job_id);
	e->type = strdup(type);
	if (e->job_id == NULL || e->type == NULL) {
		entry_free(e);
		return (NULL);
	}
	if (p->count == POISON_ENTRIES_MAX)
		forget(p, TAILQ_LAST(&p->list, entry_list));
	(void)RB_INSERT(entries, &p->tree, e);
	TAILQ_INSERT_HEAD(&p->list, e, in_list);
	p->count++;
	return (e);
}

/* "3 children died over this task (crash 2, oom 1)" */
static void
describe(const struct entry *e, char *text, size_t size)
{
	const char *separator = " (";
	size_t len;
	int cause;

	(void)snprintf(text, size, "%u child%s died over this task", e->deaths,
	    e->deaths == 1 ? "" : "ren");
	for (cause = 0; cause < DEATH_NCAUSES; cause++) {
		if (e->by_cause[cause] == 0)
			continue;
		len = strlen(text);
		(void)snprintf(text + len, size - len, "%s%s %u", separator,
		    death_cause_name((enum death_cause)cause),
		    e->by_cause[cause]);
		separator = ", ";
	}
	len = strlen(text);
	(void)snprintf(text + len, size - len, ")");
}

bool
poison_add(struct poison *p, const char *job_id, const char *type,
    const struct death *death, char *text, size_t size)
{
	struct entry *e;

	if ((e = find(p, job_id, type)) == NULL) {
		if ((e = insert(p, job_id, type)) == NULL)
			return (false);
	} else {
		TAILQ_REMOVE(&p->list, e, in_list);
		TAILQ_INSERT_HEAD(&p->list, e, in_list);
	}
	if (e->last != death->pid) {
		e->last = death->pid;
		e->deaths++;
		e->by_cause[death->cause]++;
	}
	if (e->deaths < p->max)
		return (false);
	describe(e, text, size);
	return (true);
}

void
poison_clear(struct poison *p, const char *job_id, const char *type)
{
	struct entry *e;

	if (p->count > 0 && (e = find(p, job_id, type)) != NULL)
		forget(p, e);
}
