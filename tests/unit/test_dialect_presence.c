/* SPDX-License-Identifier: ISC */
/*
 * What each dialect says of a worker, in registrations and heartbeats, and what
 * it is told in return.
 */
#include <stdio.h>
#include <string.h>

#include "supervisor/conf.h"
#include "supervisor/declared.h"
#include "supervisor/orchestrator/orchestrator.h"
#include "supervisor/used.h"
#include "tests/test.h"
#include "tests/unit/dialect_rig.h"

static char properties[] = "zone = eu, ssd=true,slots=3, tag=1.2.3";
static char models[] = "llama, whisper=2";
static char gpu_model[] = "RTX 4090";
static char gpu_id[] = "gpu-0";

static const struct conf_resources resources = {
	.cpu = 8,
	.memory_gb = 32,
	.gpu = true,
	.gpu_model = gpu_model,
	.gpu_id = gpu_id,
	.gpu_memory_gb = 24,
	.properties = properties,
	.models = models,
};

static const struct beat_facts idle = { .status = BEAT_IDLE };

static void
classic_registers(void)
{
	struct worker_facts facts = make_facts();
	struct bytes out = { 0 };
	struct why why;

	ASSERT_INT(dialect_classic.registration(&facts, &out, &why), 0);
	check_json(open_plain(&out),
	    "{\"worker_id\":\"w-1\",\"worker_type\":\"cpu\","
	    "\"supported_tasks\":[\"echo\",\"thumb.nail\"],"
	    "\"max_concurrent_tasks\":3,\"cost_per_skill\":"
	    "{\"thumb.nail\":0.1},\"installed_models\":[],"
	    "\"hostname\":\"host-1\",\"ip_address\":\"192.0.2.7\","
	    "\"resources\":{\"cpu_cores\":2,\"ram_gb\":4,"
	    "\"gpu_info\":null}}");

	facts.skills_count = 1;
	facts.resources = &resources;
	ASSERT_INT(dialect_classic.registration(&facts, &out, &why), 0);
	check_json(open_plain(&out),
	    "{\"worker_id\":\"w-1\",\"worker_type\":\"cpu\","
	    "\"supported_tasks\":[\"echo\"],"
	    "\"max_concurrent_tasks\":3,\"cost_per_skill\":{},"
	    "\"installed_models\":[{\"name\":\"llama\"},"
	    "{\"name\":\"whisper\",\"version\":\"2\"}],"
	    "\"hostname\":\"host-1\",\"ip_address\":\"192.0.2.7\","
	    "\"resources\":{\"cpu_cores\":8,\"ram_gb\":32,"
	    "\"gpu_info\":{\"model\":\"RTX 4090\",\"vram_gb\":24},"
	    "\"properties\":{\"zone\":\"eu\",\"ssd\":true,\"slots\":3,"
	    "\"tag\":\"1.2.3\"}}}");
}

static void
classic_beats(void)
{
	const struct worker_facts facts = make_facts();
	struct beat_facts beat = idle;
	struct bytes out = { 0 };
	struct why why;

	beat.running = 2;
	ASSERT_INT(dialect_classic.heartbeat(&facts, &beat, &out, &why), 0);
	check_json(open_plain(&out),
	    "{\"load\":2,\"status\":\"idle\","
	    "\"supported_tasks\":[\"echo\",\"thumb.nail\"],"
	    "\"hot_cache\":[],\"hot_skills\":[\"thumb.nail\"]}");
}

static void
full_skills_are_not_offered(void)
{
	struct skill some[2] = { skills[0], skills[1] };
	struct worker_facts facts = make_facts();
	struct bytes out = { 0 };
	struct why why;

	some[1].full = true;
	facts.skills = some;
	ASSERT_INT(dialect_classic.heartbeat(&facts, &idle, &out, &why), 0);
	check_json(open_plain(&out),
	    "{\"load\":0,\"status\":\"idle\",\"supported_tasks\":[\"echo\"],"
	    "\"hot_cache\":[],\"hot_skills\":[]}");
}

/* Takes the hash off a message. */
static void
take_hash(json_t *root, char hash[65])
{
	(void)snprintf(hash, 65, "%s",
	    json_string_value(json_object_get(root, "skills_hash")));
	ASSERT(is_hex(hash, 64));
	ASSERT_INT(json_object_del(root, "skills_hash"), 0);
}

static json_t *
register_rxon(const struct worker_facts *facts, char hash[65])
{
	struct bytes out = { 0 };
	char nonce[33];
	struct why why;
	json_t *root;

	ASSERT_INT(dialect_rxon.registration(facts, &out, &why), 0);
	root = open_envelope(&out, nonce);
	ASSERT(!has_empty_object(root));
	take_hash(root, hash);
	/* The version of the package comes and goes. */
	ASSERT_INT(json_object_del(root, "installed_software"), 0);
	return (root);
}

static void
rxon_registers(void)
{
	struct worker_facts facts = make_facts();
	char hash[65];

	check_json(register_rxon(&facts, hash),
	    "{\"worker_id\":\"w-1\",\"worker_type\":\"cpu\","
	    "\"supported_skills\":["
	    "{\"name\":\"echo\",\"version\":\"1.0.0\"},"
	    "{\"name\":\"thumb.nail\",\"version\":\"2.1\","
	    "\"type\":\"heavy\"}],"
	    "\"available_skills\":[\"echo\",\"thumb.nail\"],"
	    "\"hot_skills\":[\"thumb.nail\"],\"max_concurrent_tasks\":3,"
	    "\"resources\":{\"properties\":{\"cpu_cores\":2,\"ram_gb\":4}},"
	    "\"capabilities\":{\"hostname\":\"host-1\","
	    "\"ip_address\":\"192.0.2.7\","
	    "\"cost_per_skill\":{\"thumb.nail\":0.1}}}");

	facts.skills_count = 1;
	facts.resources = &resources;
	check_json(register_rxon(&facts, hash),
	    "{\"worker_id\":\"w-1\",\"worker_type\":\"cpu\","
	    "\"supported_skills\":["
	    "{\"name\":\"echo\",\"version\":\"1.0.0\"}],"
	    "\"available_skills\":[\"echo\"],"
	    "\"hot_skills\":[],\"max_concurrent_tasks\":3,"
	    "\"resources\":{\"devices\":[{\"type\":\"gpu\",\"id\":\"gpu-0\","
	    "\"model\":\"RTX 4090\",\"properties\":{\"vram_gb\":24}}],"
	    "\"properties\":{\"cpu_cores\":8,\"ram_gb\":32,\"zone\":\"eu\","
	    "\"ssd\":true,\"slots\":3,\"tag\":\"1.2.3\"}},"
	    "\"installed_artifacts\":[{\"name\":\"llama\","
	    "\"type\":\"model\"},{\"name\":\"whisper\",\"version\":\"2\","
	    "\"type\":\"model\"}],"
	    "\"capabilities\":{\"hostname\":\"host-1\","
	    "\"ip_address\":\"192.0.2.7\"}}");
}

static void
rxon_tells_a_digest_of_the_object_store(void)
{
	static char endpoint[] = "http://127.0.0.1:9000", user[] = "worker",
		    bucket[] = "avtomatika-payloads";
	struct conf_storage storage = {
		.endpoint = endpoint, .access_key = user, .bucket = bucket
	};
	struct worker_facts facts = make_facts();
	char hash[65];
	json_t *root;

	facts.storage = &storage;
	root = register_rxon(&facts, hash);
	/* The first 16 digits of sha256("ENDPOINT|KEY|BUCKET"). */
	ASSERT_STR(
	    json_string_value(json_object_get(
		json_object_get(root, "capabilities"), "s3_config_hash")),
	    "219fe372c40bb384");
	json_decref(root);
	storage.access_key = NULL;
	root = register_rxon(&facts, hash);
	ASSERT(json_object_get(json_object_get(root, "capabilities"),
		   "s3_config_hash") == NULL);
	json_decref(root);
}

static void
rxon_tells_what_software_there_is(void)
{
	static char software[] = "ffmpeg=6.1, python=3.11";
	const struct conf_resources has = { .software = software };
	struct worker_facts facts = make_facts();
	struct bytes out = { 0 };
	char nonce[33];
	struct why why;
	json_t *root, *list;

	facts.resources = &has;
	ASSERT_INT(dialect_rxon.registration(&facts, &out, &why), 0);
	root = open_envelope(&out, nonce);
	list = json_object_get(root, "installed_software");
	ASSERT_INT(json_object_size(list), 3);
	ASSERT(json_object_get(list, "avtoworker") != NULL);
	ASSERT_STR(json_string_value(json_object_get(list, "ffmpeg")), "6.1");
	json_decref(root);
}

static char schema[] = "{\"type\":\"object\",\"required\":[\"x\"],"
		       "\"properties\":{\"x\":{\"type\":\"integer\"}}}";
static char no_schema[] = "{\"properties\":{\"x\":{}}}";
static char events[] = "{\"half\":{\"type\":\"object\"}}";
static char statuses[] = "[\"needs_review\"]", needs[] = "[\"whisper\"]";
static char description[] = "says it again";

static const struct declared declared = {
	.description = description,
	.input_schema = schema,
	.output_schema = no_schema,
	.events_schema = events,
	.output_statuses = statuses,
	.dependencies = needs,
};

static void
rxon_tells_what_handlers_declare(void)
{
	struct skill skill = {
		.name = "echo", .version = "1.0.0", .declared = &declared
	};
	struct worker_facts facts = make_facts();
	char with[65], without[65];
	json_t *root, *list;

	facts.skills = &skill;
	facts.skills_count = 1;
	root = register_rxon(&facts, with);
	list = json_incref(json_object_get(root, "supported_skills"));
	json_decref(root);
	check_json(list,
	    "[{\"name\":\"echo\",\"version\":\"1.0.0\","
	    "\"description\":\"says it again\",\"input_schema\":"
	    "{\"type\":\"object\",\"required\":[\"x\"],"
	    "\"properties\":{\"x\":{\"type\":\"integer\"}}},"
	    "\"events_schema\":{\"half\":{\"type\":\"object\"}},"
	    "\"output_statuses\":[\"needs_review\"]}]");
	facts.brief = true;
	root = register_rxon(&facts, without);
	list = json_incref(json_object_get(root, "supported_skills"));
	json_decref(root);
	check_json(list, "[{\"name\":\"echo\",\"version\":\"1.0.0\"}]");
	ASSERT(strcmp(with, without) != 0);
}

static void
classic_tells_what_models_skills_need(void)
{
	static const char *const cache[] = { "llama", "whisper" };
	struct skill skill = {
		.name = "echo", .version = "1.0.0", .declared = &declared
	};
	struct worker_facts facts = make_facts();
	struct bytes out = { 0 };
	struct why why;

	facts.skills = &skill;
	facts.skills_count = 1;
	facts.hot_cache = cache;
	facts.hot_cache_count = 2;
	ASSERT_INT(dialect_classic.heartbeat(&facts, &idle, &out, &why), 0);
	check_json(open_plain(&out),
	    "{\"load\":0,\"status\":\"idle\",\"supported_tasks\":[\"echo\"],"
	    "\"hot_cache\":[\"llama\",\"whisper\"],\"hot_skills\":[],"
	    "\"skill_dependencies\":{\"echo\":[\"whisper\"]}}");
}

static void
rxon_hash_follows_the_skills(void)
{
	struct skill changed[2] = { skills[0], skills[1] };
	struct worker_facts facts = make_facts();
	char first[65], hash[65];

	facts.skills = changed;
	json_decref(register_rxon(&facts, first));
	changed[0].hot = true;
	json_decref(register_rxon(&facts, hash));
	ASSERT_STR(hash, first);
	changed[0].version = "1.0.1";
	json_decref(register_rxon(&facts, hash));
	ASSERT(strcmp(hash, first) != 0);
	changed[0] = skills[0];
	changed[1].cost = 0.2;
	json_decref(register_rxon(&facts, hash));
	ASSERT(strcmp(hash, first) != 0);
	changed[1] = skills[1];
	facts.syncs = 1;
	json_decref(register_rxon(&facts, hash));
	ASSERT(strcmp(hash, first) != 0);
	facts.syncs = 0;
	facts.skills_count = 1;
	json_decref(register_rxon(&facts, hash));
	ASSERT(strcmp(hash, first) != 0);
}

static void
rxon_beats(void)
{
	static const char *const ids[] = { "t-1", "j-1" };
	struct used_device devices[] = {
		{ (char *)"gpu-0", 33.333, 2.25,
		    (char *)"{\"memory_used_gb\":2.25,\"on\":true}" },
		{ (char *)"gpu-1", 0, 0, (char *)"{\"nothing\":{}}" },
	};
	const struct used used = { .devices = devices, .devices_len = 2 };
	const struct worker_facts facts = make_facts();
	struct beat_facts beat = idle;
	char nonce[33], registered[65], hash[65];
	struct bytes out = { 0 };
	struct why why;
	json_t *root;

	json_decref(register_rxon(&facts, registered));
	ASSERT_INT(dialect_rxon.heartbeat(&facts, &beat, &out, &why), 0);
	root = open_envelope(&out, nonce);
	ASSERT(!has_empty_object(root));
	take_hash(root, hash);
	ASSERT_STR(hash, registered);
	check_json(root,
	    "{\"worker_id\":\"w-1\",\"status\":\"idle\","
	    "\"current_tasks\":[],\"hot_skills\":[\"thumb.nail\"],"
	    "\"available_skills\":[\"echo\",\"thumb.nail\"]}");

	beat = (struct beat_facts){
		.status = BEAT_DRAINING,
		.devices = &used,
		.ids = ids,
		.ids_count = 2,
		.has_usage = true,
		.cpu_percent = 12.345,
		.memory_gb = 1.96,
		.sync = true,
	};
	ASSERT_INT(dialect_rxon.heartbeat(&facts, &beat, &out, &why), 0);
	root = open_envelope(&out, nonce);
	take_hash(root, hash);
	check_json(root,
	    "{\"worker_id\":\"w-1\",\"status\":\"draining\","
	    "\"current_tasks\":[\"t-1\",\"j-1\"],"
	    "\"hot_skills\":[\"thumb.nail\"],"
	    "\"available_skills\":[\"echo\",\"thumb.nail\"],"
	    "\"usage\":{\"cpu_load_percent\":12.3,\"ram_used_gb\":2.0,"
	    "\"devices_usage\":[{\"unit_id\":\"gpu-0\",\"load_percent\":"
	    "33.3,\"metrics\":{\"memory_used_gb\":2.25,\"on\":true}},"
	    "{\"unit_id\":\"gpu-1\",\"load_percent\":0.0}]},"
	    "\"supported_skills\":["
	    "{\"name\":\"echo\",\"version\":\"1.0.0\"},"
	    "{\"name\":\"thumb.nail\",\"version\":\"2.1\","
	    "\"type\":\"heavy\"}]}");
}

static void
note_cancel(const char *id, void *arg)
{
	struct bytes *ids = arg;

	bytes_printf(ids, "%s ", id);
}

static const struct {
	const char *body;
	bool sync;
	int64_t delay_ms;
	const char *cancels;
} wishes_rows[] = {
	{ "{\"status\":\"ok\"}", false, 0, "" },
	{ "{\"status\":\"ok\",\"require_full_sync\":true}", true, 0, "" },
	{ "{\"require_full_sync\":\"yes\"}", false, 0, "" },
	{ "{\"next_heartbeat_jitter_ms\":250.0}", false, 250, "" },
	{ "{\"next_heartbeat_jitter_ms\":-5}", false, 0, "" },
	{ "{\"next_heartbeat_jitter_ms\":1e300}", false, 0, "" },
	{ "{\"cancel_task_ids\":[\"j-1\",\"task-2\"]}", false, 0,
	    "j-1 task-2 " },
	{ "{\"cancel_task_ids\":[null,7,\"\",\"a b\",\"x\\u0000y\",{},"
	  "\"ok\"]}",
	    false, 0, "ok " },
	{ "{\"cancel_task_ids\":\"j-1\"}", false, 0, "" },
	{ "not JSON", false, 0, "" },
	{ "[]", false, 0, "" },
};

static void
rxon_reads_wishes(void)
{
	struct beat_wishes wishes;
	struct bytes ids;
	size_t i;

	for (i = 0; i < sizeof(wishes_rows) / sizeof(wishes_rows[0]); i++) {
		ids = (struct bytes){ 0 };
		wishes =
		    (struct beat_wishes){ .cancel = note_cancel, .arg = &ids };
		dialect_rxon.wishes(
		    wishes_rows[i].body, strlen(wishes_rows[i].body), &wishes);
		ASSERT_INT(wishes.sync, wishes_rows[i].sync);
		ASSERT_INT(wishes.delay_ms, wishes_rows[i].delay_ms);
		bytes_append(&ids, "", 1);
		ASSERT_STR(ids.p, wishes_rows[i].cancels);
		bytes_fini(&ids);
	}
	/* What is cut would be another id. */
	ids = (struct bytes){ 0 };
	bytes_puts(&ids, "{\"cancel_task_ids\":[\"");
	for (i = 0; i < TASK_ID_MAX + 1; i++)
		bytes_puts(&ids, "a");
	bytes_puts(&ids, "\"]}");
	wishes = (struct beat_wishes){ .cancel = NULL };
	dialect_rxon.wishes(ids.p, ids.len, &wishes);
	bytes_fini(&ids);
}

static void
rxon_never_repeats_a_nonce(void)
{
	const struct worker_facts facts = make_facts();
	char nonces[20][33];
	struct bytes out = { 0 };
	struct why why;
	int i, j;

	for (i = 0; i < 20; i++) {
		ASSERT_INT(
		    dialect_rxon.heartbeat(&facts, &idle, &out, &why), 0);
		json_decref(open_envelope(&out, nonces[i]));
		for (j = 0; j < i; j++)
			ASSERT(strcmp(nonces[i], nonces[j]) != 0);
	}
}

static void
rxon_needs_a_token(void)
{
	struct worker_facts facts = make_facts();
	struct bytes out = { 0 };
	struct why why = { "" };

	facts.token = "";
	ASSERT_INT(dialect_rxon.heartbeat(&facts, &idle, &out, &why), -1);
	ASSERT(why.text[0] != '\0');
	bytes_fini(&out);
}

static void
both_tell_of_a_websocket_in_heartbeats(void)
{
	const struct worker_facts facts = make_facts();
	struct beat_facts beat = idle;
	struct bytes out = { 0 };
	json_t *root, *own;
	struct why why;

	beat.tells_websocket = beat.websocket = true;
	ASSERT_INT(dialect_classic.heartbeat(&facts, &beat, &out, &why), 0);
	root = open_plain(&out);
	check_json(json_incref(json_object_get(root, "capabilities")),
	    "{\"websockets\":true}");
	json_decref(root);
	/* The object of the registration, and one member more. */
	ASSERT_INT(dialect_rxon.heartbeat(&facts, &beat, &out, &why), 0);
	root = open_plain(&out);
	own = json_object_get(root, "capabilities");
	check_json(json_incref(own),
	    "{\"hostname\":\"host-1\",\"ip_address\":\"192.0.2.7\","
	    "\"cost_per_skill\":{\"thumb.nail\":0.1},\"websockets\":true}");
	json_decref(root);
	beat.tells_websocket = false;
	ASSERT_INT(dialect_rxon.heartbeat(&facts, &beat, &out, &why), 0);
	root = open_plain(&out);
	ASSERT(json_object_get(root, "capabilities") == NULL);
	json_decref(root);
}

static const struct test tests[] = {
	{ "classic: a registration", classic_registers },
	{ "classic: a heartbeat", classic_beats },
	{ "skills that are full are not offered", full_skills_are_not_offered },
	{ "rxon: a registration, without empty objects", rxon_registers },
	{ "rxon: a registration has a digest of the object store",
	    rxon_tells_a_digest_of_the_object_store },
	{ "rxon: a registration has the software that is installed",
	    rxon_tells_what_software_there_is },
	{ "rxon: skills have what handlers declare, but no empty objects (S10)",
	    rxon_tells_what_handlers_declare },
	{ "classic: a heartbeat tells what models skills need and children hold",
	    classic_tells_what_models_skills_need },
	{ "rxon: the hash follows the skills", rxon_hash_follows_the_skills },
	{ "rxon: a heartbeat, with the registration's hash", rxon_beats },
	{ "rxon: what a heartbeat is answered", rxon_reads_wishes },
	{ "rxon: every message has a nonce of its own",
	    rxon_never_repeats_a_nonce },
	{ "rxon: nothing is signed without a token", rxon_needs_a_token },
	{ "both: a heartbeat tells of a WebSocket",
	    both_tell_of_a_websocket_in_heartbeats },
};

TEST_MAIN(tests)
