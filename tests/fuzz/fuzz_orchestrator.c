/* SPDX-License-Identifier: ISC */
/*
 * The orchestrator's side as a state machine: tasks come, get their results,
 * and these are taken, refused, ignored, lost on the way or answered with any
 * error; the worker is forgotten, the journal is slow, cannot be written, the
 * worker is killed and stopped and begins again. Every two bytes are one event.
 * Whatever happens, each task that is in the journal comes to an end that the
 * orchestrator knows of, or is a dead letter; none is sent again that was
 * taken; and the counts of leases add up.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "supervisor/base/log.h"
#include "supervisor/conf.h"
#include "supervisor/lease.h"
#include "supervisor/orchestrator/fleet.h"
#include "supervisor/orchestrator/orchestrator.h"
#include "supervisor/orchestrator/outbox.h"
#include "supervisor/task_event.h"
#include "tests/fuzz/fake_http.h"
#include "tests/fuzz/fake_journal.h"
#include "tests/fuzz/fake_world.h"
#include "tests/must.h"
#include "tests/unit/lossy_disk.h"

#define TASKS_MAX      200
#define EVENTS_MAX     500
#define END_ROUNDS     400 /* of half a minute */
#define JOB_TIMEOUT_MS ((int64_t)300 * 1000)
#define RETENTION_MS   ((int64_t)600 * 1000)

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* A task, as the orchestrator knows it. */
struct known {
	int64_t id; /* of its last lease; 0: it has not come */
	unsigned acted; /* results that it has acted on */
	unsigned unknown; /* times that the worker cannot know that */
	struct bytes first; /* the first of them */
	int64_t acted_ms; /* when that was sent */
	int64_t finished_ms; /* the worker has its result since; 0: unknown */
	bool told; /* the worker knows that its result has been dealt with */
	bool posting; /* a result of it is out */
	bool buried; /* it has been a dead letter, and may be again */
	bool unwritten; /* one has gone that was not in the journal first */
};

static struct rig {
	struct conf *conf;
	char folder[64];
	struct event_base *base; /* nothing runs on it */
	struct lease_table leases;
	struct outbox *outbox;
	struct orchestrator *fleet;
	struct known tasks[TASKS_MAX];
	unsigned count; /* tasks that were given out */
	unsigned places;
	bool classic;
	bool has_lost; /* the disk, something that it was said to have */
} rig;

static void
nothing(enum log_level level, const char *text)
{
	(void)level;
	must(text[0] != '\0');
}

static struct known *
task_named(const char *id)
{
	unsigned long n;

	must(strncmp(id, "t-", 2) == 0);
	n = strtoul(id + 2, NULL, 10);
	must(n < rig.count);
	return (&rig.tasks[n]);
}

/* The worker does not know any more what has become of its result. */
static void
forget(struct known *k)
{
	k->unknown += k->told;
	k->told = false;
}

/*
 * What the orchestrator does.
 */

static struct known *
task_of(const struct http_call *call)
{
	static const char name[] = "\"task_id\":\"";
	const char *at =
	    memmem(call->body.p, call->body.len, name, strlen(name));

	must(at != NULL);
	return (task_named(at + strlen(name)));
}

static bool
is(const struct http_call *call, const char *kind)
{
	return (strcmp(call->kind, kind) == 0);
}

/* A result goes out. */
void
fake_http_on_start(struct http_call *call)
{
	const struct fake_record *on_disk;
	const struct lease *l;
	struct known *k;
	char id[32];

	if (!is(call, "result"))
		return;
	k = task_of(call);
	must(!k->told && !k->posting);
	k->posting = true;
	if (fake_journal_is_broken()) {
		k->unwritten = true; /* better than never */
		return;
	}
	(void)snprintf(id, sizeof(id), "t-%td", k - rig.tasks);
	must((l = lease_find_task(&rig.leases, id)) != NULL);
	on_disk = fake_journal_record((int64_t)l->id);
	must(!rig.classic || (on_disk->finished && on_disk->sending));
}

static void
act(const struct http_call *call)
{
	struct known *k = task_of(call);
	const bool as_written =
	    rig.classic && k->acted > 0 && !k->unwritten && !k->buried;

	if (k->acted == 0) {
		bytes_append(&k->first, call->body.p, call->body.len);
		k->acted_ms = call->begun_ms;
	}
	/* What is not ignored is the same as before, and in time: later the
	 * job has gone on without it. */
	must(!rig.classic || k->acted <= k->unknown);
	if (as_written) {
		must(k->first.len == call->body.len &&
		    memcmp(k->first.p, call->body.p, k->first.len) == 0);
		must(call->begun_ms - k->acted_ms <= JOB_TIMEOUT_MS);
	}
	k->acted++;
}

void
fake_http_on_cancel(struct http_call *call)
{
	struct known *k;

	if (!is(call, "result"))
		return;
	k = task_of(call);
	k->posting = false;
	k->unknown++;
	if (call->begun_ms % 2 == 0)
		act(call);
}

/* True when it may be given out once more. What is a dead letter, or was lost by
 * the disk with its end, would be here twice then. */
static bool
may_come_again(const struct known *k)
{
	return (!k->buried && !(rig.has_lost && k->acted > 0));
}

/* The answer that is wanted. */
static void
answer_well(struct http_call *call, uint8_t how)
{
	struct http_reply reply = { .status = 200, .body = "{}" };
	struct known *k;
	char text[160];

	if (is(call, "register"))
		reply.body = "{\"status\":\"registered\"}";
	else if (is(call, "result")) {
		k = task_of(call);
		reply.body = k->acted > 0 && !rig.classic ?
		    "{\"status\":\"ignored\",\"reason\":\"stale_task\"}" :
		    "{\"status\":\"accepted\"}";
		act(call);
		k->posting = false;
		k->told = true;
	} else if (is(call, "poll") && how < 128 && rig.count < TASKS_MAX) {
		/* One of before, now and then. */
		if (how < 112 || rig.count == 0 ||
		    !may_come_again(&rig.tasks[how % rig.count]))
			(void)snprintf(text, sizeof(text), "t-%u", rig.count++);
		else
			(void)snprintf(
			    text, sizeof(text), "t-%u", how % rig.count);
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

/* Nothing at all comes back; sent: whoever was to answer may have read it. */
static void
lose(struct http_call *call, bool sent, bool acted, bool timed_out)
{
	struct http_reply reply = {
		.error = "lost",
		.body = "",
		.sent = sent,
		.timed_out = timed_out,
	};
	struct known *k;

	if (is(call, "result")) {
		k = task_of(call);
		k->posting = false;
		k->unknown += sent;
		if (sent && acted)
			act(call);
	}
	fake_http_answer(call, &reply);
}

static void
answer_badly(struct http_call *call, unsigned which)
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
	struct known *k;

	which %= sizeof(answers) / sizeof(answers[0]);
	reply.status = answers[which].status;
	reply.body = answers[which].body;
	reply.body_len = strlen(reply.body);
	reply.retry_after = answers[which].retry_after;
	if (is(call, "result")) {
		k = task_of(call);
		k->posting = false;
		k->unknown += answers[which].unknown;
		k->told = answers[which].final;
	}
	fake_http_answer(call, &reply);
}

/* What has had its time is lost. */
static void
end_late_calls(uint8_t how)
{
	struct http_call *call = fake_http_first(), *next;

	for (; call != NULL; call = next) {
		next = call->next;
		if (world.now_ms < call->until_ms)
			continue;
		lose(call, true, how & 1, true);
		next = fake_http_first(); /* who knows what that has done */
	}
}

/*
 * What the supervisor does.
 */

static bool
on_leased(struct orchestrator *o, struct task *task,
    const struct task_fault *fault, void *arg)
{
	struct known *k = task_named(task->task_id);
	const struct fake_record *before;
	struct lease *l;

	(void)arg;
	must(fault == NULL);
	if (lease_find_task(&rig.leases, task->task_id) != NULL) {
		task_fini(task);
		return (false);
	}
	/* It is run again only if nobody here knows that it was. */
	if (k->id != 0) {
		before = fake_journal_record(k->id);
		must(!before->leased && !before->ended);
		if (before->dead)
			forget(k);
		must(!k->told);
	}
	l = lease_new(&rig.leases, task, o, world.now_ms);
	must(l != NULL);
	k->id = (int64_t)l->id;
	orchestrator_leased(o, l);
	return (true);
}

static void
on_delivered(struct orchestrator *o, struct lease *l,
    enum lease_outcome outcome, void *arg)
{
	struct known *k;

	(void)o;
	(void)arg;
	k = task_named(l->task.task_id);
	if (outcome != LEASE_DEAD) {
		must(k->told);
	} else {
		/* What cannot have been taken is not given up earlier. */
		must(k->told || k->unknown > 0 || k->finished_ms == 0 ||
		    world.now_ms - k->finished_ms >= RETENTION_MS);
		k->buried = true;
	}
	lease_end(&rig.leases, l, outcome);
}

static unsigned
on_places(const char *category, void *arg)
{
	(void)category;
	(void)arg;
	return (outbox_can_take(rig.outbox) ? rig.places : 0);
}

static void
on_changed(struct orchestrator *o, void *arg)
{
	(void)o;
	(void)arg;
}

static void
on_at_work(struct orchestrator *o, struct at_work *at_work, void *arg)
{
	(void)o;
	(void)arg;
	at_work->running = rig.leases.count[LEASE_QUEUED];
}

static bool
on_is_hot(struct orchestrator *o, const char *type, void *arg)
{
	(void)o;
	(void)type;
	(void)arg;
	return (false);
}

static const struct orchestrator_ops ops = {
	.leased = on_leased,
	.delivered = on_delivered,
	.places = on_places,
	.changed = on_changed,
	.at_work = on_at_work,
	.is_hot = on_is_hot,
};

static void
outbox_changed(void *arg)
{
	(void)arg;
	if (rig.fleet != NULL)
		orchestrator_kick(rig.fleet);
}

static void
offer(void)
{
	static const struct skill skills[] = {
		{ .name = "t", .category = "pool", .cost = -1 },
	};

	orchestrator_offer(rig.fleet,
	    &(struct offered){
		.skills = skills, .count = 1, .max_concurrent_tasks = 4 });
}

static void
start(void)
{
	struct why why;
	int status;

	lease_table_init(&rig.leases);
	rig.outbox = outbox_open(
	    &(struct outbox_settings){
		.conf = &rig.conf->worker,
		.state_dir = rig.folder,
		.leases = &rig.leases,
		.loop = rig.base,
		.changed = outbox_changed,
	    },
	    &status, &why);
	must(rig.outbox != NULL);
	rig.fleet = fleet_new(
	    &(struct fleet_settings){
		.conf = rig.conf,
		.worker_id = "w-1",
		.loop = rig.base,
		.outbox = rig.outbox,
	    },
	    &ops, NULL, &why);
	must(rig.fleet != NULL);
	offer();
}

static void
end(void)
{
	orchestrator_free(rig.fleet);
	rig.fleet = NULL;
	(void)outbox_close(rig.outbox);
	must(fake_http_first() == NULL);
	lease_table_fini(&rig.leases);
}

/* Another life: it knows what is in the journal. */
static void
restart(bool kill)
{
	const struct fake_record *on_disk;
	struct known *k;

	if (kill)
		fake_journal_kill();
	else
		fake_journal_mend();
	end();
	for (k = rig.tasks; k < rig.tasks + rig.count; k++) {
		if (k->id == 0)
			continue;
		on_disk = fake_journal_record(k->id);
		if (on_disk->ended || on_disk->dead)
			continue;
		forget(k);
		k->unknown += on_disk->sending; /* or was about to be */
		if (!on_disk->finished)
			k->finished_ms = 0;
		if (!on_disk->leased)
			k->id = 0; /* another may get it */
	}
	start();
}

static struct lease *
nth_running(unsigned n)
{
	struct lease *l;

	if (rig.leases.count[LEASE_QUEUED] == 0)
		return (NULL);
	n %= rig.leases.count[LEASE_QUEUED];
	for (l = lease_first(&rig.leases); l != NULL; l = lease_next(l))
		if (l->state == LEASE_QUEUED && n-- == 0)
			break;
	return (l);
}

static void
finish(struct lease *l, uint8_t how)
{
	struct result result = { 0 };

	if (l == NULL)
		return;
	if (how & 1)
		result = result_failure(CODE_TRANSIENT, "it is %u", how);
	else {
		must((result.status = strdup("success")) != NULL);
		bytes_printf(&result.data, "{\"n\":%u}", how);
	}
	task_named(l->task.task_id)->finished_ms = world.now_ms;
	lease_finish(&rig.leases, l, &result);
	orchestrator_deliver(l->origin, l);
}

static void
tell(struct lease *l)
{
	static const char text[] = "{\"progress\":0.5}";

	if (l != NULL)
		orchestrator_event(l->origin, l,
		    &(struct task_event){
			.type = TASK_EVENT_PROGRESS,
			.payload = text,
			.len = strlen(text),
		    });
}

static void
on_letters(const struct letters_answer *answer, uint64_t ticket, void *to)
{
	(void)answer;
	(void)ticket;
	(void)to;
}

/* Dead letters are sent again: the worker does not know of their ends. */
static void
resend_letters(void)
{
	const struct letters_asker asker = { .answer = on_letters };
	struct known *k;

	if (fake_journal_is_broken())
		return;
	fake_journal_commit(UINT32_MAX);
	for (k = rig.tasks; k < rig.tasks + rig.count; k++)
		if (k->buried) {
			forget(k);
			k->finished_ms = 0;
		}
	outbox_letters(rig.outbox, LETTERS_RESEND, 0, &asker);
	fake_journal_commit(UINT32_MAX);
}

/* With some of what it had, at times. */
static void
break_journal(bool loses)
{
	struct known *k;

	fake_journal_break(loses);
	rig.has_lost = rig.has_lost || loses;
	for (k = rig.tasks; k < rig.tasks + rig.count; k++)
		if (k->id != 0 && !fake_journal_record(k->id)->sending)
			k->unwritten = k->unwritten || loses;
}

/*
 * A run.
 */

static struct http_call *
nth_call(unsigned n)
{
	struct http_call *call = fake_http_first();

	while (call != NULL && call->next != NULL && n-- > 0)
		call = call->next;
	return (call);
}

static void
event(uint8_t what, uint8_t how)
{
	struct http_call *call = nth_call(what & 7);

	if (what < 112) {
		if (call != NULL)
			answer_well(call, how);
	} else if (what < 136) {
		if (call != NULL)
			answer_badly(call, how);
	} else if (what < 152) {
		if (call != NULL)
			lose(call, how & 1, how & 2, how & 4);
	} else if (what < 184)
		finish(nth_running(what), how);
	else if (what < 200)
		world.now_ms += how * 10;
	else if (what < 212)
		world.now_ms += how * 1000;
	else if (what < 232)
		fake_journal_commit(how & 1 ? UINT32_MAX : how >> 1);
	else if (what < 236)
		break_journal(how & 1);
	else if (what < 242)
		fake_journal_mend();
	else if (what < 244)
		restart(true);
	else if (what < 245)
		restart(false);
	else if (what < 247)
		resend_letters();
	else if (what < 248)
		offer();
	else if (what < 252)
		tell(nth_running(how));
	else {
		rig.places = how & 3;
		orchestrator_kick(rig.fleet);
	}
	end_late_calls(how);
	world_turn();
}

static void
check(void)
{
	const struct lease_table *t = &rig.leases;
	uint64_t received = 0, gone = 0;
	int i;

	for (i = 0; i < LEASE_NSOURCES; i++)
		received += t->received[i];
	for (i = 0; i < LEASE_NOUTCOMES; i++)
		gone += t->ended[i];
	for (i = 0; i < LEASE_NSTATES; i++)
		gone += t->count[i];
	must(received == gone);
	must(orchestrator_undelivered(rig.fleet) == t->count[LEASE_FINISHED]);
}

/* All is well again: everything comes to its end. */
static void
come_to_an_end(void)
{
	struct http_call *call;
	int round;

	rig.places = 0;
	restart(false); /* an end that was lost is made up for by then */
	for (round = 0; round < END_ROUNDS; round++) {
		while (rig.leases.count[LEASE_QUEUED] > 0)
			finish(nth_running(0), 0);
		fake_journal_commit(UINT32_MAX);
		while ((call = fake_http_first()) != NULL)
			answer_well(call, 255);
		fake_journal_commit(UINT32_MAX);
		world_turn();
		check();
		if (rig.leases.count[LEASE_FINISHED] == 0)
			break;
		world.now_ms += 30000;
		end_late_calls(1);
		world_turn();
	}
	must(round < END_ROUNDS);
	fake_journal_commit(UINT32_MAX);
}

static void
check_tasks(void)
{
	const struct known *k;
	const struct fake_record *on_disk;

	for (k = rig.tasks; k < rig.tasks + rig.count; k++) {
		if (k->id == 0)
			continue; /* the reply was lost */
		on_disk = fake_journal_record(k->id);
		must(!on_disk->leased);
		must(!on_disk->ended || k->acted > 0);
		must(!on_disk->dead || !on_disk->ended);
	}
}

static void
free_rig(void)
{
	fake_journal_reset();
	(void)rmdir(rig.folder);
	event_base_free(rig.base);
	conf_free(rig.conf);
}

/* Once for the process. */
static void
make_rig(void)
{
	static char token[] = "WORKER_TOKEN=token";
	static char *environment[] = { token, NULL };
	static const char *options[] = {
		"orchestrator/main.url=http://o",
		"orchestrator/main.websocket=no",
		"worker.result_retention=600s",
	};
	const struct conf_source source = {
		.environment = environment,
		.options = options,
		.options_len = sizeof(options) / sizeof(options[0]),
	};
	struct conf_problems problems;

	conf_problems_init(&problems);
	must((rig.conf = conf_new(&source, &problems)) != NULL);
	must((rig.base = event_base_new()) != NULL);
	(void)snprintf(
	    rig.folder, sizeof(rig.folder), "/tmp/avtoworker-fuzz-XXXXXX");
	must(mkdtemp(rig.folder) != NULL);
	must(atexit(free_rig) == 0);
	lossy_disk_begin();
	lossy_disk_stop(); /* nothing is synced */
}

static void
prepare(uint8_t how)
{
	struct conf_orchestrator *o;

	if (rig.base == NULL)
		make_rig();
	world_reset();
	fake_journal_reset();
	o = TAILQ_FIRST(&rig.conf->orchestrators);
	rig.classic = how & 1;
	o->protocol = rig.classic ? CONF_CLASSIC : CONF_RXON;
	o->rate_budget = how & 2 ? CONF_RATE_AUTO : CONF_RATE_OFF;
	rig.places = 1 + (how >> 2 & 3);
	rig.count = 0;
	rig.has_lost = false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t i;

	if (size < 1)
		return (-1);
	log_divert(nothing);
	prepare(data[0]);
	start();
	world_turn();
	for (i = 1; i + 1 < size && i < 2 * EVENTS_MAX; i += 2) {
		event(data[i], data[i + 1]);
		check();
	}
	come_to_an_end();
	check_tasks();
	end();
	for (i = 0; i < TASKS_MAX; i++) {
		bytes_fini(&rig.tasks[i].first);
		rig.tasks[i] = (struct known){ 0 };
	}
	return (0);
}
