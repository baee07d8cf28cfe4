/* SPDX-License-Identifier: ISC */
/*
 * metrics_text.c: a view, written as Prometheus reads it. A category appears
 * once, whatever the number of its generations: their figures are added up.
 * Pure but for the three figures about our own process.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/edges/metrics_text.h"
#include "supervisor/edges/view.h"

struct metric_writer {
	struct bytes *out;
	const struct view *view;
	const struct metric *metric; /* that is being written */
	int64_t wall_offset_ms;
	const char *first; /* labels of what comes out of the books */
	const char *second;
};

/* Seconds, without needless digits. */
static void
put_seconds(struct bytes *out, int64_t ms)
{
	char text[32];
	int n;

	n = snprintf(text, sizeof(text), "%" PRId64 ".%03d", ms / 1000,
	    (int)(ms % 1000));
	while (text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	bytes_append(out, text, (size_t)n);
}

/* ,label="value" or {label="value" when it is the first. */
static void
put_label(struct bytes *out, bool first, const char *label, const char *value)
{
	const char *p;
	size_t n;

	bytes_puts(out, first ? "{" : ",");
	bytes_puts(out, label);
	bytes_puts(out, "=\"");
	for (p = value; *p != '\0'; p += n) {
		n = strcspn(p, "\"\\\n");
		bytes_append(out, p, n);
		if (p[n] == '\0')
			break;
		bytes_puts(out,
		    p[n] == '\n'     ? "\\n" :
			p[n] == '\\' ? "\\\\" :
				       "\\\"");
		n++;
	}
	bytes_puts(out, "\"");
}

static void
put_number(struct bytes *out, uint64_t value)
{
	char text[32];
	int n;

	n = snprintf(text, sizeof(text), " %" PRIu64 "\n", value);
	bytes_append(out, text, (size_t)n);
}

/* A figure with up to two labels; NULL where there is none. */
static void
put(struct metric_writer *w, const char *label, const char *value,
    const char *label2, const char *value2, uint64_t number)
{
	bytes_puts(w->out, w->metric->name);
	if (label != NULL)
		put_label(w->out, true, label, value);
	if (label2 != NULL)
		put_label(w->out, false, label2, value2);
	if (label != NULL)
		bytes_puts(w->out, "}");
	put_number(w->out, number);
}

static void
put_plain(struct metric_writer *w, uint64_t number)
{
	put(w, NULL, NULL, NULL, NULL, number);
}

/*
 * From the books.
 */

/* The name with a suffix and the labels of an entry, left open. */
static void
begin_series(
    struct metric_writer *w, const struct stats_entry *e, const char *suffix)
{
	bytes_puts(w->out, w->metric->name);
	bytes_puts(w->out, suffix);
	put_label(w->out, true, w->first, e->first);
	if (e->second != NULL)
		put_label(w->out, false, w->second, e->second);
}

static void
put_count(const struct stats_entry *e, void *arg)
{
	struct metric_writer *w = arg;

	begin_series(w, e, "");
	bytes_puts(w->out, "}");
	put_number(w->out, e->count);
}

static void
put_histogram(const struct stats_entry *e, void *arg)
{
	struct metric_writer *w = arg;
	struct bytes head = { 0 };
	struct bytes *out = w->out;
	uint64_t sum = 0;
	size_t i;

	/* The same for each bucket, so it is made once. */
	w->out = &head;
	begin_series(w, e, "_bucket");
	bytes_puts(&head, ",le=\"");
	w->out = out;
	for (i = 0; i <= STATS_BUCKETS; i++) {
		sum += e->times->counts[i];
		bytes_append(out, head.p, head.len);
		if (i < STATS_BUCKETS)
			put_seconds(out, stats_bounds_ms[i]);
		else
			bytes_puts(out, "+Inf");
		bytes_puts(out, "\"}");
		put_number(out, sum);
	}
	out->failed = out->failed || bytes_failed(&head);
	bytes_fini(&head);
	begin_series(w, e, "_sum");
	bytes_puts(out, "} ");
	put_seconds(out, (int64_t)e->times->sum_ms);
	bytes_puts(out, "\n");
	begin_series(w, e, "_count");
	bytes_puts(out, "}");
	put_number(out, e->times->count);
}

static void
write_tasks(struct metric_writer *w)
{
	w->first = "task_type";
	w->second = "status";
	stats_each(w->view->stats, STATS_TASKS, put_count, w);
}

static void
write_durations(struct metric_writer *w)
{
	w->first = "task_type";
	stats_each_first(w->view->stats, STATS_TASKS, put_histogram, w);
}

static void
write_child_ends(struct metric_writer *w)
{
	w->first = "category";
	w->second = "reason";
	stats_each(w->view->stats, STATS_CHILD_ENDS, put_count, w);
}

static void
write_requests(struct metric_writer *w)
{
	w->first = "endpoint";
	w->second = "outcome";
	stats_each(w->view->stats, STATS_REQUESTS, put_histogram, w);
}

/* name{label="value"} seconds */
static void
put_entry_seconds(
    struct metric_writer *w, const struct stats_entry *e, int64_t ms)
{
	begin_series(w, e, "");
	bytes_puts(w->out, ms < 0 ? "} -" : "} ");
	put_seconds(w->out, ms < 0 ? -ms : ms);
	bytes_puts(w->out, "\n");
}

static void
put_pause(const struct stats_entry *e, void *arg)
{
	put_entry_seconds(arg, e, (int64_t)e->times->sum_ms);
}

static void
write_pauses(struct metric_writer *w)
{
	w->first = "endpoint";
	stats_each_first(w->view->stats, STATS_PAUSES, put_pause, w);
}

static void
put_skew(const struct stats_entry *e, void *arg)
{
	put_entry_seconds(arg, e, e->level);
}

static void
write_skews(struct metric_writer *w)
{
	w->first = "orchestrator";
	stats_each_first(w->view->stats, STATS_SKEWS, put_skew, w);
}

static void
write_messages(struct metric_writer *w)
{
	w->first = "orchestrator";
	w->second = "direction";
	stats_each(w->view->stats, STATS_MESSAGES, put_count, w);
}

/*
 * From the state of things.
 */

/* Adds up what has the name of the i-th category; false when an earlier one
 * has it, so that it is written already. */
static bool
sum_up(const struct view *v, size_t i, struct category_view *sum)
{
	const struct category_view *c;
	size_t j;

	for (j = 0; j < i; j++)
		if (strcmp(v->categories[j].name, v->categories[i].name) == 0)
			return (false);
	*sum = v->categories[i];
	for (j = i + 1; j < v->categories_len; j++) {
		c = &v->categories[j];
		if (strcmp(c->name, sum->name) != 0)
			continue;
		sum->starting += c->starting;
		sum->idle += c->idle;
		sum->busy += c->busy;
		sum->leaving += c->leaving;
		sum->queued += c->queued;
		sum->offered = sum->offered || c->offered;
		sum->paused = sum->paused || c->paused;
	}
	return (true);
}

static void
write_children(struct metric_writer *w)
{
	struct category_view c;
	size_t i;

	for (i = 0; i < w->view->categories_len; i++) {
		if (!sum_up(w->view, i, &c))
			continue;
		put(w, "category", c.name, "state", "starting", c.starting);
		put(w, "category", c.name, "state", "idle", c.idle);
		put(w, "category", c.name, "state", "busy", c.busy);
		put(w, "category", c.name, "state", "leaving", c.leaving);
	}
}

static void
write_queued(struct metric_writer *w)
{
	struct category_view c;
	size_t i;

	for (i = 0; i < w->view->categories_len; i++)
		if (sum_up(w->view, i, &c))
			put(w, "category", c.name, NULL, NULL, c.queued);
}

static void
write_offered(struct metric_writer *w)
{
	struct category_view c;
	size_t i;

	for (i = 0; i < w->view->categories_len; i++)
		if (sum_up(w->view, i, &c))
			put(w, "category", c.name, NULL, NULL, c.offered);
}

static void
write_category_paused(struct metric_writer *w)
{
	struct category_view c;
	size_t i;

	for (i = 0; i < w->view->categories_len; i++)
		if (sum_up(w->view, i, &c))
			put(w, "category", c.name, NULL, NULL, c.paused);
}

static void
write_failing(struct metric_writer *w)
{
	const struct failing_view *f;
	size_t i;

	for (i = 0; i < w->view->failing_len; i++) {
		f = &w->view->failing[i];
		put(w, "program", f->name, NULL, NULL, 1);
	}
}

static void
write_leases(struct metric_writer *w)
{
	put(w, "state", "queued", NULL, NULL, w->view->queued);
	put(w, "state", "running", NULL, NULL, w->view->running);
	put(w, "state", "finished", NULL, NULL, w->view->finished);
}

static void
write_undelivered(struct metric_writer *w)
{
	put_plain(w, w->view->undelivered);
}

static void
write_received(struct metric_writer *w)
{
	unsigned i;

	for (i = 0; i < LEASE_NSOURCES; i++)
		put(w, "source", lease_source_name((enum lease_source)i), NULL,
		    NULL, w->view->received[i]);
}

static void
write_ended(struct metric_writer *w)
{
	unsigned i;

	for (i = 0; i < LEASE_NOUTCOMES; i++)
		put(w, "outcome", lease_outcome_name((enum lease_outcome)i),
		    NULL, NULL, w->view->ended[i]);
}

static void
write_dead_letters(struct metric_writer *w)
{
	put_plain(w, (uint64_t)w->view->dead_letters);
}

static void
write_journal_fails(struct metric_writer *w)
{
	put_plain(w, w->view->journal_fails);
}

static void
write_registered(struct metric_writer *w)
{
	const struct orchestrator_view *o = w->view->orchestrators;
	size_t i;

	for (i = 0; i < w->view->orchestrators_len; i++)
		put(w, "orchestrator", o[i].name, "worker_id", o[i].worker_id,
		    o[i].registered);
}

static void
write_websocket(struct metric_writer *w)
{
	const struct orchestrator_view *o = w->view->orchestrators;
	size_t i;

	for (i = 0; i < w->view->orchestrators_len; i++)
		put(w, "orchestrator", o[i].name, "worker_id", o[i].worker_id,
		    o[i].websocket);
}

static void
write_polls(struct metric_writer *w)
{
	put_plain(w, w->view->polls);
}

static void
write_paused(struct metric_writer *w)
{
	put_plain(w, w->view->paused);
}

static void
write_short_of_memory(struct metric_writer *w)
{
	put_plain(w, w->view->short_of_memory);
}

static void
write_start_time(struct metric_writer *w)
{
	bytes_puts(w->out, w->metric->name);
	bytes_puts(w->out, " ");
	put_seconds(w->out, w->view->started_ms + w->wall_offset_ms);
	bytes_puts(w->out, "\n");
}

static void
write_generation(struct metric_writer *w)
{
	put_plain(w, w->view->generation);
}

static void
write_info(struct metric_writer *w)
{
	const struct view *v = w->view;

	put(w, "version", v->version, "worker_id",
	    v->worker_id != NULL ? v->worker_id : "", 1);
}

/*
 * Our own process. What cannot be read is left out.
 */

static void
write_resident(struct metric_writer *w)
{
	char text[128], *end;
	unsigned long long pages;
	ssize_t n = -1;
	int fd;

	if ((fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)) != -1) {
		n = read(fd, text, sizeof(text) - 1);
		(void)close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
	(void)strtoull(text, &end, 10); /* size; resident is the second */
	if (*end != ' ')
		return;
	pages = strtoull(end, NULL, 10);
	put_plain(w, pages * (unsigned long long)sysconf(_SC_PAGESIZE));
}

static void
write_cpu(struct metric_writer *w)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) == -1)
		return;
	bytes_puts(w->out, w->metric->name);
	bytes_puts(w->out, " ");
	put_seconds(w->out,
	    (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
		(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000);
	bytes_puts(w->out, "\n");
}

static void
write_open_fds(struct metric_writer *w)
{
	const struct dirent *entry;
	struct stat st;
	uint64_t n = 0;
	DIR *d;

	/* From Linux 6.2 on the folder's size is what we want to know. */
	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0) {
		put_plain(w, (uint64_t)st.st_size);
		return;
	}
	if ((d = opendir("/proc/self/fd")) == NULL)
		return;
	while ((entry = readdir(d)) != NULL)
		n += entry->d_name[0] != '.';
	(void)closedir(d);
	put_plain(w, n > 0 ? n - 1 : 0); /* without the folder's own */
}

const struct metric metrics_table[] = {
	{ "worker_tasks_total", "counter", "task_type, status",
	    "Tasks that have got a result.", write_tasks },
	{ "worker_task_duration_seconds", "histogram", "task_type",
	    "Time from a task's lease to its result.", write_durations },
	{ "worker_children", "gauge", "category, state",
	    "Children by what they do.", write_children },
	{ "worker_child_ends_total", "counter", "category, reason",
	    "Children that have ended, by reason.", write_child_ends },
	{ "worker_received_tasks_total", "counter", "source",
	    "Tasks that have come, by where from.", write_received },
	{ "worker_results_total", "counter", "outcome",
	    "Results that are done with, by what became of them.",
	    write_ended },
	{ "worker_leases", "gauge", "state", "Tasks that are here, by state.",
	    write_leases },
	{ "worker_queued", "gauge", "category",
	    "Tasks that wait for a child of the category.", write_queued },
	{ "worker_undelivered_results", "gauge", "",
	    "Results that the orchestrator has not taken yet.",
	    write_undelivered },
	{ "worker_dead_letters", "gauge", "",
	    "Results that were given up and are kept.", write_dead_letters },
	{ "worker_journal_failing", "gauge", "",
	    "1 while no tasks are taken because of the journal.",
	    write_journal_fails },
	{ "worker_registered", "gauge", "orchestrator, worker_id",
	    "1 while the orchestrator knows this worker.", write_registered },
	{ "worker_websocket_open", "gauge", "orchestrator, worker_id",
	    "1 while there is a WebSocket to the orchestrator.",
	    write_websocket },
	{ "worker_websocket_messages_total", "counter",
	    "orchestrator, direction",
	    "Messages over the WebSocket, in and out.", write_messages },
	{ "worker_polls", "gauge", "", "Polls that are out.", write_polls },
	{ "worker_request_duration_seconds", "histogram", "endpoint, outcome",
	    "Time of requests to the orchestrator.", write_requests },
	{ "worker_rate_pause_seconds_total", "counter", "endpoint",
	    "Time that requests were held back because of rate limits.",
	    write_pauses },
	{ "worker_clock_skew_seconds", "gauge", "orchestrator",
	    "How far the orchestrator's clock is ahead of ours.", write_skews },
	{ "worker_category_offered", "gauge", "category",
	    "1 while the task types of the category are offered.",
	    write_offered },
	{ "worker_category_paused", "gauge", "category",
	    "1 while the category is paused.", write_category_paused },
	{ "worker_program_failing", "gauge", "program",
	    "1 while a script or channel program does not start, and is tried "
	    "again beside the others.",
	    write_failing },
	{ "worker_paused", "gauge", "", "1 while the whole worker is paused.",
	    write_paused },
	{ "worker_short_of_memory", "gauge", "",
	    "1 while no tasks are taken for lack of memory.",
	    write_short_of_memory },
	{ "worker_start_time_seconds", "gauge", "",
	    "When the supervisor started, in seconds since 1970.",
	    write_start_time },
	{ "worker_generation", "gauge", "",
	    "Configurations so far: 1, and one more for each reload.",
	    write_generation },
	{ "worker_info", "gauge", "version, worker_id", "Always 1.",
	    write_info },
	{ "process_resident_memory_bytes", "gauge", "",
	    "Memory of the supervisor itself.", write_resident },
	{ "process_cpu_seconds_total", "counter", "",
	    "Processor time of the supervisor itself.", write_cpu },
	{ "process_open_fds", "gauge", "",
	    "Open descriptors of the supervisor.", write_open_fds },
};
const size_t metrics_table_len =
    sizeof(metrics_table) / sizeof(metrics_table[0]);

void
metrics_text(struct bytes *out, const struct view *view, int64_t wall_offset_ms)
{
	struct metric_writer w = {
		.out = out,
		.view = view,
		.wall_offset_ms = wall_offset_ms,
	};
	size_t i;

	for (i = 0; i < metrics_table_len; i++) {
		w.metric = &metrics_table[i];
		bytes_printf(out, "# HELP %s %s\n# TYPE %s %s\n",
		    w.metric->name, w.metric->help, w.metric->name,
		    w.metric->type);
		w.metric->write(&w);
	}
}

static bool
is_ours(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < metrics_table_len; i++)
		if (strlen(metrics_table[i].name) == len &&
		    memcmp(metrics_table[i].name, name, len) == 0)
			return (true);
	return (false);
}

/* True when the line begins a figure: "# HELP NAME ...". */
static bool
is_begin(const char *line, size_t len, const char **name, size_t *name_len)
{
	static const char begin[] = "# HELP ";
	const size_t skip = sizeof(begin) - 1;
	const char *end;

	if (len <= skip || memcmp(line, begin, skip) != 0)
		return (false);
	*name = line + skip;
	end = memchr(*name, ' ', len - skip);
	*name_len = end != NULL ? (size_t)(end - *name) : len - skip;
	return (true);
}

void
metrics_append(struct bytes *out, const char *text, size_t len)
{
	const char *end, *name;
	size_t line, name_len;
	bool wanted = true;

	for (; len > 0; text += line, len -= line) {
		end = memchr(text, '\n', len);
		line = end != NULL ? (size_t)(end - text) + 1 : len;
		if (is_begin(
			text, end != NULL ? line - 1 : line, &name, &name_len))
			wanted = !is_ours(name, name_len);
		if (wanted)
			bytes_append(out, text, line);
	}
}
