/* SPDX-License-Identifier: ISC */
/*
 * workspace.c: in the configured directory each supervisor has one of its own,
 * which it holds locked; one that is not locked belongs to nobody who lives.
 * What is to be removed waits in a list, and one process at a time is given
 * all of it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/base/folder.h"
#include "supervisor/base/log.h"
#include "supervisor/base/text.h"
#include "supervisor/children/reaper.h"
#include "supervisor/children/spawn.h"
#include "supervisor/children/workspace.h"

#define PREFIX     "avtoworker-tasks-"
#define SUFFIX_LEN 6 /* of mkdtemp(3) */
#define ATTEMPTS   10 /* at a directory that nobody else takes for a dead one */
#define BATCH_MAX  64 /* directories that one process is given */
#define NAME_FIRST 2 /* words before them: the program and --remove */
#define LAST_MS    2000 /* at the end, for the last one */
#define UNUSED_S   1 /* of Unix time: our directory's before it is used */

struct workspaces {
	char *own; /* our directory */
	int own_fd; /* locked */
	const char *program;
	char *const *environment;
	struct reaper *reaper;
	char **waiting; /* to be removed */
	size_t waiting_len;
	size_t waiting_size;
	struct reaped removal; /* pid 0: none is running */
	bool used; /* something has been made in our directory */
};

static void start_removal(struct workspaces *);

static bool
is_one_of_us(int directory_fd, const char *name)
{
	struct stat st;

	return (strncmp(name, PREFIX, sizeof(PREFIX) - 1) == 0 &&
	    strlen(name) == sizeof(PREFIX) - 1 + SUFFIX_LEN &&
	    fstatat(directory_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode) && st.st_uid == geteuid());
}

/* Takes the path; one that cannot be remembered is left for the next start. */
static void
remove_later(struct workspaces *ws, char *path)
{
	char **list;
	size_t size;

	if (path == NULL)
		return;
	if (ws->waiting_len == ws->waiting_size) {
		size = ws->waiting_size > 0 ? 2 * ws->waiting_size : 16;
		list = reallocarray(ws->waiting, size, sizeof(*list));
		if (list == NULL) {
			free(path);
			return;
		}
		ws->waiting = list;
		ws->waiting_size = size;
	}
	ws->waiting[ws->waiting_len++] = path;
}

/* What supervisors that were killed have left; one that lives is found out by
 * the removing process. */
static void
find_left(struct workspaces *ws, const char *directory)
{
	const char *own = strrchr(ws->own, '/') + 1;
	const struct dirent *entry;
	DIR *dir;

	if ((dir = opendir(directory)) == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (is_one_of_us(dirfd(dir), entry->d_name) &&
		    strcmp(entry->d_name, own) != 0)
			remove_later(
			    ws, text_format("%s/%s", directory, entry->d_name));
	(void)closedir(dir);
}

/* Most handlers have no files, and looking for a workspace that was never made
 * costs ten times as much as this: the first one that is made changes the time
 * of our directory, which we have set far back. */
static bool
is_used(struct workspaces *ws)
{
	struct stat st;

	if (!ws->used &&
	    (fstat(ws->own_fd, &st) == -1 || st.st_mtim.tv_sec != UNUSED_S))
		ws->used = true;
	return (ws->used);
}

static void
mark_unused(struct workspaces *ws)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
		{ .tv_sec = UNUSED_S } };

	ws->used = futimens(ws->own_fd, times) == -1;
}

/* Between its making and its lock somebody may take it for a dead one's. */
static int
make_own(struct workspaces *ws, const char *directory)
{
	struct stat named, locked;
	int i;

	for (i = 0; i < ATTEMPTS; i++) {
		free(ws->own);
		ws->own = text_format("%s/" PREFIX "XXXXXX", directory);
		if (ws->own == NULL || mkdtemp(ws->own) == NULL)
			return (-1);
		ws->own_fd = open(ws->own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (ws->own_fd != -1 &&
		    flock(ws->own_fd, LOCK_EX | LOCK_NB) == 0 &&
		    fstat(ws->own_fd, &locked) == 0 &&
		    stat(ws->own, &named) == 0 &&
		    named.st_ino == locked.st_ino &&
		    named.st_dev == locked.st_dev)
			return (0);
		if (ws->own_fd != -1)
			(void)close(ws->own_fd);
		ws->own_fd = -1;
	}
	return (-1);
}

struct workspaces *
workspaces_new(const struct workspaces_settings *set, struct why *why)
{
	struct workspaces *ws;

	if ((ws = calloc(1, sizeof(*ws))) == NULL) {
		why_errno(why, "workspaces");
		return (NULL);
	}
	ws->own_fd = -1;
	ws->program = set->program;
	ws->environment = set->environment;
	ws->reaper = set->reaper;
	if (folder_make(set->directory) == -1 ||
	    make_own(ws, set->directory) == -1) {
		why_errno(why,
		    "cannot make a folder for the files of tasks in %s "
		    "(worker.task_files_dir)",
		    set->directory);
		workspaces_free(ws);
		return (NULL);
	}
	mark_unused(ws);
	find_left(ws, set->directory);
	start_removal(ws);
	return (ws);
}

void
workspaces_path(
    const struct workspaces *ws, uint64_t lease, char out[WORKSPACE_PATH_MAX])
{
	out[0] = '\0';
	if (ws != NULL)
		(void)snprintf(out, WORKSPACE_PATH_MAX, "%s/%llu", ws->own,
		    (unsigned long long)lease);
}

static void
on_removed(void *arg, int status, const struct rusage *usage)
{
	struct workspaces *ws = arg;

	(void)usage;
	ws->removal.pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		log_warn("cannot remove all files that tasks have left in %s: "
			 "%s",
		    ws->own, strerror(WEXITSTATUS(status)));
	else if (WIFSIGNALED(status))
		log_warn("the process that removes the files of tasks was "
			 "killed by signal %d",
		    WTERMSIG(status));
	start_removal(ws);
}

static void
on_removing(void *arg)
{
	(void)arg;
}

/* Gives what waits to one process, unless one is at it. */
static void
start_removal(struct workspaces *ws)
{
	char *argv[NAME_FIRST + BATCH_MAX + 1];
	const size_t count =
	    ws->waiting_len < BATCH_MAX ? ws->waiting_len : BATCH_MAX;
	struct why why;
	pid_t pid;
	size_t i;

	if (count == 0 || ws->removal.pid != 0)
		return;
	argv[0] = (char *)(uintptr_t)ws->program;
	argv[1] = (char *)"--remove";
	memcpy(argv + NAME_FIRST, ws->waiting, count * sizeof(*argv));
	argv[NAME_FIRST + count] = NULL;
	if (spawn_quiet(argv, ws->environment, &pid, &why) == -1) {
		/* They stay where they are; the next task tries again. */
		log_warn(
		    "%s; files of tasks are left in %s", why.text, ws->own);
		return;
	}
	ws->removal = (struct reaped){
		.pid = pid,
		.dying = on_removing,
		.dead = on_removed,
		.arg = ws,
	};
	reaper_add(ws->reaper, &ws->removal);
	for (i = 0; i < count; i++)
		free(ws->waiting[i]);
	ws->waiting_len -= count;
	memmove(ws->waiting, ws->waiting + count,
	    ws->waiting_len * sizeof(*ws->waiting));
}

void
workspaces_remove(struct workspaces *ws, uint64_t lease)
{
	char path[WORKSPACE_PATH_MAX];

	if (ws == NULL || !is_used(ws))
		return;
	/* Mostly there is none, or it is empty. */
	workspaces_path(ws, lease, path);
	if (rmdir(path) == 0 || errno == ENOENT)
		return;
	remove_later(ws, strdup(path));
	start_removal(ws);
}

/* A while. */
static void
wait_for(pid_t pid)
{
	struct pollfd end = { .events = POLLIN };

	end.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (end.fd == -1)
		return;
	if (poll(&end, 1, LAST_MS) == 1)
		(void)waitpid(pid, NULL, WNOHANG);
	(void)close(end.fd);
}

/* The lock goes, so that what we leave is anybody's to remove; in most cases
 * there is nothing. */
static void
remove_own(struct workspaces *ws)
{
	char *argv[] = { (char *)(uintptr_t)ws->program, (char *)"--remove",
		ws->own, NULL };
	struct why why;
	pid_t pid;

	(void)close(ws->own_fd);
	if (rmdir(ws->own) == 0)
		return;
	if (spawn_quiet(argv, ws->environment, &pid, &why) == -1)
		log_warn(
		    "%s; files of tasks are left in %s", why.text, ws->own);
	else
		wait_for(pid);
}

void
workspaces_free(struct workspaces *ws)
{
	size_t i;

	if (ws == NULL)
		return;
	if (ws->removal.pid != 0)
		reaper_remove(ws->reaper, &ws->removal);
	if (ws->own_fd != -1)
		remove_own(ws);
	for (i = 0; i < ws->waiting_len; i++)
		free(ws->waiting[i]);
	free(ws->waiting);
	free(ws->own);
	free(ws);
}
