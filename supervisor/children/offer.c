/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "child/channel.h"
#include "child/json_scan.h"
#include "supervisor/children/names.h"
#include "supervisor/children/offer.h"
#include "supervisor/task.h"

#define HANDLERS_MAX 4096
#define LIMIT_MAX    10000

static int
check_version(const struct jslice *root, struct why *why)
{
	struct jslice value;
	int64_t version;

	if (!jscan_get(root, "version", &value) ||
	    jscan_int64(&value, &version) == -1) {
		why_set(why, "ready frame without version");
		return (-1);
	}
	if (version != CHANNEL_VERSION) {
		why_set(why,
		    "it speaks channel version %lld, not %d; install the "
		    "avtoworker-child of this version",
		    (long long)version, CHANNEL_VERSION);
		return (-1);
	}
	return (0);
}

/* The child could not start and says why. */
static int
read_error(const struct jslice *root, struct why *why)
{
	struct jslice value;

	if (!jscan_get(root, "error", &value))
		return (0);
	if (jscan_string(&value, why->text, sizeof(why->text)) == -1)
		why_set(why, "ready frame with an error that is no string");
	return (-1);
}

static int
read_word(const struct jslice *handler, const char *name, char **out)
{
	struct jslice value;

	if (!jscan_get(handler, name, &value))
		return (0);
	if ((*out = jscan_strdup(&value, TASK_ID_MAX)) == NULL)
		return (-1);
	return (task_id_ok(*out) ? 1 : -1);
}

static int
read_handler(
    const struct jslice *value, struct offer_handler *h, struct why *why)
{
	struct why what;

	if (read_word(value, "type", &h->type) != 1 ||
	    read_word(value, "category", &h->category) == -1) {
		why_set(why, "ready frame with a malformed handler");
		return (-1);
	}
	if (declared_read(value, &h->declared, &what) == -1) {
		why_set(why, "handler %s: %.100s", h->type, what.text);
		return (-1);
	}
	return (0);
}

static int
read_handlers(const struct jslice *root, struct offer *offer, struct why *why)
{
	struct jslice list, key, value;
	struct jscan_iter it;
	struct offer_handler *grown;

	if (!jscan_get(root, "handlers", &list) || list.type != JSCAN_ARRAY) {
		why_set(why, "ready frame without handlers");
		return (-1);
	}
	jscan_begin(&it, &list);
	while (jscan_next(&it, &key, &value)) {
		if (offer->count == HANDLERS_MAX) {
			why_set(why, "more than %d handlers", HANDLERS_MAX);
			return (-1);
		}
		grown = reallocarray(offer->handlers, offer->count + 1,
		    sizeof(*offer->handlers));
		if (grown == NULL) {
			why_errno(why, "offer");
			return (-1);
		}
		offer->handlers = grown;
		grown[offer->count] = (struct offer_handler){ 0 };
		offer->count++;
		if (read_handler(&value, &grown[offer->count - 1], why) == -1)
			return (-1);
	}
	return (0);
}

static int
read_limits(const struct jslice *root, struct offer *offer, struct why *why)
{
	struct jslice limits, key, value;
	struct offer_limit *grown, *l;
	struct jscan_iter it;
	int64_t tasks;

	if (!jscan_get(root, "limits", &limits))
		return (0);
	if (limits.type != JSCAN_OBJECT) {
		why_set(why, "ready frame with limits that are no object");
		return (-1);
	}
	jscan_begin(&it, &limits);
	while (jscan_next(&it, &key, &value)) {
		grown = reallocarray(offer->limits, offer->limits_len + 1,
		    sizeof(*offer->limits));
		if (grown == NULL) {
			why_errno(why, "offer");
			return (-1);
		}
		offer->limits = grown;
		l = &grown[offer->limits_len++];
		*l = (struct offer_limit){ jscan_strdup(&key, TASK_ID_MAX), 0 };
		if (l->category == NULL || !task_id_ok(l->category) ||
		    jscan_int64(&value, &tasks) == -1 || tasks < 1 ||
		    tasks > LIMIT_MAX) {
			why_set(why,
			    "ready frame with a limit that is no number of "
			    "tasks from 1 to %d",
			    LIMIT_MAX);
			return (-1);
		}
		l->tasks = (unsigned)tasks;
	}
	return (0);
}

static int
read_worker(const struct jslice *root, struct offer *offer, struct why *why)
{
	struct jslice worker;

	if (!jscan_get(root, "worker", &worker))
		return (0);
	if (worker.type != JSCAN_OBJECT) {
		why_set(why, "ready frame with a worker that is no object");
		return (-1);
	}
	if ((offer->worker = strndup(worker.p, worker.len)) == NULL) {
		why_errno(why, "offer");
		return (-1);
	}
	return (0);
}

int
offer_read(const char *payload, size_t len, struct offer *out, struct why *why)
{
	struct offer offer = { 0 };
	struct jscan_error error;
	struct jslice root;

	if (jscan_check(payload, len, &jscan_payload_limits, &root, &error) ==
	    -1) {
		why_set(
		    why, "ready frame: %s at byte %zu", error.text, error.at);
		return (-1);
	}
	if (check_version(&root, why) == -1 || read_error(&root, why) == -1)
		return (-1);
	if (read_handlers(&root, &offer, why) == -1 ||
	    read_limits(&root, &offer, why) == -1 ||
	    read_worker(&root, &offer, why) == -1 ||
	    names_read(&root, "commands", &offer.commands, why) == -1) {
		offer_fini(&offer);
		return (-1);
	}
	*out = offer;
	return (0);
}

static int
copy_handler(const struct offer_handler *from, struct offer_handler *copy)
{
	if ((copy->type = strdup(from->type)) == NULL ||
	    (from->category != NULL &&
		(copy->category = strdup(from->category)) == NULL))
		return (-1);
	return (declared_copy(&from->declared, &copy->declared));
}

static int
copy_limits(const struct offer *from, struct offer *copy)
{
	size_t i;

	copy->limits = calloc(from->limits_len + 1, sizeof(*copy->limits));
	if (copy->limits == NULL)
		return (-1);
	for (i = 0; i < from->limits_len; i++) {
		copy->limits[i].tasks = from->limits[i].tasks;
		copy->limits[i].category = strdup(from->limits[i].category);
		if (copy->limits[i].category == NULL)
			return (-1);
		copy->limits_len++;
	}
	return (0);
}

int
offer_copy(const struct offer *from, struct offer *copy)
{
	size_t i;

	*copy = (struct offer){ 0 };
	copy->handlers = calloc(from->count + 1, sizeof(*copy->handlers));
	if (copy->handlers == NULL)
		return (-1);
	for (i = 0; i < from->count; i++) {
		copy->count++;
		if (copy_handler(&from->handlers[i], &copy->handlers[i]) ==
		    -1) {
			offer_fini(copy);
			return (-1);
		}
	}
	if (copy_limits(from, copy) == -1 ||
	    (from->worker != NULL &&
		(copy->worker = strdup(from->worker)) == NULL) ||
	    (from->commands != NULL &&
		(copy->commands = strdup(from->commands)) == NULL)) {
		offer_fini(copy);
		return (-1);
	}
	return (0);
}

static bool
same_text(const char *a, const char *b)
{
	return (a == NULL || b == NULL ? a == b : strcmp(a, b) == 0);
}

static bool
has(const struct offer *offer, const struct offer_handler *h)
{
	size_t i;

	for (i = 0; i < offer->count; i++)
		if (strcmp(offer->handlers[i].type, h->type) == 0 &&
		    same_text(offer->handlers[i].category, h->category))
			return (true);
	return (false);
}

bool
offer_equal(const struct offer *a, const struct offer *b)
{
	size_t i;

	if (a->count != b->count)
		return (false);
	for (i = 0; i < a->count; i++)
		if (!has(b, &a->handlers[i]))
			return (false);
	return (true);
}

void
offer_fini(struct offer *offer)
{
	size_t i;

	for (i = 0; i < offer->count; i++) {
		free(offer->handlers[i].type);
		free(offer->handlers[i].category);
		declared_fini(&offer->handlers[i].declared);
	}
	free(offer->handlers);
	for (i = 0; i < offer->limits_len; i++)
		free(offer->limits[i].category);
	free(offer->limits);
	if (offer->worker != NULL) /* it may hold a token */
		explicit_bzero(offer->worker, strlen(offer->worker));
	free(offer->worker);
	free(offer->commands);
	*offer = (struct offer){ 0 };
}
