/* SPDX-License-Identifier: ISC */
/*
 * ended.c: a tree by orchestrator and task id, and a list by age, of the same
 * tasks. The journal has them on disk; the outbox keeps the two alike.
 */
#include <stdlib.h>
#include <string.h>

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "supervisor/orchestrator/ended.h"
#include "supervisor/orchestrator/journal_db.h"

/* A task that is over. */
struct ended_task {
	RB_ENTRY(ended_task) node;
	TAILQ_ENTRY(ended_task) entry;
	char key[]; /* orchestrator and task id */
};

RB_HEAD(ended_tree, ended_task);

struct ended {
	struct ended_tree tree;
	TAILQ_HEAD(, ended_task) in_order; /* oldest first */
	unsigned count;
};

static int
compare(const struct ended_task *a, const struct ended_task *b)
{
	return (strcmp(a->key, b->key));
}

#define UNUSED_STATIC static __attribute__((__unused__))
RB_GENERATE_INTERNAL(ended_tree, ended_task, node, compare, UNUSED_STATIC)

struct ended *
ended_new(void)
{
	struct ended *all;

	if ((all = calloc(1, sizeof(*all))) == NULL)
		return (NULL);
	RB_INIT(&all->tree);
	TAILQ_INIT(&all->in_order);
	return (all);
}

static struct ended_task *
task_new(const char *url, const char *task_id)
{
	const size_t url_len = strlen(url), id_len = strlen(task_id);
	struct ended_task *e;

	if ((e = malloc(sizeof(*e) + url_len + id_len + 2)) == NULL)
		return (NULL);
	memcpy(e->key, url, url_len);
	e->key[url_len] = ' ';
	memcpy(e->key + url_len + 1, task_id, id_len + 1);
	return (e);
}

static void
take_out(struct ended *all, struct ended_task *e)
{
	TAILQ_REMOVE(&all->in_order, e, entry);
	(void)RB_REMOVE(ended_tree, &all->tree, e);
	all->count--;
	free(e);
}

void
ended_remember(struct ended *all, const char *url, const char *task_id)
{
	struct ended_task *e;

	if ((e = task_new(url, task_id)) == NULL)
		return;
	if (RB_INSERT(ended_tree, &all->tree, e) != NULL) {
		free(e);
		return;
	}
	TAILQ_INSERT_TAIL(&all->in_order, e, entry);
	if (++all->count > JOURNAL_ENDED_MAX)
		take_out(all, TAILQ_FIRST(&all->in_order));
}

/* NULL: there is none, or no memory to look for it. */
static struct ended_task *
find(const struct ended *all, const char *url, const char *task_id)
{
	struct ended_tree *tree = (struct ended_tree *)&all->tree;
	struct ended_task *key, *e;

	if ((key = task_new(url, task_id)) == NULL)
		return (NULL);
	e = RB_FIND(ended_tree, tree, key);
	free(key);
	return (e);
}

void
ended_forget(struct ended *all, const char *url, const char *task_id)
{
	struct ended_task *e;

	if ((e = find(all, url, task_id)) != NULL)
		take_out(all, e);
}

bool
ended_has(const struct ended *all, const char *url, const char *task_id)
{
	return (find(all, url, task_id) != NULL);
}

void
ended_free(struct ended *all)
{
	struct ended_task *e;

	if (all == NULL)
		return;
	while ((e = TAILQ_FIRST(&all->in_order)) != NULL)
		take_out(all, e);
	free(all);
}
