/* SPDX-License-Identifier: ISC */
/*
 * ready.c: puts the ready frame together. Its size is checked here as the
 * supervisor checks it there: an offer that is too large is an error, not a
 * broken frame.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "child/module.h"
#include "child/ready.h"

static const char no_memory[] =
    "{\"version\":1,\"error\":\"out of memory while starting\"}";
static const char too_many[] =
    "{\"version\":1,\"error\":\"too many handlers for one child; spread them "
    "over several categories\"}";

void
ready_begin(struct bytes *offer)
{
	bytes_printf(offer, "{\"version\":%d,\"handlers\":[", CHANNEL_VERSION);
}

static void
add_text(struct bytes *offer, const char *name, const char *text)
{
	if (text == NULL)
		return;
	bytes_printf(offer, ",\"%s\":", name);
	bytes_put_json(offer, text, strlen(text));
}

static void
add_json(struct bytes *offer, const char *name, const char *json)
{
	if (json == NULL)
		return;
	bytes_printf(offer, ",\"%s\":", name);
	bytes_puts(offer, json);
}

void
ready_add(struct bytes *offer, const struct aw_handler *h)
{
	if (offer->len > 0 && offer->p[offer->len - 1] == '}')
		bytes_puts(offer, ",");
	bytes_puts(offer, "{\"type\":");
	bytes_put_json(offer, h->type, strlen(h->type));
	add_text(offer, "category", h->category);
	add_text(offer, "version", h->version);
	add_text(offer, "description", h->description);
	add_text(offer, "kind", h->kind);
	add_json(offer, "input_schema", h->input_schema);
	add_json(offer, "output_schema", h->output_schema);
	add_json(offer, "events_schema", h->events_schema);
	add_json(offer, "output_statuses", h->output_statuses);
	bytes_puts(offer, "}");
}

static int
send_whole(struct wire *w, const struct bytes *whole)
{
	if (bytes_failed(whole))
		return (wire_send(
		    w, FRAME_READY, 0, no_memory, sizeof(no_memory) - 1));
	if (whole->len > CHANNEL_FROM_CHILD_MAX)
		return (wire_send(
		    w, FRAME_READY, 0, too_many, sizeof(too_many) - 1));
	return (wire_send(w, FRAME_READY, 0, whole->p, whole->len));
}

int
ready_send(struct wire *w, struct bytes *offer)
{
	int rc;

	bytes_puts(offer, "]}");
	rc = send_whole(w, offer);
	bytes_fini(offer);
	return (rc);
}

int
ready_send_error(struct wire *w, const struct bytes *sentence)
{
	struct bytes whole = { 0 };
	int rc;

	bytes_printf(&whole, "{\"version\":%d,\"error\":", CHANNEL_VERSION);
	bytes_put_json(&whole, sentence->p, sentence->len);
	bytes_puts(&whole, "}");
	whole.failed |= sentence->failed;
	rc = send_whole(w, &whole);
	bytes_fini(&whole);
	return (rc);
}

int
describe(struct wire *w, const char *file)
{
	struct bytes text = { 0 };
	struct module module;
	size_t i;
	int rc;

	if (module_load(&module, file, file, &text) == -1)
		rc = ready_send_error(w, &text);
	else {
		ready_begin(&text);
		for (i = 0; i < module.len; i++)
			ready_add(&text, &module.handlers[i]);
		rc = ready_send(w, &text);
		module_fini(&module);
	}
	bytes_fini(&text);
	if (rc == -1) {
		fprintf(stderr,
		    "avtoworker-child: cannot send the "
		    "description of %s: %s\n",
		    file, strerror(errno));
		return (EX_IOERR);
	}
	return (EX_OK);
}
