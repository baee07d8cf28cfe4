/* SPDX-License-Identifier: ISC */
/* How a result is read, in either dialect, and what is said to it. */
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "tests/devorch/call.h"
#include "tests/devorch/ledger.h"
#include "tests/devorch/report.h"
#include "tests/devorch/server.h"
#include "tests/devorch/stats.h"
#include "tests/devorch/work.h"

/* What a result says; all borrowed from the request or owned here. */
struct said {
	char job_id[160];
	char task_id[160];
	char status[64];
	char code[64];
	struct jslice result; /* the object that holds status, data, error */
};

/* Reads a result; NULL, or what is wrong with it. */
static const char *
read_result(const struct call *call, struct said *said)
{
	const bool rxon = call->api->options->rxon;
	const struct jslice *root = &call->root;
	struct jslice value;

	if (!call_string(root, "job_id", said->job_id, sizeof(said->job_id)) ||
	    !call_string(
		root, "task_id", said->task_id, sizeof(said->task_id)) ||
	    said->job_id[0] == '\0' || said->task_id[0] == '\0')
		return ("job_id and task_id are required");
	said->result = *root;
	if (!rxon &&
	    (!jscan_get(root, "result", &said->result) ||
		said->result.type != JSCAN_OBJECT))
		return ("result is no object");
	if (!call_string(
		&said->result, "status", said->status, sizeof(said->status)))
		return ("the status is too long");
	if (rxon && jscan_get(root, "data", &value) &&
	    value.type != JSCAN_OBJECT && value.type != JSCAN_NULL)
		return ("Invalid TaskResult payload: data is no object");
	said->code[0] = '\0';
	if (!jscan_get(&said->result, "error", &value) ||
	    value.type == JSCAN_NULL)
		return (NULL);
	if (value.type == JSCAN_OBJECT)
		(void)call_string(
		    &value, "code", said->code, sizeof(said->code));
	if (rxon && said->code[0] == '\0')
		return ("Invalid TaskResult payload: error without a code");
	return (NULL);
}

static void
answer_result(const struct call *call, enum work_verdict verdict,
    const struct said *said, const struct job *job)
{
	static const struct {
		const char *status, *classic, *rxon;
	} words[] = {
		{ "failure", "result_accepted_failure", "failure_handled" },
		{ "cancelled", "result_accepted_cancelled",
		    "cancelled_handled" },
		{ "success", "result_accepted_success", "success_transition" },
		{ "", "result_accepted_success", "success_transition" },
		{ NULL, "result_accepted_success", "unhandled_status_failure" },
	};
	const bool rxon = call->api->options->rxon;
	const char *reason = "stale_task";
	char body[128];
	size_t i = 0;

	while (words[i].status != NULL &&
	    strcmp(words[i].status, said->status) != 0)
		i++;
	if (verdict == WORK_UNKNOWN)
		reason = "job_not_found";
	else if (verdict == WORK_DUPLICATE && job->state != JOB_LEASED &&
	    job->state != JOB_WAITING)
		reason = "job_already_terminated";
	if (!rxon && verdict == WORK_UNKNOWN) {
		call_error(call, 404, "Job not found");
		return;
	}
	if (!rxon)
		(void)snprintf(body, sizeof(body), "{\"status\":\"%s\"}",
		    words[i].classic);
	else if (verdict == WORK_ACCEPTED)
		(void)snprintf(body, sizeof(body),
		    "{\"status\":\"accepted\",\"transition\":\"%s\"}",
		    words[i].rxon);
	else
		(void)snprintf(body, sizeof(body),
		    "{\"status\":\"ignored\",\"reason\":\"%s\","
		    "\"message\":\"Result ignored.\"}",
		    reason);
	call_answer(call, 200, body);
}

static void
take_result(struct call *call, const struct said *said)
{
	struct api *api = call->api;
	struct stats *stats = api->stats;
	const struct work_result result = {
		.job_id = said->job_id,
		.task_id = said->task_id,
		.status = said->status,
		.code = said->code,
		.arrived_ns = call->request->arrived_ns,
	};
	struct job *job = NULL;
	enum work_verdict verdict = work_result(api->work, &result, &job);

	ledger_result(api->options->polls.ledger, verdict, api->work, job,
	    call->worker, &result, &said->result);
	if (verdict == WORK_UNKNOWN || verdict == WORK_STALE)
		stats->unknown++;
	else if (verdict == WORK_DUPLICATE)
		stats->duplicates++;
	else {
		stats_result(stats, job->leased_ns, result.arrived_ns);
		word_count(&stats->statuses,
		    said->status[0] == '\0' ? "success" : said->status);
		if (said->code[0] != '\0')
			word_count(&stats->codes, said->code);
		if (api->options->print_results)
			report_result(work_type(api->work, job), job,
			    call->worker, &result, &said->result);
	}
	answer_result(call, verdict, said, job);
	polls_serve(api->polls);
	if (api->options->exit_when_done && work_done(api->work))
		(void)event_base_loopexit(api->base, NULL);
}

void
call_result(struct call *call)
{
	struct said said;
	const char *fault;

	if (!call_read(call) || !call_check_sender(call, NULL))
		return;
	if ((fault = read_result(call, &said)) != NULL) {
		call->api->stats->malformed++;
		call_error(call, 400, fault);
	} else if (!call->api->options->rxon && call->worker[0] == '\0') {
		call->api->stats->malformed++;
		call_error(
		    call, 500, "Could not identify authenticated worker.");
	} else
		take_result(call, &said);
}
