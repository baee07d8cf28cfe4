/* SPDX-License-Identifier: ISC */
/*
 * view.h: what the outside may see of a running worker: plain figures and
 * texts, made by the supervisor whenever somebody asks. Times are
 * clock_now_ms().
 */
#ifndef AVTOWORKER_VIEW_H
#define AVTOWORKER_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "supervisor/lease.h"
#include "supervisor/letters.h"
#include "supervisor/stats.h"

struct child_view {
	const char *category;
	pid_t pid;
	const char *state; /* starting, idle, busy, stopping, ending */
	int64_t born_ms;
	int64_t since_ms; /* when the state began */
	unsigned tasks; /* that it has finished */
	unsigned running; /* tasks that it has */
	const char *task_type; /* of the one it has had for longest; or NULL */
	const char *task_id; /* the same */
	const char *job_id; /* the same */
};

struct category_view {
	const char *name;
	unsigned min_children;
	unsigned max_children;
	unsigned starting, idle, busy, leaving; /* children by state */
	unsigned queued; /* leases that wait */
	bool offered; /* its task types are offered */
	bool paused; /* by somebody's order */
	bool retiring; /* of an old generation: only finishes */
	const char *failure; /* why the last start failed; or "" */
	int64_t retry_ms; /* next start after failures; 0: at once */
};

/* A script or channel program that has not started. */
struct failing_view {
	const char *name; /* "python NAME" */
	const char *failure; /* why not */
	int64_t retry_ms; /* when it is tried again; 0: now */
};

struct orchestrator_view {
	const char *name; /* of its block */
	const char *url;
	const char *worker_id; /* by which it knows this worker */
	const char *dialect; /* NULL while that is not known */
	bool registered;
	bool websocket; /* one is open */
	unsigned polls; /* that are out */
	unsigned undelivered; /* results */
};

/* A result that is not taken yet. */
struct result_view {
	const char *task_id;
	const char *job_id;
	const char *task_type; /* or NULL */
	const char *status;
	const char *code; /* of its error; or NULL */
	const char *url; /* of the orchestrator that it is for */
	uint64_t id; /* of its lease */
	int64_t finished_ms;
	int64_t after_ms; /* it is not sent earlier */
	unsigned refusals; /* in a row */
	bool on_disk; /* only there */
};

struct view {
	const char *version;
	const char *worker_id; /* NULL in local mode */
	const char *name; /* of the instance; or NULL */
	const char *state; /* starting, running, draining, ... */
	pid_t pid;
	int64_t started_ms;
	unsigned generation; /* of the configuration: 1, then one more for
				each reload */
	bool paused;
	bool registered; /* at one of the orchestrators at least */
	bool short_of_memory; /* nothing is leased for lack of memory */
	unsigned queued, running, finished; /* leases */
	unsigned undelivered; /* results */
	const char *journal; /* ok, off, or what the trouble is */
	bool journal_fails; /* nothing is leased because of it */
	int64_t dead_letters;
	/* Since the start: received is ended + queued + running + finished. */
	uint64_t received[LEASE_NSOURCES];
	uint64_t ended[LEASE_NOUTCOMES];
	unsigned polls; /* that are out */
	int64_t last_turn_ms; /* the loop's last sign of life */
	const struct orchestrator_view *orchestrators;
	size_t orchestrators_len;
	const struct category_view *categories;
	size_t categories_len;
	const struct child_view *children;
	size_t children_len;
	const struct failing_view *failing;
	size_t failing_len;
	const struct stats *stats;
};

/* What may be asked of the worker from outside. */
struct view_ops {
	/* The state of things, borrowed until the next call; NULL when memory
	 * is short. */
	const struct view *(*look)(void *arg);
	/* Stops and resumes leasing: of a category, or of all with NULL.
	 * False when there is no such category. */
	bool (*pause)(const char *category, void *arg);
	bool (*resume)(const char *category, void *arg);
	/* Calls back for every result that is not taken yet. */
	void (*results)(void (*)(const struct result_view *, void *to),
	    void *to, void *arg);
	/* Looks at dead letters or does something with them; id 0: with all.
	 * Always answers, now or later. */
	void (*letters)(enum letters_order, int64_t id,
	    const struct letters_asker *, void *arg);
	/* What scripts count, as Prometheus reads it: text is borrowed, and may
	 * be empty. Always answers, now or later. May be NULL. */
	void (*figures)(void (*)(const char *text, size_t len, void *to),
	    void *to, void *arg);
	/* As SIGTERM, as SIGHUP. */
	void (*drain)(void *arg);
	void (*reload)(void *arg);
};

#endif
