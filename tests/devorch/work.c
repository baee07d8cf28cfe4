/* SPDX-License-Identifier: ISC */
/*
 * Jobs are made when they are first handed out, in an array that only grows;
 * a job's index is written into its ids. A retry list holds the indexes of
 * jobs that are to be handed out again; they go first.
 *
 *	job id	RRRRRRRR-0000-4000-8000-IIIIIIIIIIII
 *	task id	RRRRRRRR-AAAA-4000-8000-IIIIIIIIIIII	(RXON: "task-" before)
 *
 * R is random for each run, so that ids of an earlier one are unknown; A
 * counts the attempts; I is the index.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#include "child/bytes.h"
#include "tests/devorch/bad_task.h"
#include "tests/devorch/spec.h"
#include "tests/devorch/work.h"

#define LATE_NS 20000000 /* what a rate makes up for: 20 ms */

const char *const job_state_names[JOB_NSTATES] = {
	[JOB_WAITING] = "waiting",
	[JOB_LEASED] = "leased",
	[JOB_FINISHED] = "finished",
	[JOB_FAILED] = "failed",
	[JOB_QUARANTINED] = "quarantined",
	[JOB_CANCELLED] = "cancelled",
	[JOB_UNANSWERABLE] = "unanswerable",
};

struct work {
	const struct work_options *options;
	struct specs *specs; /* where jobs come from */
	struct job *jobs;
	size_t njobs, jobs_size;
	uint32_t *retries; /* a ring of job indexes */
	size_t retry_head, nretries, retries_size;
	uint64_t counts[JOB_NSTATES];
	uint64_t leases;
	int64_t next_ns; /* the rate allows a task from here on */
	uint32_t run; /* the R of ids */
	bool held : 1;
};

struct work *
work_new(
    const struct work_options *options, struct specs *specs, struct why *why)
{
	struct work *w;

	if ((w = calloc(1, sizeof(*w))) == NULL) {
		why_errno(why, "work");
		return (NULL);
	}
	w->options = options;
	w->specs = specs;
	w->run = arc4random();
	w->held = options->hold;
	return (w);
}

void
work_free(struct work *w)
{
	if (w == NULL)
		return;
	free(w->jobs);
	free(w->retries);
	free(w);
}

/* Makes room for one more element in an array of size elements; returns it,
 * moved perhaps, or NULL when memory is short. */
static void *
grow(void *array, size_t *size, size_t used, size_t each)
{
	const size_t want = *size == 0 ? 64 : *size * 2;
	void *p;

	if (used < *size)
		return (array);
	if ((p = reallocarray(array, want, each)) != NULL)
		*size = want;
	return (p);
}

/* ---- handing out ---- */

static void
set_state(struct work *w, struct job *job, enum job_state state)
{
	w->counts[job->state]--;
	w->counts[state]++;
	job->state = (uint8_t)state;
}

/* Makes the next job. */
static struct job *
make_job(struct work *w)
{
	struct job *jobs, *job;

	if (w->njobs >= UINT32_MAX ||
	    (jobs = grow(w->jobs, &w->jobs_size, w->njobs, sizeof(*jobs))) ==
		NULL)
		return (NULL);
	w->jobs = jobs;
	job = &jobs[w->njobs];
	*job = (struct job){ .state = JOB_WAITING };
	if (!specs_next(w->specs, &job->spec, &job->number))
		return (NULL);
	w->njobs++;
	w->counts[JOB_WAITING]++;
	return (job);
}

static struct job *
next_job(struct work *w)
{
	struct job *job;

	if (w->nretries == 0)
		return (make_job(w));
	job = &w->jobs[w->retries[w->retry_head]];
	w->retry_head = (w->retry_head + 1) % w->retries_size;
	w->nretries--;
	return (job);
}

/* Puts a job on the retry list. */
static int
retry_later(struct work *w, const struct job *job)
{
	const size_t size = w->retries_size;
	uint32_t *retries;
	size_t i;

	retries =
	    grow(w->retries, &w->retries_size, w->nretries, sizeof(*retries));
	if (retries == NULL)
		return (-1);
	w->retries = retries;
	/* The ring was full: what lay before its head moves behind it. */
	if (w->retries_size != size)
		for (i = 0; i < w->retry_head; i++)
			w->retries[size + i] = w->retries[i];
	i = (w->retry_head + w->nretries++) % w->retries_size;
	w->retries[i] = (uint32_t)(job - w->jobs);
	return (0);
}

static void
job_id(const struct work *w, const struct job *job, char id[WORK_ID_SIZE])
{
	(void)snprintf(id, WORK_ID_SIZE, "%08x-0000-4000-8000-%012zx", w->run,
	    (size_t)(job - w->jobs));
}

void
work_task_id(const struct work *w, const struct job *job, char id[WORK_ID_SIZE])
{
	(void)snprintf(id, WORK_ID_SIZE, "%s%08x-%04x-4000-8000-%012zx",
	    w->options->dialect == WORK_RXON ? "task-" : "", w->run,
	    (unsigned)job->attempt, (size_t)(job - w->jobs));
}

static void
write_times(const struct work *w, struct bytes *out)
{
	const char *fraction = w->options->float_times ? ".5" : "";
	const long long now = (long long)time(NULL);
	char text[128];
	int n;

	n = snprintf(text, sizeof(text),
	    ",\"priority\":0,\"step\":1,\"timestamp\":%lld%s", now, fraction);
	bytes_append(out, text, (size_t)n);
	if (w->options->deadline_s == 0)
		return;
	n = snprintf(text, sizeof(text), ",\"deadline\":%lld%s",
	    now + w->options->deadline_s, fraction);
	bytes_append(out, text, (size_t)n);
}

static void
write_task(const struct work *w, const struct job *job, struct bytes *out)
{
	const struct spec *spec = &w->specs->list[job->spec];
	char ids[2][WORK_ID_SIZE], head[384];
	int n;

	job_id(w, job, ids[0]);
	work_task_id(w, job, ids[1]);
	if (spec->bad != NULL) {
		bad_task_write(spec->bad, ids[0], ids[1], spec->type, out);
		return;
	}
	n = snprintf(head, sizeof(head),
	    "{\"job_id\":\"%s\",\"task_id\":\"%s\",\"type\":\"%s\","
	    "\"params\":",
	    ids[0], ids[1], spec->type);
	bytes_append(out, head, (size_t)n);
	if (spec->numbered)
		spec_write_params(spec->params, job->number, out);
	else
		bytes_puts(out, spec->params);
	if (w->options->dialect == WORK_RXON)
		write_times(w, out);
	bytes_puts(out, ",\"tracing_context\":{}}");
}

void
work_release(struct work *w)
{
	w->held = false;
}

void
work_close(struct work *w)
{
	w->specs->unmade = 0;
}

int64_t
work_wait_ns(const struct work *w, int64_t now_ns)
{
	if (w->held || (w->specs->unmade == 0 && w->nretries == 0))
		return (-1);
	if (w->options->window != 0 &&
	    w->counts[JOB_LEASED] >= w->options->window)
		return (-1);
	if (w->options->rate > 0 && w->next_ns > now_ns)
		return (w->next_ns - now_ns);
	return (0);
}

/* The job's next task is handed out. */
static void
lease(struct work *w, struct job *job, int64_t now_ns)
{
	const struct bad_task *bad = w->specs->list[job->spec].bad;

	w->leases++;
	job->leased_ns = now_ns;
	set_state(w, job,
	    bad != NULL && !bad->answerable ? JOB_UNANSWERABLE : JOB_LEASED);
}

struct job *
work_lease(struct work *w, int64_t now_ns, struct bytes *message)
{
	struct job *job;

	if (work_wait_ns(w, now_ns) != 0 || (job = next_job(w)) == NULL)
		return (NULL);
	if (w->options->rate > 0) {
		/* A little lateness is made up for, a pause is not. */
		if (w->next_ns < now_ns - LATE_NS)
			w->next_ns = now_ns;
		w->next_ns += (int64_t)(1e9 / w->options->rate);
	}
	job->attempt++;
	write_task(w, job, message);
	lease(w, job, now_ns);
	return (job);
}

int
work_lease_again(struct work *w, const char *task_id, int64_t leased_ns)
{
	char again[WORK_ID_SIZE];
	struct job *job;

	if (w->njobs == 0)
		w->run = (uint32_t)strtoul(
		    task_id + (w->options->dialect == WORK_RXON ? 5 : 0), NULL,
		    16);
	if ((job = next_job(w)) == NULL)
		return (-1);
	job->attempt++;
	work_task_id(w, job, again);
	if (strcmp(again, task_id) != 0)
		return (-1);
	lease(w, job, leased_ns);
	return (0);
}

/* ---- results ---- */

/* What a failure's code makes of its job, besides trying again. */
static const struct {
	const char *code;
	uint8_t classic; /* enum job_state */
	uint8_t rxon;
} codes[] = {
	{ "PERMANENT_ERROR", JOB_QUARANTINED, JOB_QUARANTINED },
	{ "INVALID_INPUT_ERROR", JOB_FAILED, JOB_FAILED },
	{ "INTEGRITY_MISMATCH_ERROR", JOB_WAITING, JOB_FAILED },
	{ "SECURITY_ERROR", JOB_WAITING, JOB_QUARANTINED },
	{ "DEPENDENCY_ERROR", JOB_WAITING, JOB_QUARANTINED },
	{ "CONTRACT_VIOLATION_ERROR", JOB_WAITING, JOB_QUARANTINED },
};

/* What becomes of a job; JOB_WAITING: it is tried again. */
static enum job_state
judge(const struct work *w, const struct work_result *r)
{
	size_t i;

	if (r->status[0] == '\0' || strcmp(r->status, "success") == 0)
		return (JOB_FINISHED);
	if (strcmp(r->status, "cancelled") == 0)
		return (JOB_CANCELLED);
	if (strcmp(r->status, "failure") != 0)
		return (JOB_FAILED);
	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (strcmp(codes[i].code, r->code) == 0)
			return (w->options->dialect == WORK_RXON ?
				codes[i].rxon :
				codes[i].classic);
	return (JOB_WAITING);
}

/* Reads an id of the fixed form above; false when it is none of this run. */
static bool
read_id(const struct work *w, const char *id, size_t *index, unsigned *attempt)
{
	char again[WORK_ID_SIZE], *end;
	unsigned long long i;

	if (strlen(id) != 36)
		return (false);
	i = strtoull(id + 24, &end, 16);
	*attempt = (unsigned)strtoul(id + 9, NULL, 16);
	(void)snprintf(again, sizeof(again), "%08x-%04x-4000-8000-%012llx",
	    w->run, *attempt, i);
	*index = (size_t)i;
	return (strcmp(id, again) == 0 && i < w->njobs);
}

enum work_verdict
work_result(struct work *w, const struct work_result *r, struct job **found)
{
	const char *task = r->task_id;
	size_t index, task_index;
	enum job_state to;
	struct job *job;
	unsigned attempt;

	if (!read_id(w, r->job_id, &index, &attempt) || attempt != 0)
		return (WORK_UNKNOWN);
	*found = job = &w->jobs[index];
	if (w->options->dialect == WORK_RXON)
		task += strncmp(task, "task-", 5) == 0 ? 5 : strlen(task);
	if (!read_id(w, task, &task_index, &attempt) || task_index != index ||
	    attempt == 0 || attempt > job->attempt)
		return (WORK_STALE);
	if (attempt < job->attempt || job->state != JOB_LEASED)
		return (WORK_DUPLICATE);
	to = judge(w, r);
	if (to == JOB_WAITING &&
	    (job->attempt > w->options->retries || retry_later(w, job) == -1))
		to = JOB_QUARANTINED;
	set_state(w, job, to);
	return (WORK_ACCEPTED);
}

const char *
work_type(const struct work *w, const struct job *job)
{
	return (w->specs->list[job->spec].type);
}

bool
work_done(const struct work *w)
{
	return (w->specs->count > 0 && w->specs->unmade == 0 &&
	    w->counts[JOB_WAITING] == 0 && w->counts[JOB_LEASED] == 0);
}

uint64_t
work_count(const struct work *w, enum job_state state)
{
	return (w->counts[state]);
}

uint64_t
work_leases(const struct work *w)
{
	return (w->leases);
}
