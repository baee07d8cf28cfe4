/* SPDX-License-Identifier: ISC */
/*
 * lease.c: leases, their states and their index. A lease changes its state
 * here only, along the edges of LEASE_STATES; the counts per state are always
 * true. Called by the supervisor and by the category that holds the lease.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/base/clock.h"
#include "supervisor/lease.h"

static const struct {
	const char *name;
	unsigned next; /* bit per state */
} states[] = {
#define S(state)             (1u << LEASE_##state)
#define X(state, name, next) { name, next },
	LEASE_STATES(X)
#undef X
#undef S
};

static int
compare_ids(const struct lease *a, const struct lease *b)
{
	return ((a->id > b->id) - (a->id < b->id));
}

static int
compare_tasks(const struct lease *a, const struct lease *b)
{
	return (strcmp(a->task.task_id, b->task.task_id));
}

#define UNUSED_STATIC static __attribute__((__unused__))
RB_GENERATE_INTERNAL(lease_ids, lease, by_id, compare_ids, UNUSED_STATIC)
RB_GENERATE_INTERNAL(lease_tasks, lease, by_task, compare_tasks, UNUSED_STATIC)

void
lease_table_init(struct lease_table *t)
{
	*t = (struct lease_table){ 0 };
	RB_INIT(&t->ids);
	RB_INIT(&t->tasks);
}

void
lease_free(struct lease_table *t, struct lease *l)
{
	if (l == NULL)
		return;
	(void)RB_REMOVE(lease_ids, &t->ids, l);
	(void)RB_REMOVE(lease_tasks, &t->tasks, l);
	t->count[l->state]--;
	task_fini(&l->task);
	result_fini(&l->result);
	free(l);
}

void
lease_table_fini(struct lease_table *t)
{
	struct lease *l;

	while ((l = RB_MIN(lease_ids, &t->ids)) != NULL)
		lease_free(t, l);
}

struct lease *
lease_restore(struct lease_table *t, struct task *task,
    struct orchestrator *origin, uint64_t id, int64_t now_ms,
    enum lease_source source)
{
	struct lease *l;

	if ((l = calloc(1, sizeof(*l))) == NULL) {
		task_fini(task);
		return (NULL);
	}
	l->task = *task;
	*task = (struct task){ 0 };
	l->id = id;
	l->origin = origin;
	l->leased_ms = now_ms;
	if (l->task.deadline_ms != 0)
		l->deadline_ms =
		    now_ms + (l->task.deadline_ms - clock_wall_ms());
	l->state = LEASE_QUEUED;
	if (RB_INSERT(lease_tasks, &t->tasks, l) != NULL) {
		task_fini(&l->task);
		free(l);
		errno = EEXIST;
		return (NULL);
	}
	(void)RB_INSERT(lease_ids, &t->ids, l);
	t->count[LEASE_QUEUED]++;
	t->received[source]++;
	return (l);
}

struct lease *
lease_new(struct lease_table *t, struct task *task, struct orchestrator *origin,
    int64_t now_ms)
{
	struct lease *l;

	l = lease_restore(
	    t, task, origin, t->last_id + 1, now_ms, LEASE_FROM_POLL);
	if (l != NULL)
		t->last_id++;
	return (l);
}

void
lease_end(struct lease_table *t, struct lease *l, enum lease_outcome outcome)
{
	assert(l->state == LEASE_FINISHED);
	t->ended[outcome]++;
	lease_free(t, l);
}

struct lease *
lease_find(const struct lease_table *t, uint64_t id)
{
	struct lease key = { .id = id };

	return (RB_FIND(lease_ids, (struct lease_ids *)&t->ids, &key));
}

struct lease *
lease_find_task(const struct lease_table *t, const char *task_id)
{
	struct lease key = { .task.task_id = (char *)task_id };

	return (RB_FIND(lease_tasks, (struct lease_tasks *)&t->tasks, &key));
}

struct lease *
lease_first(const struct lease_table *t)
{
	return (RB_MIN(lease_ids, (struct lease_ids *)&t->ids));
}

struct lease *
lease_next(struct lease *l)
{
	return (RB_NEXT(lease_ids, NULL, l));
}

static void
set_state(struct lease_table *t, struct lease *l, enum lease_state to)
{
	assert(states[l->state].next & (1u << to));
	if (log_enabled(LOG_LEVEL_DEBUG)) {
		const struct log_context ctx = lease_context(l);

		log_line(LOG_LEVEL_DEBUG, &ctx, "lease %" PRIu64 ": %s -> %s",
		    l->id, states[l->state].name, states[to].name);
	}
	t->count[l->state]--;
	t->count[to]++;
	l->state = to;
}

void
lease_set_running(struct lease_table *t, struct lease *l)
{
	set_state(t, l, LEASE_RUNNING);
	l->running_ms = clock_now_ms();
}

void
lease_set_queued(struct lease_table *t, struct lease *l)
{
	set_state(t, l, LEASE_QUEUED);
	l->running_ms = 0;
}

void
lease_finish(struct lease_table *t, struct lease *l, struct result *result)
{
	set_state(t, l, LEASE_FINISHED);
	l->result = *result;
	*result = (struct result){ 0 };
	if (l->running_ms != 0)
		l->ran_ms = clock_now_ms() - l->running_ms;
	/* They may be megabytes, and nobody asks for them again. */
	bytes_fini(&l->task.params);
	bytes_fini(&l->task.params_metadata);
}

const char *
lease_state_name(enum lease_state state)
{
	return (states[state].name);
}

const char *
lease_source_name(enum lease_source source)
{
	static const char *const names[] = {
#define X(source, name) name,
		LEASE_SOURCES(X)
#undef X
	};

	return (names[source]);
}

const char *
lease_outcome_name(enum lease_outcome outcome)
{
	static const char *const names[] = {
#define X(outcome, name) name,
		LEASE_OUTCOMES(X)
#undef X
	};

	return (names[outcome]);
}

struct log_context
lease_context(const struct lease *l)
{
	return ((struct log_context){
	    .task_id = l->task.task_id,
	    .job_id = l->task.job_id,
	});
}
