/* SPDX-License-Identifier: ISC */
/* rate.c: counts per kind of request, and when to be silent. */
#include <string.h>

#include "supervisor/orchestrator/rate.h"

const unsigned rate_classic[RATE_NKINDS] = { 5, 5, 5, 5, 5, 5 };
const unsigned rate_rxon[RATE_NKINDS] = {
	[RATE_REGISTER] = 100,
	[RATE_HEARTBEAT] = 120,
	[RATE_POLL] = 60,
	[RATE_RESULT] = 100,
	[RATE_EVENT] = 100,
	[RATE_WEBSOCKET] = 100,
};

const char *const rate_kind_names[RATE_NKINDS] = {
	[RATE_REGISTER] = "register",
	[RATE_HEARTBEAT] = "heartbeat",
	[RATE_POLL] = "poll",
	[RATE_RESULT] = "result",
	[RATE_EVENT] = "event",
	[RATE_WEBSOCKET] = "websocket",
};

void
rate_init(struct rate *rate, enum conf_rate_budget budget, int64_t now_ms)
{
	int kind;

	memset(rate, 0, sizeof(*rate));
	rate->budget = budget;
	rate->published = rate_rxon;
	/* Who was here before us may have used up something. */
	for (kind = 0; kind < RATE_NKINDS; kind++)
		rate->windows[kind].last_ms = now_ms;
}

unsigned
rate_limit(const struct rate *rate, enum rate_kind kind)
{
	const struct rate_window *w = &rate->windows[kind];

	if (rate->budget == CONF_RATE_OFF ||
	    (rate->budget == CONF_RATE_AUTO &&
		(!w->limited || w->kept >= RATE_TRUST)))
		return (0);
	return (w->learned > 0 ? w->learned : rate->published[kind]);
}

int64_t
rate_wait_ms(const struct rate *rate, enum rate_kind kind, int64_t now_ms)
{
	const struct rate_window *w = &rate->windows[kind];
	const unsigned limit = rate_limit(rate, kind);
	int64_t until_ms = w->not_before_ms;

	if (limit > 0 && w->sent >= limit &&
	    w->last_ms + RATE_SILENCE_MS > until_ms)
		until_ms = w->last_ms + RATE_SILENCE_MS;
	return (until_ms > now_ms ? until_ms - now_ms : 0);
}

int64_t
rate_ask_ms(
    struct rate *rate, enum rate_kind kind, int64_t now_ms, bool *begins)
{
	struct rate_window *w = &rate->windows[kind];
	const int64_t wait_ms = rate_wait_ms(rate, kind, now_ms);

	*begins = wait_ms > 0 && !w->pausing;
	w->pausing = wait_ms > 0;
	return (wait_ms);
}

/* The silence is over. What was let through before a 429 is the limit, if we
 * know that we counted from the beginning; more than what is published is
 * one that was raised. */
static void
next_window(struct rate *rate, enum rate_kind kind)
{
	struct rate_window *w = &rate->windows[kind];
	const unsigned limit = rate_limit(rate, kind);

	if (w->refused) {
		if (w->whole || w->passed > rate->published[kind])
			w->learned = w->passed > 0 ? w->passed : 1;
		w->kept = 0;
	} else if (limit > 0 && w->sent >= limit)
		w->kept++;
	w->sent = w->passed = 0;
	w->refused = false;
	w->whole = true;
}

void
rate_sent(struct rate *rate, enum rate_kind kind, int64_t now_ms)
{
	struct rate_window *w = &rate->windows[kind];

	if (now_ms - w->last_ms >= RATE_SILENCE_MS)
		next_window(rate, kind);
	w->sent++;
	w->last_ms = now_ms;
	w->pausing = false;
}

void
rate_passed(struct rate *rate, enum rate_kind kind)
{
	rate->windows[kind].passed++;
}

void
rate_refused(struct rate *rate, enum rate_kind kind, int64_t now_ms,
    int64_t retry_after_ms)
{
	struct rate_window *w = &rate->windows[kind];
	int64_t until_ms;

	if (retry_after_ms >= 0) {
		/* It forgets by then: we do, too. */
		w->sent = w->passed = 0;
		w->whole = false;
		until_ms = now_ms + retry_after_ms;
	} else {
		w->limited = true;
		w->refused = true;
		/* It came there after it was sent, and before now. */
		w->last_ms = now_ms;
		until_ms = now_ms + RATE_SILENCE_MS;
	}
	if (until_ms > w->not_before_ms)
		w->not_before_ms = until_ms;
	w->pausing = true;
}
