/* SPDX-License-Identifier: ISC */
/*
 * tree.c: the children of this process cannot change their number while we do
 * not reap them; those further down can, and so each is pinned by a pidfd and
 * looked at again before it is killed. Whoever loses a parent becomes a child
 * of ours (we are a subreaper): so what one walk has missed, the next one
 * finds nearer.
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

static int
append(struct tree_list *l, pid_t pid, pid_t parent)
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
	l->list[l->len++] =
	    (struct tree_process){ .pid = pid, .parent = parent };
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
read_numbers(int fd, pid_t parent, struct tree_list *out)
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
			if (pid > 0 && append(out, (pid_t)pid, parent) == -1)
				return (-1);
			pid = 0;
		}
	return (n == -1 ? -1 : 0);
}

static int
children_of_thread(
    int tasks, const char *tid, pid_t parent, struct tree_list *out)
{
	char path[64];
	int fd, rc;

	(void)snprintf(path, sizeof(path), "%.20s/children", tid);
	if ((fd = openat(tasks, path, O_RDONLY | O_CLOEXEC)) == -1)
		return (faccessat(tasks, tid, F_OK, 0) == -1 ?
			0 : /* it ended meanwhile */
			(errno = ENOSYS, -1));
	rc = read_numbers(fd, parent, out);
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
tree_children(pid_t pid, struct tree_list *out)
{
	char path[40];
	struct dirent *entry;
	DIR *tasks;
	int rc = 0;

	if (pid == getpid() && !proc_is_ours()) {
		errno = ENOSYS;
		return (-1);
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	if ((tasks = opendir(path)) == NULL)
		return (-1);
	while (rc == 0 && (entry = readdir(tasks)) != NULL)
		if (entry->d_name[0] != '.')
			rc = children_of_thread(
			    dirfd(tasks), entry->d_name, pid, out);
	(void)closedir(tasks);
	return (rc);
}

int
tree_look(struct tree_process *p)
{
	char path[40], buf[1024], *after;
	ssize_t n;
	int fd, parent;

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
		" %*c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		"%*s %*s %*s %*s %llu",
		&parent, &p->born) != 2) {
		errno = EINVAL;
		return (-1);
	}
	p->parent = (pid_t)parent;
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

/* Kills it if it still is who the list says; its children are appended
 * first. One that has lost its parent meanwhile is ours. */
static void
kill_one(struct tree_list *l, size_t at, pid_t own)
{
	struct tree_process p = l->list[at];
	const pid_t parent = p.parent;
	int fd;

	if ((fd = (int)syscall(SYS_pidfd_open, p.pid, 0)) == -1)
		return;
	if (tree_look(&p) == 0 && (p.parent == parent || p.parent == own)) {
		(void)tree_children(p.pid, l);
		(void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	}
	(void)close(fd);
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000);
}

/* Waits for a child of ours that has been killed. False when it is late. */
static bool
reap(pid_t pid, int64_t until_ms)
{
	struct pollfd pfd = { .events = POLLIN };
	int64_t left;

	if (waitpid(pid, NULL, WNOHANG | __WALL) != 0)
		return (true); /* reaped, by us or by somebody else */
	if ((pfd.fd = (int)syscall(SYS_pidfd_open, pid, 0)) == -1)
		return (false);
	while (waitpid(pid, NULL, WNOHANG | __WALL) == 0 &&
	    (left = until_ms - now_ms()) > 0)
		(void)poll(&pfd, 1, (int)left);
	(void)close(pfd.fd);
	return (left > 0);
}

static bool
has_children(void)
{
	siginfo_t info;

	return (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) ==
		0 ||
	    errno != ECHILD);
}

/* One walk: kills everything that it finds, then reaps the children. Returns
 * how many there were, or -1. */
static int
walk(const struct tree_list *keep, int64_t until_ms)
{
	struct tree_list found = { 0 };
	const pid_t own = getpid();
	size_t i, children = 0;
	int rc;

	if ((rc = tree_children(own, &found)) == -1)
		goto out;
	for (i = 0; i < found.len; i++)
		if (!tree_has(keep, found.list[i].pid))
			found.list[children++] = found.list[i];
	found.len = children;
	for (i = 0; i < found.len; i++) /* it grows under way */
		kill_one(&found, i, own);
	for (i = 0; i < children && rc == 0; i++)
		if (!reap(found.list[i].pid, until_ms)) {
			errno = ETIME;
			rc = -1;
		}
out:
	tree_list_fini(&found);
	return (rc == -1 ? -1 : (int)children);
}

int
tree_end(const struct tree_list *keep, int limit_ms)
{
	const int64_t until_ms = now_ms() + limit_ms;
	int rc = 1;

	while (rc > 0 && has_children()) {
		if (now_ms() > until_ms) {
			errno = ETIME; /* a thread of ours starts more */
			return (-1);
		}
		rc = walk(keep, until_ms);
	}
	return (rc == -1 ? -1 : 0);
}
