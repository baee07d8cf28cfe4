/* SPDX-License-Identifier: ISC */
/*
 * Each endpoint is a row of the route table and a function. What a request
 * says is read in place from its checked bytes; wording and status of the
 * answers are those of real orchestrators.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>
#include <event2/event.h>

#include "tests/devorch/call.h"
#include "tests/devorch/ledger.h"
#include "tests/devorch/server.h"
#include "tests/devorch/stats.h"
#include "tests/devorch/work.h"

#define VERSION "1.0b15"

struct worker {
	TAILQ_ENTRY(worker) entry; /* api->workers; that list owns us */
	char id[CALL_ID_SIZE];
};

/* ---- workers ---- */

static struct worker *
worker_find(const struct api *api, const char *id)
{
	struct worker *w;

	TAILQ_FOREACH(w, &api->workers, entry)
		if (strcmp(w->id, id) == 0)
			return (w);
	return (NULL);
}

static int
worker_add(struct api *api, const char *id)
{
	struct worker *w;

	if (worker_find(api, id) != NULL)
		return (0);
	if ((w = calloc(1, sizeof(*w))) == NULL)
		return (-1);
	(void)strlcpy(w->id, id, sizeof(w->id));
	TAILQ_INSERT_TAIL(&api->workers, w, entry);
	return (0);
}

static void
workers_forget(struct api *api)
{
	struct worker *w;

	while ((w = TAILQ_FIRST(&api->workers)) != NULL) {
		TAILQ_REMOVE(&api->workers, w, entry);
		free(w);
	}
}

/* ---- the endpoints ---- */

static void
handle_register(struct call *call)
{
	if (!call_read(call) || !call_check_sender(call, NULL))
		return;
	if (call->worker[0] == '\0') {
		call->api->stats->malformed++;
		call_error(call, 400, "Missing required field: worker_id");
		return;
	}
	if (worker_add(call->api, call->worker) == -1) {
		call_error(call, 500, "out of memory");
		return;
	}
	call->api->stats->registers++;
	call_answer(call, 200,
	    call->api->options->rxon ?
		"{\"status\":\"registered\",\"version\":\"" VERSION "\"}" :
		"{\"status\":\"registered\"}");
}

/* A heartbeat that only says "still here". */
static bool
is_bare(const struct call *call)
{
	const struct request *r = call->request;

	return (r->body_len == 0 ||
	    (r->body_len == 2 && memcmp(r->body, "{}", 2) == 0) ||
	    (r->body_len == 4 && memcmp(r->body, "null", 4) == 0));
}

static void
handle_heartbeat(struct call *call)
{
	const bool rxon = call->api->options->rxon;
	const bool known = worker_find(call->api, call->worker) != NULL;
	char record[CALL_ID_SIZE + 64];

	call->api->stats->heartbeats++;
	if (!known && !rxon) {
		call_error(call, 404, "Worker not found");
	} else if (is_bare(call)) {
		call_answer(call, 200,
		    known ? "{\"status\":\"ttl_refreshed\"}" : "null");
	} else if (call_read(call) && call_check_sender(call, NULL)) {
		/* Classic answers with its whole record of the worker. */
		(void)snprintf(record, sizeof(record),
		    "{\"worker_id\":\"%s\",\"status\":\"idle\"}", call->worker);
		call_answer(call, 200, rxon ? "{\"status\":\"ok\"}" : record);
	}
}

static void
handle_poll(struct call *call)
{
	polls_take(call->api->polls, call->conn, call->step);
}

static void
handle_event(struct call *call)
{
	static const char *const ignore[] = { "bubbling_chain", NULL };

	if (!call_read(call) || !call_check_sender(call, ignore))
		return;
	call->api->stats->events++;
	call_answer(call, 200, "{\"status\":\"event_accepted\"}");
}

/* ---- from a path to its endpoint ---- */

static const struct route {
	const char *method;
	const char *prefix;
	const char *suffix; /* behind a worker id; NULL: no id in the path */
	enum endpoint endpoint;
	void (*handle)(struct call *);
} routes[] = {
	{ "GET", "/_worker/workers/", "/tasks/next", ENDPOINT_POLL,
	    handle_poll },
	{ "POST", "/_worker/tasks/result", NULL, ENDPOINT_RESULT, call_result },
	{ "POST", "/_worker/workers/register", NULL, ENDPOINT_REGISTER,
	    handle_register },
	{ "PATCH", "/_worker/workers/", "", ENDPOINT_HEARTBEAT,
	    handle_heartbeat },
	{ "POST", "/_worker/events", NULL, ENDPOINT_EVENT, handle_event },
};

/* True when the path is the route's; its worker id is copied. */
static bool
route_matches(
    const struct route *route, const char *path, char id[CALL_ID_SIZE])
{
	const size_t prefix_len = strlen(route->prefix);
	size_t id_len;

	if (strncmp(path, route->prefix, prefix_len) != 0)
		return (false);
	path += prefix_len;
	if (route->suffix == NULL)
		return (*path == '\0');
	id_len = strcspn(path, "/");
	if (id_len == 0 || id_len >= CALL_ID_SIZE ||
	    strcmp(path + id_len, route->suffix) != 0)
		return (false);
	memcpy(id, path, id_len);
	id[id_len] = '\0';
	/* What goes back into JSON has to be harmless there. */
	return (strpbrk(id, "\"\\") == NULL);
}

static const struct route *
route_find(struct call *call, bool *wrong_method)
{
	size_t i;

	*wrong_method = false;
	for (i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (!route_matches(
			&routes[i], call->request->path, call->worker))
			continue;
		if (strcmp(routes[i].method, call->request->method) == 0)
			return (&routes[i]);
		*wrong_method = true;
	}
	return (NULL);
}

/* False when the token is wrong, and that was said. */
static bool
check_token(const struct call *call)
{
	const struct api_options *o = call->api->options;
	const char *given = call->request->token;

	if (o->token == NULL || strcmp(o->token, given) == 0)
		return (true);
	call->api->stats->refused++;
	if (given[0] != '\0')
		call_error(call, o->rxon ? 403 : 401,
		    "Unauthorized: No valid token found");
	else if (o->rxon)
		call_error(call, 403,
		    "Unauthorized: Missing X-Worker-Token header or client "
		    "certificate.");
	else
		call_error(call, 401, "Missing X-Worker-Token header");
	return (false);
}

static void
on_request(struct conn *c, const struct request *r, void *arg)
{
	struct api *api = arg;
	struct call call = { .api = api, .conn = c, .request = r };
	const struct route *route;
	uint64_t faults;
	bool wrong_method;

	api->stats->requests++;
	if ((route = route_find(&call, &wrong_method)) == NULL) {
		if (strcmp(r->path, "/redirected") == 0)
			api->stats->redirects_followed++;
		call_text(&call, wrong_method ? 405 : 404,
		    wrong_method ? "405: Method Not Allowed" :
				   "404: Not Found");
		return;
	}
	if (route->endpoint == ENDPOINT_HEARTBEAT)
		stats_heartbeat(api->stats, r->arrived_ns);
	faults = faults_given(api->faults);
	call.step = fault_apply(
	    api->faults, route->endpoint, c, api->port, api->options->rxon);
	ledger_request(api->options->polls.ledger, route->endpoint,
	    faults_given(api->faults) != faults, r->arrived_ns);
	if (call.step == FAULT_ANSWERED)
		return;
	if (call.step == FAULT_FORGET)
		workers_forget(api);
	if (!check_token(&call))
		return;
	if (r->too_large)
		call_error(
		    &call, 413, "Maximum request body size 1048576 exceeded.");
	else
		route->handle(&call);
}

static void
on_gone(struct conn *c, void *arg)
{
	struct api *api = arg;

	polls_gone(api->polls, c);
}

struct api *
api_new(struct event_base *base, const struct api_options *options,
    struct work *work, struct faults *faults, struct stats *stats,
    struct why *why)
{
	static const struct server_ops ops = { on_request, on_gone };
	struct api *api;

	if ((api = calloc(1, sizeof(*api))) == NULL) {
		why_errno(why, "api");
		return (NULL);
	}
	TAILQ_INIT(&api->workers);
	api->base = base;
	api->options = options;
	api->work = work;
	api->faults = faults;
	api->stats = stats;
	api->polls = polls_new(base, &options->polls, work, stats, why);
	if (api->polls == NULL)
		goto fail;
	api->server = server_new(base, options->listen,
	    options->rxon ? VERSION : NULL, &ops, api, why);
	if (api->server == NULL)
		goto fail;
	api->port = server_port(api->server);
	return (api);

fail:
	api_free(api);
	return (NULL);
}

void
api_release(struct api *api)
{
	work_release(api->work);
	polls_serve(api->polls);
}

void
api_close(struct api *api)
{
	work_close(api->work);
	if (api->options->exit_when_done && work_done(api->work))
		(void)event_base_loopexit(api->base, NULL);
}

unsigned
api_port(const struct api *api)
{
	return (api->port);
}

void
api_free(struct api *api)
{
	if (api == NULL)
		return;
	polls_free(api->polls);
	server_free(api->server);
	workers_forget(api);
	free(api);
}
