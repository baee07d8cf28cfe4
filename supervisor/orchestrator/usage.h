/* SPDX-License-Identifier: ISC */
/*
 * usage.h: how much of a machine this worker may use, and how much of that is
 * in use: of the machine, or of the control group (cgroup v2) that allows
 * less. Read from files of the kernel, which do not block.
 */
#ifndef AVTOWORKER_USAGE_H
#define AVTOWORKER_USAGE_H

#include <stdint.h>

#define USAGE_PATH_MAX 1024

struct usage {
	char proc[USAGE_PATH_MAX];
	char cpu_group[USAGE_PATH_MAX]; /* whose limit is the least; "": that
					   of the machine */
	char memory_group[USAGE_PATH_MAX]; /* the same */
	double cores; /* that may be used */
	int64_t memory; /* bytes that may be used; 0: nobody tells */
	/* Of the last look, in units of the source. */
	int64_t busy;
	int64_t total;
};

struct usage_sample {
	double cpu_percent; /* of the cores, since the last look; 0 to 100 */
	double memory_gb;
};

/* Finds out what there is. proc and cgroup are directories: "/proc" and
 * "/sys/fs/cgroup". */
void usage_init(struct usage *, const char *proc, const char *cgroup);
/* What is in use. What cannot be read counts as 0. */
void usage_look(struct usage *, struct usage_sample *);
/* Whole cores, at least 1, and gigabytes, to the nearest. */
long usage_cores(const struct usage *);
int64_t usage_memory_gb(const struct usage *);

#endif
