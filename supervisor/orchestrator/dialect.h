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

struct lease;

#define PATH_REGISTER     "/_worker/workers/register"
#define PATH_WORKER       "/_worker/workers/%s"
#define PATH_POLL         "/_worker/workers/%s/tasks/next"
#define PATH_RESULT       "/_worker/tasks/result"
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
	const char *token; /* signs, too */
	const char *const *types; /* offered task types */
	size_t types_count;
	int64_t max_concurrent_tasks;
	long cores;
	size_t report_stderr; /* bytes of a dead child's output that are sent */
	bool retry_passthrough; /* send the status retry as it is */
};

enum verdict {
	VERDICT_DONE, /* it did what was asked */
	VERDICT_UNKNOWN, /* it does not know us: register (again) */
	VERDICT_REFUSED, /* final: asking again changes nothing */
	VERDICT_DENIED, /* the token or the signature is not accepted */
	VERDICT_LIMITED, /* too many requests: be silent for a while */
	VERDICT_LATER, /* anything else: try again later */
};

struct dialect {
	const char *name;
	/* A second copy of a result moves the job again. */
	bool acts_on_copies;
	/* Each appends a JSON message to out; -1 and why when there is none
	 * that the orchestrator would take. */
	int (*registration)(
	    const struct worker_facts *, struct bytes *out, struct why *);
	/* May append nothing: an empty heartbeat is one, too. */
	int (*heartbeat)(
	    const struct worker_facts *, struct bytes *out, struct why *);
	int (*result)(const struct worker_facts *, const struct lease *,
	    struct bytes *out, struct why *);
	/* What the orchestrator did with a result, given a 200 whose body is
	 * a JSON object; why becomes its own word for it. */
	enum verdict (*taken)(const char *body, size_t len, struct why *);
};

extern const struct dialect dialect_classic;
extern const struct dialect dialect_rxon;

/* Judges a reply by status and body; why says what is wrong, with the
 * orchestrator's own words, shortened and made safe to log. */
enum verdict dialect_judge(
    long status, const char *body, size_t len, struct why *);
/* True when an empty heartbeat was answered as for a worker nobody knows:
 * RXON says null where it would say ttl_refreshed (contract, S5). */
bool dialect_is_unknown(const char *body, size_t len);

/* Appends ,"status":...,"data":...,"error":... of a result, as both dialects
 * have it, with retry turned into a failure that is run again unless the
 * facts say otherwise (contract, section 7). */
void dialect_put_outcome(
    const struct worker_facts *, const struct lease *, struct bytes *out);

#endif
