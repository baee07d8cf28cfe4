/* SPDX-License-Identifier: ISC */
/*
 * fail_alloc.c: preloaded into a program (LD_PRELOAD), lets one allocation
 * fail, whoever makes it: the program, a library, the C library itself. Which
 * one is said by the stack that it comes from, because numbers differ from run
 * to run. The environment tells:
 *
 *	FAIL_ALLOC_LOG=FILE	a line for each stack when it is first seen
 *	FAIL_ALLOC_AT=STACK	that one fails, the first time only
 *	FAIL_ALLOC_BUT=NAME	none that comes through a library of that name
 *
 * Stacks are numbers made of where the callers are in their files.
 */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEPTH      10 /* callers that make a stack */
#define OWN        2 /* frames of ours on top of them */
#define FILES_MAX  256
#define STACKS_MAX 65536 /* a power of two */

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

static struct {
	uintptr_t start, end;
	uint64_t name; /* 0: what comes through it is spared */
} files[FILES_MAX];
static size_t nfiles;
static uint64_t seen[STACKS_MAX];
static uint64_t target;
static int log_fd = -1;
static bool on, done;
static _Thread_local bool inside;

static uint64_t
mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return (hash ^ hash >> 29);
}

static int
add_file(struct dl_phdr_info *info, size_t size, void *arg)
{
	const char *p = strrchr(info->dlpi_name, '/');
	const char *spared = getenv("FAIL_ALLOC_BUT");
	uintptr_t start = UINTPTR_MAX, end = 0, at;
	uint64_t name = 1;
	size_t i;

	(void)size;
	(void)arg;
	for (p = p != NULL ? p : ""; *p != '\0'; p++)
		name = mix(name, (unsigned char)*p);
	if (spared != NULL && strstr(info->dlpi_name, spared) != NULL)
		name = 0;
	for (i = 0; i < info->dlpi_phnum; i++) {
		if (info->dlpi_phdr[i].p_type != PT_LOAD)
			continue;
		at = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
		start = at < start ? at : start;
		at += info->dlpi_phdr[i].p_memsz;
		end = at > end ? at : end;
	}
	if (nfiles < FILES_MAX) {
		files[nfiles].start = start;
		files[nfiles].end = end;
		files[nfiles++].name = name;
	}
	return (0);
}

/* 0: it is spared. */
static uint64_t
stack(void)
{
	void *frames[DEPTH + OWN];
	uint64_t hash = 0;
	int i, count;
	size_t j;

	count = backtrace(frames, DEPTH + OWN);
	for (i = OWN; i < count; i++)
		for (j = 0; j < nfiles; j++) {
			const uintptr_t at = (uintptr_t)frames[i];

			if (at < files[j].start || at >= files[j].end)
				continue;
			if (files[j].name == 0)
				return (0);
			hash = mix(hash, files[j].name ^ (at - files[j].start));
		}
	return (hash != 0 ? hash : 1);
}

static void
note(uint64_t hash)
{
	size_t i = hash % STACKS_MAX;

	while (seen[i] != 0 && seen[i] != hash)
		i = (i + 1) % STACKS_MAX;
	if (seen[i] == hash)
		return;
	seen[i] = hash;
	(void)dprintf(log_fd, "%016llx\n", (unsigned long long)hash);
}

/* Whose allocation has failed. */
static void
tell(void)
{
	void *frames[2 * DEPTH];

	backtrace_symbols_fd(
	    frames, backtrace(frames, 2 * DEPTH), STDERR_FILENO);
}

static bool
fails(void)
{
	uint64_t hash;
	bool yes;

	if (!on || inside || (done && log_fd == -1))
		return (false);
	inside = true;
	hash = stack();
	if (log_fd != -1 && hash != 0)
		note(hash);
	yes = !done && hash != 0 && hash == target;
	done |= yes;
	if (yes)
		tell();
	inside = false;
	if (yes)
		errno = ENOMEM;
	return (yes);
}

void *
malloc(size_t size)
{
	return (fails() ? NULL : __libc_malloc(size));
}

void *
calloc(size_t count, size_t size)
{
	return (fails() ? NULL : __libc_calloc(count, size));
}

void *
realloc(void *p, size_t size)
{
	return (size != 0 && fails() ? NULL : __libc_realloc(p, size));
}

static void __attribute__((__constructor__)) begin(void)
{
	const char *path = getenv("FAIL_ALLOC_LOG");
	const char *at = getenv("FAIL_ALLOC_AT");
	void *frame;

	(void)backtrace(&frame, 1); /* it loads a library the first time */
	(void)dl_iterate_phdr(add_file, NULL);
	if (path != NULL)
		log_fd =
		    open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (at != NULL)
		target = strtoull(at, NULL, 16);
	on = true;
}
