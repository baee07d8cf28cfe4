/* SPDX-License-Identifier: ISC */
/*
 * stats.c: counters under two names, such as task type and status, kept in
 * order so that what is made of them is. Names come from outside, so there is
 * an end to them: the surplus is counted under "other". Where memory is short
 * an event is not counted: figures are the last thing to stop work for.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "supervisor/stats.h"

#define SURPLUS "other"
#define NO_NAME "unknown"

const int64_t stats_bounds_ms[STATS_BUCKETS] = {
	1,
	3,
	10,
	30,
	100,
	300,
	1000,
	3000,
	10000,
	30000,
	60000,
	180000,
	600000,
	1800000,
	3600000,
	10800000,
};

struct word {
	TAILQ_ENTRY(word) entry; /* in order */
	struct stats_times *times; /* NULL: not kept */
	uint64_t count;
	char text[STATS_TEXT_MAX + 1];
};

struct name {
	RB_ENTRY(name) entry;
	TAILQ_HEAD(, word) words;
	struct stats_times *times; /* NULL: not kept */
	uint64_t count;
	int64_t level;
	unsigned words_count;
	char text[STATS_TEXT_MAX + 1];
};

RB_HEAD(names, name);

struct stats {
	struct {
		struct names names;
		unsigned count;
	} kinds[STATS_NKINDS];
};

/* Where the times of a kind are kept. */
static const struct {
	bool by_first;
	bool by_pair;
} timing[STATS_NKINDS] = {
	[STATS_TASKS] = { .by_first = true },
	[STATS_REQUESTS] = { .by_pair = true },
	[STATS_PAUSES] = { .by_first = true },
};

static int
compare(const struct name *a, const struct name *b)
{
	return (strcmp(a->text, b->text));
}

#define UNUSED_STATIC static __attribute__((__unused__))
RB_GENERATE_INTERNAL(names, name, entry, compare, UNUSED_STATIC)

/* Cuts a name where a character begins. */
static void
copy_text(char to[STATS_TEXT_MAX + 1], const char *from)
{
	size_t len;

	if (from == NULL || *from == '\0')
		from = NO_NAME;
	len = strnlen(from, STATS_TEXT_MAX + 1);
	if (len > STATS_TEXT_MAX) {
		len = STATS_TEXT_MAX;
		while (len > 0 && ((unsigned char)from[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(to, from, len);
	to[len] = '\0';
}

static struct name *
name_new(const char *text, bool timed)
{
	struct name *n;

	if ((n = calloc(1, sizeof(*n))) == NULL)
		return (NULL);
	if (timed && (n->times = calloc(1, sizeof(*n->times))) == NULL) {
		free(n);
		return (NULL);
	}
	copy_text(n->text, text);
	TAILQ_INIT(&n->words);
	return (n);
}

/* The entry of a first name, made if need be; NULL when memory is short. */
static struct name *
find_name(struct stats *st, enum stats_kind kind, const char *text)
{
	struct name key, *n;

	copy_text(key.text, text);
	if ((n = RB_FIND(names, &st->kinds[kind].names, &key)) != NULL)
		return (n);
	if (st->kinds[kind].count >= STATS_NAMES_MAX) {
		copy_text(key.text, SURPLUS);
		n = RB_FIND(names, &st->kinds[kind].names, &key);
		if (n != NULL)
			return (n);
	}
	if ((n = name_new(key.text, timing[kind].by_first)) == NULL)
		return (NULL);
	(void)RB_INSERT(names, &st->kinds[kind].names, n);
	st->kinds[kind].count++;
	return (n);
}

static struct word *
word_new(const char *text, bool timed)
{
	struct word *w;

	if ((w = calloc(1, sizeof(*w))) == NULL)
		return (NULL);
	if (timed && (w->times = calloc(1, sizeof(*w->times))) == NULL) {
		free(w);
		return (NULL);
	}
	copy_text(w->text, text);
	return (w);
}

/* The word, or the one that it stands before; NULL: the end. */
static struct word *
word_at(struct name *n, const char *text)
{
	struct word *w;

	TAILQ_FOREACH(w, &n->words, entry)
		if (strcmp(w->text, text) >= 0)
			break;
	return (w);
}

/* The entry of a second name, made if need be; NULL when memory is short. */
static struct word *
find_word(struct name *n, const char *second, bool timed)
{
	char text[STATS_TEXT_MAX + 1];
	struct word *w, *next;

	copy_text(text, second);
	if ((next = word_at(n, text)) != NULL && strcmp(next->text, text) == 0)
		return (next);
	if (n->words_count >= STATS_WORDS_MAX) {
		copy_text(text, SURPLUS);
		next = word_at(n, text);
		if (next != NULL && strcmp(next->text, text) == 0)
			return (next);
	}
	if ((w = word_new(text, timed)) == NULL)
		return (NULL);
	if (next != NULL)
		TAILQ_INSERT_BEFORE(next, w, entry);
	else
		TAILQ_INSERT_TAIL(&n->words, w, entry);
	n->words_count++;
	return (w);
}

static void
add_time(struct stats_times *times, int64_t ms)
{
	unsigned i;

	if (times == NULL)
		return;
	if (ms < 0)
		ms = 0;
	for (i = 0; i < STATS_BUCKETS && ms > stats_bounds_ms[i]; i++)
		;
	times->counts[i]++;
	times->count++;
	times->sum_ms += (uint64_t)ms;
}

static void
count(struct stats *st, enum stats_kind kind, const char *first,
    const char *second, int64_t ms)
{
	struct name *n;
	struct word *w;

	if (st == NULL || (n = find_name(st, kind, first)) == NULL ||
	    (w = find_word(n, second, timing[kind].by_pair)) == NULL)
		return;
	n->count++;
	w->count++;
	add_time(n->times, ms);
	add_time(w->times, ms);
}

void
stats_task(struct stats *st, const char *type, const char *status, int64_t ms)
{
	count(st, STATS_TASKS, type, status, ms);
}

void
stats_child_end(struct stats *st, const char *category, const char *reason)
{
	count(st, STATS_CHILD_ENDS, category, reason, 0);
}

void
stats_request(
    struct stats *st, const char *endpoint, const char *outcome, int64_t ms)
{
	count(st, STATS_REQUESTS, endpoint, outcome, ms);
}

void
stats_pause(struct stats *st, const char *endpoint, int64_t ms)
{
	if (ms > 0)
		count(st, STATS_PAUSES, endpoint, "", ms);
}

void
stats_message(struct stats *st, const char *orchestrator, const char *direction)
{
	count(st, STATS_MESSAGES, orchestrator, direction, 0);
}

void
stats_skew(struct stats *st, const char *orchestrator, int64_t ms)
{
	struct name *n;

	if (st != NULL &&
	    (n = find_name(st, STATS_SKEWS, orchestrator)) != NULL)
		n->level = ms;
}

void
stats_each(const struct stats *st, enum stats_kind kind,
    void (*fn)(const struct stats_entry *, void *), void *arg)
{
	const struct word *w;
	struct name *n;

	RB_FOREACH(n, names, (struct names *)&st->kinds[kind].names)
		TAILQ_FOREACH(w, &n->words, entry)
			fn(
			    &(struct stats_entry){
				.first = n->text,
				.second = w->text,
				.count = w->count,
				.times = w->times,
			    },
			    arg);
}

void
stats_each_first(const struct stats *st, enum stats_kind kind,
    void (*fn)(const struct stats_entry *, void *), void *arg)
{
	struct name *n;

	RB_FOREACH(n, names, (struct names *)&st->kinds[kind].names)
		fn(
		    &(struct stats_entry){
			.first = n->text,
			.count = n->count,
			.level = n->level,
			.times = n->times,
		    },
		    arg);
}

struct stats *
stats_new(void)
{
	return (calloc(1, sizeof(struct stats)));
}

void
stats_free(struct stats *st)
{
	struct name *n;
	struct word *w;
	int kind;

	if (st == NULL)
		return;
	for (kind = 0; kind < STATS_NKINDS; kind++)
		while ((n = RB_ROOT(&st->kinds[kind].names)) != NULL) {
			(void)RB_REMOVE(names, &st->kinds[kind].names, n);
			while ((w = TAILQ_FIRST(&n->words)) != NULL) {
				TAILQ_REMOVE(&n->words, w, entry);
				free(w->times);
				free(w);
			}
			free(n->times);
			free(n);
		}
	free(st);
}
