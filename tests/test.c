/* SPDX-License-Identifier: ISC */
/*
 * Runs test cases, each in a process group of its own, and prints TAP. The
 * parent only forks, waits and reports; what a case announced with
 * expect_log() is known to its own process alone.
 */
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "supervisor/base/log.h"
#include "tests/test.h"

/* A healthy case needs a second or two; a busy machine has its own time. */
#define TIME_LIMIT_S 300
#define EXPECTED_MAX 64

/* Exit statuses of a case. Not 0 and 1, so that an exit() in the code under
 * test, or a sanitizer's, is never taken for an answer of ours. */
#define CASE_PASSED  42
#define CASE_FAILED  43

static struct {
	const char *text;
	bool seen;
} expected[EXPECTED_MAX];
static size_t nexpected;
static bool unannounced;
/* Lines may come from any thread of the code under test. */
static pthread_mutex_t expected_lock = PTHREAD_MUTEX_INITIALIZER;
/* Where TAP goes, even when a case has redirected standard output. */
static int tap_fd = -1;

/* Prints text as TAP comments, a "# " before each of its lines. */
static void __attribute__((__format__(printf, 1, 2))) diag(const char *fmt, ...)
{
	char text[4096];
	char *line, *rest = text;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	while ((line = strsep(&rest, "\n")) != NULL)
		(void)dprintf(tap_fd, "# %s\n", line);
}

void
test_fail(const char *file, int line, const char *fmt, ...)
{
	char text[3072];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	diag("%s:%d: %s", file, line, text);
	exit(CASE_FAILED);
}

void
test_same_int(
    const char *file, int line, const char *what, int64_t got, int64_t want)
{
	if (got != want)
		test_fail(file, line, "%s is %" PRId64 ", expected %" PRId64,
		    what, got, want);
}

void
test_same_str(const char *file, int line, const char *what, const char *got,
    const char *want)
{
	if (got == want || (got && want && strcmp(got, want) == 0))
		return;
	test_fail(file, line, "%s is %s%.1000s%s, expected %s%.1000s%s", what,
	    got ? "\"" : "", got ? got : "NULL", got ? "\"" : "",
	    want ? "\"" : "", want ? want : "NULL", want ? "\"" : "");
}

/* Up to 16 bytes from offset at on, in hex. */
static void
hex(char out[64], const void *p, size_t len, size_t at)
{
	const unsigned char *b = p;
	size_t n = 0;

	out[0] = '\0';
	for (; at < len && n + 4 < 64 && n < 16 * 3; at++, n += 3)
		(void)snprintf(out + n, 64 - n, " %02x", b[at]);
	if (n == 0)
		(void)snprintf(out, 64, " nothing");
}

void
test_same_mem(const char *file, int line, const char *what, const void *got,
    size_t got_len, const void *want, size_t want_len)
{
	const unsigned char *g = got, *w = want;
	char got_hex[64], want_hex[64];
	size_t at = 0;

	while (at < got_len && at < want_len && g[at] == w[at])
		at++;
	if (at == got_len && at == want_len)
		return;
	hex(got_hex, got, got_len, at);
	hex(want_hex, want, want_len, at);
	test_fail(file, line,
	    "%s has %zu bytes, expected %zu; from byte %zu on it has%s, "
	    "expected%s",
	    what, got_len, want_len, at, got_hex, want_hex);
}

void
expect_log(const char *text)
{
	(void)pthread_mutex_lock(&expected_lock);
	if (nexpected == EXPECTED_MAX) {
		(void)pthread_mutex_unlock(&expected_lock);
		test_fail(__FILE__, __LINE__,
		    "more than %d calls of expect_log()", EXPECTED_MAX);
	}
	expected[nexpected].text = text;
	expected[nexpected].seen = false;
	nexpected++;
	(void)pthread_mutex_unlock(&expected_lock);
}

/* Every announcement covers one line. */
static void
on_log_line(enum log_level level, const char *text)
{
	size_t i;

	if (level < LOG_LEVEL_WARN)
		return;
	(void)pthread_mutex_lock(&expected_lock);
	for (i = 0; i < nexpected; i++)
		if (!expected[i].seen && strstr(text, expected[i].text) != NULL)
			break;
	if (i < nexpected)
		expected[i].seen = true;
	else {
		unannounced = true;
		diag("unannounced log line: %s", text);
	}
	(void)pthread_mutex_unlock(&expected_lock);
}

/* Leaves through exit(), where the leak checker waits. */
static void __attribute__((__noreturn__)) run_case(const struct test *test)
{
	bool passed;
	size_t i;

	log_divert(on_log_line);
	test->run();
	log_divert(NULL);
	passed = !unannounced;
	for (i = 0; i < nexpected; i++) {
		if (expected[i].seen)
			continue;
		passed = false;
		diag("expected log line did not come: %s", expected[i].text);
	}
	exit(passed ? CASE_PASSED : CASE_FAILED);
}

static pid_t
start_case(const struct test *test, const sigset_t *mask)
{
	const pid_t parent = getpid();
	pid_t pid;

	(void)fflush(NULL);
	if ((pid = fork()) == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(CASE_FAILED);
		(void)setpgid(0, 0);
		(void)sigprocmask(SIG_SETMASK, mask, NULL);
		run_case(test);
	}
	if (pid > 0)
		(void)setpgid(pid, pid);
	return (pid);
}

/* Waits until the case has ended, or for the time limit. The case is left to
 * be reaped, so that its process group keeps its number. */
static bool
wait_case(pid_t pid, const sigset_t *chld)
{
	struct timespec now, left;
	siginfo_t si;
	time_t end;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	end = now.tv_sec + TIME_LIMIT_S;
	for (;;) {
		si.si_pid = 0;
		if (waitid(P_PID, (id_t)pid, &si,
			WEXITED | WNOHANG | WNOWAIT) == 0 &&
		    si.si_pid == pid)
			return (true);
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec >= end)
			return (false);
		left.tv_sec = end - now.tv_sec;
		left.tv_nsec = 0;
		(void)sigtimedwait(chld, NULL, &left);
	}
}

static bool
passed_case(const struct test *test, const sigset_t *chld, const sigset_t *mask)
{
	bool in_time;
	int status;
	pid_t pid;

	if ((pid = start_case(test, mask)) == -1) {
		diag("fork: %s", strerror(errno));
		return (false);
	}
	in_time = wait_case(pid, chld);
	/* Whatever the case has left behind goes with it. */
	(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR) {
			diag("waitpid: %s", strerror(errno));
			return (false);
		}
	if (!in_time)
		diag("did not end within %d s", TIME_LIMIT_S);
	else if (WIFSIGNALED(status))
		diag("killed by signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != CASE_PASSED &&
	    WEXITSTATUS(status) != CASE_FAILED)
		diag("exited with status %d before its end; a sanitizer's "
		     "report is on standard error",
		    WEXITSTATUS(status));
	return (
	    in_time && WIFEXITED(status) && WEXITSTATUS(status) == CASE_PASSED);
}

int
test_main(const struct test *tests, size_t count)
{
	size_t i, failed = 0;
	sigset_t chld, mask;
	bool passed;

	if ((tap_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100)) == -1) {
		perror("fcntl");
		return (EXIT_FAILURE);
	}
	(void)signal(SIGCHLD, SIG_DFL);
	(void)sigemptyset(&chld);
	(void)sigaddset(&chld, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &chld, &mask);
	(void)sigdelset(&mask, SIGCHLD);
	(void)dprintf(tap_fd, "1..%zu\n", count);
	for (i = 0; i < count; i++) {
		passed = passed_case(&tests[i], &chld, &mask);
		failed += !passed;
		(void)dprintf(tap_fd, "%sok %zu - %s\n", passed ? "" : "not ",
		    i + 1, tests[i].name);
	}
	(void)close(tap_fd);
	return (failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}
