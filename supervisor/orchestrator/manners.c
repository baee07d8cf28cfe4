/* SPDX-License-Identifier: ISC */
/*
 * manners.c: what an orchestrator's replies tell of how it is to be treated:
 * its rate limits, and how far its clock is from ours. Says so once, and leaves
 * the waiting to those who send.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/orchestrator/remote.h"
#include "supervisor/stats.h"

#define SKEW_WARN_MS ((int64_t)30 * 1000)

/* What an operator of the orchestrator can set about a limit. */
static const char *const settings[RATE_NKINDS] = {
	[RATE_REGISTER] = "RATE_LIMIT_LIMIT",
	[RATE_HEARTBEAT] = "RATE_LIMIT_HEARTBEAT_LIMIT",
	[RATE_POLL] = "RATE_LIMIT_POLL_LIMIT",
	[RATE_RESULT] = "RATE_LIMIT_LIMIT",
	[RATE_EVENT] = "RATE_LIMIT_LIMIT",
	[RATE_WEBSOCKET] = "RATE_LIMIT_LIMIT",
};

int
manners_init(struct remote *r, struct why *why)
{
	const struct conf_orchestrator *conf = r->conf;

	rate_init(&r->rate, conf->rate_budget, clock_now_ms());
	r->tls = (struct tls){
		.ca_file = conf->tls_ca_file,
		.ca_path = conf->tls_ca_path,
		.cert = conf->tls_cert,
		.key = conf->tls_key,
	};
	if (strncasecmp(conf->url, "https:", 6) == 0)
		return (tls_check(&r->tls, why));
	if (conf->tls_ca_file != NULL || conf->tls_ca_path != NULL ||
	    conf->tls_cert != NULL || conf->tls_key != NULL)
		log_warn("%s is not https: tls_ca_file, tls_ca_path, tls_cert "
			 "and tls_key are not used",
		    conf->url);
	return (0);
}

/* Once for each kind: what happens, and who can change that. */
static void
tell_limit(struct remote *r, enum rate_kind kind)
{
	const bool classic = r->dialect == &dialect_classic;
	char advice[64];

	if (r->told_limits & (1u << kind))
		return;
	r->told_limits |= 1u << kind;
	/* That of classic ones is fixed. */
	(void)snprintf(advice, sizeof(advice), "%s%s",
	    classic ? "" : settings[kind], classic ? "" : " or ");
	log_warn("the rate limit of %s for requests of kind %s is too low for "
		 "this worker, they pause for %lld s each time it is reached; "
		 "change %sRATE_LIMITING_ENABLED there",
	    r->conf->url, rate_kind_names[kind],
	    (long long)(RATE_SILENCE_MS / 1000), advice);
}

static void
know_dialect(struct remote *r)
{
	r->rate.published =
	    r->dialect == &dialect_classic ? rate_classic : rate_rxon;
}

int64_t
manners_pause_ms(struct remote *r, enum rate_kind kind)
{
	int64_t pause_ms;
	bool begins;

	know_dialect(r);
	pause_ms = rate_ask_ms(&r->rate, kind, clock_now_ms(), &begins);
	if (begins) {
		stats_pause(r->stats, rate_kind_names[kind], pause_ms);
		log_debug("%s: no request of kind %s for %lld ms", r->conf->url,
		    rate_kind_names[kind], (long long)pause_ms);
		tell_limit(r, kind);
	}
	return (pause_ms);
}

void
manners_sent(struct remote *r, enum rate_kind kind)
{
	know_dialect(r);
	rate_sent(&r->rate, kind, clock_now_ms());
}

/* Warns when the skew is large, once; again when it has changed. Signatures
 * are refused when they are a minute off. */
static void
compare_clocks(struct remote *r, int64_t skew_ms)
{
	stats_skew(r->stats, r->conf->name, skew_ms);
	if (llabs(skew_ms) <= SKEW_WARN_MS) {
		if (r->told_skew_ms != 0)
			log_info("the clock of %s agrees with ours again",
			    r->conf->url);
		r->told_skew_ms = 0;
		return;
	}
	if (r->told_skew_ms != 0 &&
	    llabs(skew_ms - r->told_skew_ms) <= SKEW_WARN_MS)
		return;
	r->told_skew_ms = skew_ms;
	log_warn("the clock of %s is %lld s %s ours; beyond 60 s an RXON "
		 "orchestrator refuses whatever is signed; set the clocks",
	    r->conf->url, llabs(skew_ms) / 1000,
	    skew_ms > 0 ? "ahead of" : "behind");
}

static enum rate_kind
kind_named(const char *name)
{
	int kind;

	for (kind = 0; kind < RATE_NKINDS - 1; kind++)
		if (name == rate_kind_names[kind])
			break;
	return ((enum rate_kind)kind);
}

void
manners_answered(
    struct remote *r, enum verdict verdict, const struct http_reply *reply)
{
	const enum rate_kind kind = kind_named(reply->kind);
	int64_t now_ms, before_ms, date_ms, retry_after_ms;

	if (reply->status == 0)
		return;
	if ((date_ms = http_reply_date_ms(reply)) != -1)
		compare_clocks(r, date_ms - clock_wall_ms());
	if (verdict != VERDICT_LIMITED) {
		rate_passed(&r->rate, kind);
		return;
	}
	now_ms = clock_now_ms();
	before_ms = rate_wait_ms(&r->rate, kind, now_ms);
	retry_after_ms = http_reply_retry_after_ms(reply);
	rate_refused(&r->rate, kind, now_ms, retry_after_ms);
	/* Of several at once, each makes the same silence a little longer. */
	stats_pause(r->stats, rate_kind_names[kind],
	    rate_wait_ms(&r->rate, kind, now_ms) - before_ms);
	if (retry_after_ms < 0)
		tell_limit(r, kind);
}
