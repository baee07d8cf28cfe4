/* SPDX-License-Identifier: ISC */
/*
 * lossy_disk.h: a disk under SQLite that remembers what was written to it and
 * what it was told to keep, and so knows what may be left of it when the power
 * fails: all that was synced, and of the rest any part. A write is torn at the
 * edges of sectors, or within one of those that it was about; bytes beside it
 * stay what they were, as disks promise and SQLite believes. Names of files are
 * kept when their folder is synced, as SQLite does with those that it makes.
 * One disk for each process. Real files are written beside it, and not synced.
 */
#ifndef UNIT_LOSSY_DISK_H
#define UNIT_LOSSY_DISK_H

#include <stdint.h>

/* SQLite's files are on it from now on. */
void lossy_disk_begin(void);
/* It does not remember any more what is done from now on, and syncs nothing. */
void lossy_disk_stop(void);
/* How many steps it has done. Each is a moment at which the power may fail. */
unsigned lossy_disk_moment(void);
/* The moment of the last sync, before that one, of a file whose name ends so;
 * 0: there was none. */
unsigned lossy_disk_synced(const char *end, unsigned moment);
/* Makes the files in a folder, which has none of them, that may be left after
 * a power cut at that moment; the seed says which. */
void lossy_disk_restore(unsigned moment, uint64_t seed, const char *folder);

#endif
