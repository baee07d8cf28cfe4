/* SPDX-License-Identifier: ISC */
/*
 * outbox.c: when a change of a lease goes to the journal, and when its result
 * to the orchestrator. What an orchestrator acts on once only (RXON) is sent
 * while the journal is being written; what it acts on each time (classic) is
 * sent when the journal has it. While the journal cannot be written both are
 * sent: a result that waits for a disk may wait for ever.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "child/bytes.h"
#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/base/text.h"
#include "supervisor/conf.h"
#include "supervisor/lease.h"
#include "supervisor/orchestrator/dead_letters.h"
#include "supervisor/orchestrator/ended.h"
#include "supervisor/orchestrator/journal.h"
#include "supervisor/orchestrator/outbox.h"
#include "supervisor/orchestrator/record.h"

#define JOURNAL_FILE   "journal.db" /* in the state directory */
#define HELD_MAX       ((size_t)16 * 1024 * 1024) /* bytes of results */
#define HELD_STOP      ((size_t)64 * 1024 * 1024) /* nothing more is taken */
/* After that long an orchestrator has given up a task; a copy of its result
 * would move a job that has gone on (contract, section 7). */
#define JOB_TIMEOUT_MS ((int64_t)300 * 1000)
#define CLOSE_MS       ((int64_t)5000)

struct outbox {
	struct outbox_settings set;
	struct journal *journal; /* NULL: off */
	TAILQ_HEAD(, outbox_client) clients;
	struct journal_rows found; /* of clients that have not come yet */
	struct ended *ended;
	size_t held; /* bytes of results in memory */
	bool could_take;
};

/*
 * What comes and ends.
 */

static size_t
size_of(const struct lease *l)
{
	const struct result *r = &l->result;

	return (r->data.len + r->details.len + r->metadata.len +
	    r->data_metadata.len + l->task.metadata.len +
	    (r->message != NULL ? strlen(r->message) : 0) +
	    (r->tail != NULL ? strlen(r->tail) : 0));
}

static void
hold(struct outbox *o, struct lease *l)
{
	l->record.held = size_of(l);
	o->held += l->record.held;
}

static void
let_go(struct outbox *o, struct lease *l)
{
	o->held -= l->record.held;
	l->record.held = 0;
}

void
outbox_leased(
    struct outbox *o, const struct outbox_client *client, const struct lease *l)
{
	record_lease(o->journal, client->url, client->worker_id, l);
}

void
outbox_finished(struct outbox *o, struct lease *l)
{
	l->record.finished_ms = clock_now_ms();
	l->record.expires_ms =
	    l->record.finished_ms + o->set.conf->result_retention_ms;
	hold(o, l);
	record_result(o->journal, l);
}

/*
 * What is read back.
 */

/* It may have been taken by one that acts on every copy. */
static bool
is_in_doubt(const struct lease *l)
{
	return (l->record.sending_ms != 0 && l->record.in_doubt);
}

/* A result that is nowhere any more: a failure is sent instead, unless it may
 * have been taken, or somebody has asked for that very one to be sent. */
static void
replace_lost(struct outbox *o, struct lease *l, const struct why *why)
{
	const struct log_context ctx = lease_context(l);

	l->record.lost = is_in_doubt(l) || l->record.resent;
	log_line(LOG_LEVEL_ERR, &ctx,
	    "the result cannot be read from the journal: %s; %s", why->text,
	    l->record.lost ? "it is given up" : "reporting " CODE_TRANSIENT);
	if (l->record.lost)
		return;
	l->record.on_disk = false;
	result_fini(&l->result);
	l->result = result_failure(CODE_TRANSIENT,
	    "the result was lost with the worker's journal: %s", why->text);
	hold(o, l);
	record_result(o->journal, l);
}

static void
on_fetched(struct journal_answer *answer, int64_t id, void *arg)
{
	struct outbox *o = arg;
	struct lease *l = lease_find(o->set.leases, (uint64_t)id);

	if (l == NULL || !l->record.fetching)
		return; /* it was given up meanwhile */
	l->record.fetching = false;
	if (answer->failed) {
		replace_lost(o, l, &answer->why);
		return;
	}
	l->record.on_disk = false;
	result_fini(&l->result);
	bytes_fini(&l->task.metadata);
	l->result = answer->result.result;
	l->task.metadata = answer->result.task_metadata;
	l->ran_ms = answer->result.ran_ms;
	l->running_ms = l->ran_ms > 0 ? l->leased_ms : 0;
	l->record.read_back = true;
	answer->result = (struct journal_result){ .ran_ms = 0 };
	hold(o, l);
}

static void
fetch(struct outbox *o, struct lease *l)
{
	if (!l->record.fetching &&
	    journal_fetch(o->journal, (int64_t)l->id, on_fetched, o) == 0)
		l->record.fetching = true;
}

bool
outbox_prepare(struct outbox *o, struct lease *l, bool once)
{
	struct lease_record *rec = &l->record;

	if (rec->on_disk) {
		fetch(o, l);
		return (false);
	}
	if (!once)
		return (true);
	if (rec->sending_ms == 0) {
		rec->sending_ms = clock_now_ms();
		record_sending(o->journal, l);
	}
	return (o->journal == NULL || rec->marked == 0 ||
	    journal_has(o->journal, rec->marked) ||
	    journal_trouble(o->journal) != NULL);
}

void
outbox_not_sent(struct outbox *o, struct lease *l)
{
	if (l->record.sending_ms == 0 || l->record.in_doubt)
		return;
	l->record.sending_ms = 0;
	l->record.marked = 0;
	record_not_sent(o->journal, l);
}

void
outbox_in_doubt(struct lease *l)
{
	l->record.in_doubt = true;
}

/* The job of a result in doubt times out before it expires. */
static bool
times_out(const struct lease *l)
{
	return (is_in_doubt(l) &&
	    l->record.sending_ms + JOB_TIMEOUT_MS < l->record.expires_ms);
}

int64_t
outbox_expires_ms(const struct lease *l)
{
	if (l->record.lost)
		return (l->record.finished_ms); /* long ago */
	return (times_out(l) ? l->record.sending_ms + JOB_TIMEOUT_MS :
			       l->record.expires_ms);
}

const char *
outbox_expiry(const struct lease *l)
{
	if (l->record.lost)
		return (is_in_doubt(l) ?
			"the result may have been taken, and its content is "
			"lost" :
			"the content of the result is lost");
	return (times_out(l) ?
		"the result may have been taken, and its job has timed out "
		"since" :
		"the result could not be delivered within result_retention");
}

void
outbox_delivered(struct outbox *o, const struct outbox_client *client,
    struct lease *l, const char *outcome)
{
	let_go(o, l);
	ended_remember(o->ended, client->url, l->task.task_id);
	record_ended(o->journal, l, outcome);
}

void
outbox_gave_up(struct outbox *o, const struct outbox_client *client,
    struct lease *l, const char *reason)
{
	const struct log_context ctx = lease_context(l);

	let_go(o, l);
	ended_remember(o->ended, client->url, l->task.task_id);
	if (o->journal == NULL) {
		log_line(LOG_LEVEL_ERR, &ctx, "%s: %s; it is dropped",
		    client->url, reason);
		return;
	}
	log_line(LOG_LEVEL_ERR, &ctx,
	    "%s: %s; it is kept as dead letter %" PRIu64, client->url, reason,
	    l->id);
	record_dead(o->journal, (int64_t)l->id, reason);
}

bool
outbox_has_ended(const struct outbox *o, const struct outbox_client *client,
    const char *task_id)
{
	return (ended_has(o->ended, client->url, task_id));
}

/*
 * Memory.
 */

bool
outbox_is_full(const struct outbox *o)
{
	return (o->journal != NULL && o->held > HELD_MAX);
}

void
outbox_spill(struct outbox *o, struct lease *l)
{
	struct result kept = { .status = l->result.status,
		.code = l->result.code };

	if (!outbox_is_durable(o) || l->record.on_disk || l->record.held == 0 ||
	    !(l->record.read_back ||
		journal_has(o->journal, l->record.written)))
		return;
	let_go(o, l);
	l->result.status = l->result.code = NULL;
	result_fini(&l->result);
	bytes_fini(&l->task.metadata);
	l->result = kept;
	l->record.on_disk = true;
}

bool
outbox_can_take(const struct outbox *o)
{
	return (o->held < HELD_STOP &&
	    (o->journal == NULL || journal_trouble(o->journal) == NULL));
}

bool
outbox_is_durable(const struct outbox *o)
{
	return (o->journal != NULL && journal_trouble(o->journal) == NULL);
}

const char *
outbox_state(const struct outbox *o)
{
	const char *trouble;

	if (o->journal == NULL)
		return ("off");
	trouble = journal_trouble(o->journal);
	return (trouble != NULL ? trouble : "ok");
}

/*
 * Leases of before.
 */

static bool
is_of(const struct journal_row *row, const struct outbox_client *client)
{
	return (strcmp(row->url, client->url) == 0 &&
	    strcmp(row->worker_id, client->worker_id) == 0);
}

/* A moment of the wall clock in clock_now_ms(); one to come is now. */
static int64_t
since(int64_t wall_ms)
{
	const int64_t ago_ms = clock_wall_ms() - wall_ms;

	return (clock_now_ms() - (ago_ms > 0 ? ago_ms : 0));
}

/* What it was before, as far as it is known. */
static void
restore_result(struct outbox *o, struct lease *l, struct journal_row *row)
{
	struct result r = { 0 };

	/* A mark without a result: the disk has lost it since (on_rewrite()). */
	if (row->finished_ms != 0 || row->sending_ms != 0) {
		r.status = row->status;
		r.code = row->code;
		row->status = row->code = NULL;
		lease_finish(o->set.leases, l, &r);
		l->record.finished_ms = since(
		    row->finished_ms != 0 ? row->finished_ms : row->sending_ms);
		l->record.expires_ms =
		    l->record.finished_ms + o->set.conf->result_retention_ms;
		l->record.on_disk = true;
		if (row->sending_ms != 0) {
			l->record.sending_ms = since(row->sending_ms);
			l->record.marked = 0; /* it is on disk */
			l->record.in_doubt = true;
		}
		return;
	}
	r = result_failure(CODE_TRANSIENT,
	    "interrupted: the worker has ended while it had the task");
	lease_finish(o->set.leases, l, &r);
	outbox_finished(o, l);
}

/* Makes a lease of a row, which it frees; NULL and why. */
static struct lease *
restore(struct outbox *o, struct outbox_client *client, struct journal_row *row,
    enum lease_source source, struct why *why)
{
	struct lease *l;

	l = lease_restore(o->set.leases, &row->task, client->origin,
	    (uint64_t)row->id, since(row->leased_ms), source);
	if (l == NULL)
		why_set(why, "%s",
		    errno == EEXIST ? "its task_id is here already" :
				      "no memory");
	else {
		l->record.resent = source == LEASE_FROM_DEAD_LETTER;
		restore_result(o, l, row);
		client->deliver(l, client->arg);
	}
	journal_row_free(row);
	return (l);
}

void
outbox_join(struct outbox *o, struct outbox_client *client)
{
	unsigned results = 0, interrupted = 0;
	struct journal_row *row, *next;
	struct lease *l;
	int64_t id;
	bool whole;
	struct why why;

	TAILQ_INSERT_TAIL(&o->clients, client, entry);
	TAILQ_FOREACH_SAFE(row, &o->found, entry, next) {
		if (!is_of(row, client))
			continue;
		TAILQ_REMOVE(&o->found, row, entry);
		id = row->id;
		whole = row->finished_ms != 0 || row->sending_ms != 0;
		l = restore(o, client, row, LEASE_FROM_JOURNAL, &why);
		if (l == NULL)
			log_err("lease %" PRId64 " of the journal is left "
				"where it is: %s",
			    id, why.text);
		else if (whole)
			results++;
		else
			interrupted++;
	}
	if (results + interrupted > 0)
		log_info("journal: %u result%s to be delivered to %s, %u "
			 "interrupted task%s to be handed back",
		    results, results == 1 ? "" : "s", client->url, interrupted,
		    interrupted == 1 ? "" : "s");
}

void
outbox_leave(struct outbox *o, struct outbox_client *client)
{
	TAILQ_REMOVE(&o->clients, client, entry);
}

void
outbox_tell_strangers(struct outbox *o)
{
	const struct journal_row *row;
	unsigned n = 0;

	TAILQ_FOREACH(row, &o->found, entry)
		n++;
	if (n > 0) {
		row = TAILQ_FIRST(&o->found);
		log_warn("journal: %u lease%s of other orchestrators or worker "
			 "ids stay%s in it, such as one of worker %.80s at "
			 "%.160s",
		    n, n == 1 ? "" : "s", n == 1 ? "s" : "", row->worker_id,
		    row->url);
	}
}

static void
on_row(struct journal_row *row, void *arg)
{
	struct outbox *o = arg;
	struct why why;

	if (journal_row_ok(row, &why)) {
		TAILQ_INSERT_TAIL(&o->found, row, entry);
		return;
	}
	log_err("lease %" PRId64 " of the journal is left where it is: %s",
	    row->id, why.text);
	journal_row_free(row);
}

static void
on_ended(const char *url, const char *task_id, void *arg)
{
	struct outbox *o = arg;

	ended_remember(o->ended, url, task_id);
}

/*
 * Dead letters.
 */

static struct outbox_client *
client_of(struct outbox *o, const struct journal_row *row)
{
	struct outbox_client *client;

	TAILQ_FOREACH(client, &o->clients, entry)
		if (is_of(row, client))
			return (client);
	return (NULL);
}

/* False and why when it stays what it is. Takes the row. */
static bool
resend(struct journal_row *row, struct why *why, void *arg)
{
	struct outbox *o = arg;
	struct outbox_client *client = client_of(o, row);
	const int64_t id = row->id;
	bool may = false;

	if (client == NULL)
		why_set(why,
		    "dead letter %" PRId64 " is of worker %.64s at %.100s, "
		    "which this one is not",
		    id, row->worker_id, row->url);
	else if (row->finished_ms == 0)
		why_set(why,
		    "the disk has lost the result of dead letter %" PRId64
		    "; drop it",
		    id);
	else if (lease_find(o->set.leases, (uint64_t)id) != NULL)
		why_set(why,
		    "dead letter %" PRId64 " is being delivered already", id);
	else
		may = journal_row_ok(row, why);
	if (!may) {
		journal_row_free(row);
		return (false);
	}
	row->sending_ms = 0;
	row->finished_ms = clock_wall_ms();
	/* First: what is restored is read from there. */
	record_revived(o->journal, id, clock_now_ms());
	ended_forget(o->ended, client->url, row->task.task_id);
	if (restore(o, client, row, LEASE_FROM_DEAD_LETTER, why) != NULL)
		return (true);
	record_dead(o->journal, id, why->text);
	return (false);
}

void
outbox_letters(struct outbox *o, enum letters_order order, int64_t id,
    const struct letters_asker *asker)
{
	const struct dead_letters letters = { o->journal, resend, o };

	dead_letters_ask(&letters, order, id, asker);
}

int64_t
outbox_letters_count(const struct outbox *o)
{
	return (o->journal != NULL ? journal_letters(o->journal) : 0);
}

/*
 * Beginning and end.
 */

static void
on_progress(void *arg)
{
	struct outbox *o = arg;
	struct outbox_client *client;
	const bool can_take = outbox_can_take(o);

	TAILQ_FOREACH(client, &o->clients, entry)
		client->kick(client->arg);
	if (can_take != o->could_take) {
		o->could_take = can_take;
		o->set.changed(o->set.arg);
	}
}

static const struct outbox_client *
client_of_lease(const struct outbox *o, const struct lease *l)
{
	const struct outbox_client *client;

	TAILQ_FOREACH(client, &o->clients, entry)
		if (client->origin == l->origin)
			return (client);
	return (NULL);
}

static void
on_rewrite(void *arg)
{
	struct outbox *o = arg;
	const struct outbox_client *client;
	struct lease *l;
	unsigned n = 0;

	for (l = lease_first(o->set.leases); l != NULL; l = lease_next(l)) {
		if ((client = client_of_lease(o, l)) == NULL)
			continue;
		/* One of a dead letter may be that again. */
		if (l->state == LEASE_FINISHED)
			record_revived(
			    o->journal, (int64_t)l->id, l->record.finished_ms);
		record_lease(o->journal, client->url, client->worker_id, l);
		if (l->state == LEASE_FINISHED && !l->record.on_disk) {
			l->record.read_back = false;
			record_result(o->journal, l);
		}
		if (l->record.sending_ms != 0)
			record_sending(o->journal, l);
		n++;
	}
	log_info("journal: %u lease%s written again", n, n == 1 ? "" : "s");
}

static const struct journal_ops journal_ops = {
	.row = on_row,
	.ended = on_ended,
	.progress = on_progress,
	.rewrite = on_rewrite,
};

static int
open_journal(struct outbox *o, int *status, struct why *why)
{
	char *path;

	if ((path = text_format("%s/" JOURNAL_FILE, o->set.state_dir)) ==
	    NULL) {
		why_errno(why, "journal");
		return (-1);
	}
	o->journal = journal_open(
	    &(struct journal_settings){
		.path = path,
		.loop = o->set.loop,
		.safe = o->set.conf->durability == CONF_DURABILITY_POWER,
	    },
	    &journal_ops, o, status, why);
	free(path);
	if (o->journal == NULL)
		return (-1);
	o->set.leases->last_id = (uint64_t)journal_last_id(o->journal);
	return (0);
}

static void
outbox_free(struct outbox *o)
{
	struct journal_row *row;

	while ((row = TAILQ_FIRST(&o->found)) != NULL) {
		TAILQ_REMOVE(&o->found, row, entry);
		journal_row_free(row);
	}
	ended_free(o->ended);
	free(o);
}

struct outbox *
outbox_open(const struct outbox_settings *set, int *status, struct why *why)
{
	struct outbox *o;

	*status = EX_OSERR;
	if ((o = calloc(1, sizeof(*o))) == NULL) {
		why_errno(why, "outbox");
		return (NULL);
	}
	o->set = *set;
	o->could_take = true;
	TAILQ_INIT(&o->clients);
	TAILQ_INIT(&o->found);
	if ((o->ended = ended_new()) == NULL) {
		why_errno(why, "outbox");
		outbox_free(o);
		return (NULL);
	}
	if (set->conf->durability != CONF_DURABILITY_OFF &&
	    open_journal(o, status, why) == -1) {
		outbox_free(o);
		return (NULL);
	}
	return (o);
}

bool
outbox_close(struct outbox *o)
{
	bool whole;

	if (o == NULL)
		return (true);
	whole = journal_close(o->journal, CLOSE_MS);
	outbox_free(o);
	return (whole);
}
