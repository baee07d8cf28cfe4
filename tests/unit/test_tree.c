/* SPDX-License-Identifier: ISC */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child/tree.h"
#include "tests/test.h"

#define LIMIT_MS 60000

static volatile sig_atomic_t heard;

static void
on_death(int sig)
{
	(void)sig;
	heard++;
}

static void
handle_deaths(void)
{
	const struct sigaction handle = {
		.sa_handler = on_death,
		.sa_flags = SA_RESTART | SA_NOCLDSTOP,
	};

	ASSERT_INT(sigaction(SIGCHLD, &handle, NULL), 0);
}

static void
check_handled(void)
{
	struct sigaction now;

	ASSERT_INT(sigaction(SIGCHLD, NULL, &now), 0);
	ASSERT(now.sa_handler == on_death);
	ASSERT_INT(now.sa_flags & (SA_RESTART | SA_NOCLDSTOP | SA_NOCLDWAIT),
	    SA_RESTART | SA_NOCLDSTOP);
}

/* A child with a child of its own, which has none. */
static pid_t
start_two(void)
{
	const pid_t pid = fork();

	ASSERT(pid != -1);
	if (pid == 0) {
		(void)fork();
		for (;;)
			(void)pause();
	}
	return (pid);
}

static void
ends_all(void)
{
	ASSERT_INT(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	ASSERT_INT(tree_end(NULL, LIMIT_MS), 0);
	(void)start_two();
	(void)start_two();
	ASSERT_INT(tree_end(NULL, LIMIT_MS), 0);
	ASSERT_INT(waitpid(-1, NULL, WNOHANG), -1);
}

static void
keeps_some(void)
{
	struct tree_list keep = { 0 };
	pid_t kept;

	ASSERT_INT(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	kept = start_two();
	ASSERT_INT(tree_children(&keep), 0);
	ASSERT_INT(keep.len, 1);
	ASSERT_INT(tree_look(&keep.list[0]), 0);
	(void)start_two();
	ASSERT_INT(tree_end(&keep, LIMIT_MS), 0);
	ASSERT_INT(waitpid(-1, NULL, WNOHANG), 0);
	ASSERT_INT(kill(kept, SIGKILL), 0);
	ASSERT_INT(waitpid(kept, NULL, 0), kept);
	ASSERT_INT(tree_end(&keep, LIMIT_MS), 0); /* its child is an orphan */
	ASSERT_INT(waitpid(-1, NULL, WNOHANG), -1);
	tree_list_fini(&keep);
}

/* A handler may want to hear of deaths, and shall not find its wish changed. */
static void
leaves_the_signal(void)
{
	sigset_t deaths, pending;

	handle_deaths();
	(void)start_two();
	ASSERT_INT(tree_end(NULL, LIMIT_MS), 0);
	ASSERT(heard > 0);
	check_handled();
	(void)sigemptyset(&deaths);
	(void)sigaddset(&deaths, SIGCHLD);
	ASSERT_INT(sigprocmask(SIG_BLOCK, &deaths, NULL), 0);
	ASSERT_INT(raise(SIGCHLD), 0);
	ASSERT_INT(tree_end(NULL, LIMIT_MS), 0);
	ASSERT_INT(sigpending(&pending), 0);
	ASSERT_INT(sigismember(&pending, SIGCHLD), 1);
	check_handled();
}

static const struct test tests[] = {
	{ "children and what is below them are ended", ends_all },
	{ "those that are to be kept are, but not what they leave",
	    keeps_some },
	{ "SIGCHLD is handled all the time as it was", leaves_the_signal },
};
TEST_MAIN(tests)
