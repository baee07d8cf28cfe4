/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>

#include "supervisor/base/file.h"
#include "supervisor/children/cgroup.h"
#include "supervisor/children/headroom.h"

static int64_t
machine_available(const char *proc)
{
	static const char key[] = "MemAvailable:";
	char path[512], text[4096];
	const char *p;
	intmax_t kb;

	(void)snprintf(path, sizeof(path), "%s/meminfo", proc);
	if (file_read(path, text, sizeof(text)) == -1 ||
	    (p = strstr(text, key)) == NULL)
		return (INT64_MAX);
	errno = 0;
	kb = strtoimax(p + strlen(key), NULL, 10);
	if (errno != 0 || kb < 0 || kb > INT64_MAX / 1024)
		return (INT64_MAX);
	return ((int64_t)kb * 1024);
}

/* What is left below one group's limit. Pages of files that were not used
 * lately are given back when memory is short, so they count as free; asking
 * for them is the costly part, and done only when it can matter. */
static int64_t
group_available(const char *dir, int64_t least)
{
	const int64_t max = cgroup_number(dir, "memory.max");
	int64_t left, files, current;

	if (max == -1 || max == INT64_MAX)
		return (INT64_MAX);
	if ((current = cgroup_number(dir, "memory.current")) == -1)
		return (INT64_MAX);
	left = current < max ? max - current : 0;
	if (left >= least)
		return (left);
	files = cgroup_key(dir, "memory.stat", "inactive_file");
	if (files > 0)
		left += files < current ? files : current;
	return (left < max ? left : max);
}

int64_t
headroom(const char *proc, const char *root, const char *group)
{
	char dir[CGROUP_PATH_MAX], *slash;
	int64_t least, left;

	least = machine_available(proc);
	(void)strlcpy(dir, group, sizeof(dir));
	while (strlen(dir) >= strlen(root)) {
		left = group_available(dir, least);
		if (left < least)
			least = left;
		if ((slash = strrchr(dir, '/')) == NULL)
			break;
		*slash = '\0';
	}
	return (least);
}
