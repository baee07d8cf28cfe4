/* SPDX-License-Identifier: ISC */
/*
 * remove.h: ends what a task has left in its workspace: how long that takes
 * is up to the handler, so it is done in a process of its own.
 */
#ifndef AVTOWORKER_REMOVE_H
#define AVTOWORKER_REMOVE_H

#include <stddef.h>

/* Removes directories with everything in them. A symbolic link is removed and
 * never followed, nothing on another file system is touched, and a directory
 * that somebody holds locked (flock) is left alone. Returns 0, or the errno of
 * the first thing that could not be removed: an exit status. */
int remove_directories(char *const paths[], size_t count);

#endif
