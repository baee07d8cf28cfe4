/* SPDX-License-Identifier: ISC */
/*
 * journal_db.h: the journal's file: its schema, what is written to it and read
 * from it. Blocks; only the journal's thread calls it, and the tests.
 */
#ifndef AVTOWORKER_JOURNAL_DB_H
#define AVTOWORKER_JOURNAL_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "supervisor/base/why.h"

#define JOURNAL_SCHEMA      1 /* version that this program writes */
/* Of both there may be up to 1000 more before the oldest go. */
#define JOURNAL_ENDED_MAX   10000 /* tasks that are over and remembered */
#define JOURNAL_LETTERS_MAX 10000 /* dead letters */
#define JOURNAL_TEXTS       9 /* most texts of an entry */

struct bytes;
struct journal_db;
struct journal_result;
struct journal_row;

/* What an entry does to the lease of its id, and its texts. */
enum journal_kind {
	JOURNAL_LEASE, /* has come: url, worker_id, task_id, job_id, type,
			  task_metadata */
	JOURNAL_RESULT, /* is over: status, code, message, data, details,
			   metadata, data_metadata, ran_ms, output */
	JOURNAL_SENDING, /* at_ms: its result goes out; 0: it has not */
	JOURNAL_ENDED, /* delivered: the outcome */
	JOURNAL_DEAD, /* given up: the reason */
	JOURNAL_REVIVE, /* its dead letter is to be delivered again */
	JOURNAL_DROP, /* its dead letter goes; id 0: all of them */
	JOURNAL_NKINDS,
};

struct journal_text {
	const char *p;
	size_t len; /* SIZE_MAX: NULL */
};

/* One change, with copies of all that it needs, in one piece of memory. */
struct journal_entry {
	STAILQ_ENTRY(journal_entry) entry;
	enum journal_kind kind;
	uint64_t number; /* in the order of the journal */
	int64_t id; /* of the lease */
	int64_t at_ms; /* clock_wall_ms() */
	struct journal_text texts[JOURNAL_TEXTS]; /* into store */
	char store[];
};

/* NULL without memory. Texts beyond count are NULL. */
struct journal_entry *journal_entry_new(enum journal_kind, int64_t id,
    int64_t at_ms, const struct journal_text *texts, size_t count);

enum journal_opening {
	JOURNAL_OPENED,
	JOURNAL_FAILED, /* may work later */
	JOURNAL_REFUSED, /* not ours, or of a newer version */
	JOURNAL_DAMAGED, /* no database, or a broken one */
};

/* Opens or makes it; *out only with JOURNAL_OPENED, else why. safe: a commit
 * survives a power cut as well. */
enum journal_opening journal_db_open(
    const char *path, bool safe, struct journal_db **out, struct why *);
/* tidy: everything moves into the one file; else the files are left as they
 * are, as after a kill. NULL is fine. */
void journal_db_close(struct journal_db *, bool tidy);
/* Moves the files out of the way, where no others are replaced. The name that
 * the first has by then, in its folder, is told. -1 and why. */
int journal_db_set_aside(
    const char *path, int64_t now_ms, char *name, size_t size, struct why *);

/* After a failure, before anything is believed to be on disk: moves all that
 * the log has into the file. Pages of the log may have been taken for written
 * by a kernel that could not write them; they are written as new ones here. -1
 * and why. */
int journal_db_settle(struct journal_db *, struct why *);

/* Each -1 and why; after a failure nothing of the transaction is there. */
int journal_db_begin(struct journal_db *, struct why *);
int journal_db_write(
    struct journal_db *, const struct journal_entry *, struct why *);
int journal_db_commit(struct journal_db *, struct why *);
void journal_db_rollback(struct journal_db *);
/* True when the last failure means that the file is broken. */
bool journal_db_is_damaged(const struct journal_db *);

/* Calls back for every lease in order, or every dead letter; what is called
 * takes the row. -1 and why. */
int journal_db_leases(struct journal_db *,
    void (*)(struct journal_row *, void *arg), void *arg, struct why *);
int journal_db_letters(struct journal_db *, int64_t id, /* 0: all */
    void (*)(struct journal_row *, void *arg), void *arg, struct why *);
/* The tasks that are over, oldest first. */
int journal_db_ended(struct journal_db *,
    void (*)(const char *url, const char *task_id, void *arg), void *arg,
    struct why *);
/* The greatest id ever used. */
int journal_db_last_id(struct journal_db *, int64_t *id, struct why *);
int journal_db_count_letters(struct journal_db *, int64_t *, struct why *);
/* The result of a lease. 1 and why when there is none that can be sent, -1 and
 * why when the file cannot be read. */
int journal_db_result(
    struct journal_db *, int64_t id, struct journal_result *, struct why *);
/* Dead letters as a JSON array; id 0: all, else that one with all there is. */
int journal_db_show_letters(
    struct journal_db *, int64_t id, struct bytes *out, struct why *);

#endif
