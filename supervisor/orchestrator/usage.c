/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/file.h"
#include "supervisor/orchestrator/usage.h"

#define GB ((int64_t)1024 * 1024 * 1024)

/* Reads dir/name; -1 when there is none. */
static int
read_in(const char *dir, const char *name, char *buf, size_t size)
{
	char path[USAGE_PATH_MAX + 64];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return (file_read(path, buf, size) == -1 ? -1 : 0);
}

/* The number behind a key that starts a line; -1: there is none. */
static int64_t
number_of(const char *text, const char *key)
{
	const size_t len = strlen(key);
	const char *line = text;
	intmax_t value;

	while (strncmp(line, key, len) != 0 ||
	    (line[len] != ' ' && line[len] != ':')) {
		if ((line = strchr(line, '\n')) == NULL)
			return (-1);
		line++;
	}
	errno = 0;
	value = strtoimax(line + len + 1, NULL, 10);
	return (errno == 0 && value >= 0 && value <= INT64_MAX ? value : -1);
}

static int64_t
machine_memory(const char *proc, const char *key)
{
	char text[4096];
	int64_t kb;

	if (read_in(proc, "meminfo", text, sizeof(text)) == -1 ||
	    (kb = number_of(text, key)) < 0 || kb > INT64_MAX / 1024)
		return (0);
	return (kb * 1024);
}

/* Cores that the scheduler lets us run on. */
static double
machine_cores(void)
{
	cpu_set_t set;
	long n;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return ((double)CPU_COUNT(&set));
	n = sysconf(_SC_NPROCESSORS_ONLN);
	return (n > 0 ? (double)n : 1);
}

/* The limits that a group itself has, when they are less than what is known
 * so far. */
static void
look_at_group(struct usage *u, const char *dir)
{
	char text[256], *end;
	int64_t bytes, quota, period;

	if (read_in(dir, "cpu.max", text, sizeof(text)) == 0 &&
	    (quota = strtoll(text, &end, 10)) > 0 &&
	    (period = strtoll(end, NULL, 10)) > 0 &&
	    (double)quota / (double)period < u->cores) {
		u->cores = (double)quota / (double)period;
		(void)strlcpy(u->cpu_group, dir, sizeof(u->cpu_group));
	}
	/* "max" reads as 0. */
	if (read_in(dir, "memory.max", text, sizeof(text)) == 0 &&
	    (bytes = strtoll(text, NULL, 10)) > 0 &&
	    (u->memory == 0 || bytes < u->memory)) {
		u->memory = bytes;
		(void)strlcpy(u->memory_group, dir, sizeof(u->memory_group));
	}
}

/* The path of our group below root; -1 when there is none that we can see. */
static int
own_group(const char *proc, const char *root, char dir[USAGE_PATH_MAX])
{
	char text[4096], *path;

	if (read_in(proc, "self/cgroup", text, sizeof(text)) == -1)
		return (-1);
	path = strncmp(text, "0::/", 4) == 0 ? text : strstr(text, "\n0::/");
	if (path == NULL)
		return (-1);
	path = strchr(path, '/');
	path[strcspn(path, "\n")] = '\0';
	if (strncmp(path, "/..", 3) == 0)
		return (-1);
	if (strcmp(path, "/") == 0)
		*path = '\0';
	if (snprintf(dir, USAGE_PATH_MAX, "%s%s", root, path) >= USAGE_PATH_MAX)
		return (-1);
	return (0);
}

/* Of the machine, in ticks; of a group, in microseconds. */
static void
read_cpu(const struct usage *u, int64_t *busy, int64_t *total)
{
	long long t[8] = { 0 };
	char text[4096];
	int i;

	*busy = *total = 0;
	if (u->cpu_group[0] != '\0') {
		*total = (int64_t)((double)clock_now_ms() * 1000 * u->cores);
		if (read_in(u->cpu_group, "cpu.stat", text, sizeof(text)) == 0)
			*busy = number_of(text, "usage_usec");
		return;
	}
	/* user nice system idle iowait irq softirq steal */
	if (read_in(u->proc, "stat", text, sizeof(text)) == -1 ||
	    sscanf(text, "cpu %lld %lld %lld %lld %lld %lld %lld %lld", &t[0],
		&t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) < 4)
		return;
	for (i = 0; i < 8; i++)
		*total += t[i];
	*busy = *total - t[3] - t[4];
}

static int64_t
memory_used(const struct usage *u)
{
	char text[8192];
	int64_t used, files;

	if (u->memory_group[0] == '\0')
		return (machine_memory(u->proc, "MemTotal") -
		    machine_memory(u->proc, "MemAvailable"));
	if (read_in(u->memory_group, "memory.current", text, sizeof(text)) ==
	    -1)
		return (0);
	used = strtoll(text, NULL, 10);
	/* Pages of files that were not used lately are given back when memory
	 * is short. */
	if (read_in(u->memory_group, "memory.stat", text, sizeof(text)) == 0 &&
	    (files = number_of(text, "inactive_file")) > 0)
		used -= files;
	return (used);
}

void
usage_init(struct usage *u, const char *proc, const char *cgroup)
{
	char dir[USAGE_PATH_MAX], *slash;

	*u = (struct usage){ 0 };
	(void)strlcpy(u->proc, proc, sizeof(u->proc));
	u->cores = machine_cores();
	u->memory = machine_memory(proc, "MemTotal");
	if (own_group(proc, cgroup, dir) == 0)
		while (strlen(dir) >= strlen(cgroup)) {
			look_at_group(u, dir);
			if ((slash = strrchr(dir, '/')) == NULL)
				break;
			*slash = '\0';
		}
	read_cpu(u, &u->busy, &u->total);
}

void
usage_look(struct usage *u, struct usage_sample *sample)
{
	const int64_t used = memory_used(u);
	int64_t busy, total;
	double percent = 0;

	read_cpu(u, &busy, &total);
	if (total > u->total && busy > u->busy)
		percent =
		    100 * (double)(busy - u->busy) / (double)(total - u->total);
	u->busy = busy;
	u->total = total;
	sample->cpu_percent = percent < 100 ? percent : 100;
	sample->memory_gb = used > 0 ? (double)used / (double)GB : 0;
}

long
usage_cores(const struct usage *u)
{
	return (u->cores >= 1 ? (long)u->cores : 1);
}

int64_t
usage_memory_gb(const struct usage *u)
{
	return ((u->memory + GB / 2) / GB);
}
