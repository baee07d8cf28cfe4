/* SPDX-License-Identifier: ISC */
/* procinfo.h: what /proc tells of a process: for the log line about a task
 * that is slow, or is about to be ended. */
#ifndef AVTOWORKER_PROCINFO_H
#define AVTOWORKER_PROCINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Enough for every line that procinfo_format() makes. */
#define PROCINFO_TEXT_MAX 256

/* Of its main thread, but for processor time and memory. What we may not read,
 * or the kernel does not tell, is -1, 0 or "". */
struct procinfo {
	char state; /* R, S, D, T ... as in ps(1); 0 when not known */
	char wchan[64]; /* the kernel's function it waits in; or "" */
	char syscall[32]; /* name or number of the system call; "running"; or
			     "" */
	int64_t user_ms; /* processor time so far; -1 when not known */
	int64_t system_ms;
	int64_t rss_kb; /* resident now; -1 when not known */
	int threads; /* 0 when not known */
};

/* Never waits. False when there is no such process, or nothing to be known. */
bool procinfo_read(pid_t, struct procinfo *);
/* The oldest child of a process; 0 when there is none, or nobody tells. */
pid_t procinfo_oldest_child(pid_t);
/* "state S (sleeping) in system call read, kernel function pipe_read, cpu 20
 * ms user and 0 ms system, 5120 kB resident, 1 thread". */
void procinfo_format(const struct procinfo *, char *text, size_t size);

#endif
