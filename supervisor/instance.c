/* SPDX-License-Identifier: ISC */
/*
 * instance.c: finds, makes and locks the state directory. The lock is that of
 * a file of its own, which is never removed: the next worker could lock it
 * while another one makes a new file of that name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "supervisor/base/folder.h"
#include "supervisor/base/text.h"
#include "supervisor/conf_checks.h"
#include "supervisor/instance.h"

#define NAMELESS     "avtoworker" /* of the configuration that has no name */
#define NAME_MAX_LEN 64

bool
instance_name_ok(const char *name)
{
	return (conf_is_name(name) && name[0] != '.' && name[0] != '-');
}

/* The base name of a file without what follows its last dot, made of what a
 * name may hold. Caller frees. */
static char *
name_of_file(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash != NULL ? slash + 1 : path;
	const char *dot = strrchr(base, '.');
	const size_t len =
	    dot != NULL && dot != base ? (size_t)(dot - base) : strlen(base);
	char *name, *p;

	name = strndup(base, len < NAME_MAX_LEN ? len : NAME_MAX_LEN);
	for (p = name; p != NULL && *p != '\0'; p++) {
		const char one[2] = { *p, '\0' };

		if (!conf_is_name(one) || (p == name && !instance_name_ok(one)))
			*p = '_';
	}
	return (name);
}

int
instance_set_name(struct instance *in, const char *given, const char *conf,
    const char *handler, struct why *why)
{
	const char *file = conf != NULL ? conf : handler;
	char *name;

	if (given == NULL && file == NULL)
		return (0);
	name = given != NULL ? strdup(given) : name_of_file(file);
	if (name == NULL) {
		why_errno(why, "instance");
		return (-1);
	}
	if (given == NULL && (name[0] == '\0' || strcmp(name, NAMELESS) == 0)) {
		free(name);
		return (0);
	}
	in->name = name;
	return (0);
}

/* What is configured or given from outside is meant for this instance alone;
 * what we choose ourselves is shared by all. */
char *
instance_state_dir(const char *configured, const char *name)
{
	const char *given = getenv("STATE_DIRECTORY");
	const char *home = getenv("HOME");
	const char *slash = name != NULL ? "/" : "";

	if (configured != NULL)
		return (strdup(configured));
	if (given != NULL && given[0] == '/')
		return (strndup(given, strcspn(given, ":")));
	if (name == NULL)
		name = "";
	if (geteuid() == 0)
		return (text_format(
		    LOCALSTATEDIR "/lib/avtoworker%s%s", slash, name));
	return (text_format("%s/.local/state/avtoworker%s%s",
	    home != NULL ? home : "", slash, name));
}

/* The process id in a lock file; 0 when there is none. */
static int
read_holder(int fd)
{
	char text[16];
	const ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	long pid;

	if (n <= 0)
		return (0);
	text[n] = '\0';
	pid = strtol(text, NULL, 10);
	return (pid > 0 && pid < INT32_MAX ? (int)pid : 0);
}

static void
say_who_has_it(int fd, const char *dir, struct why *why)
{
	const int pid = read_holder(fd);
	char who[32] = "";

	if (pid != 0)
		(void)snprintf(who, sizeof(who), " as PID %d", pid);
	why_set(why,
	    "already running%s; stop it, or give this one a name of its own "
	    "(-n) or another worker.state_dir: both use %s",
	    who, dir);
}

static int
lock(struct instance *in, const char *path, struct why *why)
{
	int fd;

	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1) {
		why_errno(why,
		    "cannot lock the state folder (set worker.state_dir to a "
		    "folder that can be written): %s",
		    path);
		return (EX_CONFIG);
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		const bool held = errno == EWOULDBLOCK;

		if (held)
			say_who_has_it(fd, in->state_dir, why);
		else
			why_errno(why, "cannot lock %s", path);
		(void)close(fd);
		return (held ? EX_TEMPFAIL : EX_OSERR);
	}
	in->lock_fd = fd;
	/* For people only: a full disk need not stop us. */
	if (ftruncate(fd, 0) == 0)
		(void)dprintf(fd, "%d\n", (int)getpid());
	return (0);
}

int
instance_open(struct instance *in, const char *configured, struct why *why)
{
	char *path;
	int status;

	if ((in->state_dir = instance_state_dir(configured, in->name)) ==
	    NULL) {
		why_errno(why, "state folder");
		return (EX_OSERR);
	}
	if (folder_make(in->state_dir) == -1) {
		why_errno(why,
		    "cannot make the state folder (set worker.state_dir to a "
		    "folder that can be written): %s",
		    in->state_dir);
		return (EX_CONFIG);
	}
	if ((path = text_format("%s/lock", in->state_dir)) == NULL) {
		why_errno(why, "state folder");
		return (EX_OSERR);
	}
	status = lock(in, path, why);
	free(path);
	return (status);
}

bool
instance_is_exposed(const struct instance *in)
{
	struct stat st;

	return (in->state_dir != NULL && stat(in->state_dir, &st) == 0 &&
	    ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0 ||
		(st.st_uid != geteuid() && st.st_uid != 0)));
}

void
instance_close(struct instance *in)
{
	if (in->lock_fd != -1) {
		/* No process id is left that may be somebody else's soon. */
		(void)!ftruncate(in->lock_fd, 0);
		(void)close(in->lock_fd);
	}
	free(in->name);
	free(in->state_dir);
	*in = INSTANCE_NONE;
}
