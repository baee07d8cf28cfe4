/* SPDX-License-Identifier: ISC */
/*
 * peer.h: a channel program as a host: we stand where its supervisor would. For
 * developers' runs only.
 */
#ifndef AVTOWORKER_PEER_H
#define AVTOWORKER_PEER_H

#include <sys/types.h>

#include "child/host.h"
#include "child/wire.h"

struct peer {
	char **argv; /* borrowed, with a NULL */
	/* Its own: */
	struct wire wire; /* our end; fd is -1 before start */
	pid_t pid;
};

/* The program as a host; start waits for its ready. */
struct host peer_host(struct peer *);
void peer_fini(struct peer *);

#endif
