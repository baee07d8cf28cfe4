/* SPDX-License-Identifier: ISC */
/*
 * fake_journal.h: the journal without its thread, linked in place of
 * journal.c: what is to be written waits until it is told to be, in a real
 * file. One journal for each process.
 */
#ifndef FUZZ_FAKE_JOURNAL_H
#define FUZZ_FAKE_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_JOURNAL_IDS 4096 /* of leases, at most */

/* What has been committed of a lease, as far as it matters. */
struct fake_record {
	bool leased;
	bool finished;
	bool sending;
	bool ended;
	bool dead;
};

/* Forgets all, and begins with files that are not there. */
void fake_journal_reset(void);
/* Writes so many of the changes that wait, as one transaction, answers what was
 * asked, when that was all, and tells the loop. */
void fake_journal_commit(unsigned count);
/* It cannot be written, and what was committed last may be gone from the disk
 * with that; and it can be written again. */
void fake_journal_break(bool loses);
void fake_journal_mend(void);
bool fake_journal_is_broken(void);
/* The next journal_close() is a kill -9: what waits is gone. */
void fake_journal_kill(void);
const struct fake_record *fake_journal_record(int64_t id);

#endif
