/* SPDX-License-Identifier: ISC */
/*
 * journal.h: what outlives the supervisor, written by a thread of its own, so
 * that no disk, however slow, holds the loop. Changes are numbered and written
 * in their order; those of one turn of the loop are one transaction, and so is
 * all that comes while one is being written. What cannot be written is kept
 * and tried again. Knows rows, not leases: outbox.h says what they mean.
 */
#ifndef AVTOWORKER_JOURNAL_H
#define AVTOWORKER_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/base/why.h"
#include "supervisor/orchestrator/journal_db.h"
#include "supervisor/orchestrator/journal_question.h"
#include "supervisor/orchestrator/journal_row.h"

struct event_base;
struct journal;

struct journal_ops {
	/* Found at the start, from within journal_open(): the leases, taken by
	 * what is called, and the tasks that are over. */
	void (*row)(struct journal_row *, void *arg);
	void (*ended)(const char *url, const char *task_id, void *arg);
	/* More is on disk than before, or there is other trouble than before,
	 * or none any more. */
	void (*progress)(void *arg);
	/* Changes may be missing in the files: all that is held is to be
	 * written again. */
	void (*rewrite)(void *arg);
};

struct journal_settings {
	const char *path; /* copied */
	struct event_base *loop;
	bool safe; /* commits survive a power cut, too */
};

/* Opens the journal and waits for what it holds. NULL, why, and the exit status
 * that suits it. */
struct journal *journal_open(const struct journal_settings *,
    const struct journal_ops *, void *arg, int *status, struct why *);
/* Writes what is left, unless it does not get on for limit_ms, and ends. False
 * when something is not on disk. Answers are not given any more. NULL is fine. */
bool journal_close(struct journal *, int64_t limit_ms);

/* Has a change written; its number, or 0 without memory, when rewrite() will
 * be called. The texts are copied. */
uint64_t journal_write(struct journal *, enum journal_kind, int64_t id,
    int64_t at_ms, const struct journal_text *, size_t count);
/* True when everything up to that number is on disk. */
bool journal_has(const struct journal *, uint64_t number);
/* Why nothing can be written just now; NULL: it can. */
const char *journal_trouble(const struct journal *);
/* The greatest id at the start. */
int64_t journal_last_id(const struct journal *);
/* Dead letters, as known last. */
int64_t journal_letters(const struct journal *);

/* Questions, answered from the loop once all changes before are written. -1
 * without memory. */
int journal_fetch(struct journal *, int64_t id, journal_done, void *arg);
int journal_find_letters(
    struct journal *, int64_t id, journal_done, void *arg); /* rows */
int journal_show_letters(
    struct journal *, int64_t id, journal_done, void *arg); /* text */

#endif
