/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "child/bytes.h"
#include "supervisor/orchestrator/ws_handshake.h"
#include "tests/test.h"

#define OPEN \
	"HTTP/1.1 101 Switching Protocols\r\n" \
	"Upgrade: websocket\r\nConnection: Upgrade\r\n"

static struct ws_handshake *
begin(struct bytes *request)
{
	struct bytes headers = { 0 };
	struct ws_handshake *h;
	struct why why;

	bytes_puts(&headers, "X-Worker-Token: secret\r\n");
	ASSERT((h = ws_handshake_new(&why)) != NULL);
	ASSERT_INT(ws_handshake_put_request(h,
		       "https://orchestrator.example:8443/_worker/ws/w-1",
		       &headers, request, &why),
	    0);
	bytes_append(request, "", 1);
	ASSERT(!bytes_failed(request));
	bytes_fini(&headers);
	return (h);
}

/* The text of a header of the request, up to the end of its line. */
static void
header(const struct bytes *request, const char *name, char out[64])
{
	const char *at = strstr(request->p, name);

	ASSERT(at != NULL);
	at += strlen(name);
	(void)snprintf(out, 64, "%.*s", (int)strcspn(at, "\r"), at);
}

/* What a server has to answer to it. */
static void
accept_of(const struct bytes *request, char out[64])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char key[64], text[128];
	unsigned len;

	header(request, "Sec-WebSocket-Key: ", key);
	(void)snprintf(
	    text, sizeof(text), "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
	ASSERT(EVP_Digest(text, strlen(text), digest, &len, EVP_sha1(), NULL) ==
	    1);
	(void)EVP_EncodeBlock((unsigned char *)out, digest, (int)len);
}

/* Feeds a reply in pieces of that size; *rest: what does not belong to it. */
static enum ws_answer
feed(struct ws_handshake *h, const char *reply, size_t piece, size_t *rest,
    struct why *why)
{
	enum ws_answer answer = WS_ANSWER_MORE;
	size_t len = strlen(reply), n, used;

	while (len > 0 && answer == WS_ANSWER_MORE) {
		n = len < piece ? len : piece;
		answer = ws_handshake_feed(h, reply, n, &used, why);
		ASSERT(used <= n);
		ASSERT(answer != WS_ANSWER_MORE || used == n);
		reply += used;
		len -= used;
	}
	*rest = len;
	return (answer);
}

static void
asks_as_a_client_must(void)
{
	struct bytes request = { 0 }, other = { 0 };
	char key[64], key_2[64], value[64];
	struct ws_handshake *h = begin(&request), *h_2 = begin(&other);

	ASSERT_INT(
	    strncmp(request.p, "GET /_worker/ws/w-1 HTTP/1.1\r\n", 30), 0);
	header(&request, "Host: ", value);
	ASSERT_STR(value, "orchestrator.example:8443");
	header(&request, "X-Worker-Token: ", value);
	ASSERT_STR(value, "secret");
	header(&request, "Sec-WebSocket-Version: ", value);
	ASSERT_STR(value, "13");
	ASSERT(strstr(request.p, "Extensions") == NULL);
	ASSERT_STR(request.p + request.len - 5, "\r\n\r\n");
	header(&request, "Sec-WebSocket-Key: ", key);
	header(&other, "Sec-WebSocket-Key: ", key_2);
	ASSERT_INT(strlen(key), 24);
	ASSERT(strcmp(key, key_2) != 0);
	ws_handshake_free(h);
	ws_handshake_free(h_2);
	bytes_fini(&request);
	bytes_fini(&other);
}

/* Whatever the pieces are; what follows is not read. */
static void
takes_an_agreement_in_any_pieces(void)
{
	struct bytes request, reply;
	struct ws_handshake *h;
	char accept[64];
	size_t piece, rest;
	struct why why;

	for (piece = 1; piece < 200; piece++) {
		request = reply = (struct bytes){ 0 };
		h = begin(&request);
		accept_of(&request, accept);
		bytes_printf(&reply,
		    "HTTP/1.1 101 Whatever\r\nuPGRADE:  WebSocket \r\n"
		    "Date: now\r\nConnection: keep-alive, Upgrade\r\n"
		    "Sec-WebSocket-Accept: %s\r\n\r\n\x81\x02{}",
		    accept);
		bytes_append(&reply, "", 1);
		ASSERT_INT(
		    feed(h, reply.p, piece, &rest, &why), WS_ANSWER_OPEN);
		ASSERT_INT(rest, 4);
		ws_handshake_free(h);
		bytes_fini(&request);
		bytes_fini(&reply);
	}
}

static void
refuses_what_is_no_agreement(void)
{
	static const struct {
		const char *head; /* before the right key, if there is %s */
		const char *why;
	} rows[] = {
		{ OPEN "\r\n", "Accept does not fit" },
		{ OPEN "Sec-WebSocket-Accept: 2jmj7l5rSw0yVb/vlWAYkK/YBwk=\r\n"
		       "\r\n",
		    "Accept does not fit" },
		{ OPEN "Sec-WebSocket-Accept: %s\r\n"
		       "Sec-WebSocket-Accept: %s\r\n\r\n",
		    "Accept does not fit" },
		{ OPEN "Sec-WebSocket-Accept: %s\r\n"
		       "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
		    "an extension" },
		{ OPEN "Sec-WebSocket-Accept: %s\r\n"
		       "Sec-WebSocket-Protocol: chat\r\n\r\n",
		    "a subprotocol" },
		{ "HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
		  "Sec-WebSocket-Accept: %s\r\n\r\n",
		    "not for a WebSocket" },
		{ "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n"
		  "Sec-WebSocket-Accept: %s\r\n\r\n",
		    "not for a WebSocket" },
		{ OPEN
		    "Content-Length: 2\r\nSec-WebSocket-Accept: %s\r\n\r\nhi",
		    "not for a WebSocket" },
		{ "SSH-2.0-OpenSSH\r\n", "no HTTP" },
		{ "\r\n\x16\x03\x01", "no HTTP" },
	};
	char accept[64], reply[512];
	struct bytes request;
	struct ws_handshake *h;
	struct why why;
	size_t i, rest;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		request = (struct bytes){ 0 };
		h = begin(&request);
		accept_of(&request, accept);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void)snprintf(
		    reply, sizeof(reply), rows[i].head, accept, accept);
#pragma GCC diagnostic pop
		ASSERT_INT(feed(h, reply, 7, &rest, &why), WS_ANSWER_BROKEN);
		ASSERT(strstr(why.text, rows[i].why) != NULL);
		ws_handshake_free(h);
		bytes_fini(&request);
	}
}

static void
reads_other_replies_whole(void)
{
	static const struct {
		const char *text;
		int status;
		const char *body;
		const char *retry_after;
		bool closes; /* it ends with the connection */
	} rows[] = {
		{ "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope!",
		    403, "nope", NULL, false },
		{ "HTTP/1.1 429 x\r\nRetry-After: 7\r\nTransfer-Encoding: "
		  "chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		    429, "{}", "7", false },
		{ "HTTP/1.0 404 x\r\n\r\nnot here", 404, "not here", NULL,
		    true },
		{ "HTTP/1.1 204 x\r\n\r\n", 204, "", NULL, false },
		{ "HTTP/1.1 103 x\r\n\r\n", 103, "", NULL, false },
	};
	struct ws_reply reply;
	struct bytes request;
	struct ws_handshake *h;
	enum ws_answer answer;
	struct why why;
	size_t i, piece, rest;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (piece = 1; piece < 100; piece++) {
			request = (struct bytes){ 0 };
			h = begin(&request);
			answer = feed(h, rows[i].text, piece, &rest, &why);
			if (rows[i].closes) {
				ASSERT_INT(answer, WS_ANSWER_MORE);
				answer = ws_handshake_end(h, &why);
			}
			ASSERT_INT(answer, WS_ANSWER_OTHER);
			ws_handshake_reply(h, &reply);
			ASSERT_INT(reply.status, rows[i].status);
			ASSERT_MEM(reply.body, reply.body_len, rows[i].body,
			    strlen(rows[i].body));
			ASSERT((reply.retry_after == NULL) ==
			    (rows[i].retry_after == NULL));
			if (reply.retry_after != NULL)
				ASSERT_STR(
				    reply.retry_after, rows[i].retry_after);
			ws_handshake_free(h);
			bytes_fini(&request);
		}
}

static void
bears_no_endless_reply(void)
{
	static const char *const heads[] = { "HTTP/1.1 200 x\r\n\r\n",
		"HTTP/1.1 101 x\r\nX: ", "HTTP/1.1 101 x\r\nX" };
	struct bytes request;
	struct ws_handshake *h;
	enum ws_answer answer;
	size_t i, used, sum, rest;
	struct why why;
	char block[1000];

	memset(block, 'x', sizeof(block));
	for (i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		request = (struct bytes){ 0 };
		h = begin(&request);
		answer = feed(h, heads[i], 5, &rest, &why);
		for (sum = 0; answer == WS_ANSWER_MORE; sum += used) {
			ASSERT(sum <= WS_REPLY_MAX);
			answer = ws_handshake_feed(
			    h, block, sizeof(block), &used, &why);
		}
		ASSERT_INT(answer, WS_ANSWER_BROKEN);
		ASSERT(strstr(why.text, "longer than") != NULL);
		ws_handshake_free(h);
		bytes_fini(&request);
	}
}

static void
knows_an_end_without_a_reply(void)
{
	static const char *const parts[] = { "", "HTTP/1.1 10",
		"HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\nhi" };
	struct bytes request;
	struct ws_handshake *h;
	struct why why;
	size_t i, rest;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		request = (struct bytes){ 0 };
		h = begin(&request);
		ASSERT_INT(feed(h, parts[i], 3, &rest, &why), WS_ANSWER_MORE);
		ASSERT_INT(ws_handshake_end(h, &why), WS_ANSWER_BROKEN);
		ws_handshake_free(h);
		bytes_fini(&request);
	}
}

static const struct test tests[] = {
	{ "asks as a client must", asks_as_a_client_must },
	{ "takes an agreement in any pieces",
	    takes_an_agreement_in_any_pieces },
	{ "refuses what is no agreement", refuses_what_is_no_agreement },
	{ "reads other replies whole", reads_other_replies_whole },
	{ "bears no endless reply", bears_no_endless_reply },
	{ "knows an end without a reply", knows_an_end_without_a_reply },
};

TEST_MAIN(tests)
