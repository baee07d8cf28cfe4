/* SPDX-License-Identifier: ISC */
/*
 * procinfo.c: reads /proc/PID/stat, wchan and syscall. The last two may be
 * withheld from us: then the line is shorter. None of them makes us wait for
 * the process; cmdline, maps and smaps might, and are left alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bsd/string.h>

#include "supervisor/children/procinfo.h"

/* Those that a slow handler waits in; not every machine has all of them. */
static const struct {
	long number;
	const char *name;
} syscalls[] = {
#define CALL(name) \
	{ \
		SYS_##name, #name \
	}
	CALL(accept4),
	CALL(clock_nanosleep),
	CALL(connect),
	CALL(epoll_pwait),
	CALL(fcntl),
	CALL(fdatasync),
	CALL(flock),
	CALL(fsync),
	CALL(futex),
	CALL(io_getevents),
	CALL(msgrcv),
	CALL(nanosleep),
	CALL(openat),
	CALL(ppoll),
	CALL(pread64),
	CALL(pselect6),
	CALL(pwrite64),
	CALL(read),
	CALL(readv),
	CALL(recvfrom),
	CALL(recvmsg),
	CALL(rt_sigsuspend),
	CALL(rt_sigtimedwait),
	CALL(semtimedop),
	CALL(sendmsg),
	CALL(sendto),
	CALL(wait4),
	CALL(waitid),
	CALL(write),
	CALL(writev),
#ifdef SYS_epoll_wait
	CALL(epoll_wait),
#endif
#ifdef SYS_pause
	CALL(pause),
#endif
#ifdef SYS_poll
	CALL(poll),
#endif
#ifdef SYS_select
	CALL(select),
#endif
#undef CALL
};

static const struct {
	char letter;
	const char *words;
} states[] = {
	{ 'R', "running" },
	{ 'S', "sleeping" },
	{ 'D', "waiting for a device" },
	{ 'T', "stopped" },
	{ 't', "stopped by a debugger" },
	{ 'Z', "dead" },
	{ 'X', "dead" },
	{ 'I', "idle" },
};

/* A small file of /proc, terminated. -1 when it cannot be read. */
static ssize_t
read_file(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return (-1);
	do
		n = read(fd, buf, size - 1);
	while (n == -1 && errno == EINTR);
	(void)close(fd);
	if (n >= 0)
		buf[n] = '\0';
	return (n);
}

static int64_t
ticks_ms(unsigned long long ticks)
{
	const long hz = sysconf(_SC_CLK_TCK);

	return (hz > 0 ? (int64_t)(ticks * 1000 / (unsigned long)hz) : -1);
}

/* Its second field is the program's name, which may hold anything. */
static bool
read_stat(pid_t pid, struct procinfo *p)
{
	unsigned long long user, system;
	char buf[1024], *at;
	long threads, pages;

	if (read_file(pid, "stat", buf, sizeof(buf)) <= 0 ||
	    (at = strrchr(buf, ')')) == NULL ||
	    sscanf(at + 1,
		" %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d "
		"%*d %*d %*d %ld %*d %*u %*u %ld",
		&p->state, &user, &system, &threads, &pages) != 5)
		return (false);
	p->user_ms = ticks_ms(user);
	p->system_ms = ticks_ms(system);
	p->threads = (int)threads;
	p->rss_kb = (int64_t)pages * (sysconf(_SC_PAGESIZE) / 1024);
	return (true);
}

static void
read_wchan(pid_t pid, struct procinfo *p)
{
	char buf[sizeof(p->wchan)];

	/* "0" stands for nothing, and for what is withheld. */
	if (read_file(pid, "wchan", buf, sizeof(buf)) > 0 &&
	    strcmp(buf, "0") != 0)
		(void)strlcpy(p->wchan, buf, sizeof(p->wchan));
}

/* "running", or the number of the call with its arguments behind it; -1 when
 * it waits in none (a page fault). */
static void
read_syscall(pid_t pid, struct procinfo *p)
{
	char buf[256], *end;
	long number;
	size_t i;

	if (read_file(pid, "syscall", buf, sizeof(buf)) <= 0)
		return;
	if (strncmp(buf, "running", strlen("running")) == 0) {
		(void)strlcpy(p->syscall, "running", sizeof(p->syscall));
		return;
	}
	number = strtol(buf, &end, 10);
	if (end == buf || number < 0)
		return;
	(void)snprintf(p->syscall, sizeof(p->syscall), "%ld", number);
	for (i = 0; i < sizeof(syscalls) / sizeof(syscalls[0]); i++)
		if (syscalls[i].number == number)
			(void)strlcpy(
			    p->syscall, syscalls[i].name, sizeof(p->syscall));
}

bool
procinfo_read(pid_t pid, struct procinfo *p)
{
	*p = (struct procinfo){
		.user_ms = -1,
		.system_ms = -1,
		.rss_kb = -1,
	};
	if (!read_stat(pid, p))
		return (false);
	read_wchan(pid, p);
	read_syscall(pid, p);
	return (true);
}

pid_t
procinfo_oldest_child(pid_t pid)
{
	char name[32], buf[64];

	(void)snprintf(name, sizeof(name), "task/%d/children", (int)pid);
	if (read_file(pid, name, buf, sizeof(buf)) <= 0)
		return (0);
	return ((pid_t)strtol(buf, NULL, 10));
}

static const char *
state_words(char letter)
{
	size_t i;

	for (i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (states[i].letter == letter)
			return (states[i].words);
	return ("of another kind");
}

void
procinfo_format(const struct procinfo *p, char *text, size_t size)
{
	char call[64] = "", wchan[96] = "", rss[48] = "";

	if (p->syscall[0] != '\0' && strcmp(p->syscall, "running") != 0)
		(void)snprintf(
		    call, sizeof(call), " in system call %s", p->syscall);
	if (p->wchan[0] != '\0')
		(void)snprintf(
		    wchan, sizeof(wchan), ", kernel function %s", p->wchan);
	if (p->rss_kb >= 0)
		(void)snprintf(rss, sizeof(rss), ", %lld kB resident",
		    (long long)p->rss_kb);
	(void)snprintf(text, size,
	    "state %c (%s)%s%s, cpu %lld ms user and %lld ms system%s, %d "
	    "thread%s",
	    p->state, state_words(p->state), call, wchan, (long long)p->user_ms,
	    (long long)p->system_ms, rss, p->threads,
	    p->threads == 1 ? "" : "s");
}
