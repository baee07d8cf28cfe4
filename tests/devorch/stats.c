/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>

#include "child/bytes.h"
#include "tests/devorch/fault.h"
#include "tests/devorch/stats.h"
#include "tests/devorch/work.h"

void
stats_fini(struct stats *s)
{
	free(s->latencies_us);
	s->latencies_us = NULL;
}

void
word_count(struct word_counts *counts, const char *word)
{
	size_t i;

	for (i = 0; i < counts->used; i++)
		if (strncmp(counts->words[i].word, word,
			sizeof(counts->words[i].word) - 1) == 0) {
			counts->words[i].count++;
			return;
		}
	if (counts->used < STATS_WORDS) {
		counts->used++;
		(void)strlcpy(counts->words[i].word,
		    i == STATS_WORDS - 1 ? "(others)" : word,
		    sizeof(counts->words[i].word));
	} else
		i = STATS_WORDS - 1;
	counts->words[i].count++;
}

void
stats_result(struct stats *s, int64_t leased_ns, int64_t arrived_ns)
{
	const int64_t us = (arrived_ns - leased_ns) / 1000;
	const size_t want =
	    s->latencies_size == 0 ? 4096 : s->latencies_size * 2;
	uint32_t *p;

	s->results++;
	s->last_result_ns = arrived_ns;
	if (s->latencies == s->latencies_size) {
		/* Without memory the figure is left out; it is no fault. */
		p = reallocarray(s->latencies_us, want, sizeof(*p));
		if (p == NULL)
			return;
		s->latencies_us = p;
		s->latencies_size = want;
	}
	s->latencies_us[s->latencies++] =
	    us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

void
stats_heartbeat(struct stats *s, int64_t arrived_ns)
{
	const int64_t gap_ns = arrived_ns - s->last_heartbeat_ns;

	if (s->last_heartbeat_ns != 0 && gap_ns > s->heartbeat_gap_ns)
		s->heartbeat_gap_ns = gap_ns;
	s->last_heartbeat_ns = arrived_ns;
}

static int
compare_us(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x < y ? -1 : x > y);
}

/* The sorted latency that share of all stay below or at. */
static uint32_t
percentile(const struct stats *s, double share)
{
	size_t i;

	if (s->latencies == 0)
		return (0);
	i = (size_t)(share * (double)s->latencies);
	return (s->latencies_us[i < s->latencies ? i : s->latencies - 1]);
}

static double
seconds(const struct stats *s)
{
	if (s->results == 0)
		return (0);
	return ((double)(s->last_result_ns - s->first_lease_ns) / 1e9);
}

static double
per_second(const struct stats *s)
{
	return (seconds(s) > 0 ? (double)s->results / seconds(s) : 0);
}

static void
print_words(const struct word_counts *counts, bool json, FILE *f)
{
	struct bytes text = { 0 };
	size_t i;

	for (i = 0; i < counts->used; i++) {
		bytes_puts(&text, i == 0 ? "" : json ? "," : ", ");
		if (json)
			bytes_put_json(&text, counts->words[i].word,
			    strlen(counts->words[i].word));
		else
			bytes_puts(&text, counts->words[i].word);
		bytes_printf(&text, json ? ":%llu" : " %llu",
		    (unsigned long long)counts->words[i].count);
	}
	if (text.len > 0 && !bytes_failed(&text))
		(void)fwrite(text.p, 1, text.len, f);
	bytes_fini(&text);
}

/* One counter of the summary. */
struct row {
	const char *key; /* in JSON */
	const char *name; /* for people, who are shown it unless it is 0 */
	uint64_t value;
};

static void
print_rows(const struct row *rows, size_t n, bool json, FILE *f)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (json)
			fprintf(f, ",\"%s\":%llu", rows[i].key,
			    (unsigned long long)rows[i].value);
		else if (rows[i].value > 0)
			fprintf(f, "  %-28s %llu\n", rows[i].name,
			    (unsigned long long)rows[i].value);
}

static void
print_counters(
    const struct stats *s, const struct faults *faults, bool json, FILE *f)
{
	const struct row rows[] = {
		{ "duplicates", "results sent twice", s->duplicates },
		{ "unknown", "results of unknown tasks", s->unknown },
		{ "refused", "refused requests", s->refused },
		{ "malformed", "unreadable bodies", s->malformed },
		{ "registers", "registrations", s->registers },
		{ "heartbeats", "heartbeats", s->heartbeats },
		{ "heartbeat_gap_us", "longest between two, in us",
		    (uint64_t)s->heartbeat_gap_ns / 1000 },
		{ "polls", "polls", s->polls },
		{ "empty_polls", "polls that brought nothing", s->empty_polls },
		{ "lost_polls", "tasks lost with their poll", s->lost_polls },
		{ "events", "events", s->events },
		{ "redirects_followed", "redirects followed",
		    s->redirects_followed },
		{ "faults", "faults injected", faults_given(faults) },
		{ "requests", "requests", s->requests },
	};

	print_rows(rows, sizeof(rows) / sizeof(rows[0]), json, f);
}

static void
print_json(const struct stats *s, const struct work *w,
    const struct faults *faults, FILE *f)
{
	const char *separator = "";
	int i;

	fprintf(f, "{\"tasks\":%llu,\"results\":{",
	    (unsigned long long)work_leases(w));
	print_words(&s->statuses, true, f);
	fprintf(f, "},\"codes\":{");
	print_words(&s->codes, true, f);
	fprintf(f, "},\"jobs\":{");
	for (i = 0; i < JOB_NSTATES; i++) {
		fprintf(f, "%s\"%s\":%llu", separator, job_state_names[i],
		    (unsigned long long)work_count(w, (enum job_state)i));
		separator = ",";
	}
	fprintf(f, "},\"lost\":%llu",
	    (unsigned long long)work_count(w, JOB_LEASED));
	print_counters(s, faults, true, f);
	fprintf(f,
	    ",\"seconds\":%.6f,\"tasks_per_second\":%.1f,"
	    "\"latency_us\":{\"p50\":%u,\"p99\":%u,\"max\":%u}}\n",
	    seconds(s), per_second(s), percentile(s, 0.5), percentile(s, 0.99),
	    percentile(s, 1));
}

static void
print_text(const struct stats *s, const struct work *w,
    const struct faults *faults, FILE *f)
{
	const char *separator = "";
	int i;

	fprintf(f, "%llu tasks handed out, %llu results in %.3f s",
	    (unsigned long long)work_leases(w), (unsigned long long)s->results,
	    seconds(s));
	if (s->results > 0)
		fprintf(f, " (%.0f/s)", per_second(s));
	fprintf(f, "\n  jobs: ");
	for (i = 0; i < JOB_NSTATES; i++) {
		if (work_count(w, (enum job_state)i) == 0)
			continue;
		fprintf(f, "%s%s %llu", separator, job_state_names[i],
		    (unsigned long long)work_count(w, (enum job_state)i));
		separator = ", ";
	}
	fprintf(f, "%s\n", *separator == '\0' ? "none" : "");
	if (s->results > 0) {
		fprintf(f, "  results: ");
		print_words(&s->statuses, false, f);
		if (s->codes.used > 0)
			fprintf(f, "; errors: ");
		print_words(&s->codes, false, f);
		fprintf(f,
		    "\n  lease to result: half within %.3f ms, 99%% within "
		    "%.3f ms, all within %.3f ms\n",
		    percentile(s, 0.5) / 1e3, percentile(s, 0.99) / 1e3,
		    percentile(s, 1) / 1e3);
	}
	print_counters(s, faults, false, f);
}

void
stats_print(struct stats *s, const struct work *w, const struct faults *faults,
    bool json, FILE *f)
{
	if (s->latencies > 0)
		qsort(s->latencies_us, s->latencies, sizeof(*s->latencies_us),
		    compare_us);
	if (json)
		print_json(s, w, faults, f);
	else
		print_text(s, w, faults, f);
	(void)fflush(f);
}
