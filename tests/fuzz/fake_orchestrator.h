/* SPDX-License-Identifier: ISC */
/*
 * fake_orchestrator.h: whoever answers the requests of fake_http.h: it gives
 * out tasks, and takes, refuses or ignores their results, or what it says is
 * lost. It knows of each task what it has acted on and what the worker can
 * know of that, and aborts when it is sent what it must not be: what the worker
 * knows to be dealt with, or what it has not written down. One for each process.
 */
#ifndef FUZZ_FAKE_ORCHESTRATOR_H
#define FUZZ_FAKE_ORCHESTRATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/fuzz/fake_http.h"

#define FAKE_TASKS_MAX 200

/* A task: t-0 is the first, and so on. */
struct fake_task {
	int64_t id; /* of its last lease; 0: it has not come */
	unsigned acted; /* results that it has acted on */
	unsigned unknown; /* times that the worker cannot know that */
	struct bytes first; /* the first of them */
	int64_t acted_ms; /* when that was sent */
	int64_t finished_ms; /* the worker has its result since; 0: unknown */
	bool told; /* the worker knows that its result has been dealt with */
	bool posting; /* a result of it is out */
	bool buried; /* it has been a dead letter, and may be again */
	bool unwritten; /* one has gone that was not in the journal first */
};

struct fake_orchestrator {
	struct fake_task tasks[FAKE_TASKS_MAX];
	unsigned count; /* tasks that were given out */
	bool classic; /* the dialect; else RXON */
	bool
	    has_lost; /* the worker's disk, something that it was said to have */
};

extern struct fake_orchestrator orchestrator;

/* Forgets all. */
void fake_orchestrator_reset(void);
/* Aborts when there is none. */
struct fake_task *fake_task_named(const char *id);
/* The worker does not know any more what has become of its result. */
void fake_task_forget(struct fake_task *);

/* The answer that is wanted; how: whether a poll gets a task, and which. */
void fake_orchestrator_answer_well(struct http_call *, uint8_t how);
/* Errors, and answers that make no sense: the n-th, in a circle. */
void fake_orchestrator_answer_badly(struct http_call *, unsigned n);
/* Nothing at all comes back; sent: it may have been read; acted: it was. */
void fake_orchestrator_lose(
    struct http_call *, bool sent, bool acted, bool timed_out);
/* The same for all whose time is over. */
void fake_orchestrator_end_late(bool acted);

#endif
