/* SPDX-License-Identifier: ISC */
/*
 * dialect_rxon.c: orchestrators that speak RXON: every message signed, with a
 * nonce and an integer timestamp of its own. Empty objects are left out (they
 * break dispatching with Redis storage: contract, S10).
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include <bsd/stdlib.h>
#include <jansson.h>

#include "child/json_scan.h"
#include "supervisor/base/clock.h"
#include "supervisor/conf.h"
#include "supervisor/declared.h"
#include "supervisor/lease.h"
#include "supervisor/orchestrator/dialect.h"
#include "supervisor/orchestrator/dialect_json.h"
#include "supervisor/orchestrator/orchestrator.h"
#include "supervisor/orchestrator/rxon_sign.h"
#include "supervisor/used.h"

#define STORAGE_HASH_LEN 16
#define ENVELOPE_MAX     1024u /* bytes that seal() adds, and costs */

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

/* True for {}, and for what has one in it, however deep. */
static bool
has_empty_object(const json_t *value)
{
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_object(value) && json_object_size(value) == 0)
		return (true);
	json_object_foreach((json_t *)value, key, member)
	{
		if (has_empty_object(member))
			return (true);
	}
	json_array_foreach(value, i, member)
	{
		if (has_empty_object(member))
			return (true);
	}
	return (false);
}

/* Adds what a handler declares, JSON text; nothing when it declares nothing,
 * or what jansson cannot hold, or an empty object, of which 1.0b28 makes a list
 * (contract, S10). */
static int
set_declared(json_t *object, const char *name, const char *text)
{
	json_t *value;

	if (text == NULL)
		return (0);
	value = json_loads(text, 0, NULL);
	if (value == NULL || has_empty_object(value)) {
		json_decref(value);
		return (0);
	}
	return (json_object_set_new(object, name, value));
}

static int
set_text(json_t *object, const char *name, const char *text)
{
	return (text == NULL ?
		0 :
		json_object_set_new(object, name, json_string(text)));
}

static json_t *
skill(const struct skill *skill, bool brief)
{
	static const struct declared nothing;
	const struct declared *d =
	    skill->declared != NULL && !brief ? skill->declared : &nothing;
	json_t *object;

	object = json_pack(
	    "{s:s, s:s}", "name", skill->name, "version", skill->version);
	if (object == NULL || set_text(object, "type", skill->type) == -1 ||
	    set_text(object, "description", d->description) == -1 ||
	    set_declared(object, "input_schema", d->input_schema) == -1 ||
	    set_declared(object, "output_schema", d->output_schema) == -1 ||
	    set_declared(object, "events_schema", d->events_schema) == -1 ||
	    set_declared(object, "output_statuses", d->output_statuses) == -1) {
		json_decref(object);
		return (NULL);
	}
	return (object);
}

static json_t *
skills(const struct worker_facts *facts)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; list != NULL && i < facts->skills_count; i++)
		if (json_array_append_new(
			list, skill(&facts->skills[i], facts->brief)) == -1) {
			json_decref(list);
			return (NULL);
		}
	return (list);
}

/* Opaque to the server, which only compares it: changes with the skills and
 * what they cost, and when they are asked for whole, because only under
 * another hash are they looked at (contract, 5.4). */
static int
skills_hash(const struct worker_facts *facts, char hash[RXON_SIGNATURE_SIZE],
    struct why *why)
{
	struct bytes text = { 0 }, canonical = { 0 };
	int rc = -1;

	if (dialect_put_message(
		json_pack("{s:o, s:o, s:I}", "skills", skills(facts),
		    "capabilities", dialect_costs(facts), "syncs",
		    (json_int_t)facts->syncs),
		&text, why) == 0 &&
	    rxon_canonical(text.p, text.len, NULL, &canonical, why) == 0)
		rc = rxon_digest(&canonical, hash, why);
	bytes_fini(&text);
	bytes_fini(&canonical);
	return (rc);
}

/* The graphics processor. */
static json_t *
gpu(const struct conf_resources *conf)
{
	json_t *device;

	device = json_pack("{s:s, s:s}", "type", "gpu", "id", conf->gpu_id);
	if (device == NULL ||
	    (conf->gpu_model != NULL &&
		json_object_set_new(
		    device, "model", json_string(conf->gpu_model)) == -1) ||
	    (conf->gpu_memory_gb > 0 &&
		json_object_set_new(device, "properties",
		    json_pack("{s:I}", "vram_gb",
			(json_int_t)conf->gpu_memory_gb)) == -1)) {
		json_decref(device);
		return (NULL);
	}
	return (device);
}

/* It, and the others that the configuration has; maybe empty. */
static json_t *
devices(const struct conf_resources *conf)
{
	json_t *list = json_array(), *others = NULL;
	bool ok = list != NULL;

	if (ok && conf != NULL && conf->gpu)
		ok = json_array_append_new(list, gpu(conf)) == 0;
	if (ok && conf != NULL && conf->devices != NULL)
		ok = (others = json_loads(conf->devices, 0, NULL)) != NULL &&
		    json_array_extend(list, others) == 0;
	json_decref(others);
	if (ok)
		return (list);
	json_decref(list);
	return (NULL);
}

/* What the configuration adds to the capabilities; maybe empty. A value that
 * looks like an object or a list, and is one, is told as such. */
static json_t *
extra(const struct conf_resources *conf)
{
	char **words = conf != NULL ? conf->extra : NULL, name[128];
	json_t *object = json_object(), *value;
	const char *text;

	for (; object != NULL && words != NULL && *words != NULL; words++) {
		text = strchr(*words, '=') + 1;
		(void)snprintf(name, sizeof(name), "%.*s",
		    (int)(text - 1 - *words), *words);
		if ((*text != '{' && *text != '[') ||
		    (value = json_loads(text, 0, NULL)) == NULL)
			value = json_string(text);
		if (json_object_set_new(object, name, value) == -1) {
			json_decref(object);
			return (NULL);
		}
	}
	return (object);
}

static json_t *
resources_of(const struct worker_facts *facts)
{
	json_t *properties = dialect_properties(facts), *object;

	/* What has a name of its own wins over a property of that name. */
	object = json_pack("{s:o}", "properties", properties);
	if (object == NULL ||
	    json_object_set_new(properties, "cpu_cores",
		json_integer(dialect_cores(facts))) == -1 ||
	    json_object_set_new(properties, "ram_gb",
		json_integer(dialect_memory_gb(facts))) == -1 ||
	    dialect_set_filled(object, "devices", devices(facts->resources)) ==
		-1) {
		json_decref(object);
		return (NULL);
	}
	return (object);
}

/* By which the orchestrator notices workers that use another object store than
 * the others (contract, 5.3); absent when none is set. */
static int
set_storage(json_t *object, const struct conf_storage *storage)
{
	char digest[RXON_SIGNATURE_SIZE];
	struct bytes text = { 0 };
	struct why why;
	int rc = -1;

	if (storage == NULL || storage->endpoint == NULL ||
	    storage->access_key == NULL)
		return (0);
	bytes_printf(&text, "%s|%s|%s", storage->endpoint, storage->access_key,
	    storage->bucket);
	if (rxon_digest(&text, digest, &why) == 0)
		rc = json_object_set_new(object, "s3_config_hash",
		    json_stringn(digest, STORAGE_HASH_LEN));
	bytes_fini(&text);
	return (rc);
}

static json_t *
capabilities(const struct worker_facts *facts)
{
	json_t *object;

	object = json_pack("{s:s, s:s}", "hostname", facts->hostname,
	    "ip_address", facts->address);
	if (object != NULL &&
	    (dialect_set_filled(
		 object, "cost_per_skill", dialect_costs(facts)) == -1 ||
		dialect_set_filled(object, "extra", extra(facts->resources)) ==
		    -1 ||
		set_storage(object, facts->storage) == -1)) {
		json_decref(object);
		return (NULL);
	}
	return (object);
}

static json_t *
software(const struct worker_facts *facts)
{
	const char *at =
	    facts->resources != NULL ? facts->resources->software : NULL;
	json_t *object = json_pack("{s:s}", "avtoworker", PACKAGE_VERSION);

	if (object != NULL && dialect_put_pairs(object, at) == -1) {
		json_decref(object);
		return (NULL);
	}
	return (object);
}

static json_t *
registration_of(const struct worker_facts *facts, const char *hash)
{
	json_t *message;

	message = json_pack(
	    "{s:s, s:s, s:o, s:o, s:o, s:s, s:I, s:o, s:o, s:o}", "worker_id",
	    facts->id, "worker_type", facts->type, "supported_skills",
	    skills(facts), "available_skills", dialect_names(facts, false),
	    "hot_skills", dialect_names(facts, true), "skills_hash", hash,
	    "max_concurrent_tasks", (json_int_t)facts->max_concurrent_tasks,
	    "resources", resources_of(facts), "capabilities",
	    capabilities(facts), "installed_software", software(facts));
	if (message != NULL &&
	    dialect_set_filled(message, "installed_artifacts",
		dialect_models(facts, "model")) == -1) {
		json_decref(message);
		return (NULL);
	}
	return (message);
}

static int
registration(
    const struct worker_facts *facts, struct bytes *out, struct why *why)
{
	char hash[RXON_SIGNATURE_SIZE];

	if (skills_hash(facts, hash, why) == -1 ||
	    dialect_put_message(registration_of(facts, hash), out, why) == -1)
		return (-1);
	return (seal(facts, out, why));
}

static json_t *
ids_of(const struct beat_facts *beat)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; list != NULL && i < beat->ids_count; i++)
		if (json_array_append_new(list, json_string(beat->ids[i])) ==
		    -1) {
			json_decref(list);
			return (NULL);
		}
	return (list);
}

static json_t *
device_usage(const struct used_device *d)
{
	json_t *object;

	object = json_pack("{s:s, s:o}", "unit_id", d->id, "load_percent",
	    dialect_tenths(d->load_percent));
	if (object == NULL ||
	    set_declared(object, "metrics", d->metrics) == -1) {
		json_decref(object);
		return (NULL);
	}
	return (object);
}

static json_t *
usage_of(const struct beat_facts *beat)
{
	json_t *object, *list;
	size_t i;

	object = json_pack("{s:o, s:o}", "cpu_load_percent",
	    dialect_tenths(beat->cpu_percent), "ram_used_gb",
	    dialect_tenths(beat->memory_gb));
	if (object == NULL || beat->devices == NULL ||
	    beat->devices->devices_len == 0)
		return (object);
	list = json_array();
	if (json_object_set_new(object, "devices_usage", list) == -1) {
		json_decref(object);
		return (NULL);
	}
	for (i = 0; i < beat->devices->devices_len; i++)
		if (json_array_append_new(
			list, device_usage(&beat->devices->devices[i])) == -1) {
			json_decref(object);
			return (NULL);
		}
	return (object);
}

static json_t *
heartbeat_of(const struct worker_facts *facts, const struct beat_facts *beat,
    const char *hash)
{
	json_t *message;

	message = json_pack("{s:s, s:s, s:o, s:o, s:o, s:s}", "worker_id",
	    facts->id, "status", beat->status, "current_tasks", ids_of(beat),
	    "available_skills", dialect_names(facts, false), "hot_skills",
	    dialect_names(facts, true), "skills_hash", hash);
	if (message == NULL)
		return (NULL);
	/* They replace those of the registration, which drops this one. */
	if (beat->tells_websocket) {
		json_t *own = capabilities(facts);

		if (json_object_set_new(message, "capabilities", own) == -1 ||
		    json_object_set_new(own, "websockets",
			json_boolean(beat->websocket)) == -1) {
			json_decref(message);
			return (NULL);
		}
	}
	if ((beat->has_usage &&
		json_object_set_new(message, "usage", usage_of(beat)) == -1) ||
	    (beat->sync &&
		json_object_set_new(
		    message, "supported_skills", skills(facts)) == -1)) {
		json_decref(message);
		return (NULL);
	}
	return (message);
}

static int
heartbeat(const struct worker_facts *facts, const struct beat_facts *beat,
    struct bytes *out, struct why *why)
{
	char hash[RXON_SIGNATURE_SIZE];

	if (skills_hash(facts, hash, why) == -1 ||
	    dialect_put_message(heartbeat_of(facts, beat, hash), out, why) ==
		-1)
		return (-1);
	return (seal(facts, out, why));
}

static void
read_cancels(const struct jslice *list, struct beat_wishes *wishes)
{
	char id[TASK_ID_MAX + 1];
	struct jscan_iter iter;
	struct jslice value;
	unsigned n;
	ssize_t len;

	jscan_begin(&iter, list);
	for (n = 0; n < AT_WORK_MAX && jscan_next(&iter, NULL, &value); n++) {
		len = jscan_string(&value, id, sizeof(id));
		/* Not one that is cut, nor one with a NUL in it. */
		if (len > 0 && (size_t)len == strlen(id) && task_id_ok(id))
			wishes->cancel(id, wishes->arg);
	}
}

static void
read_wishes(const char *body, size_t len, struct beat_wishes *wishes)
{
	struct jscan_error error;
	struct jslice root, value;
	int64_t ms;

	if (jscan_check(body, len, &jscan_payload_limits, &root, &error) == -1)
		return;
	wishes->sync = jscan_get(&root, "require_full_sync", &value) &&
	    value.type == JSCAN_TRUE;
	if (jscan_get(&root, "next_heartbeat_jitter_ms", &value) &&
	    jscan_int64(&value, &ms) == 0 && ms > 0)
		wishes->delay_ms = ms;
	if (jscan_get(&root, "cancel_task_ids", &value) &&
	    value.type == JSCAN_ARRAY)
		read_cancels(&value, wishes);
}

static void
put_object(struct bytes *out, const char *name, const struct bytes *object)
{
	if (object->len <= 2)
		return;
	bytes_printf(out, ",\"%s\":", name);
	bytes_append(out, object->p, object->len);
}

/* Merged into the job's own, which must be there (S11): as the handler has it,
 * else as it came, if there is room for it. */
static void
put_metadata(struct bytes *out, const struct lease *l)
{
	if (l->task.metadata.len == 0)
		return;
	if (l->result.metadata.len > 0)
		put_object(out, "metadata", &l->result.metadata);
	else if (l->task.metadata.len + out->len <
	    MESSAGE_MAX_BYTES - ENVELOPE_MAX)
		put_object(out, "metadata", &l->task.metadata);
}

static int
result(const struct worker_facts *facts, const struct lease *l,
    struct bytes *out, struct why *why)
{
	bytes_printf(out,
	    "{\"job_id\":\"%s\",\"task_id\":\"%s\",\"worker_id\":\"%s\","
	    "\"origin_worker_id\":\"%s\",",
	    l->task.job_id, l->task.task_id, facts->id, facts->id);
	dialect_put_outcome(facts, l, CODE_INTEGRITY, out);
	put_object(out, "data_metadata", &l->result.data_metadata);
	put_metadata(out, l);
	if (l->running_ms != 0)
		bytes_printf(out,
		    ",\"costs\":{\"execution_time_seconds\":%lld.%03lld}",
		    (long long)(l->ran_ms / 1000),
		    (long long)(l->ran_ms % 1000));
	bytes_puts(out, "}");
	return (seal(facts, out, why));
}

/* Without its bubbling_chain, which nobody signs (contract, 5.2). */
static int
event(const struct worker_facts *facts, const struct lease *l, const char *type,
    const struct bytes *payload, struct bytes *out, struct why *why)
{
	uint64_t id[2];

	arc4random_buf(id, sizeof(id));
	bytes_printf(out,
	    "{\"event_id\":\"%08x-%04x-4%03x-8%03x-%012llx\","
	    "\"worker_id\":\"%s\",\"origin_worker_id\":\"%s\","
	    "\"event_type\":\"%s\",\"origin_task_id\":\"%s\","
	    "\"target_task_id\":\"%s\",\"target_job_id\":\"%s\","
	    "\"payload\":",
	    (unsigned)(id[0] >> 32), (unsigned)(id[0] >> 16 & 0xffff),
	    (unsigned)(id[0] & 0xfff), (unsigned)(id[1] >> 52),
	    (unsigned long long)(id[1] & 0xffffffffffffULL), facts->id,
	    facts->id, type, l->task.task_id, l->task.task_id, l->task.job_id);
	bytes_append(out, payload->p, payload->len);
	put_object(out, "trace_context", &l->task.tracing_context);
	bytes_puts(out, "}");
	return (seal(facts, out, why));
}

/* A 200 whose status may be the word for a refusal, with its reason in that
 * member. */
static enum verdict
read_answer(const char *body, size_t len, const char *word, const char *member,
    struct why *why)
{
	struct jscan_error error;
	struct jslice root, status, reason;

	if (jscan_check(body, len, &jscan_payload_limits, &root, &error) ==
		-1 ||
	    !jscan_get(&root, "status", &status) ||
	    !jscan_string_is(&status, word)) {
		why_set(why, "accepted");
		return (VERDICT_DONE);
	}
	if (!jscan_get(&root, member, &reason) ||
	    jscan_string(&reason, why->text, sizeof(why->text)) == -1)
		why_set(why, "%s", word);
	return (VERDICT_REFUSED);
}

/* accepted, or ignored for a reason: final either way (contract, 5.6). */
static enum verdict
taken(const char *body, size_t len, struct why *why)
{
	return (read_answer(body, len, "ignored", "reason", why));
}

/* What is wrong with an event is said with a 200. */
static enum verdict
event_taken(const char *body, size_t len, struct why *why)
{
	return (read_answer(body, len, "error", "message", why));
}

const struct dialect dialect_rxon = {
	.name = "rxon",
	.acts_on_copies = false,
	.forgets = true,
	.tells_tasks = true,
	.tells_load = false,
	.tells_cache = false,
	.posts_events = true,
	.registration = registration,
	.heartbeat = heartbeat,
	.wishes = read_wishes,
	.result = result,
	.event = event,
	.taken = taken,
	.event_taken = event_taken,
};
