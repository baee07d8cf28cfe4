/* SPDX-License-Identifier: ISC */
/*
 * fake_world.h: what children are made of, without processes and without time:
 * linked in place of libevent's timers and watches, of the clock, of chance, of
 * spawn.c and of reaper.c. Pipes and sockets are real; what a child is told
 * soon fills its socket. One world for each process.
 */
#ifndef FUZZ_FAKE_WORLD_H
#define FUZZ_FAKE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "child/frame.h"
#include "supervisor/children/child.h"

#define WORLD_CHILDREN_MAX 64

struct fake_child {
	pid_t pid; /* no real one is so high */
	int channel_fd; /* the child's ends; -1 when it is dead */
	int output_fd;
	int pidfd; /* what the supervisor watches; borrowed */
	int status; /* valid when it is dead */
	uint64_t lease; /* of the last task it has read; 0: none */
	bool dead; /* and not reaped yet */
};

struct fake_world {
	int64_t now_ms;
	uint8_t chance; /* which part of its range each draw is: of 256 */
	bool no_spawn; /* the next starts fail */
	struct fake_child children[WORLD_CHILDREN_MAX];
	unsigned count; /* children that live or are not reaped */
};

extern struct fake_world world;

/* Everything anew. */
void world_reset(void);
/* What its children are started with; the reaper is to be set. */
struct child_env world_env(void);
/* The n-th of the children that live, in a circle; NULL: there is none. */
struct fake_child *world_child(unsigned n);
/* It says that. */
void world_say(
    struct fake_child *, enum frame_type, uint64_t lease, const char *payload);
/* All that live say that, of no lease, and it is done. */
void world_say_all(enum frame_type, const char *payload);
/* Takes one frame that it was sent; false when there is no whole one. */
bool world_hear(
    struct fake_child *, struct frame_header *, char *payload, size_t size);
/* It dies of that wait status. */
void world_die(struct fake_child *, int status);
/* Does all that is due or readable; aborts when that has no end. */
void world_turn(void);
/* The same after so many milliseconds. */
void world_pass(int64_t ms);

#endif
