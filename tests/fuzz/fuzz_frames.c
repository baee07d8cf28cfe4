/* SPDX-License-Identifier: ISC */
/*
 * Any bytes as what a child sends, in pieces of any size, through the stream
 * on a real socket; and any payload as the frames that are read further.
 */
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "supervisor/children/frame_stream.h"
#include "supervisor/children/held.h"
#include "supervisor/children/offer.h"
#include "supervisor/result.h"
#include "tests/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

struct heard {
	size_t frames, bytes;
	unsigned malformed, closed;
};

/* Whoever may send it: what it holds is read. */
static void
on_frame(const struct frame_header *h, const char *payload, void *arg)
{
	struct heard *heard = arg;
	struct held held = { 0 };
	struct result result;
	struct offer offer;
	struct why why;

	must(heard->malformed == 0);
	heard->frames++;
	heard->bytes += CHANNEL_HEADER_SIZE + h->length;
	why.text[0] = '\0';
	if (h->type == FRAME_READY) {
		if (offer_read(payload, h->length, &offer, &why) == 0)
			offer_fini(&offer);
		else
			must(why.text[0] != '\0');
	} else if (h->type == FRAME_RESULT) {
		if (result_read(payload, h->length, &result, &why) == 0) {
			must(result.status != NULL);
			result_fini(&result);
		} else
			must(why.text[0] != '\0');
	} else if (h->type == FRAME_STATE) {
		if (held_read(payload, h->length, &held, &why) == -1)
			must(why.text[0] != '\0');
		held_fini(&held);
	}
}

static void
on_malformed(const char *text, void *arg)
{
	struct heard *heard = arg;

	must(text[0] != '\0' && heard->malformed == 0);
	heard->malformed++;
}

static void
on_closed(void *arg)
{
	struct heard *heard = arg;

	heard->closed++;
}

static const struct frame_stream_ops ops = {
	.frame = on_frame,
	.malformed = on_malformed,
	.closed = on_closed,
};

/* The first byte says into what pieces the rest is cut. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct event_base *base;
	struct frame_stream stream;
	struct heard heard = { 0 };
	size_t at = 1, n;
	int fds[2];

	if (size < 2 || size > 65536)
		return (-1);
	if (base == NULL)
		must((base = event_base_new()) != NULL);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		 fds) == 0);
	must(frame_stream_open(&stream, base, fds[0], &ops, &heard) == 0);
	while (at < size && heard.malformed == 0) {
		n = data[0] == 0 ? size - at : data[0];
		n = n < size - at ? n : size - at;
		must(send(fds[1], data + at, n, 0) == (ssize_t)n);
		at += n;
		frame_stream_drain(&stream);
	}
	(void)close(fds[1]);
	frame_stream_drain(&stream);
	must(heard.bytes <= size - 1);
	must(heard.malformed + heard.closed == 1);
	frame_stream_close(&stream);
	return (0);
}
