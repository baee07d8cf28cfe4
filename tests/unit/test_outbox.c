/* SPDX-License-Identifier: ISC */
/* What the outbox makes of leases and of its journal, which has real files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <sqlite3.h>

#include "supervisor/base/clock.h"
#include "supervisor/conf.h"
#include "supervisor/lease.h"
#include "supervisor/orchestrator/outbox.h"
#include "tests/test.h"

#define WAIT_MS 20000
#define DATA    "{\"a\":1}"

/* A worker's outgoing side, with one orchestrator. */
struct scene {
	char folder[64];
	char path[96]; /* of the journal */
	struct conf_worker conf;
	struct lease_table leases;
	struct event_base *loop;
	struct outbox *outbox;
	struct outbox_client client;
	unsigned delivered; /* leases of before, to be delivered */
	unsigned answers; /* to orders about dead letters */
	unsigned refusals; /* of them */
};

static void
on_deliver(struct lease *l, void *arg)
{
	(void)l;
	((struct scene *)arg)->delivered++;
}

static void
on_news(void *arg)
{
	(void)arg;
}

static void
scene_open(struct scene *s)
{
	int status;
	struct why why;

	lease_table_init(&s->leases);
	s->delivered = 0;
	s->outbox = outbox_open(
	    &(struct outbox_settings){
		.conf = &s->conf,
		.state_dir = s->folder,
		.leases = &s->leases,
		.loop = s->loop,
		.changed = on_news,
	    },
	    &status, &why);
	if (s->outbox == NULL)
		test_fail(__FILE__, __LINE__, "%s", why.text);
	outbox_join(s->outbox, &s->client);
}

static void
scene_init(struct scene *s)
{
	*s = (struct scene){
		.conf = {
			.durability = CONF_DURABILITY_PROCESS,
			.result_retention_ms = (int64_t)3600 * 1000,
		},
		.client = {
			.url = "http://o",
			.worker_id = "w-1",
			.deliver = on_deliver,
			.kick = on_news,
			.arg = s,
		},
	};
	(void)snprintf(
	    s->folder, sizeof(s->folder), "/tmp/avtoworker-outbox-XXXXXX");
	ASSERT(mkdtemp(s->folder) != NULL);
	(void)snprintf(s->path, sizeof(s->path), "%s/journal.db", s->folder);
	ASSERT((s->loop = event_base_new()) != NULL);
	scene_open(s);
}

static void
scene_close(struct scene *s)
{
	outbox_leave(s->outbox, &s->client);
	ASSERT(outbox_close(s->outbox));
	lease_table_fini(&s->leases);
}

static void
scene_fini(struct scene *s)
{
	scene_close(s);
	ASSERT(unlink(s->path) == 0);
	ASSERT(rmdir(s->folder) == 0);
	event_base_free(s->loop);
}

/* Turns the loop until the claim holds. */
#define UNTIL(s, claim) \
	do { \
		const int64_t end_ms = clock_now_ms() + WAIT_MS; \
		while (!(claim)) { \
			ASSERT(clock_now_ms() < end_ms); \
			(void)event_base_loop((s)->loop, EVLOOP_ONCE); \
		} \
	} while (0)

/* A lease with a result. */
static struct lease *
finish_one(struct scene *s)
{
	struct task task = {
		.task_id = strdup("t-1"),
		.job_id = strdup("j"),
		.type = strdup("echo"),
	};
	struct result result = { .status = strdup("success") };
	struct lease *l;

	bytes_puts(&result.data, DATA);
	l = lease_new(&s->leases, &task, NULL, clock_now_ms());
	ASSERT(l != NULL);
	outbox_leased(s->outbox, &s->client, l);
	lease_finish(&s->leases, l, &result);
	outbox_finished(s->outbox, l);
	return (l);
}

static struct lease *
the_lease(struct scene *s)
{
	struct lease *l = lease_first(&s->leases);

	ASSERT(l != NULL && lease_next(l) == NULL);
	return (l);
}

/* Its result is in memory, and may go. */
static bool
is_prepared(struct scene *s, struct lease *l)
{
	return (outbox_prepare(s->outbox, l, false));
}

static void
check_data(const struct lease *l)
{
	ASSERT_STR(l->result.status, "success");
	ASSERT_MEM(l->result.data.p, l->result.data.len, DATA, strlen(DATA));
}

static void
on_answer(const struct letters_answer *a, uint64_t ticket, void *to)
{
	struct scene *s = to;

	(void)ticket;
	s->answers++;
	s->refusals += a->error != NULL;
}

static void
order(struct scene *s, enum letters_order order, int64_t id)
{
	outbox_letters(s->outbox, order, id,
	    &(struct letters_asker){ .answer = on_answer, .to = s });
}

static void
change(struct scene *s, const char *sql)
{
	sqlite3 *db;

	ASSERT(sqlite3_open(s->path, &db) == SQLITE_OK);
	ASSERT(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
	ASSERT(sqlite3_close(db) == SQLITE_OK);
}

static void
sends_a_dead_letter_once(void)
{
	struct scene s;
	struct lease *l;

	scene_init(&s);
	l = finish_one(&s);
	expect_log("kept as dead letter 1");
	outbox_gave_up(s.outbox, &s.client, l, "refused");
	lease_end(&s.leases, l, LEASE_DEAD);
	order(&s, LETTERS_RESEND, 1);
	order(&s, LETTERS_RESEND, 1);
	UNTIL(&s, s.answers == 2);
	ASSERT_INT(s.delivered, 1);
	ASSERT_INT(s.refusals, 1);
	l = the_lease(&s);
	UNTIL(&s, is_prepared(&s, l));
	check_data(l);
	outbox_delivered(s.outbox, &s.client, l, "accepted");
	lease_end(&s.leases, l, LEASE_ACCEPTED);
	scene_close(&s);
	scene_open(&s);
	ASSERT_INT(s.delivered, 0);
	ASSERT_INT(outbox_letters_count(s.outbox), 0);
	scene_fini(&s);
}

static void
spills_what_was_read_back(void)
{
	struct scene s;
	struct lease *l;

	scene_init(&s);
	(void)finish_one(&s);
	scene_close(&s);
	scene_open(&s);
	l = the_lease(&s);
	UNTIL(&s, is_prepared(&s, l));
	check_data(l);
	outbox_spill(s.outbox, l);
	ASSERT(l->record.on_disk);
	ASSERT_INT(l->result.data.len, 0);
	UNTIL(&s, is_prepared(&s, l));
	check_data(l);
	scene_fini(&s);
}

static void
believes_no_moment_that_cannot_be(void)
{
	struct scene s;

	scene_init(&s);
	(void)finish_one(&s);
	scene_close(&s);
	change(&s, "UPDATE lease SET leased_at = -9223372036854775807 - 1");
	expect_log("lease 1 of the journal is left where it is");
	scene_open(&s);
	ASSERT_INT(s.delivered, 0);
	scene_fini(&s);
}

/* A result that may have been taken, and what has become of its row since;
 * the worker has ended in between. */
static struct lease *
doubtful_one(struct scene *s, const char *sql)
{
	struct lease *l;

	scene_init(s);
	l = finish_one(s);
	UNTIL(s, outbox_prepare(s->outbox, l, true));
	outbox_in_doubt(l);
	scene_close(s);
	change(s, sql);
	scene_open(s);
	ASSERT_INT(s->delivered, 1);
	return (the_lease(s));
}

static void
gives_up(struct scene *s, struct lease *l, const char *why)
{
	expect_log("the result cannot be read from the journal");
	while (outbox_expires_ms(l) > clock_now_ms()) {
		ASSERT(!outbox_prepare(s->outbox, l, true));
		(void)event_base_loop(s->loop, EVLOOP_ONCE);
	}
	ASSERT(l->record.on_disk);
	ASSERT_STR(outbox_expiry(l), why);
}

#define LOST_IN_DOUBT "the result may have been taken, and its content is lost"

static void
follows_one_in_doubt_by_no_other(void)
{
	struct scene s;
	struct lease *l;

	l = doubtful_one(&s, "UPDATE lease SET data = '{'");
	gives_up(&s, l, LOST_IN_DOUBT);
	scene_fini(&s);
	/* As when all has been written again to a new file. */
	l = doubtful_one(&s,
	    "UPDATE lease SET finished_at = NULL, status = NULL, data = NULL");
	gives_up(&s, l, LOST_IN_DOUBT);
	scene_fini(&s);
}

static void
follows_a_dead_letter_by_no_other(void)
{
	struct scene s;
	struct lease *l;

	scene_init(&s);
	l = finish_one(&s);
	expect_log("kept as dead letter 1");
	outbox_gave_up(s.outbox, &s.client, l, "refused");
	lease_end(&s.leases, l, LEASE_DEAD);
	scene_close(&s);
	change(&s, "UPDATE dead_letter SET data = '{'");
	scene_open(&s);
	order(&s, LETTERS_RESEND, 1);
	UNTIL(&s, s.answers == 1);
	l = the_lease(&s);
	gives_up(&s, l, "the content of the result is lost");
	scene_fini(&s);
}

static const struct test tests[] = {
	{ "sends a dead letter once, however often it is told to at once",
	    sends_a_dead_letter_once },
	{ "spills what was read back", spills_what_was_read_back },
	{ "believes no moment that cannot be",
	    believes_no_moment_that_cannot_be },
	{ "follows one in doubt by no other",
	    follows_one_in_doubt_by_no_other },
	{ "follows a dead letter by no other",
	    follows_a_dead_letter_by_no_other },
};

TEST_MAIN(tests)
