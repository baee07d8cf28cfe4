/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>
#include <bsd/sys/queue.h>

#include "tests/devorch/fault.h"
#include "tests/devorch/server.h"

struct fault;

/* One kind of fault: either a step that is left to the caller, or a function
 * that gives the answer. */
struct kind {
	const char *name;
	const char *help;
	enum fault_step step;
	void (*answer)(const struct fault *, struct conn *);
	unsigned def; /* of its argument; 0: it takes none */
};

struct fault {
	TAILQ_ENTRY(fault) entry; /* faults->list; that list owns us */
	const struct kind *kind;
	enum endpoint endpoint;
	uint64_t first, last; /* requests it applies to, from 1 */
	uint64_t every; /* of them; 1: each */
	unsigned argument;
	unsigned status; /* of a fault that is a plain status */
	/* of the request at hand */
	enum endpoint at;
	unsigned port;
	bool rxon;
};

struct faults {
	TAILQ_HEAD(, fault) list;
	uint64_t seen[ENDPOINT_ANY + 1]; /* requests by endpoint, and all */
	uint64_t given;
};

const char *const endpoint_names[] = {
	[ENDPOINT_POLL] = "poll",
	[ENDPOINT_RESULT] = "result",
	[ENDPOINT_HEARTBEAT] = "heartbeat",
	[ENDPOINT_REGISTER] = "register",
	[ENDPOINT_EVENT] = "event",
	[ENDPOINT_ANY] = "any",
};

static void
answer(struct conn *c, unsigned status, const char *type, const char *headers,
    const char *body)
{
	conn_reply(c,
	    &(struct reply){ .status = status,
		.content_type = type,
		.headers = headers,
		.body = body,
		.body_len = strlen(body) });
}

static void
answer_status(const struct fault *f, struct conn *c)
{
	const char *body = "{\"error\":\"injected fault\"}";

	if (f->status == 429)
		body = f->rxon ? "{\"error\":\"{\\\"error\\\": "
				 "\\\"Too Many Requests\\\"}\"}" :
				 "{\"error\":\"Too Many Requests\"}";
	else if (f->status == 404 && f->at == ENDPOINT_RESULT)
		body = "{\"error\":\"Job not found\"}";
	else if (f->status == 404)
		body = "{\"error\":\"Worker not found\"}";
	answer(c, f->status, NULL, NULL, body);
}

static void
answer_html(const struct fault *f, struct conn *c)
{
	(void)f;
	answer(c, 502, "text/html", NULL,
	    "<html><head><title>502 Bad Gateway</title></head>"
	    "<body><center><h1>502 Bad Gateway</h1></center></body></html>\n");
}

static void
answer_garbage(const struct fault *f, struct conn *c)
{
	(void)f;
	answer(c, 200, NULL, NULL, "\x01{ this is not JSON \xff\xfe]");
}

static void
answer_empty(const struct fault *f, struct conn *c)
{
	(void)f;
	answer(c, 200, NULL, NULL, "");
}

static void
answer_huge(const struct fault *f, struct conn *c)
{
	const size_t len = (size_t)f->argument * 1024 * 1024;

	conn_reply(c,
	    &(struct reply){ .status = 200,
		.body = "",
		.pretend_len = len,
		.filler_len = len });
}

static void
answer_truncated(const struct fault *f, struct conn *c)
{
	(void)f;
	conn_reply(c,
	    &(struct reply){ .status = 200,
		.body = "{\"job_id\":\"",
		.body_len = 11,
		.pretend_len = 1000,
		.close = true });
}

static void
answer_redirect(const struct fault *f, struct conn *c)
{
	char header[96];

	(void)snprintf(header, sizeof(header),
	    "Location: http://localhost:%u/redirected\r\n", f->port);
	answer(c, 302, "text/plain", header, "302: Found");
}

static void
answer_retry_after(const struct fault *f, struct conn *c)
{
	char header[32];

	(void)snprintf(
	    header, sizeof(header), "Retry-After: %u\r\n", f->argument);
	answer(c, 429, NULL, header, "{\"error\":\"Too Many Requests\"}");
}

static void
answer_never(const struct fault *f, struct conn *c)
{
	(void)f;
	conn_hang(c);
}

static void
answer_drop(const struct fault *f, struct conn *c)
{
	(void)f;
	conn_drop(c);
}

static const struct kind status_kind = {
	"200 .. 599",
	"that status with a JSON error",
	FAULT_ANSWERED,
	answer_status,
	0,
};

static const struct kind kinds[] = {
	{ "html", "502 with an HTML page, as a proxy answers", FAULT_ANSWERED,
	    answer_html, 0 },
	{ "garbage", "200 with something that is not JSON", FAULT_ANSWERED,
	    answer_garbage, 0 },
	{ "empty", "200 with an empty body", FAULT_ANSWERED, answer_empty, 0 },
	{ "huge", "200 with a body of 100 MB, or huge=MB", FAULT_ANSWERED,
	    answer_huge, 100 },
	{ "slow", "no answer, the connection stays open", FAULT_ANSWERED,
	    answer_never, 0 },
	{ "drop", "the request is not acted on, the connection closed",
	    FAULT_ANSWERED, answer_drop, 0 },
	{ "drop-after", "acted on, but closed without the answer",
	    FAULT_THEN_DROP, NULL, 0 },
	{ "close-after", "answered properly, then closed", FAULT_THEN_CLOSE,
	    NULL, 0 },
	{ "truncated", "200 with less than Content-Length, then closed",
	    FAULT_ANSWERED, answer_truncated, 0 },
	{ "redirect", "302 to another address", FAULT_ANSWERED, answer_redirect,
	    0 },
	{ "retry-after", "429 with Retry-After: 2, or retry-after=SECONDS",
	    FAULT_ANSWERED, answer_retry_after, 2 },
	{ "forget", "every worker is forgotten, then answered properly",
	    FAULT_FORGET, NULL, 0 },
};

struct faults *
faults_new(struct why *why)
{
	struct faults *fs;

	if ((fs = calloc(1, sizeof(*fs))) == NULL) {
		why_errno(why, "faults");
		return (NULL);
	}
	TAILQ_INIT(&fs->list);
	return (fs);
}

void
faults_free(struct faults *fs)
{
	struct fault *f;

	if (fs == NULL)
		return;
	while ((f = TAILQ_FIRST(&fs->list)) != NULL) {
		TAILQ_REMOVE(&fs->list, f, entry);
		free(f);
	}
	free(fs);
}

/* ---- reading one ---- */

/* Cuts the next word off text; NULL when there is none. */
static char *
next_word(char **text, const char *separators)
{
	char *word = strsep(text, separators);

	return (word == NULL || *word == '\0' ? NULL : word);
}

static int
read_kind(struct fault *f, char *text)
{
	char *argument = text;
	const char *bad;
	size_t i;

	(void)strsep(&argument, "=");
	f->status = (unsigned)strtonum(text, 200, 599, &bad);
	if (bad == NULL) {
		f->kind = &status_kind;
		return (argument == NULL ? 0 : -1);
	}
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, text) == 0)
			f->kind = &kinds[i];
	if (f->kind == NULL || (argument != NULL && f->kind->def == 0))
		return (-1);
	f->argument = f->kind->def;
	if (argument == NULL)
		return (0);
	f->argument = (unsigned)strtonum(argument, 1, 100000, &bad);
	return (bad == NULL ? 0 : -1);
}

static int
read_range(struct fault *f, char *text)
{
	const char *bad;
	char *last = text, *every = text;

	f->first = f->every = 1;
	f->last = UINT64_MAX;
	if (text == NULL)
		return (0);
	(void)strsep(&every, "/");
	if (every != NULL) {
		f->every = (uint64_t)strtonum(every, 1, INT64_MAX, &bad);
		if (bad != NULL)
			return (-1);
	}
	(void)strsep(&last, "-");
	f->first = (uint64_t)strtonum(text, 1, INT64_MAX, &bad);
	if (bad != NULL)
		return (-1);
	if (last == NULL)
		f->last = f->first;
	else if (*last != '\0')
		f->last = (uint64_t)strtonum(
		    last, (long long)f->first, INT64_MAX, &bad);
	return (bad == NULL ? 0 : -1);
}

static int
read_endpoint(struct fault *f, const char *text)
{
	size_t i;

	for (i = 0; i <= ENDPOINT_ANY; i++)
		if (strcmp(endpoint_names[i], text) == 0) {
			f->endpoint = (enum endpoint)i;
			return (0);
		}
	return (-1);
}

int
faults_add(struct faults *fs, const char *text, struct why *why)
{
	char *copy, *rest, *endpoint, *kind;
	struct fault *f = NULL;

	if ((copy = rest = strdup(text)) == NULL ||
	    (f = calloc(1, sizeof(*f))) == NULL) {
		why_errno(why, "--fault");
		goto fail;
	}
	endpoint = next_word(&rest, ":");
	kind = next_word(&rest, ":");
	if (endpoint == NULL || kind == NULL ||
	    read_endpoint(f, endpoint) == -1 || read_kind(f, kind) == -1 ||
	    read_range(f, rest) == -1) {
		why_set(why,
		    "--fault %s is not ENDPOINT:KIND[:FIRST[-LAST][/EVERY]];"
		    " see --help",
		    text);
		goto fail;
	}
	free(copy);
	TAILQ_INSERT_TAIL(&fs->list, f, entry);
	return (0);

fail:
	free(copy);
	free(f);
	return (-1);
}

void
faults_help(FILE *out)
{
	size_t i;

	fprintf(out, "  %-16s %s\n", status_kind.name, status_kind.help);
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		fprintf(out, "  %-16s %s\n", kinds[i].name, kinds[i].help);
}

/* ---- giving one ---- */

enum fault_step
fault_apply(struct faults *fs, enum endpoint at, struct conn *c, unsigned port,
    bool rxon)
{
	struct fault *f;
	uint64_t n;

	fs->seen[at]++;
	fs->seen[ENDPOINT_ANY]++;
	TAILQ_FOREACH(f, &fs->list, entry) {
		n = fs->seen[f->endpoint];
		if ((f->endpoint != at && f->endpoint != ENDPOINT_ANY) ||
		    n < f->first || n > f->last ||
		    (n - f->first) % f->every != 0)
			continue;
		fs->given++;
		f->at = at;
		f->port = port;
		f->rxon = rxon;
		if (f->kind->answer != NULL)
			f->kind->answer(f, c);
		return (f->kind->step);
	}
	return (FAULT_NONE);
}

void
fault_reply(struct conn *c, enum fault_step step, struct reply *r)
{
	if (step == FAULT_THEN_DROP) {
		conn_drop(c);
		return;
	}
	r->close = step == FAULT_THEN_CLOSE;
	conn_reply(c, r);
}

uint64_t
faults_given(const struct faults *fs)
{
	return (fs->given);
}
