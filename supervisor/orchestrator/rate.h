/* SPDX-License-Identifier: ISC */
/*
 * rate.h: an orchestrator's rate limits, seen from this side (contract, S8).
 * Each kind of request has a limit of its own, and its count is forgotten only
 * when a minute has passed without any request of that kind, blocked ones
 * included. So the silence is made before the limit is reached. Pure: whoever
 * asks brings the time, clock_now_ms().
 */
#ifndef AVTOWORKER_RATE_H
#define AVTOWORKER_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "supervisor/conf.h"

/* A second more than what orchestrators want. */
#define RATE_SILENCE_MS ((int64_t)61 * 1000)
/* So many times a limit is kept before it is tried again: it may have been
 * raised meanwhile, and one request too many costs no more than the silence
 * that would come anyway. */
#define RATE_TRUST      8

enum rate_kind {
	RATE_REGISTER,
	RATE_HEARTBEAT,
	RATE_POLL,
	RATE_RESULT,
	RATE_EVENT,
	RATE_WEBSOCKET,
	RATE_NKINDS
};

struct rate_window {
	unsigned sent; /* since the last silence */
	unsigned passed; /* of those, answered otherwise than with 429 */
	unsigned learned; /* how many pass, from experience; 0: unknown */
	unsigned kept; /* windows in a row that ended at our limit */
	int64_t last_ms; /* the latest request, or the beginning */
	int64_t not_before_ms; /* what a 429 has asked for */
	bool limited : 1; /* a 429 without Retry-After was seen */
	bool refused : 1; /* there was one in this window */
	bool whole : 1; /* it began with a silence that we know of */
	bool pausing : 1; /* it is in a silence that has been told */
};

struct rate {
	enum conf_rate_budget budget;
	const unsigned *published; /* limits by kind: one of the two below */
	struct rate_window windows[RATE_NKINDS];
};

/* The limits of orchestrators as they are published, by kind. */
extern const unsigned rate_classic[RATE_NKINDS];
extern const unsigned rate_rxon[RATE_NKINDS];
/* register, heartbeat, poll, result, event, websocket */
extern const char *const rate_kind_names[RATE_NKINDS];

void rate_init(struct rate *, enum conf_rate_budget, int64_t now_ms);
/* How many requests of that kind may go out between two silences; 0: as many
 * as one likes. */
unsigned rate_limit(const struct rate *, enum rate_kind);
/* ms until a request of that kind may go out; 0: now. */
int64_t rate_wait_ms(const struct rate *, enum rate_kind, int64_t now_ms);
/* The same, to be asked when there is one to send. *begins: this is the first
 * answer of a silence, the time to tell of it. */
int64_t rate_ask_ms(
    struct rate *, enum rate_kind, int64_t now_ms, bool *begins);
/* One goes out. */
void rate_sent(struct rate *, enum rate_kind, int64_t now_ms);
/* One was answered, with anything but 429. */
void rate_passed(struct rate *, enum rate_kind);
/* One was answered with 429. retry_after_ms: as the reply says, -1 when it
 * does not; a server that says it is believed, and nothing is learned. The
 * silence counts as told. */
void rate_refused(
    struct rate *, enum rate_kind, int64_t now_ms, int64_t retry_after_ms);

#endif
