/* SPDX-License-Identifier: ISC */
/*
 * fake_tree.h: a temporary directory that stands for the kernel's /proc and
 * /sys/fs/cgroup. Included by the tests that need one; their cases each run
 * in a process of their own.
 */
#ifndef AVTOWORKER_FAKE_TREE_H
#define AVTOWORKER_FAKE_TREE_H

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/test.h"

struct tree {
	char root[64];
	char proc[128];
	char cgroup[128];
};

static inline int
tree_remove_one(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return (remove(path));
}

static inline void
tree_close(struct tree *t)
{
	ASSERT_INT(nftw(t->root, tree_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* Removes one directory of it with all that is in it. */
static inline void
tree_remove(const char *dir)
{
	ASSERT_INT(nftw(dir, tree_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* A file DIR/NAME with that text; the directories above it are made. */
static inline void __attribute__((__format__(printf, 3, 4)))
tree_put(const char *dir, const char *name, const char *fmt, ...)
{
	char path[600], *p;
	va_list ap;
	FILE *f;

	ASSERT(snprintf(path, sizeof(path), "%s/%s", dir, name) <
	    (int)sizeof(path));
	for (p = path + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		ASSERT(mkdir(path, 0700) == 0 || errno == EEXIST);
		*p = '/';
	}
	ASSERT((f = fopen(path, "w")) != NULL);
	va_start(ap, fmt);
	ASSERT(vfprintf(f, fmt, ap) >= 0);
	va_end(ap);
	ASSERT_INT(fclose(f), 0);
}

/* What is in a file; "" when there is none. Valid until the next call. */
static inline const char *
tree_get(char buf[256], const char *dir, const char *name)
{
	char path[600];
	size_t len = 0;
	FILE *f;

	ASSERT(snprintf(path, sizeof(path), "%s/%s", dir, name) <
	    (int)sizeof(path));
	if ((f = fopen(path, "r")) != NULL) {
		len = fread(buf, 1, 255, f);
		(void)fclose(f);
	}
	buf[len] = '\0';
	return (buf);
}

static inline bool
tree_has(const char *dir, const char *name)
{
	char path[600];

	ASSERT(snprintf(path, sizeof(path), "%s/%s", dir, name) <
	    (int)sizeof(path));
	return (access(path, F_OK) == 0);
}

static inline void
tree_open(struct tree *t)
{
	(void)snprintf(t->root, sizeof(t->root), "%s", "/tmp/avto-tree-XXXXXX");
	ASSERT(mkdtemp(t->root) != NULL);
	(void)snprintf(t->proc, sizeof(t->proc), "%s/proc", t->root);
	(void)snprintf(t->cgroup, sizeof(t->cgroup), "%s/cgroup", t->root);
	ASSERT_INT(mkdir(t->proc, 0700), 0);
	ASSERT_INT(mkdir(t->cgroup, 0700), 0);
}

/* A group of this process alone, delegated with the memory controller. */
static inline void
tree_delegate(const char *dir)
{
	tree_put(dir, "cgroup.procs", "%d\n", (int)getpid());
	tree_put(dir, "cgroup.subtree_control", "%s", "");
	tree_put(dir, "cgroup.controllers", "%s", "cpu memory pids\n");
	/* What a kernel would make together with the directory. */
	tree_put(dir, "supervisor/cgroup.procs", "%s", "");
}

#endif
