/* SPDX-License-Identifier: ISC */
/*
 * dialect.h: the two forms of the orchestrator's worker API behind one
 * interface. Pure: messages out, replies in; no I/O, no timers. Paths and the
 * token header are alike in both and stand here too.
 */
#ifndef AVTOWORKER_DIALECT_H
#define AVTOWORKER_DIALECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "child/bytes.h"
#include "supervisor/base/why.h"

struct conf_resources;
struct conf_storage;
struct lease;
struct skill;
struct used;

#define PATH_REGISTER     "/_worker/workers/register"
#define PATH_WORKER       "/_worker/workers/%s"
#define PATH_POLL         "/_worker/workers/%s/tasks/next"
#define PATH_RESULT       "/_worker/tasks/result"
#define PATH_EVENT        "/_worker/events" /* RXON only */
#define PATH_WEBSOCKET    "/_worker/ws/%s"
#define HEADER_TOKEN      "X-Worker-Token"
#define HEADER_WORKER_ID  "X-Worker-ID"
#define HEADER_RXON       "X-RXON-Version"
#define RXON_VERSION      "1.0b15"
#define MESSAGE_MAX_BYTES (1024u * 1024) /* what an orchestrator takes */

/* Who we are, for every message. Borrowed. */
struct worker_facts {
	const char *id;
	const char *type;
	const char *hostname;
	const char *address; /* IP */
	const char *token; /* signs, too */
	const struct skill *skills; /* offered */
	size_t skills_count;
	const char *const *hot_cache; /* models that children hold */
	size_t hot_cache_count;
	unsigned syncs; /* full ones that were asked for: changes the hash */
	int64_t max_concurrent_tasks;
	const struct conf_resources *resources; /* or NULL */
	const struct conf_storage *storage; /* or NULL */
	long cores; /* when resources do not say */
	int64_t memory_gb; /* the same */
	size_t report_stderr; /* bytes of a dead child's output that are sent */
	bool retry_passthrough; /* send the status retry as it is */
	bool brief; /* what handlers declare is left out: it is too much */
};

enum verdict {
	VERDICT_DONE, /* it did what was asked */
	VERDICT_UNKNOWN, /* it does not know us: register (again) */
	VERDICT_REFUSED, /* final: asking again changes nothing */
	VERDICT_DENIED, /* the token or the signature is not accepted */
	VERDICT_LIMITED, /* too many requests: be silent for a while */
	VERDICT_LATER, /* anything else: try again later */
};

/* What one heartbeat says. Borrowed. */
struct beat_facts {
	const char *status; /* BEAT_... */
	const char *const *ids; /* of tasks and jobs at work */
	size_t ids_count;
	int64_t running; /* tasks */
	bool has_usage; /* the next three are told */
	double cpu_percent;
	double memory_gb;
	const struct used *devices; /* its devices alone; NULL: none */
	bool sync; /* the skills are told whole */
	bool tells_websocket; /* the next one is told */
	bool websocket; /* commands can be sent over one */
};

/* Anything but idle makes an orchestrator without another idle worker
 * quarantine jobs that could have waited (contract, S6). */
#define BEAT_IDLE     "idle"
#define BEAT_BUSY     "busy"
#define BEAT_DRAINING "draining"
#define BEAT_OFFLINE  "offline"

/* What the reply to a heartbeat wants. */
struct beat_wishes {
	bool sync; /* the skills whole */
	int64_t delay_ms; /* of the next one, beyond its interval */
	/* Called for each id that may be a task's or a job's. */
	void (*cancel)(const char *id, void *arg);
	void *arg;
};

struct dialect {
	const char *name;
	/* A second copy of a result moves the job again. */
	bool acts_on_copies;
	/* It forgets workers without telling them, so they register again
	 * now and then (S5). */
	bool forgets;
	/* Heartbeats tell it which tasks are at work, or how many. */
	bool tells_tasks;
	bool tells_load;
	bool tells_cache; /* what models children hold */
	/* Events may be sent as requests, not over the WebSocket alone. */
	bool posts_events;
	/* Each appends a JSON message to out; -1 and why when there is none
	 * that the orchestrator would take. */
	int (*registration)(
	    const struct worker_facts *, struct bytes *out, struct why *);
	/* A heartbeat that says something; an empty one is one, too. */
	int (*heartbeat)(const struct worker_facts *, const struct beat_facts *,
	    struct bytes *out, struct why *);
	/* Reads the reply to one, a JSON object; NULL: it says nothing. */
	void (*wishes)(const char *body, size_t len, struct beat_wishes *);
	int (*result)(const struct worker_facts *, const struct lease *,
	    struct bytes *out, struct why *);
	/* What a handler tells of a lease. */
	int (*event)(const struct worker_facts *, const struct lease *,
	    const char *type, const struct bytes *payload, struct bytes *out,
	    struct why *);
	/* What the orchestrator did with a result, given a 200 whose body is
	 * a JSON object; why becomes its own word for it. */
	enum verdict (*taken)(const char *body, size_t len, struct why *);
	/* The same for an event; NULL where none are posted. */
	enum verdict (*event_taken)(const char *body, size_t len, struct why *);
};

extern const struct dialect dialect_classic;
extern const struct dialect dialect_rxon;

/* Judges a reply by status and body; why says what is wrong, with the
 * orchestrator's own words, shortened and made safe to log. */
enum verdict dialect_judge(
    long status, const char *body, size_t len, struct why *);
/* True when the answer says that the message is nested deeper than the
 * orchestrator follows: it says so whenever that message comes. */
bool dialect_is_too_deep(long status, const char *body, size_t len);
/* True when the reply says that a job is another worker's: of one that was given
 * out again while we still run it (contract, S9). */
bool dialect_is_not_ours(long status, const char *body, size_t len);
/* True when an empty heartbeat was answered as for a worker nobody knows:
 * RXON says null where it would say ttl_refreshed (contract, S5). */
bool dialect_is_unknown(const char *body, size_t len);

/* Appends ,"status":...,"data":...,"error":... of a result, as both dialects
 * have it, with retry turned into a failure that is run again unless the
 * facts say otherwise (contract, section 7). value_error: the code for a
 * ValueError of a handler in Python; NULL: as it is. */
void dialect_put_outcome(const struct worker_facts *, const struct lease *,
    const char *value_error, struct bytes *out);

#endif
