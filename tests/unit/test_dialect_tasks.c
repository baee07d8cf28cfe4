/* SPDX-License-Identifier: ISC */
/* What each dialect says of a task: its result, its progress and its events. */
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"
#include "tests/unit/dialect_rig.h"

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
	return (dialect == &dialect_rxon ? open_envelope(out, nonce) :
					   open_plain(out));
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
	check_json(open_plain(&out),
	    "{\"event\":\"progress_update\",\"task_id\":\"t-1\","
	    "\"job_id\":\"j-1\",\"progress\":0.5,\"message\":\"x\"}");
	ASSERT_INT(
	    dialect_classic.event(&facts, &l, "a.b", &payload, &out, &why), 0);
	check_json(open_plain(&out),
	    "{\"event\":\"a.b\",\"task_id\":\"t-1\",\"job_id\":\"j-1\","
	    "\"payload\":{\"progress\":0.5,\"a\":1,\"message\":\"x\"}}");
	bytes_fini(&payload);
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

static const struct test tests[] = {
	{ "classic: results are nested", classic_nests_its_results },
	{ "a ValueError is told as each dialect has it",
	    a_value_error_is_told_as_each_dialect_has_it },
	{ "rxon: results are flat and signed", rxon_signs_its_results },
	{ "rxon: metadata goes back when the task carried some (S11)",
	    rxon_tells_metadata_of_tasks_with_metadata },
	{ "rxon: metadata that would make a result too large is left out",
	    rxon_leaves_out_metadata_that_is_too_much },
	{ "rxon: a result has its costs and what is known of its files",
	    rxon_tells_costs_and_files },
	{ "classic: progress and events, as the WebSocket takes them",
	    classic_tells_progress_and_events },
	{ "rxon: an event has the trace context of its task",
	    rxon_tells_events_with_their_trace },
	{ "rxon: a number that cannot be signed is refused",
	    rxon_refuses_what_cannot_be_signed },
};

TEST_MAIN(tests)
