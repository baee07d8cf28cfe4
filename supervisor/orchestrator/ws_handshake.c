/* SPDX-License-Identifier: ISC */
/* ws_handshake.c: http_parser reads the reply; here is what makes it an
 * agreement. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <bsd/stdlib.h>
#include <curl/curl.h>
#include <http_parser.h>
#include <openssl/evp.h>

#include "child/bytes.h"
#include "supervisor/orchestrator/ws_handshake.h"

#define KEY_BYTES   16
#define KEY_SIZE    25 /* in base64, terminated */
#define ACCEPT_SIZE 29
#define GUID        "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define VALUE_SIZE  128 /* longer ones are taken as empty */

/* Headers of the reply that matter. */
enum wanted {
	WANTED_UPGRADE,
	WANTED_ACCEPT,
	WANTED_EXTENSIONS,
	WANTED_PROTOCOL,
	WANTED_DATE,
	WANTED_RETRY_AFTER,
	WANTED_COUNT
};

static const char *const wanted_names[WANTED_COUNT] = {
	[WANTED_UPGRADE] = "Upgrade",
	[WANTED_ACCEPT] = "Sec-WebSocket-Accept",
	[WANTED_EXTENSIONS] = "Sec-WebSocket-Extensions",
	[WANTED_PROTOCOL] = "Sec-WebSocket-Protocol",
	[WANTED_DATE] = "Date",
	[WANTED_RETRY_AFTER] = "Retry-After",
};

struct ws_handshake {
	http_parser parser;
	char key[KEY_SIZE];
	char accept[ACCEPT_SIZE]; /* what is to be answered */
	size_t taken; /* bytes of the reply so far */
	struct bytes name; /* of the header that is being read */
	struct bytes value;
	char values[WANTED_COUNT][VALUE_SIZE]; /* "" unless it was sent */
	bool has[WANTED_COUNT];
	struct bytes body;
	bool in_value : 1; /* the header's value has begun */
	bool whole : 1;
};

/*
 * The reply.
 */

/* A header is complete: keeps it when it matters. */
static void
keep_header(struct ws_handshake *h)
{
	size_t len = h->value.len;
	int i;

	while (len > 0 &&
	    (h->value.p[len - 1] == ' ' || h->value.p[len - 1] == '\t'))
		len--;
	for (i = 0; i < WANTED_COUNT; i++)
		if (h->name.len == strlen(wanted_names[i]) &&
		    strncasecmp(h->name.p, wanted_names[i], h->name.len) == 0)
			break;
	if (i < WANTED_COUNT) {
		/* Two that should be one agree with nothing. */
		if (h->has[i])
			h->values[i][0] = '\0';
		else if (len > 0 && len < VALUE_SIZE)
			memcpy(h->values[i], h->value.p, len);
		h->has[i] = true;
	}
	h->name.len = h->value.len = 0;
	h->in_value = false;
}

static int
on_field(http_parser *parser, const char *p, size_t len)
{
	struct ws_handshake *h = parser->data;

	if (h->in_value)
		keep_header(h);
	bytes_append(&h->name, p, len);
	return (bytes_failed(&h->name) ? -1 : 0);
}

static int
on_value(http_parser *parser, const char *p, size_t len)
{
	struct ws_handshake *h = parser->data;

	h->in_value = true;
	bytes_append(&h->value, p, len);
	return (bytes_failed(&h->value) ? -1 : 0);
}

static int
on_headers(http_parser *parser)
{
	keep_header(parser->data);
	return (0);
}

static int
on_body(http_parser *parser, const char *p, size_t len)
{
	struct ws_handshake *h = parser->data;

	bytes_append(&h->body, p, len);
	return (bytes_failed(&h->body) ? -1 : 0);
}

/* Nothing of what follows is read: that would be another reply. */
static int
on_whole(http_parser *parser)
{
	((struct ws_handshake *)parser->data)->whole = true;
	http_parser_pause(parser, 1);
	return (0);
}

static const http_parser_settings settings = {
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers,
	.on_body = on_body,
	.on_message_complete = on_whole,
};

/* RFC 6455, 4.1: what the reply must say. */
static enum ws_answer
judge_upgrade(const struct ws_handshake *h, struct why *why)
{
	if (!h->parser.upgrade || h->body.len > 0 ||
	    strcasecmp(h->values[WANTED_UPGRADE], "websocket") != 0)
		why_set(why, "its 101 is not for a WebSocket");
	else if (strcmp(h->values[WANTED_ACCEPT], h->accept) != 0)
		why_set(why, "its Sec-WebSocket-Accept does not fit");
	else if (h->has[WANTED_EXTENSIONS] || h->has[WANTED_PROTOCOL])
		why_set(why, "it wants an extension or a subprotocol");
	else
		return (WS_ANSWER_OPEN);
	return (WS_ANSWER_BROKEN);
}

static enum ws_answer
judge(const struct ws_handshake *h, struct why *why)
{
	const enum http_errno error = HTTP_PARSER_ERRNO(&h->parser);

	if (h->whole)
		return (h->parser.status_code == 101 ? judge_upgrade(h, why) :
						       WS_ANSWER_OTHER);
	if (error != HPE_OK) {
		why_set(why, "the reply is no HTTP: %s",
		    http_errno_description(error));
		return (WS_ANSWER_BROKEN);
	}
	return (WS_ANSWER_MORE);
}

enum ws_answer
ws_handshake_feed(struct ws_handshake *h, const char *p, size_t len,
    size_t *used, struct why *why)
{
	const size_t room = WS_REPLY_MAX - h->taken;
	enum ws_answer answer;

	*used = http_parser_execute(
	    &h->parser, &settings, p, len < room ? len : room);
	h->taken += *used;
	answer = judge(h, why);
	if (answer == WS_ANSWER_MORE && h->taken >= WS_REPLY_MAX) {
		why_set(why, "the reply is longer than %d bytes", WS_REPLY_MAX);
		return (WS_ANSWER_BROKEN);
	}
	return (answer);
}

enum ws_answer
ws_handshake_end(struct ws_handshake *h, struct why *why)
{
	enum ws_answer answer;

	(void)http_parser_execute(&h->parser, &settings, NULL, 0);
	if ((answer = judge(h, why)) == WS_ANSWER_MORE) {
		why_set(why, "the connection was closed without a reply");
		answer = WS_ANSWER_BROKEN;
	}
	return (answer);
}

static const char *
value_of(const struct ws_handshake *h, enum wanted wanted)
{
	return (h->has[wanted] ? h->values[wanted] : NULL);
}

void
ws_handshake_reply(const struct ws_handshake *h, struct ws_reply *reply)
{
	*reply = (struct ws_reply){
		.status = (int)h->parser.status_code,
		.body = h->body.len > 0 ? h->body.p : "",
		.body_len = h->body.len,
		.date = value_of(h, WANTED_DATE),
		.retry_after = value_of(h, WANTED_RETRY_AFTER),
	};
}

/*
 * The request.
 */

/* A part of a URL; "" where there is none. To be freed by curl_free(). */
static char *
part_of(CURLU *url, CURLUPart part)
{
	char *text;

	return (curl_url_get(url, part, &text, 0) == CURLUE_OK ? text : NULL);
}

int
ws_handshake_put_request(const struct ws_handshake *h, const char *url,
    const struct bytes *headers, struct bytes *out, struct why *why)
{
	char *host = NULL, *port = NULL, *path = NULL;
	CURLU *parts = curl_url();
	int rc = -1;

	if (parts != NULL &&
	    curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK) {
		host = part_of(parts, CURLUPART_HOST);
		port = part_of(parts, CURLUPART_PORT);
		path = part_of(parts, CURLUPART_PATH);
	}
	if (host == NULL || path == NULL)
		why_set(why, "the URL cannot be taken apart");
	else {
		bytes_printf(out,
		    "GET %s HTTP/1.1\r\nHost: %s%s%s\r\n"
		    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
		    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n"
		    "User-Agent: avtoworker\r\n",
		    path, host, port != NULL ? ":" : "",
		    port != NULL ? port : "", h->key);
		bytes_append(out, headers->p, headers->len);
		bytes_puts(out, "\r\n");
		if (bytes_failed(headers) || bytes_failed(out))
			why_set(why, "no memory for a request");
		else
			rc = 0;
	}
	curl_free(host);
	curl_free(port);
	curl_free(path);
	curl_url_cleanup(parts);
	return (rc);
}

/*
 * Beginning and end.
 */

static int
make_keys(struct ws_handshake *h)
{
	unsigned char random[KEY_BYTES], digest[EVP_MAX_MD_SIZE];
	char text[KEY_SIZE + sizeof(GUID)];
	unsigned len;
	int n;

	arc4random_buf(random, sizeof(random));
	(void)EVP_EncodeBlock((unsigned char *)h->key, random, sizeof(random));
	n = snprintf(text, sizeof(text), "%s%s", h->key, GUID);
	if (EVP_Digest(text, (size_t)n, digest, &len, EVP_sha1(), NULL) != 1)
		return (-1);
	(void)EVP_EncodeBlock((unsigned char *)h->accept, digest, (int)len);
	return (0);
}

struct ws_handshake *
ws_handshake_new(struct why *why)
{
	struct ws_handshake *h;

	if ((h = calloc(1, sizeof(*h))) == NULL) {
		why_errno(why, "WebSocket");
		return (NULL);
	}
	if (make_keys(h) == -1) {
		why_set(why, "cannot make the key of a WebSocket");
		free(h);
		return (NULL);
	}
	http_parser_init(&h->parser, HTTP_RESPONSE);
	h->parser.data = h;
	return (h);
}

void
ws_handshake_free(struct ws_handshake *h)
{
	if (h == NULL)
		return;
	bytes_fini(&h->name);
	bytes_fini(&h->value);
	bytes_fini(&h->body);
	free(h);
}
