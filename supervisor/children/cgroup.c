/* SPDX-License-Identifier: ISC */
/*
 * cgroup.c: the kernel's files, one order each. These calls take one lock of
 * the whole machine, which whoever moves a process between groups holds, at
 * times for milliseconds. That is why children join their group themselves.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <bsd/string.h>

#include "supervisor/base/file.h"
#include "supervisor/children/cgroup.h"

#define DEPTH_MAX       8 /* of groups in a child's group that are removed */
#define REMOVED_AT_ONCE 100

/* dir/name. -1 and ENAMETOOLONG. */
static int
join(char path[CGROUP_PATH_MAX], const char *dir, const char *name)
{
	const int n = snprintf(path, CGROUP_PATH_MAX, "%s/%s", dir, name);

	if (n < 0 || n >= CGROUP_PATH_MAX) {
		errno = ENAMETOOLONG;
		return (-1);
	}
	return (0);
}

static ssize_t
read_file(const char *dir, const char *file, char *buf, size_t size)
{
	char path[CGROUP_PATH_MAX];

	if (join(path, dir, file) == -1)
		return (-1);
	return (file_read(path, buf, size));
}

static int
write_file(const char *dir, const char *file, const char *text)
{
	char path[CGROUP_PATH_MAX];

	if (join(path, dir, file) == -1)
		return (-1);
	return (file_write(path, text));
}

/*
 * Where we are.
 */

/* The path in "0::/path", in place; NULL and why when there are other
 * hierarchies: then the memory controller is theirs. */
static char *
only_path(char *text, struct why *why)
{
	char *line, *found = NULL;

	while ((line = strsep(&text, "\n")) != NULL) {
		if (*line == '\0')
			continue;
		if (strncmp(line, "0::", 3) != 0) {
			why_set(why,
			    "this machine uses control groups of "
			    "version 1");
			return (NULL);
		}
		found = line + 3;
	}
	if (found == NULL || *found != '/') {
		why_set(why, "this kernel has no control groups");
		return (NULL);
	}
	return (found);
}

/* A group outside of our cgroup namespace is shown as /../name. */
static bool
leads_out(const char *path)
{
	return (strncmp(path, "/..", 3) == 0 &&
	    (path[3] == '/' || path[3] == '\0'));
}

int
cgroup_own(const char *proc, const char *root, char dir[CGROUP_PATH_MAX],
    struct why *why)
{
	char path[CGROUP_PATH_MAX], text[2 * CGROUP_PATH_MAX], *own;
	struct stat st;

	if (join(path, proc, "self/cgroup") == -1 ||
	    file_read(path, text, sizeof(text)) == -1) {
		why_errno(why, "cannot read our control group");
		return (-1);
	}
	if ((own = only_path(text, why)) == NULL)
		return (-1);
	if (strcmp(own, "/") == 0)
		*own = '\0';
	if (leads_out(own) ||
	    snprintf(path, sizeof(path), "%s%s", root, own) >=
		(int)sizeof(path)) {
		why_set(why, "our control group is not to be seen from here");
		return (-1);
	}
	if (stat(path, &st) == -1) {
		why_errno(why, "our control group, %.150s", path);
		return (-1);
	}
	(void)strlcpy(dir, path, CGROUP_PATH_MAX);
	return (0);
}

/* The first process in the group that is not pid; 0 when there is none; -1
 * and errno. One from outside of our PID namespace is shown as 0, and given
 * as INT64_MAX. */
static int64_t
stranger(const char *dir, pid_t pid)
{
	char buf[256], *p = buf, *end;
	intmax_t value;

	/* Few are enough: one of the first ten must be somebody else. */
	if (read_file(dir, "cgroup.procs", buf, sizeof(buf)) == -1)
		return (-1);
	for (;;) {
		p += strspn(p, "\n");
		if (*p == '\0')
			return (0);
		value = strtoimax(p, &end, 10);
		if (end == p || value <= 0)
			return (INT64_MAX);
		if (value != pid)
			return (value);
		p = end;
	}
}

bool
cgroup_is_ours_alone(const char *dir)
{
	return (stranger(dir, getpid()) == 0);
}

bool
cgroup_is_vacant(const char *dir)
{
	return (stranger(dir, 0) == 0);
}

/*
 * Whether we may.
 */

/* True when the file names that controller: words with spaces between. */
static bool
names_controller(const char *dir, const char *file, const char *name)
{
	char text[1024], *rest = text, *word;

	if (read_file(dir, file, text, sizeof(text)) == -1)
		return (false);
	while ((word = strsep(&rest, " \n")) != NULL)
		if (strcmp(word, name) == 0)
			return (true);
	return (false);
}

static bool
ends_in(const char *text, const char *end)
{
	const size_t len = strlen(text), end_len = strlen(end);

	return (len > end_len && strcmp(text + len - end_len, end) == 0);
}

/* Root can write everywhere, also where systemd means to keep order by itself
 * and would undo what we do. It marks what it has delegated. */
static bool
is_kept_by_systemd(const char *dir)
{
	static const char *const marks[] = { "user.delegate",
		"trusted.delegate" };
	char value[8];
	size_t i;

	if (geteuid() != 0 ||
	    (!ends_in(dir, ".service") && !ends_in(dir, ".scope") &&
		!ends_in(dir, ".slice")))
		return (false);
	for (i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (getxattr(dir, marks[i], value, sizeof(value)) == 1 &&
		    value[0] == '1')
			return (false);
	return (true);
}

int
cgroup_check_delegated(const char *dir, struct why *why)
{
	static const char *const files[] = { ".", "cgroup.procs",
		"cgroup.subtree_control" };
	char path[CGROUP_PATH_MAX];
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (join(path, dir, files[i]) == -1 ||
		    faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == -1) {
			why_errno(
			    why, "our control group is not delegated to us");
			return (-1);
		}
	if (is_kept_by_systemd(dir)) {
		why_set(why, "our control group is not delegated to us");
		return (-1);
	}
	if (!names_controller(dir, "cgroup.controllers", "memory")) {
		why_set(why, "our control group has no memory controller");
		return (-1);
	}
	return (0);
}

/*
 * Our own place.
 */

int
cgroup_enable_memory(const char *dir, struct why *why)
{
	if (!names_controller(dir, "cgroup.subtree_control", "memory") &&
	    write_file(dir, "cgroup.subtree_control", "+memory") == -1) {
		why_errno(
		    why, "cannot enable memory limits in our control group");
		return (-1);
	}
	/* Counts the processes of each child, for whoever looks. */
	if (names_controller(dir, "cgroup.controllers", "pids") &&
	    !names_controller(dir, "cgroup.subtree_control", "pids"))
		(void)write_file(dir, "cgroup.subtree_control", "+pids");
	return (0);
}

int
cgroup_settle(const char *dir, struct why *why)
{
	char leaf[CGROUP_PATH_MAX];

	if (join(leaf, dir, CGROUP_LEAF) == -1 ||
	    (mkdir(leaf, 0755) == -1 && errno != EEXIST)) {
		why_errno(why, "cannot make a control group for ourselves");
		return (-1);
	}
	if (!cgroup_is_vacant(leaf)) {
		why_set(
		    why, "somebody else is in the control group %.150s", leaf);
		return (-1);
	}
	if (write_file(leaf, "cgroup.procs", "0") == -1) {
		why_errno(why, "cannot join our own control group");
		(void)rmdir(leaf);
		return (-1);
	}
	if (cgroup_enable_memory(dir, why) == -1) {
		(void)write_file(dir, "cgroup.procs", "0");
		(void)rmdir(leaf);
		return (-1);
	}
	return (0);
}

/*
 * Groups of children.
 */

/* A file that older kernels, or kernels without swap, do not have. */
static int
write_if_there(const char *dir, const char *file, const char *text)
{
	if (write_file(dir, file, text) == -1 && errno != ENOENT)
		return (-1);
	return (0);
}

int
cgroup_make(const char *dir, int64_t memory_limit, struct why *why)
{
	char number[24];
	int error;

	if (mkdir(dir, 0755) == -1 && errno != EEXIST) {
		why_errno(why, "cannot make a control group");
		return (-1);
	}
	(void)snprintf(number, sizeof(number), "%" PRId64, memory_limit);
	/* What is swapped out would not count, and the limit be none. */
	if ((memory_limit != 0 &&
		(write_file(dir, "memory.max", number) == -1 ||
		    write_if_there(dir, "memory.swap.max", "0") == -1)) ||
	    write_if_there(dir, "memory.oom.group", "1") == -1) {
		error = errno;
		(void)rmdir(dir);
		errno = error;
		why_errno(why, "cannot set the limit of a control group");
		return (-1);
	}
	return (0);
}

int
cgroup_kill(const char *dir)
{
	return (write_file(dir, "cgroup.kill", "1"));
}

/* Handlers may have made groups of their own in theirs. At most *left are
 * removed: whoever makes thousands must not hold the loop. */
static void
remove_groups_in(const char *dir, unsigned depth, unsigned *left)
{
	const struct dirent *entry;
	char path[CGROUP_PATH_MAX];
	DIR *d;

	if (depth == 0 || (d = opendir(dir)) == NULL)
		return;
	while (*left > 0 && (entry = readdir(d)) != NULL) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    join(path, dir, entry->d_name) == -1)
			continue;
		remove_groups_in(path, depth - 1, left);
		(void)rmdir(path);
		if (*left > 0)
			(*left)--;
	}
	(void)closedir(d);
}

int
cgroup_remove(const char *dir)
{
	unsigned left = REMOVED_AT_ONCE;

	if (rmdir(dir) == 0 || errno == ENOENT)
		return (0);
	if (errno != EBUSY && errno != ENOTEMPTY)
		return (-1);
	remove_groups_in(dir, DEPTH_MAX, &left);
	if (rmdir(dir) == 0 || errno == ENOENT)
		return (0);
	if (errno == ENOTEMPTY)
		errno = EBUSY;
	return (-1);
}

/* N of child-N; 0 for anything else. */
static unsigned
child_number(const char *name)
{
	char *end;
	unsigned long value;

	if (strncmp(name, CGROUP_CHILD, strlen(CGROUP_CHILD)) != 0)
		return (0);
	name += strlen(CGROUP_CHILD);
	if (*name < '1' || *name > '9')
		return (0);
	errno = 0;
	value = strtoul(name, &end, 10);
	if (*end != '\0' || errno != 0 || value >= UINT_MAX)
		return (0);
	return ((unsigned)value);
}

unsigned
cgroup_remove_children(const char *dir)
{
	const struct dirent *entry;
	char path[CGROUP_PATH_MAX];
	unsigned highest = 0, n;
	DIR *d;

	if ((d = opendir(dir)) == NULL)
		return (0);
	while ((entry = readdir(d)) != NULL) {
		n = child_number(entry->d_name);
		if (n == 0 || join(path, dir, entry->d_name) == -1)
			continue;
		(void)cgroup_kill(path);
		if (cgroup_remove(path) == -1 && n > highest)
			highest = n;
	}
	(void)closedir(d);
	return (highest);
}

/*
 * What they tell.
 */

int64_t
cgroup_number(const char *dir, const char *file)
{
	char text[64], *end;
	intmax_t value;

	if (read_file(dir, file, text, sizeof(text)) == -1)
		return (-1);
	text[strcspn(text, "\n")] = '\0';
	if (strcmp(text, "max") == 0)
		return (INT64_MAX);
	errno = 0;
	value = strtoimax(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0) {
		errno = EINVAL;
		return (-1);
	}
	return ((int64_t)value);
}

int64_t
cgroup_key(const char *dir, const char *file, const char *key)
{
	char text[8192], *rest = text, *line, *end;
	const size_t len = strlen(key);
	intmax_t value;

	if (read_file(dir, file, text, sizeof(text)) == -1)
		return (-1);
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (strncmp(line, key, len) != 0 || line[len] != ' ')
			continue;
		line += len + 1;
		errno = 0;
		value = strtoimax(line, &end, 10);
		if (*line < '0' || *line > '9' || *end != '\0' || errno != 0) {
			errno = EINVAL;
			return (-1);
		}
		return ((int64_t)value);
	}
	errno = ENODATA;
	return (-1);
}
