/* SPDX-License-Identifier: ISC */
/*
 * channel.h: the whole protocol between the supervisor and a child.
 *
 * A stream socket pair; the child's end is descriptor CHANNEL_FD. Frames in
 * both directions are a 16-byte little-endian header and a JSON payload.
 * Neither side trusts the other's lengths. Anything malformed, oversized or
 * out of turn is the end of that child.
 */
#ifndef AVTOWORKER_CHANNEL_H
#define AVTOWORKER_CHANNEL_H

#include <stdint.h>

#define CHANNEL_VERSION        1

/* Descriptors a child is born with; nothing else is open. */
#define CHANNEL_STDIN          0 /* /dev/null */
#define CHANNEL_STDOUT         1 /* one pipe, read line by line by the supervisor */
#define CHANNEL_STDERR         2 /* the same pipe */
#define CHANNEL_FD             3 /* the child's end of the channel, blocking */

/* Limits on payloads, in bytes. */
#define CHANNEL_TO_CHILD_MAX   (8u * 1024 * 1024)
#define CHANNEL_FROM_CHILD_MAX (1u * 1024 * 1024)

/*
 * The header, as it lies on the wire:
 *	0  u32 length of the payload
 *	4  u16 type
 *	6  u16 flags, 0 in this version
 *	8  u64 lease the frame is about, 0 when about none
 */
#define CHANNEL_HEADER_SIZE    16

/* Child states, as the supervisor sees them, in which a frame may travel. */
enum frame_type {
	/* to the child */
	FRAME_TASK = 1, /* idle: {task_id, job_id, type, params} */
	FRAME_CANCEL =
	    2, /* busy: {reason: time_limit|cancel|drain, grace_ms} */
	FRAME_STOP = 3, /* idle, busy: finish, then exit; empty object */

	/* from the child */
	FRAME_READY = 16, /* starting: {version, handlers: [...]} or {error} */
	FRAME_STARTED =
	    17, /* busy: the handler is about to run; empty object */
	FRAME_RESULT = 18, /* busy: {status, data} or {status, error} */
	FRAME_PROGRESS = 19, /* busy: {progress, message} */
	FRAME_EVENT = 20, /* busy: {type, payload} */
	FRAME_LOG = 21, /* any: {level, name, message} */
};

/*
 * ready, version 1:
 *	{"version": 1, "handlers": [{"type": NAME, "category": NAME|absent}]}
 * A child that cannot start says {"version": 1, "error": SENTENCE} instead
 * and exits.
 */

#endif
