/* SPDX-License-Identifier: ISC */
/*
 * remote.h: a real orchestrator over HTTP: one struct, and one file for each
 * kind of request with a clock of its own: registration.c, heartbeat.c,
 * poll.c, post.c, events.c; and websocket.c. Only those files, remote.c and
 * fleet.c include this.
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
#include "supervisor/orchestrator/outbox.h"
#include "supervisor/orchestrator/rate.h"
#include "supervisor/orchestrator/tls.h"
#include "supervisor/orchestrator/usage.h"
#include "supervisor/used.h"

/* The silence after which a rate limit forgets: their windows slide (S8). */
#define REMOTE_SILENCE_MS RATE_SILENCE_MS

struct conf_orchestrator;
struct conf_resources;
struct conf_worker;
struct event_base;
struct fleet;
struct stats;

struct registration {
	struct http_call *call; /* probe or registration; NULL when idle */
	struct event retry; /* after a failure, or to be remembered */
	struct backoff backoff;
	bool registered : 1; /* the orchestrator knows us */
	bool tried : 1; /* an attempt has come to its end */
	bool stale : 1; /* the offer changed while a call was out */
	bool renewing : 1; /* it is known to be known: no word about it */
};

/* One heartbeat that is out. */
struct beat {
	TAILQ_ENTRY(beat) entry;
	struct remote *remote;
	struct http_call *call;
	bool old : 1; /* we have been registered since it was sent */
};

enum parting {
	PARTING_NOT, /* or without a word */
	PARTING_BEGUN, /* heartbeats say that we drain */
	PARTING_SAYING, /* the last one is out */
	PARTING_DONE,
};

struct heartbeat {
	TAILQ_HEAD(, beat) out;
	unsigned in_flight;
	struct event timer; /* of the next one */
	struct event soon; /* something has changed that may matter */
	struct backoff backoff;
	int64_t due_ms; /* when the next one is due */
	int64_t sent_ms; /* when the last one was sent */
	int64_t silent_until_ms; /* a rate limit has been met */
	int64_t debounce_ms; /* changes come in swarms */
	int64_t cooldown_ms; /* from one to an early one */
	int64_t credit_ms; /* for early ones: each costs an interval */
	int64_t credit_at_ms; /* when it was counted last */
	/* What was told last. */
	uint64_t told_newest;
	int64_t told_running;
	double told_cpu;
	double told_memory;
	int64_t usage_ms; /* when it was told */
	int64_t usage_interval_ms; /* after which it is told again */
	double usage_deadband; /* points, and percent */
	struct used told_used; /* of which the devices count */
	struct usage usage;
	enum parting parting;
	bool started : 1;
	bool empty_next : 1; /* the next one is empty (S5) */
	bool usage_told : 1; /* told_cpu and told_memory are valid */
	bool websocket_told : 1; /* that there is one */
	bool sync : 1; /* the next one tells the skills whole */
	bool sync_sent : 1; /* one has; asked again, we register again */
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
	bool failing : 1; /* the last one has failed */
	bool unheard : 1; /* not_before is because of no reply */
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
	TAILQ_HEAD(lease_list, lease) waiting; /* oldest first */
	TAILQ_HEAD(, post) out;
	unsigned waiting_count;
	unsigned in_flight;
	struct backoff backoff;
	int64_t not_before_ms; /* nothing is sent earlier */
	struct event timer;
	int64_t silent_ms; /* no attempt was answered since then; 0: the last
			      one was, or there was none in this hurry */
	struct outbox_client client;
	bool hurry : 1; /* the worker stops: short waits only */
	bool unheard : 1; /* not_before is because of no reply */
	bool joined : 1; /* the outbox knows us */
};

/* What handlers tell. */
struct telling {
	TAILQ_HEAD(, told) waiting; /* in the order in which they came */
	unsigned waiting_count;
	struct told *out; /* on its way; or NULL */
	struct http_call *call; /* of out; NULL: it goes over the WebSocket */
	uint64_t number; /* of out, when it goes there; see websocket_tell() */
	struct event timer; /* progress may be sent again; or out is late */
	int64_t progress_after_ms; /* none is sent earlier */
	int64_t not_before_ms; /* nothing is taken earlier */
	int64_t complain_after_ms; /* no line about one earlier */
	unsigned lost; /* refused, or not told, since the last line */
	struct backoff backoff;
};

enum websocket_state {
	WEBSOCKET_OFF, /* not begun yet, not wanted, or over for good */
	WEBSOCKET_WAITING, /* for the next attempt */
	WEBSOCKET_CONNECTING,
	WEBSOCKET_ASKING, /* for the upgrade */
	WEBSOCKET_OPEN,
	WEBSOCKET_CLOSING, /* the last words are said */
};

struct websocket {
	enum websocket_state state;
	struct stream *stream; /* from CONNECTING on */
	struct ws_handshake *handshake; /* the same */
	struct ws_frames *frames; /* from OPEN on */
	struct event timer; /* what for, the state says */
	struct backoff backoff;
	struct why why; /* it is closing */
	int64_t since_ms; /* when the state began */
	int64_t begun_ms; /* the attempt */
	int64_t opened_ms;
	int64_t heard_ms; /* something came */
	int64_t pinged_ms; /* the first ping without an answer; 0: none */
	uint64_t pings; /* so far, over all connections */
	bool closed : 1; /* the other side has said so */
	bool suspect : 1; /* it may be taken for a second one (S22) */
	bool reopening : 1; /* and so it is made again */
	bool complained : 1; /* since the last one was open */
	bool leaving : 1; /* the worker ends */
};

struct remote {
	struct orchestrator base; /* first */
	const struct conf_orchestrator *conf;
	struct fleet *fleet; /* that it is of */
	struct outbox *outbox; /* borrowed */
	struct event_base *loop;
	struct http *http; /* borrowed */
	struct stats *stats; /* borrowed; or NULL */
	struct http_headers *headers;
	struct tls tls;
	struct rate rate;
	unsigned told_limits; /* bit per rate_kind */
	int64_t told_skew_ms; /* of the clocks, as last warned of; or 0 */
	int64_t heard_ms; /* when it has answered anything last; or 0 */
	char *token; /* secret */
	char *task_key; /* secret; NULL: tasks are not verified */
	char *url_register;
	char *url_worker;
	char *url_poll;
	char *url_result;
	char *url_event;
	char *url_websocket;
	int64_t heartbeat_interval_ms;
	int64_t poll_interval_ms;
	const struct dialect *dialect; /* NULL until it is found out */
	struct worker_facts facts;
	char **hot_cache; /* owned; facts.hot_cache */
	struct skill *skills; /* owned; facts.skills, and hot as last told */
	struct registration registration;
	struct heartbeat heartbeat;
	struct polling polling;
	struct posting posting;
	struct telling telling;
	struct websocket websocket;
};

/* What everybody is told who makes a remote. Borrowed while it lives. */
struct remote_settings {
	const struct conf_orchestrator *conf;
	const struct conf_worker *worker;
	const struct conf_resources *resources;
	const struct conf_storage *storage;
	const char *worker_id;
	struct event_base *loop;
	struct http *http;
	struct outbox *outbox;
	struct stats *stats; /* requests are counted there; or NULL */
	struct fleet *fleet; /* who decides when it polls */
};

/* NULL and why. To be freed by orchestrator_free(). */
struct remote *remote_new(const struct remote_settings *,
    const struct orchestrator_ops *, void *arg, struct why *);
/* Starts a request with our headers; takes the body, for which there is more
 * time the larger it is. */
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
/* Verifies the signature of a task, where there is a key for that. -1 and
 * why. */
int remote_verify(struct remote *, const struct http_reply *, struct why *);
/* A reply that shows us our token must not be shown to the log: replaces why
 * when it does. */
void remote_redact(
    const struct remote *, const struct http_reply *, struct why *);
/* The same for a text of the orchestrator's that is no reply. */
void remote_redact_text(const struct remote *, struct why *);
/* Says that something did not work, and when it is tried again. */
void remote_complain(const struct remote *, const char *what,
    const struct why *, int64_t delay_ms);
/* It is heard again: whoever waits because it gave no reply need not. */
void remote_resume(struct remote *);
/* How long to wait after that verdict: the back-off's next delay, the
 * orchestrator's Retry-After, or the silence that its rate limits want. */
int64_t remote_delay_ms(
    enum verdict, const struct http_reply *, struct backoff *);

/* manners.c */
int manners_init(struct remote *, struct why *);
/* ms until the orchestrator's rate limits let a request of that kind through;
 * 0: now. To be asked when there is one to send: a pause is told and counted.
 * What is sent and answered is counted by remote_request() and the judges. */
int64_t manners_pause_ms(struct remote *, enum rate_kind);
/* For remote.c: what a reply tells of limits, and of the clocks. */
void manners_sent(struct remote *, enum rate_kind);
void manners_answered(struct remote *, enum verdict, const struct http_reply *);

/* registration.c */
int registration_init(struct remote *);
/* Takes over what is offered, and registers with it. -1 and why. */
int registration_offer(struct remote *, const struct offered *, struct why *);
void registration_begin(struct remote *); /* also: again */
void registration_stop(struct remote *); /* nor later */
void registration_fini(struct remote *);
/* heartbeat.c */
int heartbeat_init(struct remote *);
void heartbeat_start(struct remote *); /* registered: beat from now on */
/* Something that a heartbeat tells may have changed. */
void heartbeat_touch(struct remote *);
/* Sets what skills are hot; true when that has changed. */
bool heartbeat_mark_hot(struct remote *);
/* The worker drains, which is told where stop_status says so. */
void heartbeat_part(struct remote *);
/* The last one, where it is to be told; true when that is over. */
bool heartbeat_goodbye(struct remote *);
void heartbeat_fini(struct remote *);
/* events.c */
int events_init(struct remote *);
void events_add(
    struct remote *, const struct lease *, const struct task_event *);
/* The lease has its result, to be sent now. False while it has told something
 * that must be there first: posting_kick() is called when that has changed.
 * hurry: what it has told is left out instead. */
bool events_end(struct remote *, const struct lease *, bool hurry);
/* What went over the WebSocket under that number has been read. */
void events_taken(struct remote *, uint64_t number);
/* The WebSocket is no more: what was under way there may be lost. */
void events_lost(struct remote *);
void events_fini(struct remote *);
/* websocket.c */
int websocket_init(struct remote *);
/* Registered: have one from now on, where that is wanted. */
void websocket_begin(struct remote *);
bool websocket_is_open(const struct remote *);
/* Sends a text, and returns the number with which events_taken() will be called
 * when the orchestrator has read it; 0: it cannot be sent this way now. */
uint64_t websocket_tell(struct remote *, const struct bytes *text);
/* Closes it for good; true when that is done: changed() tells. */
bool websocket_goodbye(struct remote *);
void websocket_fini(struct remote *);
/* poll.c */
int polling_init(struct remote *);
/* One more poll would do, if there is a place for it. */
bool polling_wants_more(const struct remote *);
/* Starts one; without memory or in a pause it is not wanted for a while. */
void polling_start(struct remote *);
/* Tasks have come of late. */
bool polling_is_flowing(const struct remote *);
/* It is registered and its polls do not fail. */
bool polling_answers(const struct remote *);
void polling_resume(struct remote *); /* for remote_resume() */
void polling_abandon(struct remote *);
/* A result was taken, or refused for good: three refusals stop the polls. */
void polling_result_taken(struct remote *);
void polling_result_refused(struct remote *);
void polling_fini(struct remote *);
/* post.c */
int posting_init(struct remote *);
/* Everything else is there: results of before may come. */
void posting_join(struct remote *);
void posting_add(struct remote *, struct lease *);
void posting_kick(struct remote *);
void posting_resume(struct remote *); /* for remote_resume() */
/* The worker stops: what waits is tried now, and again soon. */
void posting_hurry(struct remote *);
/* It has been in a hurry for a while, and nobody answers. */
bool posting_is_unheard(const struct remote *);
void posting_fini(struct remote *);

#endif
