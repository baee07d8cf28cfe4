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

#include "supervisor/base/log.h"
#include "supervisor/orchestrator/orchestrator.h"
#include "tests/fuzz/fake_http.h"
#include "tests/fuzz/fake_journal.h"
#include "tests/fuzz/fake_orchestrator.h"
#include "tests/fuzz/fake_world.h"
#include "tests/fuzz/worker_rig.h"
#include "tests/must.h"

#define EVENTS_MAX 500
#define END_ROUNDS 400 /* of half a minute */

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
nothing(enum log_level level, const char *text)
{
	(void)level;
	must(text[0] != '\0');
}

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
			fake_orchestrator_answer_well(call, how);
	} else if (what < 136) {
		if (call != NULL)
			fake_orchestrator_answer_badly(call, how);
	} else if (what < 152) {
		if (call != NULL)
			fake_orchestrator_lose(call, how & 1, how & 2, how & 4);
	} else if (what < 184)
		worker_finish(worker_task(what), how);
	else if (what < 200)
		world.now_ms += how * 10;
	else if (what < 212)
		world.now_ms += how * 1000;
	else if (what < 232)
		fake_journal_commit(how & 1 ? UINT32_MAX : how >> 1);
	else if (what < 236)
		worker_break_journal(how & 1);
	else if (what < 242)
		fake_journal_mend();
	else if (what < 244)
		worker_restart(true);
	else if (what < 245)
		worker_restart(false);
	else if (what < 247)
		worker_resend_letters();
	else if (what < 248)
		worker_offer();
	else if (what < 252)
		worker_tell(worker_task(how));
	else {
		worker.places = how & 3;
		orchestrator_kick(worker.fleet);
	}
	fake_orchestrator_end_late(how & 1);
	world_turn();
}

/* All is well again: everything comes to its end. */
static void
come_to_an_end(void)
{
	struct http_call *call;
	int round;

	worker.places = 0;
	worker_restart(false); /* an end that was lost is made up for by then */
	for (round = 0; round < END_ROUNDS; round++) {
		while (worker.leases.count[LEASE_QUEUED] > 0)
			worker_finish(worker_task(0), 0);
		fake_journal_commit(UINT32_MAX);
		while ((call = fake_http_first()) != NULL)
			fake_orchestrator_answer_well(call, 255);
		fake_journal_commit(UINT32_MAX);
		world_turn();
		worker_check();
		if (worker.leases.count[LEASE_FINISHED] == 0)
			break;
		world.now_ms += 30000;
		fake_orchestrator_end_late(true);
		world_turn();
	}
	must(round < END_ROUNDS);
	fake_journal_commit(UINT32_MAX);
}

static void
check_tasks(void)
{
	const struct fake_task *t,
	    *end = orchestrator.tasks + orchestrator.count;
	const struct fake_record *on_disk;

	for (t = orchestrator.tasks; t < end; t++) {
		if (t->id == 0)
			continue; /* the reply was lost */
		on_disk = fake_journal_record(t->id);
		must(!on_disk->leased);
		must(!on_disk->ended || t->acted > 0);
		must(!on_disk->dead || !on_disk->ended);
	}
}

static void
prepare(uint8_t how)
{
	orchestrator.classic = how & 1;
	worker_prepare(orchestrator.classic, how & 2, 1 + (how >> 2 & 3));
	world_reset();
	fake_journal_reset();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t i;

	if (size < 1)
		return (-1);
	log_divert(nothing);
	prepare(data[0]);
	worker_start();
	world_turn();
	for (i = 1; i + 1 < size && i < 2 * EVENTS_MAX; i += 2) {
		event(data[i], data[i + 1]);
		worker_check();
	}
	come_to_an_end();
	check_tasks();
	worker_stop();
	fake_orchestrator_reset();
	return (0);
}
