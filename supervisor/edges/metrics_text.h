/* SPDX-License-Identifier: ISC */
/*
 * metrics_text.h: the figures of a worker in the text format of Prometheus,
 * version 0.0.4: one table of what there is, and what is made from it.
 */
#ifndef AVTOWORKER_METRICS_TEXT_H
#define AVTOWORKER_METRICS_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "child/bytes.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metric;
struct metric_writer;
struct view;

struct metric {
	const char *name;
	const char *type; /* counter, gauge or histogram */
	const char *labels; /* as the man page lists them; "" for none */
	const char *help; /* one line */
	void (*write)(struct metric_writer *);
};

/* In the order in which they are shown. */
extern const struct metric metrics_table[];
extern const size_t metrics_table_len;

/* Appends everything; wall_offset_ms is what turns clock_now_ms() into wall
 * time. Short of memory when bytes_failed() says so. */
void metrics_text(struct bytes *, const struct view *, int64_t wall_offset_ms);
/* Appends what somebody else counts, in the same format, but for figures of
 * names that are ours: nobody may be told of one twice. */
void metrics_append(struct bytes *, const char *text, size_t len);

#endif
