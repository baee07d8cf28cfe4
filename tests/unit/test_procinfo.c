/* SPDX-License-Identifier: ISC */
/* What /proc tells of ourselves and of children whose state is known. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/children/procinfo.h"
#include "tests/test.h"

static void
knows_ourselves(void)
{
	char text[PROCINFO_TEXT_MAX];
	struct procinfo p;

	ASSERT(procinfo_read(getpid(), &p));
	ASSERT_INT(p.state, 'R');
	ASSERT(p.rss_kb > 100);
	ASSERT(p.user_ms >= 0 && p.system_ms >= 0);
	ASSERT(p.threads >= 1); /* sanitizers may have some */
	procinfo_format(&p, text, sizeof(text));
	ASSERT(strstr(text, "state R (running)") == text);
}

/* Until the child sleeps, and did so during the whole of the look. */
static void
await_sleep(pid_t pid, struct procinfo *p)
{
	do
		ASSERT(procinfo_read(pid, p));
	while (p->state != 'S' || strcmp(p->syscall, "running") == 0);
}

static void
knows_a_stopped_child(void)
{
	struct procinfo p;
	int status;
	pid_t pid;

	ASSERT((pid = fork()) != -1);
	if (pid == 0)
		for (;;)
			(void)raise(SIGSTOP);
	ASSERT_INT(waitpid(pid, &status, WUNTRACED), pid);
	ASSERT(procinfo_read(pid, &p));
	ASSERT_INT(p.state, 'T');
	ASSERT_INT(kill(pid, SIGKILL), 0);
	ASSERT_INT(waitpid(pid, &status, 0), pid);
	ASSERT(!procinfo_read(pid, &p));
	ASSERT_INT(p.user_ms, -1);
}

static void
knows_a_reading_child(void)
{
	struct procinfo p;
	int fds[2], status;
	char byte;
	pid_t pid;

	ASSERT_INT(pipe(fds), 0);
	ASSERT((pid = fork()) != -1);
	if (pid == 0) {
		(void)close(fds[1]);
		(void)!read(fds[0], &byte, 1);
		_exit(0);
	}
	await_sleep(pid, &p);
	if (procinfo_oldest_child(getpid()) != 0) /* where it is told */
		ASSERT_INT(procinfo_oldest_child(getpid()), pid);
	ASSERT_INT(procinfo_oldest_child(pid), 0);
	/* Where we may look that closely. */
	if (p.syscall[0] != '\0')
		ASSERT_STR(p.syscall, "read");
	(void)close(fds[0]);
	(void)close(fds[1]);
	ASSERT_INT(waitpid(pid, &status, 0), pid);
}

static void
formats(void)
{
	const struct procinfo full = {
		.state = 'S',
		.wchan = "pipe_read",
		.syscall = "read",
		.user_ms = 20,
		.system_ms = 0,
		.rss_kb = 5120,
		.threads = 1,
	};
	const struct procinfo withheld = {
		.state = 'D',
		.user_ms = 1,
		.system_ms = 2,
		.rss_kb = -1,
		.threads = 3,
	};
	char text[PROCINFO_TEXT_MAX];

	procinfo_format(&full, text, sizeof(text));
	ASSERT_STR(text,
	    "state S (sleeping) in system call read, kernel function "
	    "pipe_read, cpu 20 ms user and 0 ms system, 5120 kB resident, 1 "
	    "thread");
	procinfo_format(&withheld, text, sizeof(text));
	ASSERT_STR(text,
	    "state D (waiting for a device), cpu 1 ms user and 2 ms system, "
	    "3 threads");
	procinfo_format(&full, text, 10);
	ASSERT_STR(text, "state S (");
}

static const struct test tests[] = {
	{ "we run", knows_ourselves },
	{ "a stopped child is stopped, a dead one unknown",
	    knows_a_stopped_child },
	{ "a child that reads is in read", knows_a_reading_child },
	{ "what is withheld is left out", formats },
};
TEST_MAIN(tests)
