/* SPDX-License-Identifier: ISC */
/*
 * journal_writer.h: the journal's thread, which alone knows the database. It
 * is given changes and questions, and tells through a descriptor that there is
 * news. What it cannot write it keeps and tries again. All functions are the
 * loop's; only the start and the end wait for the disk.
 */
#ifndef AVTOWORKER_JOURNAL_WRITER_H
#define AVTOWORKER_JOURNAL_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "supervisor/base/why.h"

struct journal_entry;
struct journal_ops;
struct journal_question;
struct journal_questions;
struct journal_settings;
struct journal_writer;

STAILQ_HEAD(journal_entries, journal_entry);

/* What it has come to. */
struct journal_writer_state {
	uint64_t committed; /* number of the last entry that is on disk */
	struct why failure; /* "": none */
	struct why note; /* to be logged, told once; "": nothing */
	bool reopened; /* told once: what was committed may be gone */
};

/* NULL and why. */
struct journal_writer *journal_writer_new(
    const struct journal_settings *, struct why *);
/* Starts the thread and waits until it has read what there is: ops->row and
 * ops->ended are called from there meanwhile. -1, why and an exit status. */
int journal_writer_start(struct journal_writer *, const struct journal_ops *,
    void *arg, int *status, struct why *);
/* Readable when there is news. */
int journal_writer_fd(const struct journal_writer *);
/* The greatest id that was found. */
int64_t journal_writer_last_id(const struct journal_writer *);

/* Takes all of the list. */
void journal_writer_write(struct journal_writer *, struct journal_entries *);
/* Takes the question, which is asked once all given before is written. */
void journal_writer_ask(struct journal_writer *, struct journal_question *);
void journal_writer_state(
    struct journal_writer *, struct journal_writer_state *);
/* Dead letters, as counted last. */
int64_t journal_writer_letters(struct journal_writer *);
/* Gives the questions that are answered. */
void journal_writer_answers(
    struct journal_writer *, struct journal_questions *);

/* Has it write what is left, and end; what it has committed. False when it
 * does not get on for limit_ms: it hangs, and must not be freed. */
bool journal_writer_end(
    struct journal_writer *, int64_t limit_ms, uint64_t *committed);
/* Without a thread. NULL is fine. */
void journal_writer_free(struct journal_writer *);

void journal_entries_free(struct journal_entries *);

#endif
