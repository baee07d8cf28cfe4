/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child/arguments.h"
#include "child/bytes.h"
#include "child/exec.h"
#include "child/host.h"
#include "child/modules.h"
#include "child/once.h"
#include "child/peer.h"
#include "child/remove.h"
#include "child/task.h"

#define NAME     "avtoworker-run-XXXXXX"
#define RUNNER   "avtoworker_run.py"
#define CATEGORY "run" /* in messages */

struct place {
	struct bytes path; /* terminated; ours, empty */
	bool made;
};

static int
place_make(struct place *p)
{
	const char *temporary = getenv("TMPDIR");

	bytes_printf(&p->path, "%s/" NAME,
	    temporary != NULL && temporary[0] == '/' ? temporary : "/tmp");
	bytes_append(&p->path, "", 1);
	if (bytes_failed(&p->path) || mkdtemp(p->path.p) == NULL)
		return (-1);
	p->made = true;
	return (0);
}

static void
place_fini(struct place *p)
{
	if (p->made)
		(void)remove_directories(&p->path.p, 1);
	bytes_fini(&p->path);
}

/* The task frame that a supervisor would send. -1 and why when the params are
 * not one JSON text: they could be more members of the frame. */
static int
put_task(const struct arguments *a, const struct place *p, struct bytes *out,
    struct bytes *why)
{
	const char *params = a->params != NULL ? a->params : "{}";
	struct bytes workspace = { 0 };
	struct jscan_error error;
	struct jslice root;

	if (jscan_check(params, strlen(params), &jscan_payload_limits, &root,
		&error) == -1) {
		bytes_printf(why,
		    "--params must be a JSON object: %s at byte %zu",
		    error.text, error.at);
		return (-1);
	}
	bytes_printf(&workspace, "%s/task", p->path.p);
	bytes_puts(out, "{\"task_id\":\"run\",\"job_id\":\"run\",\"type\":");
	bytes_put_json(out, a->run, strlen(a->run));
	bytes_puts(out, ",\"workspace\":");
	bytes_put_json(out, workspace.p, workspace.len);
	bytes_puts(out, ",\"params\":");
	bytes_append(out, root.p, root.len);
	bytes_puts(out, "}");
	out->failed |= workspace.failed;
	bytes_fini(&workspace);
	return (0);
}

/* The three kinds of handlers; one of them is used. */
struct hosts {
	struct assignment assignment;
	struct pins pins;
	struct limits limits;
	struct modules modules;
	struct exec exec;
	struct peer peer;
	struct bytes runner; /* path of the script that runs scripts */
	char **words; /* of its command line */
};

static bool
ends_in(const char *text, const char *end)
{
	const size_t len = strlen(text), tail = strlen(end);

	return (len > tail && strcmp(text + len - tail, end) == 0);
}

/* Where avtoworkerd looks for it, too. */
static void
find_runner(struct bytes *out)
{
	const char *given = getenv("AVTOWORKER_PYTHON");
	char path[PATH_MAX];
	ssize_t n;

	if (given != NULL) {
		bytes_printf(out, "%s/" RUNNER, given);
		return;
	}
	/* Beside us, where we were built. */
	if ((n = readlink("/proc/self/exe", path, sizeof(path))) > 0)
		while (n > 0 && path[n - 1] != '/')
			n--;
	if (n > 0) {
		bytes_printf(out, "%.*spython/" RUNNER, (int)n, path);
		bytes_append(out, "", 1);
		if (!bytes_failed(out) && access(out->p, R_OK) == 0)
			return;
		out->len = 0;
	}
	bytes_puts(out, PKGDATADIR "/python/" RUNNER);
}

/* "python3 RUNNER FILE ARG...". */
static struct host
use_script(struct hosts *h, char **words)
{
	size_t i, count = 0;

	find_runner(&h->runner);
	bytes_append(&h->runner, "", 1);
	while (words[count] != NULL)
		count++;
	h->words = calloc(count + 3, sizeof(*h->words));
	if (h->words == NULL || bytes_failed(&h->runner))
		return ((struct host){ 0 });
	h->words[0] = (char *)"python3";
	h->words[1] = h->runner.p;
	for (i = 0; i < count; i++)
		h->words[i + 2] = words[i];
	h->peer.argv = h->words;
	return (peer_host(&h->peer));
}

/* Without run when there is no memory. */
static struct host
choose(struct hosts *h, const struct arguments *a, char **words)
{
	const bool is_script = !a->kind_given && ends_in(words[0], ".py");

	if (is_script)
		return (use_script(h, words));
	if (a->kind == KIND_CHANNEL) {
		h->peer.argv = words;
		return (peer_host(&h->peer));
	}
	if (a->kind_given ? a->kind == KIND_EXEC : !ends_in(words[0], ".so")) {
		h->exec = (struct exec){
			.type = a->run,
			.category = CATEGORY,
			.argv = words,
			.limits = &h->limits,
			.in_workspace = true,
			.sweep = true,
		};
		return (exec_host(&h->exec));
	}
	h->assignment = (struct assignment){ a->run, words[0] };
	h->modules = (struct modules){
		.category = CATEGORY,
		.pins = &h->pins,
		.what = &h->assignment,
		.count = 1,
	};
	return (modules_host(&h->modules));
}

static void
hosts_fini(struct hosts *h)
{
	modules_fini(&h->modules);
	exec_fini(&h->exec);
	if (h->peer.argv != NULL)
		peer_fini(&h->peer);
	bytes_fini(&h->runner);
	free(h->words);
}

static bool
is_error(const char *result, size_t len)
{
	struct jscan_error error;
	struct jslice root, value;

	return (jscan_check(
		    result, len, &jscan_payload_limits, &root, &error) == -1 ||
	    jscan_get(&root, "error", &value));
}

/* Returns the exit status. */
static int
run(const struct host *host, struct aw_task *task, FILE *to)
{
	const char *result;
	size_t len;

	if (!task->has_result)
		host->run(host->arg, task);
	(void)fflush(stdout);
	result = task_result(task, &len);
	if (fwrite(result, 1, len, to) != len || fputc('\n', to) == EOF ||
	    fflush(to) == EOF) {
		fprintf(stderr,
		    "avtoworker-child: cannot write the result: "
		    "%s\n",
		    strerror(errno));
		return (EXIT_FAILURE);
	}
	return (is_error(result, len) ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* Standard output is for the result alone; everybody else's is stderr. */
static FILE *
take_stdout(void)
{
	const int fd = dup(STDOUT_FILENO);
	FILE *to;

	if (fd == -1 || dup2(STDERR_FILENO, STDOUT_FILENO) == -1 ||
	    (to = fdopen(fd, "w")) == NULL) {
		if (fd != -1)
			(void)close(fd);
		return (NULL);
	}
	return (to);
}

int
once(const struct arguments *a, char **words)
{
	struct hosts hosts = { .peer = { .wire = { .fd = -1 } } };
	struct bytes payload = { 0 }, why = { 0 };
	struct place place = { { 0 }, false };
	struct aw_task task = { 0 };
	struct host host = { 0 };
	int status = EXIT_FAILURE;
	FILE *to;

	(void)signal(SIGPIPE, SIG_IGN);
	if ((to = take_stdout()) == NULL) {
		bytes_printf(&why, "standard output: %s", strerror(errno));
		goto out;
	}
	if (place_make(&place) == -1) {
		bytes_printf(&why,
		    "cannot make a directory in TMPDIR or /tmp: %s",
		    strerror(errno));
		goto out;
	}
	if (put_task(a, &place, &payload, &why) == -1)
		goto out;
	host = choose(&hosts, a, words);
	if (bytes_failed(&payload) || host.run == NULL) {
		bytes_puts(&why, "out of memory");
		goto out;
	}
	if (task_begin(&task, payload.p, payload.len, &why) == -1)
		goto out;
	if (host.start(host.arg, &why) == 0)
		status = run(&host, &task, to);
	host.stop(host.arg);
out:
	if (why.len > 0)
		fprintf(
		    stderr, "avtoworker-child: %.*s\n", (int)why.len, why.p);
	if (to != NULL)
		(void)fclose(to);
	task_end(&task);
	task_fini(&task);
	bytes_fini(&payload);
	bytes_fini(&why);
	hosts_fini(&hosts);
	place_fini(&place);
	return (status);
}
