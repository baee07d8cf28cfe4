/* SPDX-License-Identifier: ISC */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <bsd/stdlib.h>

#include "tests/devorch/bad_task.h"
#include "tests/devorch/fault.h"
#include "tests/devorch/options.h"
#include "tests/devorch/spec.h"

enum option_letter {
	OPT_LISTEN = 1000,
	OPT_DIALECT,
	OPT_TOKEN,
	OPT_TASKS,
	OPT_TASK_FILE,
	OPT_BAD_TASK,
	OPT_HOLD,
	OPT_RATE,
	OPT_WINDOW,
	OPT_POLL_TIMEOUT,
	OPT_RETRIES,
	OPT_DEADLINE,
	OPT_FLOAT_TIMES,
	OPT_VERIFY,
	OPT_LOSE_ABANDONED,
	OPT_FAULT,
	OPT_EXIT_WHEN_DONE,
	OPT_PRINT,
	OPT_LEDGER,
	OPT_RESUME,
	OPT_JSON,
	OPT_HELP,
};

static const struct row {
	const char *name;
	const char *argument; /* NULL: it takes none */
	enum option_letter letter;
	const char *help; /* \n goes on in the next line */
} rows[] = {
	{ "listen", "ADDRESS:PORT", OPT_LISTEN,
	    "where to listen (127.0.0.1:8000); port 0 takes a free one" },
	{ "dialect", "classic|rxon", OPT_DIALECT,
	    "which of the two APIs to speak (classic)" },
	{ "token", "TOKEN", OPT_TOKEN,
	    "ask workers for this token; without it any will do" },
	{ "tasks", "TYPE[=COUNT[:PARAMS]]", OPT_TASKS,
	    "hand out COUNT tasks (1) with PARAMS, a JSON object ({});\n"
	    "{i} in it becomes the task's number, {fill=BYTES} so many\n"
	    "letters; several take turns; SIGUSR2 ends them early" },
	{ "task-file", "FILE", OPT_TASK_FILE,
	    "hand out a task for each line {\"type\": ..., \"params\": ...}" },
	{ "bad-task", "KIND[=COUNT]", OPT_BAD_TASK,
	    "hand out broken tasks; the kinds are listed below" },
	{ "hold", NULL, OPT_HOLD,
	    "hand out nothing until SIGUSR1; print POLLING once the first\n"
	    "poll waits" },
	{ "rate", "N[/s]", OPT_RATE, "at most N tasks a second" },
	{ "window", "N", OPT_WINDOW,
	    "at most N tasks handed out and unanswered at once" },
	{ "poll-timeout", "SECONDS", OPT_POLL_TIMEOUT,
	    "how long a poll waits for a task (30)" },
	{ "retries", "N", OPT_RETRIES,
	    "tasks handed out again after transient failures (3)" },
	{ "deadline", "SECONDS", OPT_DEADLINE,
	    "give each task a deadline (rxon)" },
	{ "float-times", NULL, OPT_FLOAT_TIMES,
	    "send times as floats, as some orchestrators do (rxon)" },
	{ "verify-signatures", NULL, OPT_VERIFY,
	    "check signatures and timestamps (rxon; needs --token)" },
	{ "lose-abandoned", NULL, OPT_LOSE_ABANDONED,
	    "keep a poll whose client has gone and lose a task to it, as\n"
	    "real orchestrators do" },
	{ "fault", "ENDPOINT:KIND[:FIRST[-[LAST]][/EVERY]]", OPT_FAULT,
	    "answer wrongly on purpose, every time or the FIRST-th to\n"
	    "LAST-th request, or each EVERY-th of them; see below" },
	{ "exit-when-done", NULL, OPT_EXIT_WHEN_DONE,
	    "end when all results are in, not on SIGTERM or SIGINT" },
	{ "print", "results|summary|none", OPT_PRINT,
	    "what to print: results: a JSON line for each as it comes, and\n"
	    "the summary; summary: that alone (the default)" },
	{ "ledger", "FILE", OPT_LEDGER,
	    "write a JSON line there for each task and result, whatever\n"
	    "becomes of it, for heartbeats and for faults; data of more\n"
	    "than 4 KB stand there as data_bytes and data_sha256" },
	{ "resume", NULL, OPT_RESUME,
	    "go on where the run that wrote --ledger was ended, even by a\n"
	    "SIGKILL; the tasks and the dialect must be the same" },
	{ "json", NULL, OPT_JSON, "print the summary as one line of JSON" },
	{ "help", NULL, OPT_HELP, "print this" },
};
#define NROWS (sizeof(rows) / sizeof(rows[0]))

static void
print_help(void)
{
	char head[80];
	const char *p;
	size_t i, len;

	printf("usage: avtoworker-devorch [--OPTION[=VALUE]]...\n\n"
	       "An orchestrator for trying out and testing workers: hands out "
	       "the tasks it is\ntold to, takes their results and keeps count. "
	       "Prints READY port=N once it\nlistens.\n\n");
	for (i = 0; i < NROWS; i++) {
		(void)snprintf(head, sizeof(head), "  --%s%s%s", rows[i].name,
		    rows[i].argument == NULL ? "" : " ",
		    rows[i].argument == NULL ? "" : rows[i].argument);
		printf("%s\n", head);
		for (p = rows[i].help; *p != '\0';
		     p += len + (p[len] != '\0')) {
			len = strcspn(p, "\n");
			printf("        %.*s\n", (int)len, p);
		}
	}
	printf("\nENDPOINT of a fault: poll, result, heartbeat, register, "
	       "event or any. KIND:\n");
	faults_help(stdout);
	printf("\nKIND of a bad task:\n");
	bad_task_help(stdout);
}

static int
read_number(const char *name, const char *text, double max, double *out)
{
	char *end;
	double value;

	errno = 0;
	value = strtod(text, &end);
	if (strcmp(name, "rate") == 0 && strcmp(end, "/s") == 0)
		end += 2;
	if (end == text || *end != '\0' || errno != 0 || !(value >= 0) ||
	    value > max) {
		warnx("--%s %s: must be a number from 0 to %.0f", name, text,
		    max);
		return (-1);
	}
	*out = value;
	return (0);
}

static int
read_unsigned(const char *name, const char *text, unsigned *out)
{
	double value;

	if (read_number(name, text, 1e9, &value) == -1)
		return (-1);
	if (value != (double)(unsigned)value) {
		warnx("--%s %s: must be a whole number", name, text);
		return (-1);
	}
	*out = (unsigned)value;
	return (0);
}

static int
read_dialect(struct options *o, const char *text)
{
	if (strcmp(text, "rxon") == 0)
		o->work.dialect = WORK_RXON;
	else if (strcmp(text, "classic") == 0)
		o->work.dialect = WORK_CLASSIC;
	else {
		warnx("--dialect %s: must be classic or rxon", text);
		return (-1);
	}
	o->api.rxon = o->work.dialect == WORK_RXON;
	return (0);
}

static int
read_print(struct options *o, const char *text)
{
	o->api.print_results = strcmp(text, "results") == 0;
	o->summary = o->api.print_results || strcmp(text, "summary") == 0;
	if (o->summary || strcmp(text, "none") == 0)
		return (0);
	warnx("--print %s: must be results, summary or none", text);
	return (-1);
}

/* Takes one option in; -1 after saying what is wrong with it. */
static int
read_option(struct options *o, const struct row *row, const char *text)
{
	double seconds;

	switch (row->letter) {
	case OPT_LISTEN:
		o->api.listen = text;
		return (0);
	case OPT_DIALECT:
		return (read_dialect(o, text));
	case OPT_TOKEN:
		o->api.token = text;
		return (0);
	case OPT_RATE:
		return (read_number(row->name, text, 1e9, &o->work.rate));
	case OPT_WINDOW:
		return (read_unsigned(row->name, text, &o->work.window));
	case OPT_RETRIES:
		return (read_unsigned(row->name, text, &o->work.retries));
	case OPT_DEADLINE:
		return (read_unsigned(row->name, text, &o->work.deadline_s));
	case OPT_POLL_TIMEOUT:
		if (read_number(row->name, text, 86400, &seconds) == -1)
			return (-1);
		o->api.polls.timeout_ms = (int64_t)(seconds * 1000);
		return (0);
	case OPT_HOLD:
		o->work.hold = o->api.polls.announce = true;
		return (0);
	case OPT_FLOAT_TIMES:
		o->work.float_times = true;
		return (0);
	case OPT_VERIFY:
		o->api.verify = true;
		return (0);
	case OPT_LOSE_ABANDONED:
		o->api.polls.lose_abandoned = true;
		return (0);
	case OPT_EXIT_WHEN_DONE:
		o->api.exit_when_done = true;
		return (0);
	case OPT_PRINT:
		return (read_print(o, text));
	case OPT_LEDGER:
		o->ledger = text;
		return (0);
	case OPT_RESUME:
		o->resume = true;
		return (0);
	case OPT_JSON:
		o->json = true;
		return (0);
	default:
		o->uses[o->nuses].option = (int)row->letter;
		o->uses[o->nuses++].text = text;
		return (0);
	}
}

/* What the options mean together. */
static int
check(const struct options *o)
{
	bool tasks = false;
	size_t i;

	for (i = 0; i < o->nuses; i++)
		tasks |= o->uses[i].option != OPT_FAULT;
	if (o->api.exit_when_done && !tasks) {
		warnx("--exit-when-done needs tasks; add --tasks TYPE=COUNT");
		return (-1);
	}
	if (o->resume && o->ledger == NULL) {
		warnx("--resume needs --ledger");
		return (-1);
	}
	if (o->api.verify && (!o->api.rxon || o->api.token == NULL)) {
		warnx("--verify-signatures needs --dialect rxon and --token");
		return (-1);
	}
	return (0);
}

int
options_read(struct options *o, int argc, char **argv)
{
	struct option longs[NROWS + 1] = { 0 };
	int c, at;
	size_t i;

	for (i = 0; i < NROWS; i++) {
		longs[i].name = rows[i].name;
		longs[i].has_arg =
		    rows[i].argument == NULL ? no_argument : required_argument;
		longs[i].val = (int)rows[i].letter;
	}
	*o = (struct options){
		.api = { .listen = "127.0.0.1:8000",
		    .polls = { .timeout_ms = 30000 } },
		.work = { .retries = 3 },
		.summary = true,
	};
	if ((o->uses = calloc((size_t)argc, sizeof(*o->uses))) == NULL) {
		warn("options");
		return (EX_OSERR);
	}
	while ((c = getopt_long(argc, argv, "", longs, &at)) != -1) {
		if (c == OPT_HELP) {
			print_help();
			return (EX_OK);
		}
		/* getopt has said what is wrong with an unknown one. */
		if (c == '?' || read_option(o, &rows[at], optarg) == -1)
			return (EX_USAGE);
	}
	if (optind < argc) {
		warnx("%s: unexpected; see --help", argv[optind]);
		return (EX_USAGE);
	}
	return (check(o) == -1 ? EX_USAGE : -1);
}

int
options_apply(const struct options *o, struct specs *specs,
    struct faults *faults, struct why *why)
{
	const struct option_use *use;
	int result = 0;
	size_t i;

	for (i = 0; i < o->nuses && result == 0; i++) {
		use = &o->uses[i];
		if (use->option == OPT_TASKS)
			result = specs_add_tasks(specs, use->text, why);
		else if (use->option == OPT_TASK_FILE)
			result = specs_add_file(specs, use->text, why);
		else if (use->option == OPT_BAD_TASK)
			result = specs_add_bad(specs, use->text, why);
		else
			result = faults_add(faults, use->text, why);
	}
	return (result);
}

void
options_fini(struct options *o)
{
	free(o->uses);
	o->uses = NULL;
}
