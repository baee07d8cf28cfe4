/* SPDX-License-Identifier: ISC */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "supervisor/base/clock.h"
#include "supervisor/orchestrator/rxon_sign.h"
#include "tests/test.h"
#include "tests/unit/dialect_rig.h"

const struct skill skills[2] = {
	{ .name = "echo", .version = "1.0.0", .cost = -1 },
	{ .name = "thumb.nail",
	    .type = "heavy",
	    .version = "2.1",
	    .cost = 0.1,
	    .hot = true },
};

struct worker_facts
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

struct lease
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

json_t *
open_plain(struct bytes *message)
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

void
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

bool
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

bool
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

json_t *
open_envelope(struct bytes *message, char nonce[33])
{
	struct bytes copy = { 0 };
	json_t *root, *value;
	json_int_t now;

	bytes_append(&copy, message->p, message->len);
	root = open_plain(message);
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
