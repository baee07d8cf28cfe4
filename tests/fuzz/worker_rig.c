/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "supervisor/conf.h"
#include "supervisor/orchestrator/fleet.h"
#include "supervisor/orchestrator/orchestrator.h"
#include "supervisor/orchestrator/outbox.h"
#include "supervisor/task_event.h"
#include "tests/fuzz/fake_journal.h"
#include "tests/fuzz/fake_orchestrator.h"
#include "tests/fuzz/fake_world.h"
#include "tests/fuzz/worker_rig.h"
#include "tests/must.h"
#include "tests/unit/lossy_disk.h"

#define RETENTION_MS ((int64_t)600 * 1000)

struct worker_rig worker;

/* What is made once for the process. */
static struct {
	struct conf *conf;
	char folder[64];
	struct event_base *base; /* nothing runs on it */
} made;

static void
free_made(void)
{
	fake_journal_reset();
	(void)rmdir(made.folder);
	event_base_free(made.base);
	conf_free(made.conf);
}

static void
make(void)
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
	must((made.conf = conf_new(&source, &problems)) != NULL);
	must((made.base = event_base_new()) != NULL);
	(void)snprintf(
	    made.folder, sizeof(made.folder), "/tmp/avtoworker-fuzz-XXXXXX");
	must(mkdtemp(made.folder) != NULL);
	must(atexit(free_made) == 0);
	lossy_disk_begin();
	lossy_disk_stop(); /* nothing is synced */
}

void
worker_prepare(bool classic, bool rate_auto, unsigned places)
{
	struct conf_orchestrator *o;

	if (made.base == NULL)
		make();
	o = TAILQ_FIRST(&made.conf->orchestrators);
	o->protocol = classic ? CONF_CLASSIC : CONF_RXON;
	o->rate_budget = rate_auto ? CONF_RATE_AUTO : CONF_RATE_OFF;
	worker.places = places;
}

static bool
on_leased(struct orchestrator *o, struct task *task,
    const struct task_fault *fault, void *arg)
{
	struct fake_task *t = fake_task_named(task->task_id);
	const struct fake_record *before;
	struct lease *l;

	(void)arg;
	must(fault == NULL);
	if (lease_find_task(&worker.leases, task->task_id) != NULL) {
		task_fini(task);
		return (false);
	}
	/* It is run again only if nobody here knows that it was. */
	if (t->id != 0) {
		before = fake_journal_record(t->id);
		must(!before->leased && !before->ended);
		if (before->dead)
			fake_task_forget(t);
		must(!t->told);
	}
	l = lease_new(&worker.leases, task, o, world.now_ms);
	must(l != NULL);
	t->id = (int64_t)l->id;
	orchestrator_leased(o, l);
	return (true);
}

static void
on_delivered(struct orchestrator *o, struct lease *l,
    enum lease_outcome outcome, void *arg)
{
	struct fake_task *t = fake_task_named(l->task.task_id);

	(void)o;
	(void)arg;
	if (outcome != LEASE_DEAD) {
		must(t->told);
	} else {
		/* What cannot have been taken is not given up earlier. */
		must(t->told || t->unknown > 0 || t->finished_ms == 0 ||
		    world.now_ms - t->finished_ms >= RETENTION_MS);
		t->buried = true;
	}
	lease_end(&worker.leases, l, outcome);
}

static unsigned
on_places(const char *category, void *arg)
{
	(void)category;
	(void)arg;
	return (outbox_can_take(worker.outbox) ? worker.places : 0);
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
	at_work->running = worker.leases.count[LEASE_QUEUED];
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
	if (worker.fleet != NULL)
		orchestrator_kick(worker.fleet);
}

void
worker_offer(void)
{
	static const struct skill skills[] = {
		{ .name = "t", .category = "pool", .cost = -1 },
	};

	orchestrator_offer(worker.fleet,
	    &(struct offered){
		.skills = skills, .count = 1, .max_concurrent_tasks = 4 });
}

void
worker_start(void)
{
	struct why why;
	int status;

	lease_table_init(&worker.leases);
	worker.outbox = outbox_open(
	    &(struct outbox_settings){
		.conf = &made.conf->worker,
		.state_dir = made.folder,
		.leases = &worker.leases,
		.loop = made.base,
		.changed = outbox_changed,
	    },
	    &status, &why);
	must(worker.outbox != NULL);
	worker.fleet = fleet_new(
	    &(struct fleet_settings){
		.conf = made.conf,
		.worker_id = "w-1",
		.loop = made.base,
		.outbox = worker.outbox,
	    },
	    &ops, NULL, &why);
	must(worker.fleet != NULL);
	worker_offer();
}

void
worker_stop(void)
{
	orchestrator_free(worker.fleet);
	worker.fleet = NULL;
	(void)outbox_close(worker.outbox);
	must(fake_http_first() == NULL);
	lease_table_fini(&worker.leases);
}

void
worker_restart(bool kill)
{
	const struct fake_record *on_disk;
	struct fake_task *t, *end = orchestrator.tasks + orchestrator.count;

	if (kill)
		fake_journal_kill();
	else
		fake_journal_mend();
	worker_stop();
	for (t = orchestrator.tasks; t < end; t++) {
		if (t->id == 0)
			continue;
		on_disk = fake_journal_record(t->id);
		if (on_disk->ended || on_disk->dead)
			continue;
		fake_task_forget(t);
		t->unknown += on_disk->sending; /* or was about to be */
		if (!on_disk->finished)
			t->finished_ms = 0;
		if (!on_disk->leased)
			t->id = 0; /* another may get it */
	}
	worker_start();
}

struct lease *
worker_task(unsigned n)
{
	struct lease *l;

	if (worker.leases.count[LEASE_QUEUED] == 0)
		return (NULL);
	n %= worker.leases.count[LEASE_QUEUED];
	for (l = lease_first(&worker.leases); l != NULL; l = lease_next(l))
		if (l->state == LEASE_QUEUED && n-- == 0)
			break;
	return (l);
}

void
worker_finish(struct lease *l, uint8_t how)
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
	fake_task_named(l->task.task_id)->finished_ms = world.now_ms;
	lease_finish(&worker.leases, l, &result);
	orchestrator_deliver(l->origin, l);
}

void
worker_tell(struct lease *l)
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

void
worker_resend_letters(void)
{
	const struct letters_asker asker = { .answer = on_letters };
	struct fake_task *t, *end = orchestrator.tasks + orchestrator.count;

	if (fake_journal_is_broken())
		return;
	fake_journal_commit(UINT32_MAX);
	for (t = orchestrator.tasks; t < end; t++)
		if (t->buried) {
			fake_task_forget(t);
			t->finished_ms = 0;
		}
	outbox_letters(worker.outbox, LETTERS_RESEND, 0, &asker);
	fake_journal_commit(UINT32_MAX);
}

void
worker_break_journal(bool loses)
{
	struct fake_task *t, *end = orchestrator.tasks + orchestrator.count;

	fake_journal_break(loses);
	orchestrator.has_lost = orchestrator.has_lost || loses;
	for (t = orchestrator.tasks; t < end; t++)
		if (t->id != 0 && !fake_journal_record(t->id)->sending)
			t->unwritten = t->unwritten || loses;
}

void
worker_check(void)
{
	const struct lease_table *t = &worker.leases;
	uint64_t received = 0, gone = 0;
	int i;

	for (i = 0; i < LEASE_NSOURCES; i++)
		received += t->received[i];
	for (i = 0; i < LEASE_NOUTCOMES; i++)
		gone += t->ended[i];
	for (i = 0; i < LEASE_NSTATES; i++)
		gone += t->count[i];
	must(received == gone);
	must(
	    orchestrator_undelivered(worker.fleet) == t->count[LEASE_FINISHED]);
}
