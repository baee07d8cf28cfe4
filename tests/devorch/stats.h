/* SPDX-License-Identifier: ISC */
/* stats.h: what is counted while serving, and the summary made of it. */
#ifndef DEVORCH_STATS_H
#define DEVORCH_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct faults;
struct work;

#define STATS_WORDS 32

/* How often each word of a small set was seen. */
struct word_counts {
	struct {
		char word[48];
		uint64_t count;
	} words[STATS_WORDS]; /* the last one counts all further words */
	size_t used;
};

struct stats {
	uint64_t requests;
	uint64_t registers;
	uint64_t heartbeats;
	uint64_t polls;
	uint64_t empty_polls; /* answered 204 */
	uint64_t events;
	uint64_t refused; /* wrong token, signature or timestamp */
	uint64_t malformed; /* bodies that could not be read */
	uint64_t duplicates; /* results of tasks that were answered before */
	uint64_t unknown; /* results for jobs or tasks never handed out */
	uint64_t redirects_followed;
	uint64_t lost_polls; /* tasks given to polls that had been abandoned */
	uint64_t results; /* accepted ones */
	struct word_counts statuses; /* of the accepted results */
	struct word_counts codes; /* of their errors */
	uint32_t *latencies_us; /* lease to result, of each accepted one */
	size_t latencies, latencies_size;
	int64_t last_heartbeat_ns; /* 0 before the first */
	int64_t heartbeat_gap_ns; /* longest time between two */
	int64_t first_lease_ns; /* 0 before it */
	int64_t last_result_ns;
};

void stats_fini(struct stats *);
void word_count(struct word_counts *, const char *word);
/* An accepted result that took from leased to arrived. */
void stats_result(struct stats *, int64_t leased_ns, int64_t arrived_ns);

/* A heartbeat has come, whatever is answered. */
void stats_heartbeat(struct stats *, int64_t arrived_ns);

/* Writes the summary: one line of JSON, or text for people. */
void stats_print(struct stats *, const struct work *, const struct faults *,
    bool json, FILE *);

#endif
