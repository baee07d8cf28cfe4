/* SPDX-License-Identifier: ISC */
/*
 * file.h: the short files by which a kernel tells and is told: /proc, /sys
 * and control groups. Never for files on a disk: these do not wait.
 */
#ifndef AVTOWORKER_FILE_H
#define AVTOWORKER_FILE_H

#include <stddef.h>
#include <sys/types.h>

/* Reads as much of a file as fits and terminates it. Returns the length, or
 * -1 and errno. */
ssize_t file_read(const char *path, char *buf, size_t size);
/* Writes text into a file that exists, in one write: what the kernel takes
 * for one order. -1 and errno. */
int file_write(const char *path, const char *text);

#endif
