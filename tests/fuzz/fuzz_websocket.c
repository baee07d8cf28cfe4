/* SPDX-License-Identifier: ISC */
/*
 * Any bytes as what a server sends on a WebSocket. The first says in how large
 * pieces they come. Behind it is the reply to the upgrade, in which "%" stands
 * for the key that fits; or, after a "=", frames at once. The messages must be
 * the same in pieces as at once. (When a wrong frame is seen to be one, may
 * differ.)
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "child/bytes.h"
#include "supervisor/orchestrator/command_read.h"
#include "supervisor/orchestrator/ws_frames.h"
#include "supervisor/orchestrator/ws_handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
claim(bool holds)
{
	if (!holds)
		abort();
}

static void
on_message(const char *text, size_t len, void *arg)
{
	struct bytes *seen = arg;
	struct command command;
	struct why why;

	claim(len <= WS_MESSAGE_MAX);
	if (command_read(text, len, &command, &why) == COMMAND_CANCEL)
		claim(command.task_id[0] != '\0' || command.job_id[0] != '\0');
	bytes_append(seen, text, len);
	bytes_puts(seen, "|");
}

static void
on_pong(uint64_t number, void *arg)
{
	bytes_append(arg, &number, sizeof(number));
}

static const struct ws_frames_ops ops = {
	.message = on_message,
	.pong = on_pong,
};

/* Appends what comes of it. */
static void
read_frames(const char *p, size_t len, size_t piece, struct bytes *seen)
{
	struct ws_frames *f;
	struct why why;
	size_t n;
	int rc = 0;

	claim((f = ws_frames_new(&ops, seen, &why)) != NULL);
	for (; len > 0 && rc == 0; p += n, len -= n) {
		n = len < piece ? len : piece;
		rc = ws_frames_feed(f, p, n, &why);
	}
	claim(rc == -1 || ws_frames_closed(f) == 0);
	claim(rc == 0 || ws_frames_text(f, "x", 1) == -1);
	ws_frames_free(f);
}

static void
put_accept(const struct bytes *request, struct bytes *out)
{
	static const char name[] = "Sec-WebSocket-Key: ";
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char digest[EVP_MAX_MD_SIZE], text[64];
	const char *at =
	    memmem(request->p, request->len, name, sizeof(name) - 1);
	struct bytes key = { 0 };
	unsigned len;

	claim(at != NULL);
	bytes_append(&key, at + sizeof(name) - 1, 24);
	bytes_puts(&key, guid);
	claim(EVP_Digest(key.p, key.len, digest, &len, EVP_sha1(), NULL) == 1);
	(void)EVP_EncodeBlock(text, digest, (int)len);
	bytes_puts(out, (const char *)text);
	bytes_fini(&key);
}

static void
read_reply(const char *p, size_t len, size_t piece)
{
	struct bytes headers = { 0 }, request = { 0 }, text = { 0 },
		     seen = { 0 };
	enum ws_answer answer = WS_ANSWER_MORE;
	struct ws_handshake *h;
	struct ws_reply reply;
	struct why why;
	size_t at = 0, n, used, i;

	claim((h = ws_handshake_new(&why)) != NULL);
	claim(ws_handshake_put_request(
		  h, "http://h/_worker/ws/w", &headers, &request, &why) == 0);
	for (i = 0; i < len; i++)
		if (p[i] == '%')
			put_accept(&request, &text);
		else
			bytes_append(&text, &p[i], 1);
	while (at < text.len && answer == WS_ANSWER_MORE) {
		n = text.len - at < piece ? text.len - at : piece;
		answer = ws_handshake_feed(h, text.p + at, n, &used, &why);
		claim(used <= n && (answer != WS_ANSWER_MORE || used == n));
		at += used;
	}
	claim(at <= WS_REPLY_MAX);
	if (answer == WS_ANSWER_MORE)
		answer = ws_handshake_end(h, &why);
	claim(answer != WS_ANSWER_MORE);
	ws_handshake_reply(h, &reply);
	claim(reply.body_len <= WS_REPLY_MAX);
	if (answer == WS_ANSWER_OPEN)
		read_frames(text.p + at, text.len - at, piece, &seen);
	ws_handshake_free(h);
	bytes_fini(&request);
	bytes_fini(&text);
	bytes_fini(&seen);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	struct bytes whole = { 0 }, parts = { 0 };
	size_t piece;

	if (size < 2)
		return (0);
	piece = (size_t)data[0] + 1;
	if (data[1] != '=') {
		read_reply(p + 1, size - 1, piece);
		return (0);
	}
	read_frames(p + 2, size - 2, size, &whole);
	read_frames(p + 2, size - 2, piece, &parts);
	claim(whole.len == parts.len);
	claim(whole.len == 0 || memcmp(whole.p, parts.p, whole.len) == 0);
	bytes_fini(&whole);
	bytes_fini(&parts);
	return (0);
}
