/* SPDX-License-Identifier: ISC */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "supervisor/base/clock.h"
#include "supervisor/conf.h"
#include "supervisor/declared.h"
#include "supervisor/lease.h"
#include "supervisor/orchestrator/dialect.h"
#include "supervisor/orchestrator/orchestrator.h"
#include "supervisor/orchestrator/rxon_sign.h"
#include "supervisor/used.h"
#include "tests/test.h"

static const struct skill skills[] = {
	{ .name = "echo", .version = "1.0.0", .cost = -1 },
	{ .name = "thumb.nail",
	    .type = "heavy",
	    .version = "2.1",
	    .cost = 0.1,
	    .hot = true },
};

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

static struct worker_facts
make_facts(void)
{
	return ((struct worker_facts){
	    .id = "w-1",
	    .type = "cpu",
	    .hostname = "host-1",
	    .address = "192.0.2.7",
	    .token = "worker-token",
	    .skills = skills,
	    .skills_count = 2,
	    .max_concurrent_tasks = 3,
	    .cores = 2,
	    .memory_gb = 4,
	});
}

static char task_id[] = "t-1", job_id[] = "j-1", task_type[] = "echo";

/* A finished lease; free its result alone. */
static struct lease
make_lease(const char *status, const char *code, const char *message,
    const char *data, const char *details)
{
	struct lease l = {
		.task = {
			.task_id = task_id,
			.job_id = job_id,
			.type = task_type,
		},
		.result = {
			.status = status != NULL ? strdup(status) : NULL,
			.code = code != NULL ? strdup(code) : NULL,
			.message = message != NULL ? strdup(message) : NULL,
		},
		.state = LEASE_FINISHED,
	};

	if (data != NULL)
		bytes_puts(&l.result.data, data);
	if (details != NULL)
		bytes_puts(&l.result.details, details);
	return (l);
}

/* Parses a message and frees it. */
static json_t *
parse(struct bytes *message)
{
	json_error_t error;
	json_t *root;

	ASSERT(!bytes_failed(message));
	root = json_loadb(message->p, message->len,
	    JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (root == NULL)
		test_fail(__FILE__, __LINE__, "%.*s: %s", (int)message->len,
		    message->p, error.text);
	bytes_fini(message);
	return (root);
}

/* Compares with JSON text, in which nothing may be left out; frees root. */
static void
check_json(json_t *root, const char *text)
{
	json_error_t error;
	json_t *want = json_loads(text, 0, &error);
	char *got_text, *want_text;

	ASSERT(want != NULL);
	got_text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
	want_text = json_dumps(want, JSON_COMPACT | JSON_SORT_KEYS);
	ASSERT_STR(got_text, want_text);
	free(got_text);
	free(want_text);
	json_decref(want);
	json_decref(root);
}

static bool
has_empty_object(const json_t *value)
{
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_object(value)) {
		if (json_object_size(value) == 0)
			return (true);
		json_object_foreach((json_t *)value, key,
		    member) if (has_empty_object(member)) return (true);
	}
	json_array_foreach(
	    value, i, member) if (has_empty_object(member)) return (true);
	return (false);
}

static bool
is_hex(const char *text, size_t len)
{
	size_t i;

	if (text == NULL || strlen(text) != len)
		return (false);
	for (i = 0; i < len; i++)
		if (!isdigit((unsigned char)text[i]) &&
		    !(text[i] >= 'a' && text[i] <= 'f'))
			return (false);
	return (true);
}

/* The signature covers exactly what was sent. */
static void
check_signature(const struct bytes *message, const json_t *root)
{
	const json_t *security = json_object_get(root, "security");
	char signature[RXON_SIGNATURE_SIZE];
	struct bytes canonical = { 0 };
	struct why why;

	ASSERT_INT(json_object_size(security), 2);
	ASSERT_STR(
	    json_string_value(json_object_get(security, "signer_id")), "w-1");
	ASSERT_INT(
	    rxon_canonical(message->p, message->len, NULL, &canonical, &why),
	    0);
	ASSERT_INT(rxon_sign("worker-token", &canonical, signature, &why), 0);
	ASSERT_STR(json_string_value(json_object_get(security, "signature")),
	    signature);
	bytes_fini(&canonical);
}

/* Checks and takes off what every signed message has; frees the message. */
static json_t *
open_envelope(struct bytes *message, char nonce[33])
{
	struct bytes copy = { 0 };
	json_t *root, *value;
	json_int_t now;

	bytes_append(&copy, message->p, message->len);
	root = parse(message);
	check_signature(&copy, root);
	bytes_fini(&copy);
	value = json_object_get(root, "timestamp");
	ASSERT(json_is_integer(value));
	/* Not time(), whose clock is up to a tick behind. */
	now = (json_int_t)(clock_wall_ms() / 1000);
	ASSERT(json_integer_value(value) <= now);
	ASSERT(json_integer_value(value) >= now - 60);
	value = json_object_get(root, "nonce");
	ASSERT(is_hex(json_string_value(value), 32));
	(void)snprintf(nonce, 33, "%s", json_string_value(value));
	ASSERT_INT(json_object_del(root, "timestamp"), 0);
	ASSERT_INT(json_object_del(root, "nonce"), 0);
	ASSERT_INT(json_object_del(root, "security"), 0);
	return (root);
}

static void
classic_registers(void)
{
	struct worker_facts facts = make_facts();
	struct bytes out = { 0 };
	struct why why;

	ASSERT_INT(dialect_classic.registration(&facts, &out, &why), 0);
	check_json(parse(&out),
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
	check_json(parse(&out),
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
	check_json(parse(&out),
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
	check_json(parse(&out),
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
	check_json(parse(&out),
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

/* Results: what was finished, and what both dialects say of it. */
static const struct {
	const char *status, *code, *message, *data, *details;
	bool passthrough;
	const char *want;
} outcomes[] = {
	{ "success", NULL, NULL, "{\"a\":[1,null,\"\\u00e9\"]}", NULL, false,
	    "{\"status\":\"success\",\"data\":{\"a\":[1,null,\"\\u00e9\"]}}" },
	{ "success", NULL, NULL, NULL, NULL, false,
	    "{\"status\":\"success\"}" },
	{ "needs_review", NULL, NULL, "{\"score\":3}", NULL, false,
	    "{\"status\":\"needs_review\",\"data\":{\"score\":3}}" },
	{ "failure", "PERMANENT_ERROR", "a \"no\"", NULL, NULL, false,
	    "{\"status\":\"failure\",\"error\":{\"code\":\"PERMANENT_ERROR\","
	    "\"message\":\"a \\\"no\\\"\"}}" },
	{ "failure", "TRANSIENT_ERROR", "died", NULL, "{\"signal\":9}", false,
	    "{\"status\":\"failure\",\"error\":{\"code\":\"TRANSIENT_ERROR\","
	    "\"message\":\"died\",\"details\":{\"signal\":9}}}" },
	{ "retry", "NOT_YET", "attempt 1", NULL, NULL, false,
	    "{\"status\":\"failure\",\"error\":{\"code\":\"TRANSIENT_ERROR\","
	    "\"message\":\"NOT_YET: attempt 1\",\"details\":{"
	    "\"status\":\"retry\",\"code\":\"NOT_YET\","
	    "\"message\":\"attempt 1\"}}}" },
	{ "retry", NULL, NULL, NULL, NULL, false,
	    "{\"status\":\"failure\",\"error\":{\"code\":\"TRANSIENT_ERROR\","
	    "\"message\":\"RETRY: \",\"details\":{\"status\":\"retry\","
	    "\"code\":\"RETRY\",\"message\":\"\"}}}" },
	{ "retry", "NOT_YET", "attempt 1", NULL, NULL, true,
	    "{\"status\":\"retry\",\"error\":{\"code\":\"NOT_YET\","
	    "\"message\":\"attempt 1\"}}" },
	/* memory was short when the result was made */
	{ NULL, NULL, NULL, NULL, NULL, false, "{\"status\":\"failure\"}" },
};
#define NOUTCOMES (sizeof(outcomes) / sizeof(outcomes[0]))

static json_t *
write_result(const struct dialect *dialect, size_t i, struct bytes *out)
{
	struct worker_facts facts = make_facts();
	struct lease l = make_lease(outcomes[i].status, outcomes[i].code,
	    outcomes[i].message, outcomes[i].data, outcomes[i].details);
	char nonce[33];
	struct why why;

	facts.retry_passthrough = outcomes[i].passthrough;
	ASSERT_INT(dialect->result(&facts, &l, out, &why), 0);
	result_fini(&l.result);
	return (
	    dialect == &dialect_rxon ? open_envelope(out, nonce) : parse(out));
}

static const char *
code_for(const struct dialect *dialect, const char *code, const char *details)
{
	struct worker_facts facts = make_facts();
	struct lease l = make_lease("failure", code, "bad", NULL, details);
	struct bytes out = { 0 };
	const char *found;
	struct why why;

	ASSERT_INT(dialect->result(&facts, &l, &out, &why), 0);
	result_fini(&l.result);
	found = memmem(out.p, out.len, CODE_INTEGRITY,
		    strlen(CODE_INTEGRITY)) != NULL ?
	    CODE_INTEGRITY :
	    memmem(out.p, out.len, CODE_TRANSIENT, strlen(CODE_TRANSIENT)) !=
		NULL ?
	    CODE_TRANSIENT :
	    "another";
	bytes_fini(&out);
	return (found);
}

static void
a_value_error_is_told_as_each_dialect_has_it(void)
{
	static const struct {
		const char *code, *details, *classic, *rxon;
	} cases[] = {
		{ CODE_TRANSIENT, "{\"exception\":\"E\",\"value_error\":true}",
		    CODE_TRANSIENT, CODE_INTEGRITY },
		{ CODE_TRANSIENT, "{\"value_error\":false}", CODE_TRANSIENT,
		    CODE_TRANSIENT },
		{ CODE_TRANSIENT, NULL, CODE_TRANSIENT, CODE_TRANSIENT },
		{ "OWN", "{\"value_error\":true}", "another", "another" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ASSERT_STR(
		    code_for(&dialect_classic, cases[i].code, cases[i].details),
		    cases[i].classic);
		ASSERT_STR(
		    code_for(&dialect_rxon, cases[i].code, cases[i].details),
		    cases[i].rxon);
	}
}

/* Checks members that stand beside the outcome and takes them off. */
static void
check_text(json_t *root, const char *name, const char *want)
{
	ASSERT_STR(json_string_value(json_object_get(root, name)), want);
	ASSERT_INT(json_object_del(root, name), 0);
}

static void
classic_nests_its_results(void)
{
	struct bytes out = { 0 };
	json_t *root, *result;
	size_t i;

	for (i = 0; i < NOUTCOMES; i++) {
		root = write_result(&dialect_classic, i, &out);
		check_text(root, "job_id", "j-1");
		check_text(root, "task_id", "t-1");
		check_text(root, "worker_id", "w-1");
		ASSERT_INT(json_object_size(root), 1);
		result = json_incref(json_object_get(root, "result"));
		json_decref(root);
		check_json(result, outcomes[i].want);
	}
}

static void
rxon_signs_its_results(void)
{
	struct bytes out = { 0 };
	json_t *root;
	size_t i;

	for (i = 0; i < NOUTCOMES; i++) {
		root = write_result(&dialect_rxon, i, &out);
		check_text(root, "job_id", "j-1");
		check_text(root, "task_id", "t-1");
		check_text(root, "worker_id", "w-1");
		check_text(root, "origin_worker_id", "w-1");
		check_json(root, outcomes[i].want);
	}
}

static char *
rxon_result_text(const char *task_metadata, const char *metadata)
{
	const struct worker_facts facts = make_facts();
	struct lease l = make_lease("success", NULL, NULL, NULL, NULL);
	struct bytes out = { 0 };
	char nonce[33], *text;
	struct why why;
	json_t *root;

	bytes_puts(&l.task.metadata, task_metadata);
	bytes_puts(&l.result.metadata, metadata);
	ASSERT_INT(dialect_rxon.result(&facts, &l, &out, &why), 0);
	root = open_envelope(&out, nonce);
	text = json_dumps(json_object_get(root, "metadata"), JSON_COMPACT);
	json_decref(root);
	bytes_fini(&l.task.metadata);
	result_fini(&l.result);
	return (text);
}

static const struct {
	const char *task, *handler, *want;
} metadata_rows[] = {
	{ "", "", NULL },
	{ "", "{\"h\":1}", NULL },
	{ "{\"t\":1}", "", "{\"t\":1}" },
	{ "{\"t\":1}", "{\"h\":2}", "{\"h\":2}" },
	{ "{}", "{\"h\":2}", "{\"h\":2}" },
	{ "{}", "", NULL },
	{ "{\"t\":1}", "{}", NULL },
};

static void
rxon_tells_metadata_of_tasks_with_metadata(void)
{
	char *text;
	size_t i;

	for (i = 0; i < sizeof(metadata_rows) / sizeof(metadata_rows[0]); i++) {
		text = rxon_result_text(
		    metadata_rows[i].task, metadata_rows[i].handler);
		ASSERT_STR(text, metadata_rows[i].want);
		free(text);
	}
}

static void
rxon_leaves_out_metadata_that_is_too_much(void)
{
	struct bytes big = { 0 };
	char *text;
	int i;

	bytes_puts(&big, "{\"a\":\"");
	for (i = 0; i < 1024; i++)
		bytes_printf(&big, "%01024d", 0);
	bytes_puts(&big, "\"}");
	bytes_append(&big, "", 1);
	text = rxon_result_text(big.p, "");
	ASSERT_STR(text, NULL);
	free(text);
	bytes_fini(&big);
}

static void
rxon_tells_costs_and_files(void)
{
	const struct worker_facts facts = make_facts();
	struct lease l = make_lease("success", NULL, NULL, NULL, NULL);
	struct bytes out = { 0 };
	char nonce[33];
	struct why why;
	json_t *root;

	l.running_ms = 1;
	l.ran_ms = 12005;
	bytes_puts(&l.result.data_metadata,
	    "{\"files[0]\":{\"uri\":\"s3://b/k\",\"size\":3,\"etag\":\"e\"}}");
	ASSERT_INT(dialect_rxon.result(&facts, &l, &out, &why), 0);
	root = open_envelope(&out, nonce);
	check_json(root,
	    "{\"job_id\":\"j-1\",\"task_id\":\"t-1\",\"worker_id\":\"w-1\","
	    "\"origin_worker_id\":\"w-1\",\"status\":\"success\","
	    "\"data_metadata\":{\"files[0]\":{\"uri\":\"s3://b/k\","
	    "\"size\":3,\"etag\":\"e\"}},"
	    "\"costs\":{\"execution_time_seconds\":12.005}}");
	result_fini(&l.result);
}

static void
classic_tells_progress_and_events(void)
{
	const struct worker_facts facts = make_facts();
	struct lease l = make_lease(NULL, NULL, NULL, NULL, NULL);
	struct bytes payload = { 0 }, out = { 0 };
	struct why why;

	bytes_puts(&payload, "{\"progress\":0.5,\"a\":1,\"message\":\"x\"}");
	ASSERT_INT(
	    dialect_classic.event(&facts, &l, "progress", &payload, &out, &why),
	    0);
	check_json(parse(&out),
	    "{\"event\":\"progress_update\",\"task_id\":\"t-1\","
	    "\"job_id\":\"j-1\",\"progress\":0.5,\"message\":\"x\"}");
	ASSERT_INT(
	    dialect_classic.event(&facts, &l, "a.b", &payload, &out, &why), 0);
	check_json(parse(&out),
	    "{\"event\":\"a.b\",\"task_id\":\"t-1\",\"job_id\":\"j-1\","
	    "\"payload\":{\"progress\":0.5,\"a\":1,\"message\":\"x\"}}");
	bytes_fini(&payload);
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
	root = parse(&out);
	check_json(json_incref(json_object_get(root, "capabilities")),
	    "{\"websockets\":true}");
	json_decref(root);
	/* The object of the registration, and one member more. */
	ASSERT_INT(dialect_rxon.heartbeat(&facts, &beat, &out, &why), 0);
	root = parse(&out);
	own = json_object_get(root, "capabilities");
	check_json(json_incref(own),
	    "{\"hostname\":\"host-1\",\"ip_address\":\"192.0.2.7\","
	    "\"cost_per_skill\":{\"thumb.nail\":0.1},\"websockets\":true}");
	json_decref(root);
	beat.tells_websocket = false;
	ASSERT_INT(dialect_rxon.heartbeat(&facts, &beat, &out, &why), 0);
	root = parse(&out);
	ASSERT(json_object_get(root, "capabilities") == NULL);
	json_decref(root);
}

static void
rxon_tells_events_with_their_trace(void)
{
	const struct worker_facts facts = make_facts();
	struct lease l = make_lease(NULL, NULL, NULL, NULL, NULL);
	struct bytes out = { 0 }, payload = { 0 };
	char nonce[33];
	struct why why;
	json_t *root;

	bytes_puts(&l.task.tracing_context, "{\"traceparent\":\"00-a\"}");
	bytes_puts(&payload, "{\"progress\":0.5}");
	ASSERT_INT(
	    dialect_rxon.event(&facts, &l, "progress", &payload, &out, &why),
	    0);
	root = open_envelope(&out, nonce);
	ASSERT_INT(
	    strlen(json_string_value(json_object_get(root, "event_id"))), 36);
	ASSERT_INT(json_object_del(root, "event_id"), 0);
	check_json(root,
	    "{\"worker_id\":\"w-1\",\"origin_worker_id\":\"w-1\","
	    "\"event_type\":\"progress\",\"payload\":{\"progress\":0.5},"
	    "\"origin_task_id\":\"t-1\",\"target_task_id\":\"t-1\","
	    "\"target_job_id\":\"j-1\","
	    "\"trace_context\":{\"traceparent\":\"00-a\"}}");
	bytes_fini(&payload);
	bytes_fini(&l.task.tracing_context);
}

static void
rxon_refuses_what_cannot_be_signed(void)
{
	const struct worker_facts facts = make_facts();
	struct lease l =
	    make_lease("success", NULL, NULL, "{\"a\":1e20}", NULL);
	struct bytes out = { 0 };
	struct why why = { "" };

	ASSERT_INT(dialect_rxon.result(&facts, &l, &out, &why), -1);
	ASSERT(strstr(why.text, "cannot sign a message: ") != NULL);
	bytes_fini(&out);
	/* The other dialect does not mind. */
	ASSERT_INT(dialect_classic.result(&facts, &l, &out, &why), 0);
	bytes_fini(&out);
	result_fini(&l.result);
}

#define OWN        "{\"error\":\"Unauthorized: bad\\ntoken\"}"
#define PAGE       "<html>\r\n<b>nginx</b>"
#define PAGE_SHOWN "<html>  <b>nginx</b>"

static const struct {
	long status;
	const char *body;
	enum verdict verdict;
	const char *why;
} replies[] = {
	{ 200, "{}", VERDICT_DONE, "" },
	/* Whether the body makes sense is the asker's to say. */
	{ 200, PAGE, VERDICT_DONE, "" },
	{ 204, "", VERDICT_DONE, "" },
	{ 400, OWN, VERDICT_REFUSED, "HTTP 400: Unauthorized: bad\ntoken" },
	{ 400, PAGE, VERDICT_LATER, "HTTP 400: " PAGE_SHOWN },
	{ 400, "", VERDICT_LATER, "HTTP 400" },
	{ 401, OWN, VERDICT_DENIED, "HTTP 401: Unauthorized: bad\ntoken" },
	{ 401, PAGE, VERDICT_DENIED, "HTTP 401: " PAGE_SHOWN },
	{ 403, OWN, VERDICT_DENIED, "HTTP 403: Unauthorized: bad\ntoken" },
	{ 403, "", VERDICT_DENIED, "HTTP 403" },
	{ 404, "{\"error\":{\"code\":1}}", VERDICT_REFUSED,
	    "HTTP 404: {\"code\":1}" },
	{ 404, PAGE, VERDICT_LATER, "HTTP 404: " PAGE_SHOWN },
	{ 404, "404: Not Found", VERDICT_LATER, "HTTP 404: 404: Not Found" },
	{ 404, "{\"detail\":\"x\"}", VERDICT_LATER,
	    "HTTP 404: {\"detail\":\"x\"}" },
	{ 413, OWN, VERDICT_REFUSED, "HTTP 413: Unauthorized: bad\ntoken" },
	{ 413, PAGE, VERDICT_LATER, "HTTP 413: " PAGE_SHOWN },
	{ 429, OWN, VERDICT_LIMITED, "HTTP 429: Unauthorized: bad\ntoken" },
	{ 429, "", VERDICT_LIMITED, "HTTP 429" },
	/* JSON in JSON, as RXON has it, and plain text, as classic has it. */
	{ 429, "{\"error\":\"{\\\"error\\\": \\\"Too Many Requests\\\"}\"}",
	    VERDICT_LIMITED, "HTTP 429: {\"error\": \"Too Many Requests\"}" },
	{ 500, "500 Internal Server Error\n\nServer got itself in trouble",
	    VERDICT_LATER,
	    "HTTP 500: 500 Internal Server Error  Server got itself in "
	    "trouble" },
	{ 301, "", VERDICT_LATER, "HTTP 301" },
	{ 409, OWN, VERDICT_LATER, "HTTP 409: Unauthorized: bad\ntoken" },
	{ 500, OWN, VERDICT_LATER, "HTTP 500: Unauthorized: bad\ntoken" },
	{ 502, PAGE, VERDICT_LATER, "HTTP 502: " PAGE_SHOWN },
	{ 503, "\x01\xff", VERDICT_LATER, "HTTP 503:   " },
};

static void
judges_replies(void)
{
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		why.text[0] = '\0';
		test_same_int(__FILE__, __LINE__, replies[i].why,
		    dialect_judge(replies[i].status, replies[i].body,
			strlen(replies[i].body), &why),
		    replies[i].verdict);
		if (replies[i].verdict != VERDICT_DONE)
			ASSERT_STR(why.text, replies[i].why);
	}
}

static bool
is_too_deep(long status, const char *body)
{
	return (dialect_is_too_deep(status, body, strlen(body)));
}

static void
knows_what_is_too_deep(void)
{
	static const char said[] =
	    "{\"error\":\"Maximum recursion depth (30) exceeded in to_dict\"}";

	ASSERT(is_too_deep(500, said));
	ASSERT(!is_too_deep(503, said));
	ASSERT(!is_too_deep(500, "{\"error\":\"Something else\"}"));
	ASSERT(!is_too_deep(500, "Maximum recursion depth (30) exceeded"));
	ASSERT(!is_too_deep(500, ""));
}

static void
shortens_foreign_texts(void)
{
	static const char *const parts[][2] = {
		{ "{\"error\":\"", "\"}" },
		{ "{\"error\":[\"", "\"]}" },
		{ "<html>", "" },
	};
	struct bytes body;
	struct why why;
	size_t i;
	int n;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		body = (struct bytes){ 0 };
		bytes_puts(&body, parts[i][0]);
		for (n = 0; n < 2000; n++)
			bytes_puts(&body, "ab");
		bytes_puts(&body, parts[i][1]);
		(void)dialect_judge(500, body.p, body.len, &why);
		ASSERT(strlen(why.text) < 200);
		ASSERT(strstr(why.text, "abab") != NULL);
		bytes_fini(&body);
	}
}

static const struct {
	const char *body;
	enum verdict verdict;
	const char *why;
} receipts[] = {
	{ "{\"status\":\"accepted\"}", VERDICT_DONE, "accepted" },
	{ "{\"status\":\"result_accepted_success\"}", VERDICT_DONE,
	    "accepted" },
	{ "{}", VERDICT_DONE, "accepted" },
	{ "{\"message\":\"Result ignored: it is late.\","
	  "\"reason\":\"stale_task\",\"status\":\"ignored\"}",
	    VERDICT_REFUSED, "stale_task" },
	{ "{\"status\":\"ignored\"}", VERDICT_REFUSED, "ignored" },
	{ "{\"status\":\"ignored\",\"reason\":null}", VERDICT_REFUSED,
	    "ignored" },
};

static void
reads_receipts(void)
{
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(receipts) / sizeof(receipts[0]); i++) {
		const size_t len = strlen(receipts[i].body);

		ASSERT_INT(dialect_rxon.taken(receipts[i].body, len, &why),
		    receipts[i].verdict);
		ASSERT_STR(why.text, receipts[i].why);
		ASSERT_INT(dialect_classic.taken(receipts[i].body, len, &why),
		    VERDICT_DONE);
		ASSERT_STR(why.text, "accepted");
	}
}

static void
knows_when_it_is_unknown(void)
{
	ASSERT(dialect_is_unknown("null", 4));
	ASSERT(!dialect_is_unknown("", 0));
	ASSERT(!dialect_is_unknown("nul", 3));
	ASSERT(!dialect_is_unknown("{\"status\":\"ttl_refreshed\"}", 26));
}

static const struct test tests[] = {
	{ "classic: a registration", classic_registers },
	{ "classic: a heartbeat", classic_beats },
	{ "skills that are full are not offered", full_skills_are_not_offered },
	{ "classic: results are nested", classic_nests_its_results },
	{ "a ValueError is told as each dialect has it",
	    a_value_error_is_told_as_each_dialect_has_it },
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
	{ "rxon: results are flat and signed", rxon_signs_its_results },
	{ "rxon: metadata goes back when the task carried some (S11)",
	    rxon_tells_metadata_of_tasks_with_metadata },
	{ "rxon: metadata that would make a result too large is left out",
	    rxon_leaves_out_metadata_that_is_too_much },
	{ "rxon: a result has its costs and what is known of its files",
	    rxon_tells_costs_and_files },
	{ "classic: progress and events, as the WebSocket takes them",
	    classic_tells_progress_and_events },
	{ "both: a heartbeat tells of a WebSocket",
	    both_tell_of_a_websocket_in_heartbeats },
	{ "rxon: an event has the trace context of its task",
	    rxon_tells_events_with_their_trace },
	{ "rxon: a number that cannot be signed is refused",
	    rxon_refuses_what_cannot_be_signed },
	{ "replies are judged by status and body", judges_replies },
	{ "what is too deep is known by the error", knows_what_is_too_deep },
	{ "a foreign text is shortened", shortens_foreign_texts },
	{ "accepted is done, ignored is final", reads_receipts },
	{ "null says that nobody knows us", knows_when_it_is_unknown },
};
TEST_MAIN(tests)
