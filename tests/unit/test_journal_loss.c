/* SPDX-License-Identifier: ISC */
/*
 * What is left of a journal when the power fails, and when its log is cut or
 * changed. Whatever that is, it opens, as the journal was after one of the
 * changes that were made to it, with all of those before and none of those
 * after; and what was told to be on disk, is. AVTOWORKER_SEED begins elsewhere.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>
#include <sqlite3.h>

#include "child/bytes.h"
#include "supervisor/base/clock.h"
#include "supervisor/orchestrator/journal.h"
#include "tests/test.h"
#include "tests/unit/lossy_disk.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WAIT_MS      60000
#define CHANGES_MAX  4000
#define LEASES_MAX   1000
#define TURNS        220
#define CUTS         150 /* of the power */
#define LOG_TURNS    30
#define LOG_CUTS     150 /* at random places, beside the edges of sectors */
#define LOG_FLIPS    350 /* of a bit */
#define SECTOR       ((size_t)512)

/* What has become of a lease; one follows the other. */
enum stage {
	NOWHERE,
	LEASED,
	FINISHED,
	SENT,
	OVER, /* delivered, or a dead letter */
};

/* What was done, and when it was said to be on disk. */
struct history {
	struct {
		int64_t id;
		enum stage to;
	} changes[CHANGES_MAX];
	unsigned count;
	enum stage stage[LEASES_MAX]; /* of a lease, by now */
	int64_t last_id;
	struct {
		unsigned moment; /* of the disk, or bytes of the log */
		unsigned count; /* changes that were on it */
	} told[CHANGES_MAX];
	unsigned ntold;
	uint64_t random;
};

static char folder[] = "/tmp/avtoworker-loss-XXXXXX";
static char path[64]; /* of the journal that is written */
static char left[64]; /* the folder of what is left of it */
static char left_path[96]; /* and its journal */

static uint64_t
draw(struct history *h, uint64_t below)
{
	h->random ^= h->random << 13;
	h->random ^= h->random >> 7;
	h->random ^= h->random << 17;
	return (h->random % below);
}

static uint64_t
seed(void)
{
	const char *text = getenv("AVTOWORKER_SEED");

	return (text != NULL ? strtoull(text, NULL, 10) : 1);
}

static void
clear(const char *at)
{
	static const char *const ends[] = { "", "-wal", "-journal" };
	char name[128];
	size_t i;

	for (i = 0; i < COUNT(ends); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", at, ends[i]);
		(void)unlink(name);
	}
}

static void
begin(struct history *h)
{
	memset(h, 0, sizeof(*h));
	h->random = seed() * 2654435761u + 1;
	ASSERT(mkdtemp(folder) != NULL);
	(void)snprintf(path, sizeof(path), "%s/journal.db", folder);
	(void)snprintf(left, sizeof(left), "%s/left", folder);
	(void)snprintf(left_path, sizeof(left_path), "%s/journal.db", left);
	ASSERT(mkdir(left, 0700) == 0);
}

static void
end(void)
{
	clear(path);
	clear(left_path);
	ASSERT(rmdir(left) == 0); /* nothing was set aside */
	ASSERT(rmdir(folder) == 0);
}

/*
 * What is written.
 */

/* The result of a lease; a few are large. */
static void
put_data(int64_t id, struct bytes *out)
{
	size_t lines = id % 7 == 0 ? 1000 : (size_t)id % 30;
	char line[32];
	const int len = snprintf(line, sizeof(line), "\"%028" PRId64 "\",", id);

	bytes_puts(out, "{\"list\":[");
	while (lines-- > 0)
		bytes_append(out, line, (size_t)len);
	bytes_printf(out, "%" PRId64 "]}", id);
	ASSERT(!bytes_failed(out));
}

static struct journal_text
text(const char *p)
{
	return ((struct journal_text){ p, p != NULL ? strlen(p) : SIZE_MAX });
}

/* The next change of one of the leases: to be freed. */
static struct journal_entry *
next_change(struct history *h)
{
	struct journal_text texts[JOURNAL_TEXTS] = { { NULL, SIZE_MAX } };
	struct bytes data = { 0 };
	struct journal_entry *e;
	size_t count = 1;
	enum journal_kind kind = JOURNAL_SENDING;
	char task[32];
	int64_t id;

	id = h->last_id - (int64_t)draw(h, 40);
	if (id < 1 || h->stage[id] == OVER || draw(h, 3) == 0)
		id = ++h->last_id;
	ASSERT(id < LEASES_MAX && h->count < CHANGES_MAX);
	(void)snprintf(task, sizeof(task), "t-%" PRId64, id);
	switch (h->stage[id]++) {
	case NOWHERE:
		kind = JOURNAL_LEASE;
		texts[0] = text("http://o");
		texts[1] = text("w-1");
		texts[2] = text(task);
		texts[3] = text("j");
		texts[4] = text("echo");
		count = 5;
		break;
	case LEASED:
		kind = JOURNAL_RESULT;
		put_data(id, &data);
		texts[0] = text("success");
		texts[1] = texts[2] = text(NULL);
		texts[3] = (struct journal_text){ data.p, data.len };
		count = 4;
		break;
	case FINISHED:
		break;
	case SENT:
		kind = id % 3 == 0 ? JOURNAL_DEAD : JOURNAL_ENDED;
		texts[0] = text("word");
		break;
	case OVER:
		test_fail(__FILE__, __LINE__, "it is over");
	}
	h->changes[h->count].id = id;
	h->changes[h->count++].to = h->stage[id];
	e = journal_entry_new(kind, id, 1000 + id, texts, count);
	ASSERT(e != NULL);
	bytes_fini(&data);
	return (e);
}

static void
tell(struct history *h, unsigned moment)
{
	h->told[h->ntold].moment = moment;
	h->told[h->ntold++].count = h->count;
}

/* How many changes were told to be on disk by then. */
static unsigned
told_by(const struct history *h, unsigned moment)
{
	unsigned i = h->ntold;

	while (i > 0 && h->told[i - 1].moment > moment)
		i--;
	return (i > 0 ? h->told[i - 1].count : 0);
}

/*
 * What is left.
 */

struct found {
	struct journal_db *db;
	enum stage stage[LEASES_MAX];
};

static void
set_stage(struct found *f, int64_t id, enum stage stage)
{
	ASSERT(id > 0 && id < LEASES_MAX);
	ASSERT_INT(f->stage[id], NOWHERE); /* it is in one place */
	f->stage[id] = stage;
}

static void
check_result(struct journal_db *db, int64_t id)
{
	struct journal_result jr;
	struct bytes want = { 0 };
	struct why why;

	if (journal_db_result(db, id, &jr, &why) != 0)
		test_fail(__FILE__, __LINE__, "result: %s", why.text);
	put_data(id, &want);
	ASSERT(jr.result.data.len == want.len &&
	    memcmp(jr.result.data.p, want.p, want.len) == 0);
	bytes_fini(&want);
	journal_result_fini(&jr);
}

static void
on_lease(struct journal_row *row, void *arg)
{
	struct found *f = arg;
	struct why why;

	if (!journal_row_ok(row, &why))
		test_fail(__FILE__, __LINE__, "row: %s", why.text);
	ASSERT_INT(strtoll(row->task.task_id + 2, NULL, 10), row->id);
	if (row->finished_ms != 0)
		check_result(f->db, row->id);
	set_stage(f, row->id,
	    row->sending_ms != 0      ? SENT :
		row->finished_ms != 0 ? FINISHED :
					LEASED);
	journal_row_free(row);
}

static void
on_letter(struct journal_row *row, void *arg)
{
	set_stage(arg, row->id, OVER);
	journal_row_free(row);
}

static void
on_ended(const char *url, const char *task_id, void *arg)
{
	ASSERT_STR(url, "http://o");
	set_stage(arg, strtoll(task_id + 2, NULL, 10), OVER);
}

/* How many changes may have been made to what was found: none of those before
 * that is missing, and none after it is there. */
static unsigned
place_in(const struct history *h, const struct found *f)
{
	unsigned first = 0, last = h->count, i;
	enum stage stage;

	for (i = 0; i < h->count; i++) {
		stage = f->stage[h->changes[i].id];
		if (h->changes[i].to <= stage)
			first = i + 1;
		else if (i < last)
			last = i;
	}
	ASSERT(first <= last);
	return (last);
}

static void
check_pages(void)
{
	sqlite3_stmt *st;
	sqlite3 *db;

	ASSERT(sqlite3_open(left_path, &db) == SQLITE_OK);
	ASSERT(sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL,
		   NULL) == SQLITE_OK);
	ASSERT(sqlite3_prepare_v2(
		   db, "PRAGMA integrity_check", -1, &st, NULL) == SQLITE_OK);
	ASSERT(sqlite3_step(st) == SQLITE_ROW);
	ASSERT_STR((const char *)sqlite3_column_text(st, 0), "ok");
	ASSERT(sqlite3_finalize(st) == SQLITE_OK);
	ASSERT(sqlite3_close(db) == SQLITE_OK);
}

/* Opens what is left, and looks. How many changes may be there. */
static unsigned
look(const struct history *h, bool safe)
{
	const struct journal_text texts[] = { text("http://o"), text("w-1"),
		text("t-9999"), text("j"), text("echo") };
	struct found f = { NULL, { NOWHERE } };
	struct journal_entry *e;
	unsigned place;
	struct why why;

	if (journal_db_open(left_path, safe, &f.db, &why) != JOURNAL_OPENED)
		test_fail(__FILE__, __LINE__, "%s", why.text);
	if (journal_db_leases(f.db, on_lease, &f, &why) == -1 ||
	    journal_db_letters(f.db, 0, on_letter, &f, &why) == -1 ||
	    journal_db_ended(f.db, on_ended, &f, &why) == -1)
		test_fail(__FILE__, __LINE__, "%s", why.text);
	place = place_in(h, &f);
	/* It can be written. */
	e = journal_entry_new(JOURNAL_LEASE, 9999, 1, texts, COUNT(texts));
	ASSERT(e != NULL);
	ASSERT(journal_db_begin(f.db, &why) == 0);
	ASSERT(journal_db_write(f.db, e, &why) == 0);
	ASSERT(journal_db_commit(f.db, &why) == 0);
	free(e);
	journal_db_close(f.db, true);
	check_pages();
	return (place);
}

/*
 * The power.
 */

static void
no_row(struct journal_row *row, void *arg)
{
	(void)arg;
	journal_row_free(row);
}

static void
no_ended(const char *url, const char *task_id, void *arg)
{
	(void)url;
	(void)task_id;
	(void)arg;
}

static void
no_news(void *arg)
{
	(void)arg;
}

static const struct journal_ops ops = {
	.row = no_row,
	.ended = no_ended,
	.progress = no_news,
	.rewrite = no_news,
};

/* One turn of the loop, with a few changes, until they are told to be there. A
 * mark wakes the loop: the last is one of a lease that is not. */
static void
turn(struct history *h, struct event_base *loop, struct journal *j)
{
	unsigned left_over = 1 + (unsigned)draw(h, 6);
	struct journal_entry *e;
	uint64_t n;

	while (left_over-- > 0) {
		e = next_change(h);
		(void)journal_write(
		    j, e->kind, e->id, e->at_ms, e->texts, JOURNAL_TEXTS);
		free(e);
	}
	n = journal_write(j, JOURNAL_SENDING, LEASES_MAX, 1, NULL, 0);
	while (!journal_has(j, n))
		(void)event_base_loop(loop, EVLOOP_ONCE);
	tell(h, lossy_disk_moment());
}

/* A life of a journal, with an orderly stop in the middle. */
static void
live(struct history *h, bool safe)
{
	struct event_base *loop = event_base_new();
	struct journal *j;
	int status, part, i;
	struct why why;

	ASSERT(loop != NULL);
	for (part = 0; part < 2; part++) {
		j = journal_open(
		    &(struct journal_settings){
			.path = path, .loop = loop, .safe = safe },
		    &ops, NULL, &status, &why);
		if (j == NULL)
			test_fail(__FILE__, __LINE__, "%s", why.text);
		for (i = 0; i < TURNS; i++)
			turn(h, loop, j);
		ASSERT(journal_close(j, WAIT_MS));
	}
	event_base_free(loop);
}

static void
lose_power(bool safe)
{
	static struct history h;
	unsigned end_moment, moment, sure, place, i;
	const uint64_t first = seed();

	begin(&h);
	lossy_disk_begin();
	live(&h, safe);
	lossy_disk_stop();
	end_moment = lossy_disk_moment();
	/* The log was moved into the file a few times. */
	ASSERT(lossy_disk_synced("journal.db",
		   lossy_disk_synced("journal.db", end_moment) - 1) > 0);
	for (i = 0; i < CUTS; i++) {
		moment = (unsigned)draw(&h, end_moment + 1);
		lossy_disk_restore(moment, first + i, left);
		place = look(&h, safe);
		/* Else all before the last sync of the log is sure: it is
		 * synced each time that it is moved into the file. */
		sure = told_by(
		    &h, safe ? moment : lossy_disk_synced("-wal", moment));
		if (place < sure)
			test_fail(__FILE__, __LINE__,
			    "seed %" PRIu64 ", moment %u: %u changes of %u",
			    first + i, moment, place, sure);
		clear(left_path);
	}
	end();
}

static void
power_is_lost_with_power(void)
{
	lose_power(true);
}

static void
power_is_lost_with_process(void)
{
	lose_power(false);
}

/*
 * The log.
 */

static void
read_file(const char *from, const char *ending, struct bytes *out)
{
	char name[128], buf[65536];
	ssize_t n;
	int fd;

	(void)snprintf(name, sizeof(name), "%s%s", from, ending);
	fd = open(name, O_RDONLY);
	ASSERT(fd != -1);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		bytes_append(out, buf, (size_t)n);
	(void)close(fd);
	ASSERT(!bytes_failed(out));
}

static void
write_file(const char *ending, const char *p, size_t len)
{
	char name[128];
	int fd;

	(void)snprintf(name, sizeof(name), "%s%s", left_path, ending);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ASSERT(fd != -1);
	ASSERT(write(fd, p, len) == (ssize_t)len);
	(void)close(fd);
}

static unsigned
log_size(void)
{
	char name[128];
	struct stat st;

	(void)snprintf(name, sizeof(name), "%s-wal", path);
	ASSERT(stat(name, &st) == 0);
	return ((unsigned)st.st_size);
}

/* A journal as after a kill. Its file has the first of the changes, and its log
 * the others, and where in it. */
static void
fill_log(struct history *h, struct bytes *file, struct bytes *log)
{
	struct journal_db *db;
	struct journal_entry *e;
	struct why why;
	unsigned i, n;

	lossy_disk_begin();
	lossy_disk_stop(); /* for its speed alone */
	ASSERT(journal_db_open(path, false, &db, &why) == JOURNAL_OPENED);
	for (i = 0; i < LOG_TURNS; i++) {
		ASSERT(journal_db_begin(db, &why) == 0);
		for (n = 1 + (unsigned)draw(h, 4); n > 0; n--) {
			e = next_change(h);
			ASSERT(journal_db_write(db, e, &why) == 0);
			free(e);
		}
		ASSERT(journal_db_commit(db, &why) == 0);
		if (i == LOG_TURNS / 4)
			ASSERT(journal_db_settle(db, &why) == 0);
		if (i >= LOG_TURNS / 4)
			tell(h, log_size());
	}
	journal_db_close(db, false);
	read_file(path, "", file);
	read_file(path, "-wal", log);
}

/* All up to the damage is there; after it, what there is was made as well. */
static void
look_at_log(const struct history *h, const struct bytes *file, const char *log,
    size_t len, size_t whole)
{
	unsigned place;

	write_file("", file->p, file->len);
	write_file("-wal", log, len);
	place = look(h, false);
	if (place < told_by(h, (unsigned)whole))
		test_fail(__FILE__, __LINE__,
		    "a log of %zu bytes, %zu of them good: %u changes", len,
		    whole, place);
	clear(left_path);
}

static void
log_is_cut(void)
{
	static struct history h;
	struct bytes file = { 0 }, log = { 0 };
	size_t at;
	int i;

	begin(&h);
	fill_log(&h, &file, &log);
	for (at = 0; at < log.len; at += SECTOR)
		look_at_log(&h, &file, log.p, at, at);
	for (at = 0; at < 100; at++) /* its header, and that of a page */
		look_at_log(&h, &file, log.p, at, at);
	for (i = 0; i < LOG_CUTS; i++) {
		at = draw(&h, log.len + 1);
		look_at_log(&h, &file, log.p, at, at);
	}
	bytes_fini(&file);
	bytes_fini(&log);
	end();
}

static void
log_is_changed(void)
{
	static struct history h;
	struct bytes file = { 0 }, log = { 0 };
	size_t at;
	char mask;
	int i;

	begin(&h);
	fill_log(&h, &file, &log);
	for (i = 0; i < LOG_FLIPS; i++) {
		at = i < 100 ? (size_t)i : draw(&h, log.len);
		mask = (char)(1 << draw(&h, 8));
		log.p[at] ^= mask;
		look_at_log(&h, &file, log.p, log.len, at);
		log.p[at] ^= mask;
	}
	bytes_fini(&file);
	bytes_fini(&log);
	end();
}

static const struct test tests[] = {
	{ "durability = power: a power cut loses nothing",
	    power_is_lost_with_power },
	{ "durability = process: it loses what was not synced, at most",
	    power_is_lost_with_process },
	{ "a log that is cut has all before the cut", log_is_cut },
	{ "a log that is damaged has all before that, and nothing wrong",
	    log_is_changed },
};

TEST_MAIN(tests)
