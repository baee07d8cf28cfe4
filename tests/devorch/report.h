/* SPDX-License-Identifier: ISC */
/* report.h: results as lines of JSON on stdout, for people and scripts. */
#ifndef DEVORCH_REPORT_H
#define DEVORCH_REPORT_H

#include <stddef.h>

struct bytes;
struct job;
struct jslice;
struct work_result;

/* Appends the members of one result, without braces; job may be NULL. Of data
 * above data_max bytes only the size and the digest. */
void report_put(struct bytes *, const char *type, const struct job *,
    const char *worker, const struct work_result *, const struct jslice *result,
    size_t data_max);
/* One line: ids, type, worker, attempt, status, data and error as they came,
 * and how long it took. */
void report_result(const char *type, const struct job *, const char *worker,
    const struct work_result *, const struct jslice *result);

#endif
