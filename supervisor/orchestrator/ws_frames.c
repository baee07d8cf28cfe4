/* SPDX-License-Identifier: ISC */
/* ws_frames.c: wslay, which does the work, between two runs of bytes. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>
#include <wslay/wslay.h>

#include "child/bytes.h"
#include "supervisor/orchestrator/ws_frames.h"

#define REASON_MAX 123 /* bytes of a close frame's text */

struct ws_frames {
	wslay_event_context_ptr ctx;
	const struct ws_frames_ops *ops;
	void *arg;
	const char *in; /* borrowed while it is fed; what is left of it */
	size_t in_len;
	struct bytes out;
	char reason[REASON_MAX + 1]; /* the other side's, fit for a log */
	bool closing : 1; /* we have closed it */
};

/*
 * Called by wslay.
 */

static ssize_t
give(
    wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *arg)
{
	struct ws_frames *f = arg;

	(void)flags;
	if (f->in_len == 0) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return (-1);
	}
	if (len > f->in_len)
		len = f->in_len;
	memcpy(buf, f->in, len);
	f->in += len;
	f->in_len -= len;
	return ((ssize_t)len);
}

static ssize_t
take(wslay_event_context_ptr ctx, const uint8_t *p, size_t len, int flags,
    void *arg)
{
	struct ws_frames *f = arg;

	(void)flags;
	bytes_append(&f->out, p, len);
	if (bytes_failed(&f->out)) {
		wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
		return (-1);
	}
	return ((ssize_t)len);
}

static int
make_mask(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, void *arg)
{
	(void)ctx;
	(void)arg;
	arc4random_buf(buf, len);
	return (0);
}

/* The text of a close frame comes behind its code. */
static void
keep_reason(struct ws_frames *f, const struct wslay_event_on_msg_recv_arg *msg)
{
	const size_t code = sizeof(uint16_t);
	size_t i, n = 0;

	for (i = code; i < msg->msg_length && n < REASON_MAX; i++)
		f->reason[n++] = isprint(msg->msg[i]) ? (char)msg->msg[i] : '?';
	f->reason[n] = '\0';
}

static void
on_message(wslay_event_context_ptr ctx,
    const struct wslay_event_on_msg_recv_arg *msg, void *arg)
{
	struct ws_frames *f = arg;
	uint64_t number;

	(void)ctx;
	switch (msg->opcode) {
	case WSLAY_TEXT_FRAME:
		f->ops->message(
		    (const char *)msg->msg, msg->msg_length, f->arg);
		break;
	case WSLAY_PONG:
		/* Others may come unasked; they mean nothing. */
		if (msg->msg_length == sizeof(number)) {
			memcpy(&number, msg->msg, sizeof(number));
			f->ops->pong(number, f->arg);
		}
		break;
	case WSLAY_CONNECTION_CLOSE:
		keep_reason(f, msg);
		break;
	default:
		break; /* nobody sends us binary ones */
	}
}

static const struct wslay_event_callbacks callbacks = {
	.recv_callback = give,
	.send_callback = take,
	.genmask_callback = make_mask,
	.on_msg_recv_callback = on_message,
};

/*
 * Called by us.
 */

/* Moves what wslay has queued into the output. */
static int
flush(struct ws_frames *f)
{
	return (wslay_event_send(f->ctx) == 0 ? 0 : -1);
}

unsigned
ws_frames_closed(const struct ws_frames *f)
{
	return (wslay_event_get_close_received(f->ctx) ?
		wslay_event_get_status_code_received(f->ctx) :
		0);
}

static void
explain_end(const struct ws_frames *f, struct why *why)
{
	if (wslay_event_get_close_received(f->ctx)) {
		why_set(why, "it was closed with %u%s%s", ws_frames_closed(f),
		    f->reason[0] != '\0' ? ": " : "", f->reason);
		return;
	}
	switch (f->closing ? 0 : wslay_event_get_status_code_sent(f->ctx)) {
	case WSLAY_CODE_MESSAGE_TOO_BIG:
		why_set(
		    why, "a message is longer than %d bytes", WS_MESSAGE_MAX);
		break;
	case WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA:
		why_set(why, "a message is not UTF-8");
		break;
	default:
		why_set(why, "what came breaks the rules of WebSocket");
	}
}

int
ws_frames_feed(struct ws_frames *f, const char *p, size_t len, struct why *why)
{
	int rc;

	f->in = p;
	f->in_len = len;
	rc = wslay_event_recv(f->ctx);
	f->in_len = 0;
	if (flush(f) == -1 || rc != 0) {
		why_set(why, "no memory for a WebSocket");
		return (-1);
	}
	if (wslay_event_get_read_enabled(f->ctx))
		return (0);
	explain_end(f, why);
	return (-1);
}

static int
put(struct ws_frames *f, uint8_t opcode, const void *p, size_t len)
{
	const struct wslay_event_msg msg = { opcode, p, len };

	if (wslay_event_queue_msg(f->ctx, &msg) != 0)
		return (-1);
	return (flush(f));
}

int
ws_frames_text(struct ws_frames *f, const char *p, size_t len)
{
	return (put(f, WSLAY_TEXT_FRAME, p, len));
}

int
ws_frames_ping(struct ws_frames *f, uint64_t number)
{
	return (put(f, WSLAY_PING, &number, sizeof(number)));
}

int
ws_frames_close(struct ws_frames *f, unsigned code)
{
	f->closing = true;
	if (wslay_event_queue_close(f->ctx, (uint16_t)code, NULL, 0) != 0)
		return (-1);
	return (flush(f));
}

struct bytes *
ws_frames_output(struct ws_frames *f)
{
	return (&f->out);
}

struct ws_frames *
ws_frames_new(const struct ws_frames_ops *ops, void *arg, struct why *why)
{
	struct ws_frames *f;

	if ((f = calloc(1, sizeof(*f))) == NULL ||
	    wslay_event_context_client_init(&f->ctx, &callbacks, f) != 0) {
		why_set(why, "no memory for a WebSocket");
		free(f);
		return (NULL);
	}
	wslay_event_config_set_max_recv_msg_length(f->ctx, WS_MESSAGE_MAX);
	f->ops = ops;
	f->arg = arg;
	return (f);
}

void
ws_frames_free(struct ws_frames *f)
{
	if (f == NULL)
		return;
	wslay_event_context_free(f->ctx);
	bytes_fini(&f->out);
	free(f);
}
