/* SPDX-License-Identifier: ISC */
/*
 * host.h: what runs the handlers in a child, as the loop that serves them and
 * the single run for developers see it: C modules, or an executable.
 */
#ifndef AVTOWORKER_HOST_H
#define AVTOWORKER_HOST_H

struct aw_task;
struct bytes;

struct host {
	/* Makes it ready for tasks. -1 and why; stop is called all the same. */
	int (*start)(void *arg, struct bytes *why);
	/* Adds its handlers to the offer, by ready_add(). */
	void (*offer)(void *arg, struct bytes *offer);
	/* Runs the task, whatever its type, and sets its result. */
	void (*run)(void *arg, struct aw_task *);
	/* No more tasks. */
	void (*stop)(void *arg);
	void *arg;
};

#endif
