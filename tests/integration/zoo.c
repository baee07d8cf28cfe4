/* SPDX-License-Identifier: ISC */
/*
 * zoo.c: handlers of every temper, for the integration tests. What they do is
 * said by their params, so that a test tells the whole story in one place:
 *
 *	gate	path of a socket; the handler connects, says who it is, and
 *		waits until the test hangs up
 *	count	path of a file that grows by one byte per attempt
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child/handler.h"

/* The string at that path, or NULL. */
static const char *
text_param(struct aw_task *task, const char *path)
{
	const char *text;

	if (aw_get_string(task, path, &text, NULL) != AW_GOT)
		return (NULL);
	return (text);
}

static int64_t
int_param(struct aw_task *task, const char *path, int64_t otherwise)
{
	int64_t value = otherwise;

	(void)aw_get_int64(task, path, &value);
	return (value);
}

static int
connect_gate(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return (-1);
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return (-1);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1) {
		(void)close(fd);
		return (-1);
	}
	return (fd);
}

/* Waits at the gate if there is one. */
static int
pass_gate(struct aw_task *task)
{
	const char *path = text_param(task, "gate");
	char byte;
	int fd;

	if (path == NULL)
		return (0);
	if ((fd = connect_gate(path)) == -1)
		return (-1);
	(void)dprintf(fd, "%s %d\n", aw_task_id(task), (int)getpid());
	while (read(fd, &byte, 1) == -1 && errno == EINTR)
		;
	(void)close(fd);
	return (0);
}

/* Counts this attempt; 1 for the first, 0 when nobody counts. */
static int64_t
count_attempt(struct aw_task *task)
{
	const char *path = text_param(task, "count");
	struct stat st = { 0 };
	int fd;

	if (path == NULL)
		return (0);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd == -1)
		return (-1);
	if (write(fd, ".", 1) == -1 || fstat(fd, &st) == -1)
		st.st_size = -1;
	(void)close(fd);
	return (st.st_size);
}

/* What every handler does first. Returns the attempt, or -1 with the result
 * already set. */
static int64_t
begin(struct aw_task *task)
{
	const int64_t attempt = count_attempt(task);

	if (attempt != -1 && pass_gate(task) == 0)
		return (attempt);
	aw_failure(task, "PERMANENT_ERROR", "the test's own files: %s",
	    strerror(errno));
	return (-1);
}

/* Gives the params back, and the ids and the process. */
static void
echo(struct aw_task *task, void *state)
{
	struct aw_json *data = aw_data(task);
	const char *params;
	size_t len;

	(void)state;
	if (begin(task) == -1)
		return;
	params = aw_params(task, &len);
	aw_json_text(data, "echo", params, len);
	aw_json_string(data, "task_id", aw_task_id(task));
	aw_json_string(data, "job_id", aw_job_id(task));
	aw_json_int64(data, "pid", getpid());
	aw_success_data(task);
}

/* text, in capitals. */
static void
upper(struct aw_task *task, void *state)
{
	const char *text = text_param(task, "text");
	char *copy, *p;

	(void)state;
	if (text == NULL) {
		aw_invalid_input(task, "text must be a string");
		return;
	}
	if ((copy = strdup(text)) == NULL)
		return;
	for (p = copy; *p != '\0'; p++)
		if (*p >= 'a' && *p <= 'z')
			*p += 'A' - 'a';
	aw_json_string(aw_data(task), "text", copy);
	aw_success_data(task);
	free(copy);
}

/* Takes ms milliseconds, after the gate. */
static void
slow(struct aw_task *task, void *state)
{
	const int64_t ms = int_param(task, "ms", 0);
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };

	(void)state;
	if (begin(task) == -1)
		return;
	while (nanosleep(&left, &left) == -1 && errno == EINTR)
		;
	aw_json_string(aw_data(task), "slow", text_param(task, "name"));
	aw_json_int64(aw_data(task), "pid", getpid());
	aw_success_data(task);
}

/* Fails with code and message. */
static void
fail(struct aw_task *task, void *state)
{
	const char *code = text_param(task, "code");
	const char *message = text_param(task, "message");

	(void)state;
	if (begin(task) == -1)
		return;
	aw_failure(task, code != NULL ? code : "TRANSIENT_ERROR", "%s",
	    message != NULL ? message : "as asked");
}

/* Asks for a repetition until attempt number succeed_at. */
static void
retry_me(struct aw_task *task, void *state)
{
	const int64_t succeed_at = int_param(task, "succeed_at", INT64_MAX);
	int64_t attempt;

	(void)state;
	if ((attempt = begin(task)) == -1)
		return;
	if (attempt < succeed_at) {
		aw_retry(task, "NOT_YET", "attempt %d", (int)attempt);
		return;
	}
	aw_json_int64(aw_data(task), "attempt", attempt);
	aw_success_data(task);
}

/* Dies of a signal (default SIGSEGV), up to attempt number crashes. */
static void
crash(struct aw_task *task, void *state)
{
	const int sig = (int)int_param(task, "signal", SIGSEGV);
	const int64_t crashes = int_param(task, "crashes", INT64_MAX);
	int64_t attempt;

	(void)state;
	if ((attempt = begin(task)) == -1)
		return;
	if (attempt <= crashes) {
		/* A sanitizer's handler would turn it into an exit. */
		(void)signal(sig, SIG_DFL);
		(void)raise(sig);
	}
	aw_json_int64(aw_data(task), "attempt", attempt);
	aw_success_data(task);
}

/* Ends the process without a word. */
static void
exit_now(struct aw_task *task, void *state)
{
	(void)state;
	if (begin(task) != -1)
		_exit((int)int_param(task, "status", 0));
}

/* Forgets to set a result. */
static void
no_result(struct aw_task *task, void *state)
{
	(void)task;
	(void)state;
}

/* A string of size bytes, in so many objects inside one another. */
static void
big_result(struct aw_task *task, void *state)
{
	const int64_t size = int_param(task, "size", 1000);
	const int64_t depth = int_param(task, "depth", 0);
	char *text;
	int64_t i;

	(void)state;
	if ((text = malloc((size_t)size + 1)) == NULL)
		return;
	memset(text, 'x', (size_t)size);
	text[size] = '\0';
	for (i = 0; i < depth; i++)
		aw_json_object(aw_data(task), "in");
	aw_json_string(aw_data(task), "big", text);
	for (i = 0; i < depth; i++)
		aw_json_end(aw_data(task));
	aw_success_data(task);
	free(text);
}

/* Writes out to standard output and err to standard error. */
static void
print(struct aw_task *task, void *state)
{
	const char *out = text_param(task, "out");
	const char *err = text_param(task, "err");

	(void)state;
	if (out != NULL)
		(void)printf("%s", out);
	if (err != NULL)
		(void)fprintf(stderr, "%s", err);
	aw_success(task, "{}");
}

/* Closes the channel under the feet of the program that runs it, and stays. */
static void
hang_up(struct aw_task *task, void *state)
{
	(void)task;
	(void)state;
	(void)close(3);
	for (;;)
		(void)pause();
}

/* Works for ms milliseconds, or until it is asked to stop and "after" more are
 * over: and then says why, as a failure when "fail" is true. */
static void
heed(struct aw_task *task, void *state)
{
	const struct timespec nap = { 0, 1000000 };
	int64_t left = int_param(task, "ms", 100000);
	bool cancelled = false, fails = false;

	(void)state;
	if (begin(task) == -1)
		return;
	for (; left > 0; left--) {
		if (!cancelled && aw_cancelled(task)) {
			cancelled = true;
			left = int_param(task, "after", 0) + 1;
		} else
			(void)nanosleep(&nap, NULL);
	}
	(void)aw_get_bool(task, "fail", &fails);
	if (fails) {
		aw_failure(task, "GAVE_UP", "asked to stop: %s",
		    aw_cancel_reason(task));
		return;
	}
	aw_json_bool(aw_data(task), "cancelled", cancelled);
	aw_json_string(aw_data(task), "reason", aw_cancel_reason(task));
	aw_success_data(task);
}

/* Hears nothing, not even signals; when "stop" is true it stops itself. */
static void
deaf(struct aw_task *task, void *state)
{
	bool stop = false;
	sigset_t every;

	(void)state;
	(void)sigfillset(&every);
	(void)sigprocmask(SIG_BLOCK, &every, NULL);
	if (begin(task) == -1)
		return;
	(void)aw_get_bool(task, "stop", &stop);
	if (stop)
		(void)raise(SIGSTOP);
	for (;;)
		(void)pause();
}

/* Prints "count" lines (or pieces of one, when "endless" is true) of "size"
 * bytes, newline included, and "the end"; then it aborts when "crash" is
 * true. */
static void
babble(struct aw_task *task, void *state)
{
	const int64_t count = int_param(task, "count", 1);
	const int64_t size = int_param(task, "size", 100);
	bool endless = false, crashes = false;
	char line[4096];
	int64_t i;

	(void)state;
	(void)aw_get_bool(task, "endless", &endless);
	(void)aw_get_bool(task, "crash", &crashes);
	if (size < 10 || size > (int64_t)sizeof(line))
		return;
	memset(line, 'x', sizeof(line));
	if (!endless)
		line[size - 1] = '\n';
	for (i = 0; i < count; i++)
		(void)fwrite(line, 1, (size_t)size, stdout);
	(void)printf("the end\n");
	if (crashes) {
		(void)fflush(stdout);
		abort();
	}
	aw_success(task, "{}");
}

static char *kept; /* each block begins with where the next one is */

/* Takes mb megabytes of memory, in a process that it starts when "forked" is
 * true, and keeps them for ms milliseconds, or for good when "keep" is. */
static void
eat(struct aw_task *task, void *state)
{
	const size_t size = (size_t)int_param(task, "mb", 1) * 1024 * 1024;
	const int64_t ms = int_param(task, "ms", 100000);
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
	bool forked = false, keeps = false;
	pid_t pid = 0;
	char *food;

	(void)state;
	if (begin(task) == -1)
		return;
	(void)aw_get_bool(task, "forked", &forked);
	(void)aw_get_bool(task, "keep", &keeps);
	if (forked && (pid = fork()) == -1)
		return;
	if (pid == 0) {
		if ((food = malloc(size)) == NULL)
			return;
		memset(food, 'x', size);
		while (nanosleep(&left, &left) == -1 && errno == EINTR)
			;
		if (forked)
			_exit(food[size - 1] != 'x');
		if (keeps) {
			memcpy(food, &kept, sizeof(kept));
			kept = food;
		} else
			free(food);
	} else
		while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
			;
	aw_json_int64(aw_data(task), "pid", getpid());
	aw_success_data(task);
}

/* Tells so many times how far it is, and an event if there is one. */
static void
tell(struct aw_task *task, void *state)
{
	const int64_t times = int_param(task, "times", 1);
	const char *type = text_param(task, "type");
	const char *payload = text_param(task, "payload");
	int64_t i;

	(void)state;
	for (i = 1; i <= times; i++)
		aw_progress(task, (double)i / (double)times, "on the way");
	if (type != NULL)
		(void)aw_event(task, type, payload != NULL ? payload : "{}");
	aw_success_data(task);
}

/* Leaves files in its workspace, and what crash asks for. */
static void
litter(struct aw_task *task, void *state)
{
	const char *place = aw_workspace(task);
	bool dies = false;
	char path[4096];
	int64_t i;
	int fd;

	(void)state;
	if (place == NULL) {
		aw_failure(task, "PERMANENT_ERROR", "no workspace: %s",
		    strerror(errno));
		return;
	}
	for (i = 0; i < int_param(task, "files", 1); i++) {
		(void)snprintf(path, sizeof(path), "%s/%d", place, (int)i);
		if ((fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) ==
		    -1)
			return;
		(void)close(fd);
	}
	if (begin(task) == -1)
		return;
	(void)aw_get_bool(task, "dies", &dies);
	if (dies)
		abort();
	aw_json_string(aw_data(task), "workspace", place);
	aw_success_data(task);
}

/* Writes a file of so many bytes; says what became of it. */
static void
write_file(struct aw_task *task, void *state)
{
	const int64_t size = int_param(task, "size", 0);
	const char *path = text_param(task, "path");
	char block[1000] = { 0 };
	int64_t done = 0;
	ssize_t n;
	int fd;

	(void)state;
	if (path == NULL ||
	    (fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) == -1)
		return;
	while (done < size && (n = write(fd, block, sizeof(block))) > 0)
		done += n;
	if (done < size)
		aw_failure(task, "NO_ROOM", "%s", strerror(errno));
	else
		aw_success_data(task);
	(void)close(fd);
}

/* Opens files as long as it can, and leaves them open. */
static void
hoard(struct aw_task *task, void *state)
{
	int64_t count = 0;

	(void)state;
	while (open("/dev/null", O_RDONLY | O_CLOEXEC) != -1)
		count++;
	aw_json_int64(aw_data(task), "opened", count);
	aw_json_string(aw_data(task), "error", strerror(errno));
	aw_success_data(task);
}

#define ANIMAL(name, where) \
	static const struct aw_handler handler_##name = { \
		.size = sizeof(struct aw_handler), \
		.type = #name, \
		.category = where, \
		.run = name, \
	}

ANIMAL(echo, "light");
ANIMAL(upper, "light");
ANIMAL(slow, "heavy");
ANIMAL(fail, "light");
ANIMAL(retry_me, "light");
ANIMAL(crash, "heavy");
ANIMAL(exit_now, "heavy");
ANIMAL(no_result, NULL);
ANIMAL(big_result, NULL);
ANIMAL(print, NULL);
ANIMAL(hang_up, "heavy");
ANIMAL(heed, "heavy");
ANIMAL(tell, NULL);
ANIMAL(deaf, "heavy");
ANIMAL(babble, "heavy");
ANIMAL(eat, "heavy");
ANIMAL(litter, "light");
ANIMAL(write_file, "heavy");
ANIMAL(hoard, "heavy");

AW_MODULE(&handler_echo, &handler_upper, &handler_slow, &handler_fail,
    &handler_retry_me, &handler_crash, &handler_exit_now, &handler_no_result,
    &handler_big_result, &handler_print, &handler_hang_up, &handler_heed,
    &handler_tell, &handler_deaf, &handler_babble, &handler_eat,
    &handler_litter, &handler_write_file, &handler_hoard);
