/* SPDX-License-Identifier: ISC */
/*
 * Any bytes as a journal, by what the first of them says: "w" the file whole;
 * "p" changes to a good one, of three bytes each: where, in two, and what;
 * "v" values of a row, separated by NULs. What is taken from a row must be what
 * the wire wants; whatever is refused must say why.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child/bytes.h"
#include "child/json_scan.h"
#include "supervisor/orchestrator/journal_db.h"
#include "supervisor/orchestrator/journal_row.h"
#include "tests/must.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static char folder[64];
static char path[96];
static struct bytes good; /* a journal with a few rows */

static void
remove_files(void)
{
	static const char *const ends[] = { "", "-wal", "-journal" };
	char name[128];
	size_t i;

	for (i = 0; i < COUNT(ends); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		(void)unlink(name);
	}
}

static void
remove_all(void)
{
	remove_files();
	(void)rmdir(folder);
	bytes_fini(&good);
}

static void
write_file(const void *p, size_t len)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	must(fd != -1);
	must(write(fd, p, len) == (ssize_t)len);
	(void)close(fd);
}

static void
read_file(struct bytes *out)
{
	const int fd = open(path, O_RDONLY);
	char buf[4096];
	ssize_t n;

	must(fd != -1);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		bytes_append(out, buf, (size_t)n);
	(void)close(fd);
}

static void
put(struct journal_db *db, enum journal_kind kind, int64_t id,
    const struct journal_text *texts, size_t count)
{
	struct journal_entry *e = journal_entry_new(kind, id, 1, texts, count);
	struct why why;

	must(e != NULL);
	(void)journal_db_write(db, e, &why);
	free(e);
}

/* Three leases of these values: a bare one, one with a result, a dead letter. */
static void
put_rows(const struct journal_text *values, size_t count)
{
	const size_t lease = count < 6 ? count : 6;
	struct journal_db *db;
	struct why why;
	int64_t id;

	must(journal_db_open(path, false, &db, &why) == JOURNAL_OPENED);
	must(journal_db_begin(db, &why) == 0);
	for (id = 1; id <= 3; id++) {
		put(db, JOURNAL_LEASE, id, values, lease);
		if (id > 1)
			put(db, JOURNAL_RESULT, id, values + lease,
			    count - lease);
	}
	put(db, JOURNAL_DEAD, 3, values, lease);
	must(journal_db_commit(db, &why) == 0);
	journal_db_close(db, true);
}

static void
prepare(void)
{
	static const char *const words[] = { "http://o", "w", "t", "j", "echo",
		"{}", "success", "A_CODE", "text", "{\"a\":1}", "{}", "{}",
		"{}", "12", "out" };
	struct journal_text texts[COUNT(words)];
	size_t i;

	(void)snprintf(folder, sizeof(folder), "/tmp/avtoworker-fuzz-XXXXXX");
	must(mkdtemp(folder) != NULL);
	(void)snprintf(path, sizeof(path), "%s/journal.db", folder);
	must(atexit(remove_all) == 0);
	for (i = 0; i < COUNT(words); i++)
		texts[i] = (struct journal_text){ words[i], strlen(words[i]) };
	put_rows(texts, COUNT(words));
	read_file(&good);
}

static void
put_values(const uint8_t *data, size_t size)
{
	struct journal_text texts[15];
	size_t count = 0, len;

	while (count < COUNT(texts) && size > 0) {
		len = strnlen((const char *)data, size);
		texts[count++] =
		    (struct journal_text){ (const char *)data, len };
		data += len;
		size -= len;
		if (size > 0) {
			data++;
			size--;
		}
	}
	put_rows(texts, count);
}

static void
is_object(const struct bytes *text)
{
	struct jscan_error error;
	struct jslice root;

	must(text->len == 0 ||
	    (jscan_check(text->p, text->len, &jscan_payload_limits, &root,
		 &error) == 0 &&
		root.type == JSCAN_OBJECT));
}

struct reading {
	struct journal_db *db;
	bool letters;
};

static void
on_row(struct journal_row *row, void *arg)
{
	struct reading *reading = arg;
	struct journal_result jr;
	struct why why = { "" };

	if (!journal_row_ok(row, &why))
		must(why.text[0] != '\0');
	else {
		must(task_id_ok(row->task.task_id));
		must(task_id_ok(row->task.job_id));
	}
	if (!reading->letters &&
	    journal_db_result(reading->db, row->id, &jr, &why) == 0) {
		must(task_id_ok(jr.result.status));
		is_object(&jr.result.data);
		is_object(&jr.result.details);
		is_object(&jr.task_metadata);
		journal_result_fini(&jr);
	}
	journal_row_free(row);
}

static void
on_ended(const char *url, const char *task_id, void *arg)
{
	(void)arg;
	must(url != NULL && task_id != NULL);
}

static void
read_all(struct journal_db *db)
{
	struct reading reading = { .db = db };
	struct jscan_error error;
	struct bytes text = { 0 };
	struct jslice root;
	struct why why;
	int64_t n;

	(void)journal_db_last_id(db, &n, &why);
	(void)journal_db_count_letters(db, &n, &why);
	(void)journal_db_leases(db, on_row, &reading, &why);
	reading.letters = true;
	(void)journal_db_letters(db, 0, on_row, &reading, &why);
	(void)journal_db_ended(db, on_ended, NULL, &why);
	if (journal_db_show_letters(db, 0, &text, &why) == 0)
		must(jscan_check(text.p, text.len, &jscan_payload_limits, &root,
			 &error) == 0);
	bytes_fini(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct journal_db *db;
	struct bytes file = { 0 };
	struct why why = { "" };
	size_t i;

	if (folder[0] == '\0')
		prepare();
	if (size == 0)
		return (0);
	remove_files();
	if (data[0] == 'v')
		put_values(data + 1, size - 1);
	else if (data[0] == 'w')
		write_file(data + 1, size - 1);
	else {
		bytes_append(&file, good.p, good.len);
		for (i = 1; i + 2 < size; i += 3)
			file.p[(size_t)(data[i] << 8 | data[i + 1]) %
			    file.len] = (char)data[i + 2];
		write_file(file.p, file.len);
		bytes_fini(&file);
	}
	if (journal_db_open(path, false, &db, &why) == JOURNAL_OPENED) {
		read_all(db);
		journal_db_close(db, true);
	} else
		must(why.text[0] != '\0');
	return (0);
}
