/* SPDX-License-Identifier: ISC */
/*
 * footprint.h: how much memory processes take, as /proc tells. In bytes; -1
 * and errno (ENOENT or ESRCH: there is no such process). proc is "/proc".
 */
#ifndef AVTOWORKER_FOOTPRINT_H
#define AVTOWORKER_FOOTPRINT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FOOTPRINT_FAMILY_MAX 256
#define FOOTPRINT_TEXT_MAX   24

/* What is resident, shared pages in full. Cheap. */
int64_t footprint_rss(const char *proc, pid_t);
/* Each shared page divided among those that share it; the kernel walks the
 * page tables for it. */
int64_t footprint_pss(const char *proc, pid_t);

/* A process and all that descend from it, at most FOOTPRINT_FAMILY_MAX, found
 * when it is made; those that have left it for another parent are not seen. */
struct footprint_family {
	pid_t pids[FOOTPRINT_FAMILY_MAX];
	size_t count;
};
void footprint_family(struct footprint_family *, const char *proc, pid_t);
/* The sum over a family of one of the functions above; who has died meanwhile
 * counts nothing, and whom we may not look at closely counts as resident. */
int64_t footprint_sum(const struct footprint_family *, const char *proc,
    int64_t (*)(const char *proc, pid_t));

/* Bytes for people: "2G" when it is that exactly, else "1.5G". Returns out. */
const char *footprint_text(char out[FOOTPRINT_TEXT_MAX], int64_t bytes);

#endif
