/* SPDX-License-Identifier: ISC */
/*
 * dialect_rxon.c: orchestrators that speak RXON: every message signed, with a
 * nonce and an integer timestamp of its own. Empty objects are left out (they
 * break dispatching with Redis storage: contract, S10).
 */
#include <bsd/stdlib.h>
#include <jansson.h>

#include "child/json_scan.h"
#include "supervisor/base/clock.h"
#include "supervisor/lease.h"
#include "supervisor/orchestrator/dialect.h"
#include "supervisor/orchestrator/dialect_json.h"
#include "supervisor/orchestrator/rxon_sign.h"

#define SKILL_VERSION "1.0.0" /* parallel dispatch asks for this one (S15) */

/* Completes a message, an object that is not empty: time, nonce, signature.
 * Source: contract, 5.1 and 5.2. */
static int
seal(const struct worker_facts *facts, struct bytes *out, struct why *why)
{
	char signature[RXON_SIGNATURE_SIZE];
	struct bytes canonical = { 0 };
	uint64_t nonce[2];
	int rc = -1;

	if (bytes_failed(out)) {
		why_set(why, "no memory for a message");
		return (-1);
	}
	out->len--; /* open it again */
	arc4random_buf(nonce, sizeof(nonce));
	bytes_printf(out, ",\"nonce\":\"%016llx%016llx\",\"timestamp\":%lld}",
	    (unsigned long long)nonce[0], (unsigned long long)nonce[1],
	    (long long)(clock_wall_ms() / 1000));
	if (bytes_failed(out))
		why_set(why, "no memory for a message");
	else if (rxon_canonical(out->p, out->len, NULL, &canonical, why) == 0)
		rc = rxon_sign(facts->token, &canonical, signature, why);
	bytes_fini(&canonical);
	if (rc == -1)
		return (-1);

	out->len--; /* the signature does not sign itself */
	bytes_printf(out,
	    ",\"security\":{\"signature\":\"%s\",\"signer_id\":\"%s\"}}",
	    signature, facts->id);
	if (bytes_failed(out)) {
		why_set(why, "no memory for a message");
		return (-1);
	}
	return (0);
}

static json_t *
skills(const struct worker_facts *facts)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; list != NULL && i < facts->types_count; i++)
		if (json_array_append_new(list,
			json_pack("{s:s, s:s}", "name", facts->types[i],
			    "version", SKILL_VERSION)) == -1) {
			json_decref(list);
			return (NULL);
		}
	return (list);
}

/* Opaque to the server, which only compares it: changes with the skills. */
static int
skills_hash(const struct worker_facts *facts, char hash[RXON_SIGNATURE_SIZE],
    struct why *why)
{
	struct bytes text = { 0 };
	size_t i;
	int rc = -1;

	for (i = 0; i < facts->types_count; i++)
		bytes_printf(&text, "%s " SKILL_VERSION "\n", facts->types[i]);
	if (bytes_failed(&text))
		why_set(why, "no memory for a message");
	else
		rc = rxon_digest(&text, hash, why);
	bytes_fini(&text);
	return (rc);
}

static int
registration(
    const struct worker_facts *facts, struct bytes *out, struct why *why)
{
	char hash[RXON_SIGNATURE_SIZE];

	if (skills_hash(facts, hash, why) == -1)
		return (-1);
	if (dialect_put_message(
		json_pack("{s:s, s:s, s:o, s:o, s:s, s:I, s:{s:{s:I}}, "
			  "s:{s:s}}",
		    "worker_id", facts->id, "worker_type", facts->type,
		    "supported_skills", skills(facts), "available_skills",
		    dialect_types(facts), "skills_hash", hash,
		    "max_concurrent_tasks",
		    (json_int_t)facts->max_concurrent_tasks, "resources",
		    "properties", "cpu_cores", (json_int_t)facts->cores,
		    "capabilities", "hostname", facts->hostname),
		out, why) == -1)
		return (-1);
	return (seal(facts, out, why));
}

static int
heartbeat(const struct worker_facts *facts, struct bytes *out, struct why *why)
{
	char hash[RXON_SIGNATURE_SIZE];

	if (skills_hash(facts, hash, why) == -1)
		return (-1);
	/* Idle as long as we can take work at all: any other word makes the
	 * orchestrator quarantine jobs that could have waited (S6). */
	if (dialect_put_message(
		json_pack("{s:s, s:s, s:o, s:s}", "worker_id", facts->id,
		    "status", "idle", "available_skills", dialect_types(facts),
		    "skills_hash", hash),
		out, why) == -1)
		return (-1);
	return (seal(facts, out, why));
}

static int
result(const struct worker_facts *facts, const struct lease *l,
    struct bytes *out, struct why *why)
{
	bytes_printf(out,
	    "{\"job_id\":\"%s\",\"task_id\":\"%s\",\"worker_id\":\"%s\","
	    "\"origin_worker_id\":\"%s\",",
	    l->task.job_id, l->task.task_id, facts->id, facts->id);
	dialect_put_outcome(facts, l, out);
	bytes_puts(out, "}");
	return (seal(facts, out, why));
}

/* accepted, or ignored for a reason: final either way (contract, 5.6). */
static enum verdict
taken(const char *body, size_t len, struct why *why)
{
	struct jscan_error error;
	struct jslice root, status, reason;

	if (jscan_check(body, len, &jscan_payload_limits, &root, &error) ==
		-1 ||
	    !jscan_get(&root, "status", &status) ||
	    !jscan_string_is(&status, "ignored")) {
		why_set(why, "accepted");
		return (VERDICT_DONE);
	}
	if (!jscan_get(&root, "reason", &reason) ||
	    jscan_string(&reason, why->text, sizeof(why->text)) == -1)
		why_set(why, "ignored");
	return (VERDICT_REFUSED);
}

const struct dialect dialect_rxon = {
	.name = "rxon",
	.acts_on_copies = false,
	.registration = registration,
	.heartbeat = heartbeat,
	.result = result,
	.taken = taken,
};
