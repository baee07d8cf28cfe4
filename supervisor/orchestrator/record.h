/* SPDX-License-Identifier: ISC */
/* record.h: which change of a lease is which entry of the journal. What is
 * written is what a restart needs for its result. Without a journal (NULL)
 * nothing is written. */
#ifndef AVTOWORKER_RECORD_H
#define AVTOWORKER_RECORD_H

#include <stdint.h>

struct journal;
struct lease;

/* It has come. */
void record_lease(struct journal *, const char *url, const char *worker_id,
    const struct lease *);
/* It has its result; record.written is the number of that. */
void record_result(struct journal *, struct lease *);
/* It is being sent since record.sending_ms; record.marked is the number. */
void record_sending(struct journal *, struct lease *);
void record_not_sent(struct journal *, const struct lease *);
/* It was delivered; the outcome, in a word. */
void record_ended(struct journal *, const struct lease *, const char *outcome);
/* It is a dead letter. */
void record_dead(struct journal *, int64_t id, const char *reason);
/* It is not one any more, and finished since then, by clock_now_ms(). */
void record_revived(struct journal *, int64_t id, int64_t finished_ms);

#endif
