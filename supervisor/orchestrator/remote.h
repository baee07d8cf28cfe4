/* SPDX-License-Identifier: ISC */
/*
 * remote.h: a real orchestrator over HTTP: one struct, and one file for each
 * kind of request with a clock of its own: registration.c, heartbeat.c,
 * poll.c, post.c. Only those files and remote.c include this.
 */
#ifndef AVTOWORKER_REMOTE_H
#define AVTOWORKER_REMOTE_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>

#include "supervisor/base/backoff.h"
#include "supervisor/base/why.h"
#include "supervisor/orchestrator/dialect.h"
#include "supervisor/orchestrator/http.h"
#include "supervisor/orchestrator/orchestrator.h"

/* The silence after which a rate limit forgets: their windows slide (S8). */
#define REMOTE_SILENCE_MS ((int64_t)61 * 1000)

struct conf_orchestrator;
struct conf_worker;
struct event_base;
struct stats;

struct registration {
	struct http_call *call; /* probe or registration; NULL when idle */
	struct event retry;
	struct backoff backoff;
	bool registered : 1; /* the orchestrator knows us */
	bool tried : 1; /* an attempt has come to its end */
	bool stale : 1; /* the offer changed while a call was out */
};

struct heartbeat {
	struct http_call *call;
	struct event timer;
	bool empty_next : 1; /* the next one is empty (S5) */
};

/* One poll that is out. */
struct poll {
	TAILQ_ENTRY(poll) entry;
	struct remote *remote;
	struct http_call *call;
};

struct polling {
	TAILQ_HEAD(, poll) out;
	unsigned in_flight;
	unsigned wanted; /* as many as tasks seem to come, >= 1 */
	struct backoff backoff;
	int64_t not_before_ms; /* no poll starts earlier */
	struct event timer; /* not_before is over */
	unsigned refusals; /* results refused in a row */
	bool draining : 1;
};

/* One result that is on its way. */
struct post {
	TAILQ_ENTRY(post) entry;
	struct remote *remote;
	struct lease *lease; /* borrowed */
	struct http_call *call;
};

struct posting {
	TAILQ_HEAD(, lease) waiting; /* oldest first */
	TAILQ_HEAD(, post) out;
	unsigned waiting_count;
	unsigned in_flight;
	struct backoff backoff;
	int64_t not_before_ms; /* nothing is sent earlier */
	struct event timer;
	bool hurry : 1; /* the worker stops: short waits only */
};

struct remote {
	struct orchestrator base; /* first */
	const struct conf_orchestrator *conf;
	struct event_base *loop;
	struct http *http; /* borrowed */
	struct stats *stats; /* borrowed; or NULL */
	struct http_headers *headers;
	char *token; /* secret */
	char *url_register;
	char *url_worker;
	char *url_poll;
	char *url_result;
	int64_t heartbeat_interval_ms;
	int64_t poll_interval_ms;
	const struct dialect *dialect; /* NULL until it is found out */
	struct worker_facts facts;
	char **types; /* owned; facts.types */
	struct registration registration;
	struct heartbeat heartbeat;
	struct polling polling;
	struct posting posting;
};

/* What everybody is told who makes a remote. Borrowed while it lives. */
struct remote_settings {
	const struct conf_orchestrator *conf;
	const struct conf_worker *worker;
	const char *worker_id;
	struct event_base *loop;
	struct http *http;
	struct stats *stats; /* requests are counted there; or NULL */
};

/* NULL and why. */
struct orchestrator *remote_new(const struct remote_settings *,
    const struct orchestrator_ops *, void *arg, struct why *);
/* Starts a request with our headers; takes the body. */
struct http_call *remote_request(struct remote *, enum http_method,
    const char *url, struct bytes *body, int64_t timeout_ms, http_done,
    void *arg, struct why *);
/* Reads what became of it: VERDICT_DONE, or the verdict and why. Counts the
 * request, so it is to be called once for each. */
enum verdict remote_judge(
    struct remote *, const struct http_reply *, struct why *);
/* The same for requests that an orchestrator answers with a JSON object:
 * anything else with status 200 came from somebody else (a proxy's page). */
enum verdict remote_judge_object(
    struct remote *, const struct http_reply *, struct why *);
/* A reply that shows us our token must not be shown to the log: replaces why
 * when it does. */
void remote_redact(
    const struct remote *, const struct http_reply *, struct why *);
/* Says that something did not work, and when it is tried again. */
void remote_complain(const struct remote *, const char *what,
    const struct why *, int64_t delay_ms);
/* How long to wait after that verdict: the back-off's next delay, the
 * orchestrator's Retry-After, or the silence that its rate limits want. */
int64_t remote_delay_ms(
    enum verdict, const struct http_reply *, struct backoff *);

/* registration.c */
int registration_init(struct remote *);
void registration_begin(struct remote *); /* also: again */
void registration_fini(struct remote *);
/* heartbeat.c */
int heartbeat_init(struct remote *);
void heartbeat_start(struct remote *); /* registered: beat from now on */
void heartbeat_fini(struct remote *);
/* poll.c */
int polling_init(struct remote *);
void polling_kick(struct remote *);
void polling_abandon(struct remote *);
/* A result was taken, or refused for good: three refusals stop the polls. */
void polling_result_taken(struct remote *);
void polling_result_refused(struct remote *);
void polling_fini(struct remote *);
/* post.c */
int posting_init(struct remote *);
void posting_add(struct remote *, struct lease *);
void posting_kick(struct remote *);
/* The worker stops: what waits is tried now, and again soon. */
void posting_hurry(struct remote *);
void posting_fini(struct remote *);

#endif
