/* SPDX-License-Identifier: ISC */
/* dialect_classic.c: orchestrators 1.0b1 to 1.0b8 and the public fork that the
 * integration guide describes: unsigned, with a nested result. */
#include <string.h>

#include <jansson.h>

#include "child/json_scan.h"
#include "supervisor/conf.h"
#include "supervisor/declared.h"
#include "supervisor/lease.h"
#include "supervisor/orchestrator/dialect.h"
#include "supervisor/orchestrator/dialect_json.h"
#include "supervisor/orchestrator/orchestrator.h"
#include "supervisor/task_event.h"

/* {"model", "vram_gb"}, or null. */
static json_t *
gpu_info(const struct conf_resources *resources)
{
	json_t *info;

	if (resources == NULL || !resources->gpu)
		return (json_null());
	info = json_object();
	if (info == NULL ||
	    (resources->gpu_model != NULL &&
		json_object_set_new(
		    info, "model", json_string(resources->gpu_model)) == -1) ||
	    (resources->gpu_memory_gb > 0 &&
		json_object_set_new(info, "vram_gb",
		    json_integer(resources->gpu_memory_gb)) == -1)) {
		json_decref(info);
		return (NULL);
	}
	return (info);
}

static json_t *
resources_of(const struct worker_facts *facts)
{
	json_t *object;

	object = json_pack("{s:I, s:I, s:o}", "cpu_cores", dialect_cores(facts),
	    "ram_gb", dialect_memory_gb(facts), "gpu_info",
	    gpu_info(facts->resources));
	if (object != NULL &&
	    dialect_set_filled(
		object, "properties", dialect_properties(facts)) == -1) {
		json_decref(object);
		return (NULL);
	}
	return (object);
}

static int
registration(
    const struct worker_facts *facts, struct bytes *out, struct why *why)
{
	return (dialect_put_message(
	    json_pack("{s:s, s:s, s:o, s:I, s:o, s:o, s:s, s:s, s:o}",
		"worker_id", facts->id, "worker_type", facts->type,
		"supported_tasks", dialect_names(facts, false),
		"max_concurrent_tasks", (json_int_t)facts->max_concurrent_tasks,
		"cost_per_skill", dialect_costs(facts), "installed_models",
		dialect_models(facts, NULL), "hostname", facts->hostname,
		"ip_address", facts->address, "resources", resources_of(facts)),
	    out, why));
}

/* {"NAME": ["MODEL"]} of the skills that need some; maybe empty. */
static json_t *
dependencies(const struct worker_facts *facts)
{
	json_t *object = json_object();
	const struct declared *d;
	size_t i;

	for (i = 0; object != NULL && i < facts->skills_count; i++) {
		d = facts->skills[i].declared;
		if (d == NULL || d->dependencies == NULL)
			continue;
		if (json_object_set_new(object, facts->skills[i].name,
			json_loads(d->dependencies, 0, NULL)) == -1) {
			json_decref(object);
			return (NULL);
		}
	}
	return (object);
}

static json_t *
hot_cache(const struct worker_facts *facts)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; list != NULL && i < facts->hot_cache_count; i++)
		if (json_array_append_new(
			list, json_string(facts->hot_cache[i])) == -1) {
			json_decref(list);
			return (NULL);
		}
	return (list);
}

/* Merged into the record that the orchestrator has of us. */
static int
heartbeat(const struct worker_facts *facts, const struct beat_facts *beat,
    struct bytes *out, struct why *why)
{
	json_t *message;

	message = json_pack("{s:I, s:s, s:o, s:o, s:o}", "load",
	    (json_int_t)beat->running, "status", beat->status,
	    "supported_tasks", dialect_names(facts, false), "hot_cache",
	    hot_cache(facts), "hot_skills", dialect_names(facts, true));
	if (message != NULL &&
	    (dialect_set_filled(
		 message, "skill_dependencies", dependencies(facts)) == -1 ||
		(beat->tells_websocket &&
		    json_object_set_new(message, "capabilities",
			json_pack("{s:b}", "websockets",
			    (int)beat->websocket)) == -1))) {
		json_decref(message);
		message = NULL;
	}
	return (dialect_put_message(message, out, why));
}

static int
result(const struct worker_facts *facts, const struct lease *l,
    struct bytes *out, struct why *why)
{
	bytes_printf(out,
	    "{\"job_id\":\"%s\",\"task_id\":\"%s\",\"worker_id\":\"%s\","
	    "\"result\":{",
	    l->task.job_id, l->task.task_id, facts->id);
	dialect_put_outcome(facts, l, NULL, out);
	bytes_puts(out, "}}");
	if (bytes_failed(out)) {
		why_set(why, "no memory for a message");
		return (-1);
	}
	return (0);
}

/* The orchestrator knows progress; for any other event there is no name for
 * what it has to say. */
static int
event(const struct worker_facts *facts, const struct lease *l, const char *type,
    const struct bytes *payload, struct bytes *out, struct why *why)
{
	static const char *const names[] = { "progress", "message" };
	const bool progress = strcmp(type, TASK_EVENT_PROGRESS) == 0;
	const struct jslice root = { payload->p, payload->len, JSCAN_OBJECT };
	struct jslice value;
	size_t i;

	(void)facts;
	bytes_printf(out,
	    "{\"event\":\"%s\",\"task_id\":\"%s\",\"job_id\":\"%s\"",
	    progress ? "progress_update" : type, l->task.task_id,
	    l->task.job_id);
	for (i = 0; progress && i < sizeof(names) / sizeof(names[0]); i++)
		if (jscan_get(&root, names[i], &value)) {
			bytes_printf(out, ",\"%s\":", names[i]);
			bytes_append(out, value.p, value.len);
		}
	if (!progress) {
		bytes_puts(out, ",\"payload\":");
		bytes_append(out, payload->p, payload->len);
	}
	bytes_puts(out, "}");
	if (bytes_failed(out)) {
		why_set(why, "no memory for a message");
		return (-1);
	}
	return (0);
}

/* Every 200 is an acceptance here. */
static enum verdict
taken(const char *body, size_t len, struct why *why)
{
	(void)body;
	(void)len;
	why_set(why, "accepted");
	return (VERDICT_DONE);
}

const struct dialect dialect_classic = {
	.name = "classic",
	.acts_on_copies = true,
	.forgets = false,
	.tells_tasks = false,
	.tells_load = true,
	.tells_cache = true,
	.posts_events = false,
	.registration = registration,
	.heartbeat = heartbeat,
	.wishes = NULL,
	.result = result,
	.event = event,
	.taken = taken,
};
