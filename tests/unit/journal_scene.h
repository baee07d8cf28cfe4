/* SPDX-License-Identifier: ISC */
/*
 * journal_scene.h: a journal with real files in a folder of its own, and what
 * it tells its owner when it is opened.
 */
#ifndef UNIT_JOURNAL_SCENE_H
#define UNIT_JOURNAL_SCENE_H

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/orchestrator/journal.h"

struct event_base;

#define SCENE_WAIT_MS 60000 /* longer takes nothing */

struct scene {
	char folder[64];
	char path[96];
	struct event_base *loop;
	struct journal *journal;
	int64_t rows; /* found at the start */
	int64_t with_result; /* of them */
	int64_t last_id; /* of them */
	int64_t ended; /* the same */
	unsigned rewrites;
	unsigned progress;
	struct journal_answer answer; /* the last one; content taken */
	char text[4096];
	bool answered;
};

/* A folder, and no file in it. */
void scene_init(struct scene *);
void scene_open(struct scene *);
/* The same of one that may be refused: the exit status, and why. */
int scene_try(struct scene *, struct why *);
void scene_close(struct scene *);
/* Fails when there are files beside the journal's. */
void scene_fini(struct scene *);
/* Somebody else changes the file, which is closed. */
void scene_change(struct scene *, const char *sql);

/* Tells the journal something; the number of that. */
uint64_t scene_put_lease(struct scene *, int64_t id);
uint64_t scene_put_result(struct scene *, int64_t id, const char *data);
uint64_t scene_put(
    struct scene *, enum journal_kind, int64_t id, const char *word);

#endif
