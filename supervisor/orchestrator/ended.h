/* SPDX-License-Identifier: ISC */
/* ended.h: the tasks that were here and are over, so that one that comes again
 * is known. The newest JOURNAL_ENDED_MAX, as the journal keeps them. */
#ifndef AVTOWORKER_ENDED_H
#define AVTOWORKER_ENDED_H

#include <stdbool.h>

struct ended;

/* NULL without memory. */
struct ended *ended_new(void);
/* Without memory it is not remembered, which harms nobody but it. */
void ended_remember(struct ended *, const char *url, const char *task_id);
void ended_forget(struct ended *, const char *url, const char *task_id);
bool ended_has(const struct ended *, const char *url, const char *task_id);
/* NULL is fine. */
void ended_free(struct ended *);

#endif
