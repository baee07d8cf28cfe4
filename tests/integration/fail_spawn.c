/* SPDX-License-Identifier: ISC */
/*
 * fail_spawn.c: preloaded into the worker: while the file FAIL_SPAWN of the
 * environment exists, no process can be started, as on a machine that has no
 * room for another; each try adds a byte to that file.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <unistd.h>

int
posix_spawn(pid_t *pid, const char *path,
    const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
    char *const argv[], char *const envp[])
{
	const char *file = getenv("FAIL_SPAWN");
	const int fd =
	    file != NULL ? open(file, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
	int (*real)(pid_t *, const char *, const posix_spawn_file_actions_t *,
	    const posix_spawnattr_t *, char *const[], char *const[]);

	if (fd != -1) {
		(void)!write(fd, "x", 1);
		(void)close(fd);
		return (EAGAIN);
	}
	*(void **)&real = dlsym(RTLD_NEXT, "posix_spawn");
	return (real(pid, path, actions, attr, argv, envp));
}
