/* SPDX-License-Identifier: ISC */
/*
 * chaos_module.c: one handler that misbehaves on request, under a name for
 * each category of the chaos run. Params:
 *
 *	mode	what it does, see the table at the end
 *	n	the task's number, given back
 *	size	bytes, for those modes that take a size
 *	pad	anything
 *
 * A task that succeeds proves that it was this task and got these params: it
 * gives back its id, its number and the CRC-32 of the params as they came.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child/handler.h"

#define CHANNEL 3

static void
pause_ms(int64_t ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&left, &left) == -1 && errno == EINTR)
		;
}

static int64_t
int_param(struct aw_task *task, const char *path, int64_t otherwise)
{
	int64_t value = otherwise;

	(void)aw_get_int64(task, path, &value);
	return (value);
}

/* As zlib counts it. */
static uint32_t
crc32(const char *p, size_t len)
{
	static uint32_t table[256];
	uint32_t crc = UINT32_MAX, c;
	unsigned i, bit;

	if (table[1] == 0)
		for (i = 0; i < 256; i++) {
			for (c = i, bit = 0; bit < 8; bit++)
				c = (c >> 1) ^ (0xedb88320u & (0 - (c & 1)));
			table[i] = c;
		}
	for (; len > 0; len--)
		crc = (crc >> 8) ^ table[(crc ^ (unsigned char)*p++) & 0xff];
	return (~crc);
}

/* The proof. */
static void
succeed(struct aw_task *task)
{
	const char *params;
	size_t len;

	params = aw_params(task, &len);
	aw_json_string(aw_data(task), "task_id", aw_task_id(task));
	aw_json_int64(aw_data(task), "n", int_param(task, "n", -1));
	aw_json_int64(aw_data(task), "crc", crc32(params, len));
	aw_success_data(task);
}

/* ---- modes that succeed ---- */

static void
ok(struct aw_task *task)
{
	pause_ms(int_param(task, "n", 0) % 10);
	succeed(task);
}

static void
big_result(struct aw_task *task)
{
	const size_t size = (size_t)int_param(task, "size", 1000);
	char *text;

	if ((text = malloc(size + 1)) == NULL)
		return;
	memset(text, 'a' + (int)(int_param(task, "n", 0) % 26), size);
	text[size] = '\0';
	aw_json_string(aw_data(task), "big", text);
	free(text);
	succeed(task);
}

static void
eat(struct aw_task *task)
{
	const size_t size = (size_t)int_param(task, "size", 1000);
	char *p;

	if ((p = malloc(size)) == NULL)
		return;
	memset(p, 1, size);
	pause_ms(5);
	free(p);
	succeed(task);
}

static void
chatter(struct aw_task *task)
{
	const int64_t size = int_param(task, "size", 1000);
	int64_t i;

	for (i = 0; i < size; i += 64)
		(void)printf(
		    "%-62s%c", "so much to say", i / 64 % 3 == 0 ? ' ' : '\n');
	(void)fprintf(stderr, "and no line end");
	succeed(task);
}

/* What stays behind, under a name that is looked for. */
__attribute__((__noreturn__)) static void
linger(void)
{
	(void)prctl(PR_SET_NAME, "chaos-left");
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	for (;;)
		(void)pause();
}

static void
leave_fork(struct aw_task *task)
{
	if (fork() == 0)
		linger();
	succeed(task);
}

static void
leave_session(struct aw_task *task)
{
	if (fork() == 0) {
		(void)setsid();
		linger();
	}
	succeed(task);
}

static void
leave_daemon(struct aw_task *task)
{
	const pid_t pid = fork();

	if (pid == 0) {
		(void)setsid();
		if (fork() == 0)
			linger();
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
	succeed(task);
}

/* ---- modes that fail, or never answer ---- */

static void
fail(struct aw_task *task)
{
	aw_failure(
	    task, "CHAOS_FAIL", "number %d", (int)int_param(task, "n", -1));
}

static void
die_of(int sig)
{
	/* A sanitizer's handler would turn it into an exit. */
	(void)signal(sig, SIG_DFL);
	(void)raise(sig);
}

static void
segv(struct aw_task *task)
{
	(void)task;
	die_of(SIGSEGV);
}

static void
abort_mode(struct aw_task *task)
{
	(void)task;
	die_of(SIGABRT);
}

static void
exit_0(struct aw_task *task)
{
	succeed(task);
	_exit(0);
}

/* Half a result frame, then gone. */
static void
exit_middle(struct aw_task *task)
{
	static const char half[] = "\x40\0\0\0\x12\0\0\0"
				   "\1\0\0\0\0\0\0\0{\"status\"";

	(void)task;
	(void)!write(CHANNEL, half, sizeof(half) - 1);
	_exit(1);
}

static void
garbage(struct aw_task *task)
{
	(void)task;
	(void)!write(CHANNEL, "this is no frame, it never was one", 34);
	for (;;)
		(void)pause();
}

static void
hang_up(struct aw_task *task)
{
	(void)task;
	(void)close(CHANNEL);
	for (;;)
		(void)pause();
}

static void
hang(struct aw_task *task)
{
	(void)task;
	for (;;)
		(void)pause();
}

/* Works until it is asked to stop. */
static void
polite(struct aw_task *task)
{
	while (!aw_cancelled(task))
		pause_ms(5);
	aw_json_string(aw_data(task), "reason", aw_cancel_reason(task));
	succeed(task);
}

static void
spin(struct aw_task *task)
{
	volatile unsigned n = 0;

	(void)task;
	for (;;)
		n++;
}

static void
stop_self(struct aw_task *task)
{
	(void)raise(SIGSTOP);
	/* Somebody has sent a CONT. */
	hang(task);
}

static const struct mode {
	const char *name;
	void (*run)(struct aw_task *);
} modes[] = {
	{ "ok", ok },
	{ "big_params", ok },
	{ "big_result", big_result },
	{ "eat", eat },
	{ "chatter", chatter },
	{ "leave_fork", leave_fork },
	{ "leave_session", leave_session },
	{ "leave_daemon", leave_daemon },
	{ "fail", fail },
	{ "segv", segv },
	{ "abort", abort_mode },
	{ "exit_0", exit_0 },
	{ "exit_middle", exit_middle },
	{ "garbage", garbage },
	{ "hang_up", hang_up },
	{ "hang", hang },
	{ "polite", polite },
	{ "spin", spin },
	{ "stop_self", stop_self },
};

static void
run(struct aw_task *task, void *state)
{
	const char *name;
	size_t i;

	(void)state;
	if (aw_get_string(task, "mode", &name, NULL) == AW_GOT)
		for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
			if (strcmp(modes[i].name, name) == 0) {
				modes[i].run(task);
				return;
			}
	aw_failure(task, "CHAOS_NO_MODE", "there is no such mode");
}

/* Slow to start: deaths during init happen. */
static int
init_slowly(void **state, struct aw_error *error)
{
	(void)state;
	(void)error;
	pause_ms(100);
	return (0);
}

#define CATEGORY(name, start) \
	static const struct aw_handler in_##name = { \
		.size = sizeof(struct aw_handler), \
		.type = #name, \
		.category = #name, \
		.init = start, \
		.run = run, \
	}

CATEGORY(steady, NULL);
CATEGORY(dynamic, NULL);
CATEGORY(demand, init_slowly);
CATEGORY(recycled, NULL);
CATEGORY(limited, NULL);
CATEGORY(launched, NULL);

AW_MODULE(&in_steady, &in_dynamic, &in_demand, &in_recycled, &in_limited,
    &in_launched);
