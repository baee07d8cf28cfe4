/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fake_journal.h"
#include "tests/fuzz/fake_orchestrator.h"
#include "tests/fuzz/fake_world.h"
#include "tests/must.h"

#define JOB_TIMEOUT_MS ((int64_t)300 * 1000)

struct fake_orchestrator orchestrator;

void
fake_orchestrator_reset(void)
{
	struct fake_task *t;

	for (t = orchestrator.tasks; t < orchestrator.tasks + FAKE_TASKS_MAX;
	     t++)
		bytes_fini(&t->first);
	orchestrator = (struct fake_orchestrator){ 0 };
}

struct fake_task *
fake_task_named(const char *id)
{
	unsigned long n;

	must(strncmp(id, "t-", 2) == 0);
	n = strtoul(id + 2, NULL, 10);
	must(n < orchestrator.count);
	return (&orchestrator.tasks[n]);
}

void
fake_task_forget(struct fake_task *t)
{
	t->unknown += t->told;
	t->told = false;
}

static struct fake_task *
task_of(const struct http_call *call)
{
	static const char name[] = "\"task_id\":\"";
	const char *at =
	    memmem(call->body.p, call->body.len, name, strlen(name));

	must(at != NULL);
	return (fake_task_named(at + strlen(name)));
}

static bool
is(const struct http_call *call, const char *kind)
{
	return (strcmp(call->kind, kind) == 0);
}

/* A result goes out: one at a time, and not without a need. */
void
fake_http_on_start(struct http_call *call)
{
	const struct fake_record *on_disk;
	struct fake_task *t;

	if (!is(call, "result"))
		return;
	t = task_of(call);
	must(!t->told && !t->posting);
	t->posting = true;
	if (fake_journal_is_broken()) {
		t->unwritten = true; /* better than never */
		return;
	}
	on_disk = fake_journal_record(t->id);
	must(!orchestrator.classic || (on_disk->finished && on_disk->sending));
}

/* It does what a result is for. */
static void
act(const struct http_call *call)
{
	struct fake_task *t = task_of(call);
	const bool as_written =
	    orchestrator.classic && t->acted > 0 && !t->unwritten && !t->buried;

	if (t->acted == 0) {
		bytes_append(&t->first, call->body.p, call->body.len);
		t->acted_ms = call->begun_ms;
	}
	/* What is not ignored is the same as before, and in time: later the
	 * job has gone on without it. */
	must(!orchestrator.classic || t->acted <= t->unknown);
	if (as_written) {
		must(t->first.len == call->body.len &&
		    memcmp(t->first.p, call->body.p, t->first.len) == 0);
		must(call->begun_ms - t->acted_ms <= JOB_TIMEOUT_MS);
	}
	t->acted++;
}

void
fake_http_on_cancel(struct http_call *call)
{
	struct fake_task *t;

	if (!is(call, "result"))
		return;
	t = task_of(call);
	t->posting = false;
	if (!http_is_sent(call))
		return;
	t->unknown++;
	if (call->begun_ms % 2 == 0)
		act(call);
}

/* True when it may be given out once more. What is a dead letter, or was lost by
 * the disk with its end, would be here twice then. */
static bool
may_come_again(const struct fake_task *t)
{
	return (!t->buried && !(orchestrator.has_lost && t->acted > 0));
}

void
fake_orchestrator_answer_well(struct http_call *call, uint8_t how)
{
	struct http_reply reply = { .status = 200, .body = "{}" };
	struct fake_task *t;
	char text[160];

	if (is(call, "register"))
		reply.body = "{\"status\":\"registered\"}";
	else if (is(call, "result")) {
		t = task_of(call);
		reply.body = t->acted > 0 && !orchestrator.classic ?
		    "{\"status\":\"ignored\",\"reason\":\"stale_task\"}" :
		    "{\"status\":\"accepted\"}";
		act(call);
		t->posting = false;
		t->told = true;
	} else if (is(call, "poll") && how < 128 &&
	    orchestrator.count < FAKE_TASKS_MAX) {
		/* One of before, now and then. */
		if (how < 112 || orchestrator.count == 0 ||
		    !may_come_again(
			&orchestrator.tasks[how % orchestrator.count]))
			(void)snprintf(
			    text, sizeof(text), "t-%u", orchestrator.count++);
		else
			(void)snprintf(text, sizeof(text), "t-%u",
			    how % orchestrator.count);
		(void)snprintf(text + 8, sizeof(text) - 8,
		    "{\"job_id\":\"j\",\"task_id\":\"%.7s\",\"type\":\"t\","
		    "\"params\":{},\"tracing_context\":{}}",
		    text);
		reply.body = text + 8;
	} else if (is(call, "poll")) {
		reply.status = 204;
		reply.body = "";
	}
	reply.body_len = strlen(reply.body);
	fake_http_answer(call, &reply);
}

void
fake_orchestrator_answer_badly(struct http_call *call, unsigned n)
{
	static const struct {
		long status;
		const char *body;
		const char *retry_after;
		bool unknown; /* it may have acted before */
		bool final; /* it never will */
	} answers[] = {
		{ 503, "", "3", false, false },
		{ 500, "{\"error\":\"x\"}", NULL, true, false },
		{ 502, "<html>", NULL, true, false },
		{ 429, "{\"error\":\"too many\"}", NULL, false, false },
		{ 429, "", "5", false, false },
		{ 401, "{\"error\":\"who?\"}", NULL, false, false },
		{ 404, "<html>", NULL, false, false },
		{ 404, "{\"error\":\"not found\"}", NULL, false, true },
		{ 400, "{\"error\":\"never\"}", NULL, false, true },
		{ 200, "null", NULL, true, false },
		{ 200, "<html>", NULL, true, false },
		{ 200, "", NULL, true, false },
	};
	struct http_reply reply = { 0 };
	struct fake_task *t;

	n %= sizeof(answers) / sizeof(answers[0]);
	reply.status = answers[n].status;
	reply.body = answers[n].body;
	reply.body_len = strlen(reply.body);
	reply.retry_after = answers[n].retry_after;
	if (is(call, "result")) {
		t = task_of(call);
		t->posting = false;
		t->unknown += answers[n].unknown;
		t->told = answers[n].final;
	}
	fake_http_answer(call, &reply);
}

void
fake_orchestrator_lose(
    struct http_call *call, bool sent, bool acted, bool timed_out)
{
	struct http_reply reply = {
		.error = "lost",
		.body = "",
		.sent = sent,
		.timed_out = timed_out,
	};
	struct fake_task *t;

	if (is(call, "result")) {
		t = task_of(call);
		t->posting = false;
		t->unknown += sent;
		if (sent && acted)
			act(call);
	}
	fake_http_answer(call, &reply);
}

void
fake_orchestrator_end_late(bool acted)
{
	struct http_call *call = fake_http_first(), *next;

	for (; call != NULL; call = next) {
		next = call->next;
		if (world.now_ms < call->until_ms)
			continue;
		fake_orchestrator_lose(call, true, acted, true);
		next = fake_http_first(); /* who knows what that has done */
	}
}
