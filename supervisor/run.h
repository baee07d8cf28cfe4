/* SPDX-License-Identifier: ISC */
/*
 * run.h: the run of a worker as the files see it that make it up: start.c
 * (everything is opened and closed), supervisor.c (the way of a lease), stop.c
 * (signals and the end), reload.c (SIGHUP) and view.c (what the outside sees).
 * Nobody else includes this.
 */
#ifndef AVTOWORKER_RUN_H
#define AVTOWORKER_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>

#include "supervisor/cancels.h"
#include "supervisor/children/orphans.h"
#include "supervisor/children/program.h"
#include "supervisor/children/start_gate.h"
#include "supervisor/conf_told.h"
#include "supervisor/edges/signals.h"
#include "supervisor/edges/view.h"
#include "supervisor/generation.h"
#include "supervisor/lease.h"
#include "supervisor/supervisor.h"

struct at_work;
struct control;
struct http;
struct jslice;
struct memory;
struct metrics;
struct notify;
struct orchestrator_ops;
struct outbox;
struct poison;
struct used;

/* state, name, states that may follow */
#define RUN_STATES(X) \
	X(STARTING, "starting", \
	    S(RUNNING) | S(STOPPING) | S(ABORTING) | S(ENDED)) \
	X(RUNNING, "running", S(DRAINING) | S(ABORTING)) \
	X(DRAINING, "draining", S(STOPPING) | S(ABORTING)) \
	X(STOPPING, "stopping", S(ENDED) | S(ABORTING)) \
	X(ABORTING, "aborting", S(ENDED)) \
	X(ENDED, "ended", 0)

enum run_state {
#define X(state, name, next) RUN_##state,
	RUN_STATES(X)
#undef X
};

/* What has stopped the leasing; any of them does. */
enum run_pause {
	PAUSED_BY_SIGNAL = 1, /* SIGTSTP, until SIGCONT */
	PAUSED_BY_ORDER = 2, /* of the control socket */
};

struct supervisor {
	const struct supervisor_options *options;
	const struct conf *boot; /* what only a restart changes */
	struct conf *completed; /* boot, when scripts have added to it */
	struct conf_tolds told; /* what they have added at the start */
	struct event_base *loop;
	struct signals signals;
	struct event deadline; /* of draining, then of the last delivery */
	struct event farewell; /* handlers are asked to stop for the drain */
	struct event cleaning; /* old generations may be freed */
	struct event look_again; /* at the memory that was short */
	struct event show; /* the state has changed: title and status */
	struct reaper reaper;
	struct orphans orphans;
	struct memory *memory;
	struct workspaces *workspaces; /* NULL: nothing is run */
	struct figures *figures; /* of scripts; NULL: nobody can ask for them */
	struct start_gate gate;
	struct poison *poison;
	struct child_env env;
	char **clean; /* environments of children */
	char **inherited;
	struct generation *now; /* what serves */
	struct generation *next; /* what a reload is trying; or NULL */
	TAILQ_HEAD(, generation) old; /* finish what they have */
	struct lease_table leases;
	struct cancels cancels; /* of tasks that may still come */
	char *worker_id;
	struct http *http;
	struct outbox *outbox; /* NULL in local mode */
	struct orchestrator *orchestrator;
	struct stats *stats;
	struct metrics *metrics; /* NULL: not served */
	struct control *control; /* NULL in local mode */
	struct notify *notify; /* NULL: no service manager */
	struct view view; /* as last shown */
	struct orchestrator_view *view_orchestrators;
	struct category_view *view_categories;
	struct child_view *view_children;
	struct failing_view *view_failing;
	int64_t started_ms;
	int64_t stop_asked_ms; /* when the first stop signal came */
	int64_t handed_back_ms; /* when leases were, at the end of a stop */
	unsigned unknown_commands; /* of orchestrators, that nobody takes */
	unsigned paused; /* enum run_pause, bits */
	enum run_state state;
	int exit_status;
	bool offered : 1; /* something has been: it may have to be taken back */
	bool ready_told : 1; /* whoever started us knows that we serve */
	bool killed : 1; /* the children, when all was handed back */
	bool reload_asked : 1; /* while the worker was starting */
};

/* supervisor.c */
extern const struct orchestrator_ops run_orchestrator_ops;
extern const struct program_ops run_program_ops;

void run_set_state(struct supervisor *, enum run_state);
const char *run_state_name(enum run_state);
/* Ends the loop, and the process with that status. */
void run_end(struct supervisor *, int status);
/* What all programs of a generation have in common. */
struct program_settings run_program_settings(struct supervisor *);
/* Gives a queued lease to whoever can run it. */
void run_place(struct supervisor *, struct lease *);
/* Leases that are not finished. */
unsigned run_unfinished(const struct supervisor *);
void run_on_look_again(evutil_socket_t, short what, void *arg);

/* tell.c */
/* Tells the orchestrator what can be run here. */
void run_offer(struct supervisor *);
void run_at_work(struct orchestrator *, struct at_work *, void *arg);
bool run_is_hot(struct orchestrator *, const char *type, void *arg);
size_t run_hot_cache(struct orchestrator *, char **, size_t max, void *arg);

/* speak.c */
void run_command(struct orchestrator *, const char *name,
    const struct jslice *message, void *arg);
bool run_is_full(struct orchestrator *, const char *type, void *arg);
void run_used(struct orchestrator *, struct used *, void *arg);

/* stop.c */
/* As SIGTERM; once. */
void run_stop(struct supervisor *, const char *cause);
/* Something has changed that the end may wait for. */
void run_progress(struct supervisor *);
void run_pause(struct supervisor *, enum run_pause);
void run_resume(struct supervisor *, enum run_pause);
extern const struct signal_row run_signal_rows[];
extern const size_t run_signal_rows_len;
/* Timers. */
void run_on_deadline(evutil_socket_t, short what, void *arg);
void run_on_farewell(evutil_socket_t, short what, void *arg);

/* start.c */
/* The timer that frees generations whose last child is gone. */
void run_clean_soon(struct supervisor *);

/* reload.c */
/* As SIGHUP: reads everything again and swaps when it works. */
void reload_begin(struct supervisor *);
/* A category of the generation that is tried is known to work, or not. */
void reload_progress(struct supervisor *);
/* Gives up a reload that is under way: the worker stops. */
void reload_abandon(struct supervisor *);

/* view.c */
extern const struct view_ops run_view_ops;
/* Shows the state in the process title and to the service manager, within a
 * second. */
void view_show_soon(struct supervisor *);
void view_on_show(evutil_socket_t, short what, void *arg);
void view_fini(struct supervisor *);

#endif
