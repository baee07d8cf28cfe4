/* SPDX-License-Identifier: ISC */
/*
 * tree.c: only children of this process are killed. What they leave behind
 * becomes our own children (we are a subreaper), and the next round finds it.
 * To go down the tree instead would take too long: a fork bomb runs away
 * meanwhile, while all our children can be killed in one turn on a processor.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child/tree.h"

#define ROUND_MS 10 /* then it is looked for more */
#define DEAD_MAX 100 /* in one round: the living do not wait */

static int
append(struct tree_list *l, pid_t pid)
{
	struct tree_process *p;
	size_t size;

	if (l->len == l->size) {
		size = l->size > 0 ? l->size * 2 : 32;
		if ((p = reallocarray(l->list, size, sizeof(*p))) == NULL)
			return (-1);
		l->list = p;
		l->size = size;
	}
	l->list[l->len++] = (struct tree_process){ .pid = pid };
	return (0);
}

void
tree_list_fini(struct tree_list *l)
{
	free(l->list);
	*l = (struct tree_list){ 0 };
}

/* The numbers in an open "children" file: decimal, a space behind each. */
static int
read_numbers(int fd, struct tree_list *out)
{
	char buf[4096];
	ssize_t i, n;
	long pid = 0;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (i = 0; i < n; i++) {
			if (buf[i] >= '0' && buf[i] <= '9' &&
			    pid <= INT_MAX / 10) {
				pid = pid * 10 + (buf[i] - '0');
				continue;
			}
			if (pid > 0 && append(out, (pid_t)pid) == -1)
				return (-1);
			pid = 0;
		}
	return (n == -1 ? -1 : 0);
}

static int
children_of_thread(int tasks, const char *tid, struct tree_list *out)
{
	char path[64];
	int error, fd, rc;

	(void)snprintf(path, sizeof(path), "%.20s/children", tid);
	if ((fd = openat(tasks, path, O_RDONLY | O_CLOEXEC)) == -1) {
		error = errno;
		if (faccessat(tasks, tid, F_OK, 0) == -1)
			return (0); /* it ended meanwhile */
		errno = error == ENOENT ? ENOSYS : error;
		return (-1);
	}
	rc = read_numbers(fd, out);
	(void)close(fd);
	return (rc);
}

/* In another PID namespace's /proc our numbers are somebody else's. */
static bool
proc_is_ours(void)
{
	char text[24], own[24];
	const ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);

	if (n == -1)
		return (false);
	text[n] = '\0';
	(void)snprintf(own, sizeof(own), "%d", (int)getpid());
	return (strcmp(text, own) == 0);
}

int
tree_children(struct tree_list *out)
{
	struct dirent *entry;
	DIR *tasks;
	int rc = 0;

	if (!proc_is_ours()) {
		errno = ENOSYS;
		return (-1);
	}
	if ((tasks = opendir("/proc/self/task")) == NULL)
		return (-1);
	while (rc == 0 && (entry = readdir(tasks)) != NULL)
		if (entry->d_name[0] != '.')
			rc = children_of_thread(
			    dirfd(tasks), entry->d_name, out);
	(void)closedir(tasks);
	return (rc);
}

int
tree_look(struct tree_process *p)
{
	char path[40], buf[1024], *after;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)p->pid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return (-1);
	n = read(fd, buf, sizeof(buf) - 1);
	(void)close(fd);
	if (n <= 0)
		return (-1);
	buf[n] = '\0';
	/* The name before it may hold anything. */
	if ((after = strrchr(buf, ')')) == NULL ||
	    sscanf(after + 1,
		" %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		"%*s %*s %*s %*s %llu",
		&p->born) != 1) {
		errno = EINVAL;
		return (-1);
	}
	return (0);
}

bool
tree_has(const struct tree_list *l, pid_t pid)
{
	struct tree_process p = { .pid = pid };
	size_t i;

	if (l == NULL)
		return (false);
	for (i = 0; i < l->len; i++)
		if (l->list[i].pid == pid)
			return (
			    tree_look(&p) == 0 && p.born == l->list[i].born);
	return (false);
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000);
}

/* Reaps a child that is dead, and kills one that lives, to be waited for: true.
 * A thread of ours may reap it meanwhile: the pidfd is of what had its number
 * first, and waitid(2) tells whether that is a child of ours. */
static bool
end_child(pid_t pid)
{
	siginfo_t info = { .si_pid = 0 };
	const int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	bool lives;

	if (fd == -1)
		return (errno != ESRCH);
	lives =
	    waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG | __WALL) == 0 &&
	    info.si_pid == 0;
	if (lives)
		(void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	(void)close(fd);
	return (lives);
}

static void
wait_for(pid_t pid, int64_t limit_ms)
{
	struct pollfd pfd = {
		.fd = (int)syscall(SYS_pidfd_open, pid, 0),
		.events = POLLIN,
	};

	(void)poll(&pfd, 1, (int)limit_ms);
	if (pfd.fd != -1)
		(void)close(pfd.fd);
}

static bool
has_children(void)
{
	siginfo_t info;

	return (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) ==
		0 ||
	    errno != ECHILD);
}

/* Kills the children that there are now, the youngest first: some of those are
 * alive even where a fork bomb has left thousands of dead. Returns how many
 * were looked at, or -1; *living is one to wait for, or 0. */
static int
end_children(const struct tree_list *keep, pid_t *living)
{
	struct tree_list found = { 0 };
	int n = 0, dead = 0;
	size_t i;
	pid_t pid;

	*living = 0;
	if (tree_children(&found) == -1)
		n = -1;
	else
		for (i = found.len; i > 0 && dead < DEAD_MAX; i--) {
			pid = found.list[i - 1].pid;
			if (tree_has(keep, pid))
				continue;
			n++;
			if (end_child(pid))
				*living = pid;
			else
				dead++;
		}
	tree_list_fini(&found);
	return (n);
}

static int
end_all(const struct tree_list *keep, int64_t until_ms)
{
	int64_t left_ms;
	pid_t living, before = 0;
	int n = 1;

	while (n > 0 && has_children()) {
		if ((n = end_children(keep, &living)) <= 0)
			break;
		if ((left_ms = until_ms - now_ms()) <= 0) {
			errno = ETIME;
			return (-1);
		}
		if (left_ms > ROUND_MS)
			left_ms = ROUND_MS;
		/* One that is traced is dead before it can be reaped. */
		if (living != 0 && living == before)
			(void)poll(NULL, 0, (int)left_ms);
		else if (living != 0)
			wait_for(living, left_ms);
		before = living;
	}
	return (n == -1 ? -1 : 0);
}

int
tree_end(const struct tree_list *keep, int limit_ms)
{
	const bool all = keep == NULL || keep->len == 0;
	const int64_t until_ms = now_ms() + limit_ms;
	struct sigaction before, quiet;
	int error, rc;

	if (!has_children())
		return (0);
	/* The kernel reaps what dies: a fork bomb fills the system with its
	 * dead by the time that we get a processor to look at them. To ignore
	 * the signal would do the same, but a thread of a handler may start a
	 * program meanwhile, which would inherit that, and signals that wait
	 * would be lost. */
	if (sigaction(SIGCHLD, NULL, &before) == -1)
		return (-1);
	quiet = before;
	quiet.sa_flags |= SA_NOCLDWAIT;
	if (all && sigaction(SIGCHLD, &quiet, NULL) == -1)
		return (-1);
	rc = end_all(keep, until_ms);
	error = errno;
	if (all)
		(void)sigaction(SIGCHLD, &before, NULL);
	errno = error;
	return (rc);
}
