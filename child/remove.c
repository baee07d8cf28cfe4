/* SPDX-License-Identifier: ISC */
/*
 * remove.c: works by descriptors, so that nobody who moves things about under
 * it can lead it elsewhere. Its depth is limited: what lies deeper is moved up
 * to the top first, and found there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child/remove.h"

#define DEPTH_MAX  50 /* directories that are open at a time */
#define PASSES_MAX 10000 /* over one tree */
#define FLAGS      (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct removal {
	int top; /* the directory itself */
	dev_t device;
	unsigned moved; /* to the top */
	int error; /* the first one */
	bool removed : 1; /* something, in this pass */
};

static void
note(struct removal *r)
{
	if (errno != ENOENT && r->error == 0)
		r->error = errno;
}

/* A handler may have made it unreadable for itself. */
static int
open_directory(int parent, const char *name)
{
	char path[40];
	int fd, handle;

	if ((fd = openat(parent, name, FLAGS)) != -1 || errno != EACCES)
		return (fd);
	handle = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (handle == -1)
		return (-1);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", handle);
	fd = chmod(path, S_IRWXU) == 0 ? openat(parent, name, FLAGS) : -1;
	(void)close(handle);
	return (fd);
}

static void
move_up(struct removal *r, int parent, const char *name)
{
	char to[32];

	(void)snprintf(to, sizeof(to), ".removed-%u", r->moved++);
	if (renameat(parent, name, r->top, to) == 0)
		r->removed = true;
	else
		note(r);
}

/* Nor may it write into what a handler has made read-only, as package managers
 * do with what they unpack. */
static void
make_writable(int fd, const struct stat *st)
{
	if ((st->st_mode & S_IRWXU) != S_IRWXU)
		(void)fchmod(fd, S_IRWXU);
}

static void empty(struct removal *, int fd, unsigned depth);

static void
remove_entry(
    struct removal *r, int parent, const struct dirent *entry, unsigned depth)
{
	struct stat st;
	int fd;

	if (entry->d_type != DT_DIR &&
	    unlinkat(parent, entry->d_name, 0) == 0) {
		r->removed = true;
		return;
	}
	if (entry->d_type != DT_DIR && errno != EISDIR && errno != EPERM) {
		note(r);
		return;
	}
	if ((fd = open_directory(parent, entry->d_name)) == -1) {
		note(r);
		return;
	}
	if (fstat(fd, &st) == -1 || st.st_dev != r->device) {
		errno = EXDEV;
		note(r);
		(void)close(fd);
		return;
	}
	make_writable(fd, &st);
	if (depth == DEPTH_MAX) {
		(void)close(fd);
		move_up(r, parent, entry->d_name);
		return;
	}
	empty(r, fd, depth + 1); /* closes it */
	if (unlinkat(parent, entry->d_name, AT_REMOVEDIR) == 0)
		r->removed = true;
	else if (errno != ENOTEMPTY && errno != EEXIST)
		note(r);
}

/* Removes what is in it. Takes the descriptor. */
static void
empty(struct removal *r, int fd, unsigned depth)
{
	const struct dirent *entry;
	DIR *dir;

	if ((dir = fdopendir(fd)) == NULL) {
		note(r);
		(void)close(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			remove_entry(r, dirfd(dir), entry, depth);
	(void)closedir(dir);
}

/* Returns 0 or an errno. Whoever still writes into it is outrun, for a
 * while. */
static int
remove_directory(const char *path)
{
	struct removal r = { .top = -1 };
	struct stat st;
	int fd, pass, error = 0;

	r.top = open_directory(AT_FDCWD, path);
	/* A handler may have put something else in its place. */
	if (r.top == -1 && errno == ENOTDIR && unlink(path) == 0)
		return (0);
	if (r.top == -1)
		return (errno == ENOENT ? 0 : errno);
	if (flock(r.top, LOCK_EX | LOCK_NB) == -1 || fstat(r.top, &st) == -1) {
		error = errno == EWOULDBLOCK ? 0 : errno;
		goto out;
	}
	r.device = st.st_dev;
	make_writable(r.top, &st);
	for (pass = 0; pass < PASSES_MAX; pass++) {
		r.removed = false;
		r.error = 0;
		if ((fd = openat(r.top, ".", FLAGS)) == -1) {
			error = errno;
			goto out;
		}
		empty(&r, fd, 0);
		if (rmdir(path) == 0 || errno == ENOENT) {
			error = 0;
			goto out;
		}
		error = r.error != 0 ? r.error : errno;
		if (!r.removed)
			goto out;
	}
out:
	(void)close(r.top);
	return (error);
}

int
remove_directories(char *const paths[], size_t count)
{
	int error, first = 0;
	size_t i;

	for (i = 0; i < count; i++)
		if ((error = remove_directory(paths[i])) != 0 && first == 0)
			first = error;
	return (first);
}
