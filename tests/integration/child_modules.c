/* SPDX-License-Identifier: ISC */
/*
 * The modules that test_child.py loads. It compiles this file once for each,
 * with -DMODULE_NAME: one that works, and one for each way of being wrong.
 */
#include <avtoworker/handler.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void __attribute__((__unused__))
run_nothing(struct aw_task *task, void *state)
{
	(void)state;
	aw_success_data(task);
}

#if defined(MODULE_GOOD)
static void
run_echo(struct aw_task *task, void *state)
{
	struct aw_json *data = aw_data(task);
	const char *params;
	size_t len;

	(void)state;
	params = aw_params(task, &len);
	aw_json_string(data, "task_id", aw_task_id(task));
	aw_json_string(data, "job_id", aw_job_id(task));
	aw_json_string(data, "type", aw_task_type(task));
	aw_json_text(data, "params", params, len);
	aw_success_data(task);
}

static void
run_silent(struct aw_task *task, void *state)
{
	(void)task;
	(void)state;
}

static void
run_crash(struct aw_task *task, void *state)
{
	(void)task;
	(void)state;
	printf("about to crash\n");
	raise(SIGSEGV);
}

static void
run_leave(struct aw_task *task, void *state)
{
	(void)task;
	(void)state;
	exit(3);
}

static void
run_fail(struct aw_task *task, void *state)
{
	const char *code = NULL, *message = "";

	(void)state;
	(void)aw_get_string(task, "code", &code, NULL);
	(void)aw_get_string(task, "message", &message, NULL);
	aw_failure(task, code, "%s", message);
}

static void
run_retry(struct aw_task *task, void *state)
{
	(void)state;
	aw_retry(task, "BUSY", "try %d", 2);
}

static void
run_twice(struct aw_task *task, void *state)
{
	(void)state;
	aw_failure(task, "FIRST", "replaced");
	aw_success(task, "{\"second\":true}");
}

static void
run_text(struct aw_task *task, void *state)
{
	const char *text = NULL;

	(void)state;
	(void)aw_get_string(task, "text", &text, NULL);
	aw_success(task, text);
}

static void
run_length(struct aw_task *task, void *state)
{
	const char *text;
	size_t len = 0;

	(void)state;
	(void)aw_get_string(task, "text", &text, &len);
	aw_json_int64(aw_data(task), "length", (int64_t)len);
	aw_success_data(task);
}

static void
run_large(struct aw_task *task, void *state)
{
	int64_t size = 0;
	char *text;

	(void)state;
	(void)aw_get_int64(task, "size", &size);
	if ((text = malloc((size_t)size + 1)) == NULL)
		return;
	memset(text, 'x', (size_t)size);
	aw_json_bytes(aw_data(task), "x", text, (size_t)size);
	free(text);
	aw_success_data(task);
}

static void
run_print(struct aw_task *task, void *state)
{
	(void)state;
	printf("no newline");
	aw_success_data(task);
}

/* Does what a handler starts have the channel? */
static void
run_inherit(struct aw_task *task, void *state)
{
	int status = -1;
	pid_t pid;

	(void)state;
	if ((pid = fork()) == 0) {
		execl("/bin/sh", "sh", "-c", "test -e /proc/self/fd/3",
		    (char *)NULL);
		_exit(127);
	}
	if (pid == -1 || waitpid(pid, &status, 0) == -1)
		return;
	aw_json_int64(aw_data(task), "status", WEXITSTATUS(status));
	aw_success_data(task);
}

static void
run_signals(struct aw_task *task, void *state)
{
	int ends[2];

	(void)state;
	kill(getpid(), SIGTERM);
	kill(getpid(), SIGINT);
	kill(getpid(), SIGHUP);
	if (pipe(ends) == -1)
		return;
	close(ends[0]);
	if (write(ends[1], "x", 1) != -1)
		return;
	close(ends[1]);
	aw_success_data(task);
}

/* A fork that comes back, as after an exec that failed: its status is told. */
static void
run_stray(struct aw_task *task, void *state)
{
	pid_t pid;
	int status;

	(void)state;
	if ((pid = fork()) == 0) {
		aw_failure(task, "STRAY", "from a fork");
		return;
	}
	if (pid == -1 || waitpid(pid, &status, 0) == -1)
		return;
	aw_json_int64(aw_data(task), "status", WEXITSTATUS(status));
	aw_success_data(task);
}

/* Tells so many times how far it is, and then one event. */
static void
run_tell(struct aw_task *task, void *state)
{
	const char *type = "done", *payload = "{}";
	int64_t i, times = 1;

	(void)state;
	(void)aw_get_int64(task, "times", &times);
	(void)aw_get_string(task, "type", &type, NULL);
	(void)aw_get_string(task, "payload", &payload, NULL);
	for (i = 1; i <= times; i++)
		aw_progress(task, (double)i / (double)times, "on the way");
	aw_json_bool(aw_data(task), "sent", aw_event(task, type, payload));
	aw_success_data(task);
}

/* Waits until it is asked to stop; its params must outlive that. */
static void
run_heed(struct aw_task *task, void *state)
{
	const struct timespec nap = { 0, 1000000 };
	const char *params;
	size_t len;

	(void)state;
	while (!aw_cancelled(task))
		(void)nanosleep(&nap, NULL);
	aw_json_bool(aw_data(task), "still", aw_cancelled(task));
	aw_json_string(aw_data(task), "reason", aw_cancel_reason(task));
	params = aw_params(task, &len);
	aw_json_text(aw_data(task), "params", params, len);
	aw_success_data(task);
}

/* What it costs to ask, in nanoseconds. */
static void
run_cost(struct aw_task *task, void *state)
{
	struct timespec from, to;
	int64_t ns;
	int i;

	(void)state;
	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	for (i = 0; i < 1000000; i++)
		if (aw_cancelled(task) || aw_cancel_reason(task) != NULL)
			return;
	(void)clock_gettime(CLOCK_MONOTONIC, &to);
	ns = (to.tv_sec - from.tv_sec) * 1000000000LL + to.tv_nsec -
	    from.tv_nsec;
	aw_json_int64(aw_data(task), "ns", ns / 1000000);
	aw_success_data(task);
}

static int
init_count(void **state, struct aw_error *error)
{
	(void)error;
	printf("init count\n");
	*state = calloc(1, sizeof(int));
	return (0);
}

static void
run_count(struct aw_task *task, void *state)
{
	aw_json_int64(aw_data(task), "count", ++*(int *)state);
	aw_success_data(task);
}

static void
fini_count(void *state)
{
	printf("fini count %d\n", *(int *)state);
	free(state);
}

static void
put_text(struct aw_task *task, const char *key,
    const char *(*get)(const struct aw_task *, size_t *))
{
	const char *text;
	size_t len;

	text = get(task, &len);
	aw_json_text(aw_data(task), key, text, len);
}

/* What came with the task. */
static void
run_context(struct aw_task *task, void *state)
{
	struct aw_json *data = aw_data(task);
	const char *workspace = aw_workspace(task);

	(void)state;
	put_text(task, "metadata", aw_metadata);
	put_text(task, "params_metadata", aw_params_metadata);
	put_text(task, "tracing_context", aw_tracing_context);
	aw_json_double(data, "priority", aw_priority(task));
	aw_json_int64(data, "deadline_ms", aw_deadline_ms(task));
	aw_json_string(data, "workspace", workspace);
	aw_json_bool(
	    data, "made", workspace != NULL && access(workspace, W_OK) == 0);
	aw_success_data(task);
}

/* Everything that goes with a result, as the params say. */
static void
run_with(struct aw_task *task, void *state)
{
	const char *text;
	bool fails = false, taken[3] = { false, false, false };

	(void)state;
	if (aw_get_string(task, "status", &text, NULL) == AW_GOT)
		taken[0] = aw_status(task, text);
	if (aw_get_string(task, "metadata", &text, NULL) == AW_GOT) {
		(void)aw_result_metadata(task, "{\"old\":1}");
		taken[1] = aw_result_metadata(task, text);
	}
	if (aw_get_string(task, "data_metadata", &text, NULL) == AW_GOT)
		taken[2] = aw_data_metadata(task, text);
	aw_json_bool(aw_data(task), "status", taken[0]);
	aw_json_bool(aw_data(task), "metadata", taken[1]);
	aw_json_bool(aw_data(task), "data_metadata", taken[2]);
	if (aw_get_bool(task, "fails", &fails) == AW_GOT && fails)
		aw_failure(task, "NOT_FOUND", "as asked");
	else
		aw_success_data(task);
}

static void
run_log(struct aw_task *task, void *state)
{
	(void)state;
	aw_log(NULL, AW_WARNING, "of no %s", "task");
	aw_log(task, AW_DEBUG, "%d", 1);
	aw_log(task, AW_INFO, "\xff\n");
	aw_log(task, AW_WARNING, "three");
	aw_log(task, AW_ERROR, "%05000d", 0);
	aw_success_data(task);
}

static void
run_setting(struct aw_task *task, void *state)
{
	const char *key, *value;

	(void)state;
	if (aw_get_string(task, "key", &key, NULL) != AW_GOT)
		return;
	if ((value = aw_setting(key)) == NULL && errno != 0)
		aw_failure(task, "PERMANENT_ERROR", "%s", strerror(errno));
	else {
		aw_json_string(aw_data(task), "value", value);
		aw_json_bool(aw_data(task), "same", value == aw_setting(key));
		aw_success_data(task);
	}
}

#define HANDLER(name, ...) \
	static const struct aw_handler name = { .size = \
						    sizeof(struct aw_handler), \
		.type = #name, \
		.run = run_##name, \
		__VA_ARGS__ }
HANDLER(echo, .category = "first");
HANDLER(silent);
HANDLER(crash);
HANDLER(leave);
HANDLER(fail);
HANDLER(retry);
HANDLER(twice);
HANDLER(text);
HANDLER(length);
HANDLER(large);
HANDLER(print);
HANDLER(inherit);
HANDLER(signals);
HANDLER(heed);
HANDLER(cost);
HANDLER(tell);
HANDLER(stray);
HANDLER(context);
HANDLER(with);
HANDLER(log);
HANDLER(setting);
HANDLER(count, .init = init_count, .fini = fini_count);
AW_MODULE(&echo, &silent, &crash, &leave, &fail, &retry, &twice, &text, &length,
    &large, &print, &inherit, &signals, &heed, &cost, &count, &tell, &stray,
    &context, &with, &log, &setting);

#elif defined(MODULE_NO_SYMBOL)
int unrelated = 1;

#elif defined(MODULE_NO_HANDLERS)
static const struct aw_handler *const none[] = { NULL };
const struct aw_module avtoworker_module = { sizeof(struct aw_module),
	AW_ABI_VERSION, none };

#elif defined(MODULE_OTHER_ABI)
static const struct aw_handler *const none[] = { NULL };
const struct aw_module avtoworker_module = { sizeof(struct aw_module),
	AW_ABI_VERSION + 1, none };

#elif defined(MODULE_INTERNALS)
/* A function of the child that is none of a module's business. */
int jscan_check(void);
static void
run_internals(struct aw_task *task, void *state)
{
	(void)state;
	if (jscan_check() == 0)
		aw_success_data(task);
}
static const struct aw_handler internals = {
	.size = sizeof(struct aw_handler),
	.type = "internals",
	.run = run_internals,
};
AW_MODULE(&internals);

#elif defined(MODULE_CONSTRUCTOR)
static void __attribute__((__constructor__)) at_load(void)
{
	abort();
}

#elif defined(MODULE_LATER)
/* Built against a later header: the tables have grown. */
static const struct {
	struct aw_handler now;
	void *later;
} grown = {
	.now = { .size = sizeof(grown), .type = "later", .run = run_nothing },
};
AW_MODULE(&grown.now);

#else
/* One handler with one thing wrong. */
#ifndef SIZE
#define SIZE sizeof(struct aw_handler)
#endif
#ifndef TYPE
#define TYPE "odd"
#endif
#ifndef CATEGORY
#define CATEGORY NULL
#endif
#ifndef INIT
#define INIT NULL
#endif
#ifndef RUN
#define RUN run_nothing
#endif

static int __attribute__((__unused__))
init_fails(void **state, struct aw_error *error)
{
	(void)state;
	return (aw_error_set(error, "no %s here", "database"));
}

static int __attribute__((__unused__))
init_mute(void **state, struct aw_error *error)
{
	(void)state;
	(void)error;
	return (-1);
}

static const struct aw_handler odd = {
	.size = SIZE,
	.type = TYPE,
	.category = CATEGORY,
	.init = INIT,
	.run = RUN,
#ifdef TOLD
	.TOLD,
#endif
};
#ifdef TWICE
AW_MODULE(&odd, &odd);
#else
AW_MODULE(&odd);
#endif
#endif
