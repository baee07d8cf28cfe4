/* SPDX-License-Identifier: ISC */
/*
 * forest.c: handlers that leave processes behind, for the tests of what ends
 * them. Everything that is planted holds a lock on the file "lock" of the
 * params (or FOREST_POOL of the environment): it is free when all are dead.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child/handler.h"

static int
open_lock(const char *path)
{
	const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd != -1 && flock(fd, LOCK_EX) == -1) {
		(void)close(fd);
		return (-1);
	}
	return (fd);
}

static void __attribute__((__noreturn__)) stand(void)
{
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	for (;;)
		(void)pause();
}

/* A child of the handler's process. */
static void
plant_plain(int64_t size, int64_t hops)
{
	(void)size;
	(void)hops;
	if (fork() == 0)
		stand();
}

/* The same, in a session of its own. */
static void
plant_session(int64_t size, int64_t hops)
{
	(void)size;
	(void)hops;
	if (fork() == 0) {
		(void)setsid();
		stand();
	}
}

/* Forked twice, as daemons are. */
static void
plant_daemon(int64_t size, int64_t hops)
{
	const pid_t pid = fork();

	(void)size;
	(void)hops;
	if (pid == 0) {
		(void)setsid();
		if (fork() == 0)
			stand();
		_exit(0);
	}
	(void)waitpid(pid, NULL, 0);
}

/* One below the other. */
static void
plant_chain(int64_t size, int64_t hops)
{
	(void)hops;
	if (fork() != 0)
		return;
	while (--size > 0 && fork() == 0)
		(void)setsid();
	stand();
}

/* size processes, which fork themselves away again and again: hops times in
 * all, so that a test that fails does not take the machine along; then they
 * stay. Returns when all are there. */
static void
plant_bomb(int64_t size, int64_t hops)
{
	_Atomic int64_t *count = mmap(NULL, 2 * sizeof(*count),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (count == MAP_FAILED)
		return;
	if (fork() != 0) {
		while (atomic_load(&count[0]) < size)
			(void)poll(NULL, 0, 1);
		return;
	}
	while (atomic_fetch_add(&count[0], 1) < size)
		(void)fork();
	while (atomic_fetch_add(&count[1], 1) < hops) {
		if (fork() > 0)
			_exit(0);
		(void)setsid();
		(void)poll(NULL, 0, 1);
	}
	stand();
}

static const struct {
	const char *name;
	void (*plant)(int64_t size, int64_t hops);
} kinds[] = {
	{ "plain", plant_plain },
	{ "session", plant_session },
	{ "daemon", plant_daemon },
	{ "chain", plant_chain },
	{ "bomb", plant_bomb },
};

static void
wait_removed(const char *path)
{
	while (access(path, F_OK) == 0)
		(void)poll(NULL, 0, 1);
}

/* kind, lock, size, hops; with a path "hold" it makes that file
 * and stays until it is removed. */
static void
plant(struct aw_task *task, void *state)
{
	const char *kind = NULL, *lock = NULL, *hold = NULL;
	int64_t size = 1, hops = 2000;
	size_t i;
	int fd;

	(void)state;
	(void)aw_get_string(task, "kind", &kind, NULL);
	(void)aw_get_string(task, "lock", &lock, NULL);
	(void)aw_get_string(task, "hold", &hold, NULL);
	(void)aw_get_int64(task, "size", &size);
	(void)aw_get_int64(task, "hops", &hops);
	if (kind == NULL || lock == NULL || (fd = open_lock(lock)) == -1) {
		aw_invalid_input(task, "kind and lock are needed");
		return;
	}
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kind, kinds[i].name) == 0)
			kinds[i].plant(size, hops);
	(void)close(fd);
	if (hold != NULL) {
		(void)close(open(hold, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		wait_removed(hold);
	}
	aw_json_int64(aw_data(task), "pid", getpid());
	aw_success_data(task);
}

/* A pool of two that lives as long as the process, if it is asked for. */
static int
start_pool(void **state, struct aw_error *error)
{
	const char *path = getenv("FOREST_POOL");
	int fd;

	(void)state;
	if (path == NULL)
		return (0);
	if ((fd = open_lock(path)) == -1)
		return (aw_error_set(error, "%s: %s", path, strerror(errno)));
	plant_plain(0, 0);
	plant_plain(0, 0);
	(void)close(fd);
	return (0);
}

/* Does not end as long as there is a file FOREST_STAY. */
static void
stay(void *state)
{
	const char *path = getenv("FOREST_STAY");

	(void)state;
	if (path != NULL)
		wait_removed(path);
}

/* Starts a program and waits for it, as any handler may. */
static void
wait_for(struct aw_task *task, void *state)
{
	int status = -1;
	const pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(7);
	if (waitpid(pid, &status, 0) != pid)
		status = -1;
	aw_json_int64(
	    aw_data(task), "status", status != -1 ? WEXITSTATUS(status) : -1);
	aw_success_data(task);
}

static void
put_limit(struct aw_json *data, const char *name, int resource)
{
	struct rlimit limit = { 0, 0 };

	(void)getrlimit(resource, &limit);
	aw_json_array(data, name);
	aw_json_int64(data, NULL, (int64_t)limit.rlim_cur);
	aw_json_int64(data, NULL, (int64_t)limit.rlim_max);
	aw_json_end(data);
}

/* What this process was given. */
static void
settings(struct aw_task *task, void *state)
{
	struct aw_json *data = aw_data(task);
	const mode_t mask = umask(0);
	char text[PATH_MAX] = "", *value;
	const char *name;
	int fd;

	(void)state;
	(void)umask(mask);
	aw_json_int64(data, "umask", mask);
	aw_json_int64(data, "nice", getpriority(PRIO_PROCESS, 0));
	put_limit(data, "nofile", RLIMIT_NOFILE);
	put_limit(data, "fsize", RLIMIT_FSIZE);
	put_limit(data, "core", RLIMIT_CORE);
	put_limit(data, "cpu", RLIMIT_CPU);
	if (getcwd(text, sizeof(text)) != NULL)
		aw_json_string(data, "directory", text);
	memset(text, 0, sizeof(text));
	if ((fd = open("/proc/self/oom_score_adj", O_RDONLY)) != -1) {
		(void)!read(fd, text, sizeof(text) - 1);
		(void)close(fd);
	}
	aw_json_int64(data, "oom_score_adj", strtol(text, NULL, 10));
	aw_json_int64(data, "group", getpgrp() == getpid());
	if (aw_get_string(task, "variable", &name, NULL) == AW_GOT &&
	    (value = getenv(name)) != NULL)
		aw_json_string(data, "value", value);
	aw_success_data(task);
}

/* Takes ms of processor time. */
static void
burn(struct aw_task *task, void *state)
{
	struct rusage now = { 0 };
	int64_t ms = 0, first = -1, used;

	(void)state;
	(void)aw_get_int64(task, "ms", &ms);
	do {
		(void)getrusage(RUSAGE_SELF, &now);
		used = ((int64_t)now.ru_utime.tv_sec + now.ru_stime.tv_sec) *
			1000 +
		    (now.ru_utime.tv_usec + now.ru_stime.tv_usec) / 1000;
		if (first == -1)
			first = used;
	} while (used - first < ms);
	aw_success(task, "{}");
}

/* Ends by signal, or by exit with status. */
static void
end(struct aw_task *task, void *state)
{
	int64_t number = 0;

	(void)state;
	if (aw_get_int64(task, "signal", &number) == AW_GOT) {
		(void)signal((int)number, SIG_DFL);
		(void)raise((int)number);
	}
	(void)aw_get_int64(task, "status", &number);
	_exit((int)number);
}

#define TREE(name, begin, leave) \
	static const struct aw_handler handler_##name = { \
		.size = sizeof(struct aw_handler), \
		.type = #name, \
		.category = "forest", \
		.init = begin, \
		.run = name, \
		.fini = leave, \
	}

TREE(plant, start_pool, stay);
TREE(wait_for, NULL, NULL);
TREE(settings, NULL, NULL);
TREE(burn, NULL, NULL);
TREE(end, NULL, NULL);

AW_MODULE(&handler_plant, &handler_wait_for, &handler_settings, &handler_burn,
    &handler_end);
