/* SPDX-License-Identifier: ISC */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/base/file.h"
#include "supervisor/children/footprint.h"

#define PROC_PATH_MAX 512
/* Threads of one process whose children are looked for: a bound, so that one
 * process with thousands of them cannot hold the loop. */
#define THREADS_MAX   64

/* Reads the digits at *p and moves behind them. -1: there is no number, or one
 * that does not fit. */
static int64_t
read_number(const char **p)
{
	char *end;
	intmax_t value;

	if (**p < '0' || **p > '9')
		return (-1);
	errno = 0;
	value = strtoimax(*p, &end, 10);
	if (errno != 0 || value > INT64_MAX)
		return (-1);
	*p = end;
	return ((int64_t)value);
}

int64_t
footprint_rss(const char *proc, pid_t pid)
{
	const int64_t page = sysconf(_SC_PAGESIZE);
	char path[PROC_PATH_MAX], buf[256];
	const char *p = buf;
	int64_t pages;

	(void)snprintf(path, sizeof(path), "%s/%d/statm", proc, (int)pid);
	if (file_read(path, buf, sizeof(buf)) == -1)
		return (-1);
	/* size resident shared ... */
	if (read_number(&p) == -1 || *p++ != ' ' ||
	    (pages = read_number(&p)) == -1 || pages > INT64_MAX / page) {
		errno = EINVAL;
		return (-1);
	}
	return (pages * page);
}

int64_t
footprint_pss(const char *proc, pid_t pid)
{
	static const char key[] = "\nPss:";
	char path[PROC_PATH_MAX], buf[4096];
	const char *p;
	int64_t kb;

	(void)snprintf(
	    path, sizeof(path), "%s/%d/smaps_rollup", proc, (int)pid);
	if (file_read(path, buf, sizeof(buf)) == -1)
		return (-1);
	if ((p = strstr(buf, key)) == NULL) {
		/* A process without memory is a dead one. */
		errno = ESRCH;
		return (-1);
	}
	p += strlen(key);
	p += strspn(p, " \t");
	if ((kb = read_number(&p)) == -1 || kb > INT64_MAX / 1024) {
		errno = EINVAL;
		return (-1);
	}
	return (kb * 1024);
}

static bool
is_known(const struct footprint_family *f, pid_t pid)
{
	size_t i;

	for (i = 0; i < f->count; i++)
		if (f->pids[i] == pid)
			return (true);
	return (false);
}

/* Adds the children that one thread has started: "12 345 ". A number without
 * a space behind it has been cut. */
static void
add_children(struct footprint_family *f, const char *path)
{
	char buf[4096];
	const char *p = buf;
	int64_t pid;

	if (file_read(path, buf, sizeof(buf)) == -1)
		return;
	while (f->count < FOOTPRINT_FAMILY_MAX &&
	    (pid = read_number(&p)) != -1 && *p == ' ') {
		p += strspn(p, " ");
		if (pid > 0 && pid <= INT_MAX && !is_known(f, (pid_t)pid))
			f->pids[f->count++] = (pid_t)pid;
	}
}

static void
add_children_of(struct footprint_family *f, const char *proc, pid_t pid)
{
	char path[PROC_PATH_MAX], file[PROC_PATH_MAX + 300];
	const struct dirent *entry;
	unsigned threads = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s/%d/task", proc, (int)pid);
	if ((dir = opendir(path)) == NULL)
		return;
	while (threads < THREADS_MAX && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(
		    file, sizeof(file), "%s/%s/children", path, entry->d_name);
		add_children(f, file);
		threads++;
	}
	(void)closedir(dir);
}

void
footprint_family(struct footprint_family *f, const char *proc, pid_t pid)
{
	size_t i;

	f->pids[0] = pid;
	f->count = 1;
	for (i = 0; i < f->count; i++)
		add_children_of(f, proc, f->pids[i]);
}

int64_t
footprint_sum(const struct footprint_family *f, const char *proc,
    int64_t (*of)(const char *, pid_t))
{
	int64_t sum = 0, bytes;
	size_t i;

	for (i = 0; i < f->count; i++) {
		bytes = of(proc, f->pids[i]);
		if (bytes == -1 && (errno == EACCES || errno == EPERM))
			bytes = footprint_rss(proc, f->pids[i]);
		if (bytes > 0 && bytes <= INT64_MAX - sum)
			sum += bytes;
	}
	return (sum);
}

const char *
footprint_text(char out[FOOTPRINT_TEXT_MAX], int64_t bytes)
{
	static const char units[] = "KMG";
	int64_t unit = 1024;
	size_t i = 0;

	while (i + 1 < sizeof(units) - 1 && bytes / unit >= 1024) {
		unit *= 1024;
		i++;
	}
	if (bytes % unit == 0)
		(void)snprintf(out, FOOTPRINT_TEXT_MAX, "%" PRId64 "%c",
		    bytes / unit, units[i]);
	else
		(void)snprintf(out, FOOTPRINT_TEXT_MAX, "%.1f%c",
		    (double)bytes / (double)unit, units[i]);
	return (out);
}
