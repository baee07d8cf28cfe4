/* SPDX-License-Identifier: ISC */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#include "supervisor/identity.h"
#include "supervisor/task.h"

#define ID_MAX       64
#define HOST_MAX     (ID_MAX - 7) /* room for "-" and six digits */
#define MACHINE_FILE "/etc/machine-id"

/* The first line of a file; one that is missing is empty. -1 and errno when
 * there may be another one. */
static int
read_line(const char *path, char *line, size_t size)
{
	ssize_t n;
	int fd;

	line[0] = '\0';
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return (errno == ENOENT ? 0 : -1);
	if ((n = read(fd, line, size - 1)) >= 0) {
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
	}
	(void)close(fd);
	return (n >= 0 ? 0 : -1);
}

/* The short host name, reduced to what an id may hold. */
static void
own_name(char *name, size_t size)
{
	char *p;

	if (gethostname(name, size) == -1 || name[0] == '\0')
		(void)strlcpy(name, "worker", size);
	name[size - 1] = '\0';
	name[strcspn(name, ".")] = '\0';
	for (p = name; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && *p != '-')
			*p = '_';
}

static char *
make_id(void)
{
	char host[HOST_MAX], id[ID_MAX + 1];

	own_name(host, sizeof(host));
	(void)snprintf(id, sizeof(id), "%s-%06x", host,
	    (unsigned)arc4random_uniform(1u << 24));
	return (strdup(id));
}

/* Splits "ID MACHINE" in place; true when it is this machine's. */
static bool
is_ours(char *line, const char *machine)
{
	char *space = strchr(line, ' ');
	const size_t len = space != NULL ? (size_t)(space - line) : 0;

	if (len == 0 || len > ID_MAX)
		return (false);
	*space = '\0';
	return (task_id_ok(line) && strcmp(space + 1, machine) == 0);
}

static int
keep(const char *path, const char *id, const char *machine, struct why *why)
{
	char fresh[PATH_MAX + sizeof(".new")];
	int fd;

	(void)snprintf(fresh, sizeof(fresh), "%s.new", path);
	fd = open(
	    fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1 || dprintf(fd, "%s %s", id, machine) < 0 ||
	    fsync(fd) == -1 || rename(fresh, path) == -1) {
		why_errno(why,
		    "cannot keep the worker id in %s (set worker.id, or "
		    "worker.state_dir to a folder that can be written)",
		    path);
		if (fd != -1)
			(void)close(fd);
		return (-1);
	}
	(void)close(fd);
	return (0);
}

char *
identity_worker_id(const char *state_dir, struct why *why)
{
	char path[PATH_MAX], line[256], machine[64];
	char *id;

	if ((size_t)snprintf(path, sizeof(path), "%s/worker_id", state_dir) >=
	    sizeof(path)) {
		why_set(why, "worker.state_dir is too long");
		return (NULL);
	}
	(void)read_line(MACHINE_FILE, machine, sizeof(machine));

	/* A new id in the place of one that cannot be read just now would be
	 * another worker. */
	if (read_line(path, line, sizeof(line)) == -1) {
		why_errno(why,
		    "cannot read the worker id in %s (set worker.id, or "
		    "worker.state_dir to a folder that can be read)",
		    path);
		return (NULL);
	}
	if (is_ours(line, machine))
		id = strdup(line);
	else if ((id = make_id()) != NULL &&
	    keep(path, id, machine, why) == -1) {
		free(id);
		return (NULL);
	}
	if (id == NULL)
		why_errno(why, "worker id");
	return (id);
}
