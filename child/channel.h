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
#define CHANNEL_FD_TEXT        "3" /* AVTOWORKER_CHANNEL of channel programs */

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

/*
 * Each with the states of the child, as the supervisor sees them, in which it
 * may travel. A type that is not listed is malformed: later versions of this
 * protocol add some, and raise CHANNEL_VERSION.
 */
enum frame_type {
	/* to the child */
	FRAME_TASK = 1, /* idle: {task_id, job_id, type, params, ...} */
	FRAME_CANCEL = 2, /* busy: {reason, grace_ms} */
	FRAME_STOP = 3, /* idle, busy: finish, then exit; {} */
	/* idle, busy, and only to who has named commands in ready: */
	FRAME_SPEAK = 4, /* it speaks for its program from now on; {} */
	FRAME_COMMAND = 5, /* {name, command} */

	/* from the child */
	FRAME_READY = 16, /* starting: {version, handlers: [...]} or {error} */
	FRAME_STARTED = 17, /* busy: the handler is about to run; {} */
	FRAME_RESULT = 18, /* busy: {status, data} or {status, error} */
	FRAME_LOG = 19, /* any: {level, name, message} */
	FRAME_PROGRESS = 20, /* busy: {progress, message} */
	FRAME_EVENT = 21, /* busy: {type, payload} */
	FRAME_STATE = 22, /* any but starting: {hot_cache, hot_skills,
			     leaving, full, usage} */
};

/*
 * ready, version 1:
 *	{"version": 1, "handlers": [{"type": NAME, "category": NAME|absent,
 *	    what else it declares}]}
 * A child that cannot start says {"version": 1, "error": SENTENCE} instead
 * and exits. What stands in each payload: avtoworker-channel(7).
 */

#endif
