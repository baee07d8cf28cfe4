/* SPDX-License-Identifier: ISC */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "tests/test.h"
#include "tests/unit/lossy_disk.h"

#define STEPS_MAX 100000
#define FILES_MAX 64
#define SECTOR    ((size_t)512)

/* A file as the disk has it, under whatever name. */
struct inode {
	char name[64]; /* without its folder */
	bool is_new; /* SQLite has made it: it syncs the folder, too */
	bool is_gone; /* the next of that name is another one */
};

enum what {
	MADE,
	WRITTEN,
	CUT, /* to that size */
	SYNCED,
	FOLDER_SYNCED,
	REMOVED,
};

struct step {
	enum what what;
	unsigned inode;
	size_t at; /* offset, or size */
	unsigned char *bytes; /* written */
	size_t len;
};

/* How what is not synced survives. */
enum fate {
	NOTHING,
	ALL,
	FIRST_STEPS, /* up to some moment, and a part of the next */
	LAST_STEPS, /* from some moment on */
	SOME_STEPS,
	MOST_SECTORS,
	SOME_SECTORS,
	NFATES,
};

/* One that SQLite has open. */
struct lossy_file {
	sqlite3_file base;
	unsigned inode;
	sqlite3_file *real;
};

static struct {
	pthread_mutex_t lock; /* a thread may write */
	sqlite3_vfs vfs; /* ours */
	sqlite3_vfs *real;
	struct inode inodes[FILES_MAX];
	unsigned ninodes;
	struct step steps[STEPS_MAX];
	unsigned nsteps;
	bool stopped; /* nothing is noted */
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

static const char *
name_of(const char *path)
{
	return (strrchr(path, '/') + 1);
}

static void
note(enum what what, unsigned inode, size_t at, const void *bytes, size_t len)
{
	struct step *s;

	if (disk.stopped)
		return;
	(void)pthread_mutex_lock(&disk.lock);
	ASSERT(disk.nsteps < STEPS_MAX);
	s = &disk.steps[disk.nsteps];
	*s = (struct step){ .what = what, .inode = inode, .at = at };
	if (len > 0) {
		ASSERT((s->bytes = malloc(len)) != NULL);
		memcpy(s->bytes, bytes, len);
		s->len = len;
	}
	disk.nsteps++;
	(void)pthread_mutex_unlock(&disk.lock);
}

/*
 * What SQLite does.
 */

static struct lossy_file *
lossy(sqlite3_file *f)
{
	return ((struct lossy_file *)f);
}

static int
on_close(sqlite3_file *f)
{
	sqlite3_file *real = lossy(f)->real;

	return (real->pMethods != NULL ? real->pMethods->xClose(real) : 0);
}

static int
on_read(sqlite3_file *f, void *to, int len, sqlite3_int64 at)
{
	sqlite3_file *real = lossy(f)->real;

	return (real->pMethods->xRead(real, to, len, at));
}

static int
on_write(sqlite3_file *f, const void *from, int len, sqlite3_int64 at)
{
	sqlite3_file *real = lossy(f)->real;

	note(WRITTEN, lossy(f)->inode, (size_t)at, from, (size_t)len);
	return (real->pMethods->xWrite(real, from, len, at));
}

static int
on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	sqlite3_file *real = lossy(f)->real;

	note(CUT, lossy(f)->inode, (size_t)size, NULL, 0);
	return (real->pMethods->xTruncate(real, size));
}

static int
on_sync(sqlite3_file *f, int flags)
{
	const unsigned i = lossy(f)->inode;

	(void)flags;
	if (disk.stopped)
		return (SQLITE_OK);
	note(SYNCED, i, 0, NULL, 0);
	if (disk.inodes[i].is_new)
		note(FOLDER_SYNCED, i, 0, NULL, 0);
	disk.inodes[i].is_new = false;
	return (SQLITE_OK);
}

static int
on_size(sqlite3_file *f, sqlite3_int64 *size)
{
	sqlite3_file *real = lossy(f)->real;

	return (real->pMethods->xFileSize(real, size));
}

static int
on_lock(sqlite3_file *f, int how)
{
	sqlite3_file *real = lossy(f)->real;

	return (real->pMethods->xLock(real, how));
}

static int
on_unlock(sqlite3_file *f, int how)
{
	sqlite3_file *real = lossy(f)->real;

	return (real->pMethods->xUnlock(real, how));
}

static int
on_is_reserved(sqlite3_file *f, int *out)
{
	sqlite3_file *real = lossy(f)->real;

	return (real->pMethods->xCheckReservedLock(real, out));
}

static int
on_control(sqlite3_file *f, int what, void *arg)
{
	sqlite3_file *real = lossy(f)->real;

	return (real->pMethods->xFileControl(real, what, arg));
}

static int
on_sector_size(sqlite3_file *f)
{
	sqlite3_file *real = lossy(f)->real;

	return (real->pMethods->xSectorSize(real));
}

static int
on_character(sqlite3_file *f)
{
	sqlite3_file *real = lossy(f)->real;

	return (real->pMethods->xDeviceCharacteristics(real));
}

static const sqlite3_io_methods methods = {
	.iVersion = 1, /* no memory is shared or mapped */
	.xClose = on_close,
	.xRead = on_read,
	.xWrite = on_write,
	.xTruncate = on_truncate,
	.xSync = on_sync,
	.xFileSize = on_size,
	.xLock = on_lock,
	.xUnlock = on_unlock,
	.xCheckReservedLock = on_is_reserved,
	.xFileControl = on_control,
	.xSectorSize = on_sector_size,
	.xDeviceCharacteristics = on_character,
};

/* The file of that name, which may be a new one. */
static unsigned
inode_of(const char *name, int flags)
{
	struct inode *inode;
	unsigned i;

	if (disk.stopped)
		return (0);
	for (i = disk.ninodes; i-- > 0;)
		if (!disk.inodes[i].is_gone &&
		    strcmp(disk.inodes[i].name, name) == 0)
			return (i);
	ASSERT(disk.ninodes < FILES_MAX);
	inode = &disk.inodes[disk.ninodes];
	(void)snprintf(inode->name, sizeof(inode->name), "%s", name);
	inode->is_new =
	    (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
	note(MADE, disk.ninodes, 0, NULL, 0);
	return (disk.ninodes++);
}

static int
on_open(
    sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *out)
{
	struct lossy_file *file = lossy(f);
	int rc;

	(void)vfs;
	ASSERT(path != NULL); /* what has no name is no journal */
	*file = (struct lossy_file){ .real = (sqlite3_file *)(file + 1) };
	rc = disk.real->xOpen(disk.real, path, file->real, flags, out);
	if (rc != SQLITE_OK)
		return (rc);
	file->inode = inode_of(name_of(path), flags);
	file->base.pMethods = &methods;
	return (SQLITE_OK);
}

static int
on_delete(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
	const int rc = disk.real->xDelete(disk.real, path, 0);
	const char *name = name_of(path);
	unsigned i;

	(void)vfs;
	for (i = 0; rc == SQLITE_OK && i < disk.ninodes; i++) {
		if (disk.stopped || disk.inodes[i].is_gone ||
		    strcmp(disk.inodes[i].name, name) != 0)
			continue;
		note(REMOVED, i, 0, NULL, 0);
		disk.inodes[i].is_gone = true;
		if (sync_folder)
			note(FOLDER_SYNCED, i, 0, NULL, 0);
	}
	return (rc);
}

void
lossy_disk_begin(void)
{
	disk.real = sqlite3_vfs_find(NULL);
	ASSERT(disk.real != NULL);
	disk.vfs = *disk.real;
	disk.vfs.zName = "lossy";
	disk.vfs.pNext = NULL;
	disk.vfs.szOsFile += (int)sizeof(struct lossy_file);
	disk.vfs.xOpen = on_open;
	disk.vfs.xDelete = on_delete;
	ASSERT(sqlite3_vfs_register(&disk.vfs, 1) == SQLITE_OK);
}

void
lossy_disk_stop(void)
{
	disk.stopped = true;
}

unsigned
lossy_disk_moment(void)
{
	unsigned n;

	(void)pthread_mutex_lock(&disk.lock);
	n = disk.nsteps;
	(void)pthread_mutex_unlock(&disk.lock);
	return (n);
}

unsigned
lossy_disk_synced(const char *end, unsigned moment)
{
	const char *name;

	while (moment > 0) {
		if (disk.steps[moment - 1].what != SYNCED) {
			moment--;
			continue;
		}
		name = disk.inodes[disk.steps[moment - 1].inode].name;
		if (strlen(name) >= strlen(end) &&
		    strcmp(name + strlen(name) - strlen(end), end) == 0)
			break;
		moment--;
	}
	return (moment);
}

/*
 * What is left.
 */

/* Of an inode. */
struct content {
	unsigned char *p;
	size_t len, room;
	unsigned synced; /* the steps before that are on disk */
};

struct remains {
	struct content content[FILES_MAX];
	unsigned folder_synced; /* the same for names */
	unsigned limit; /* of FIRST_STEPS, LAST_STEPS */
	enum fate fate;
	uint64_t random;
};

/* xorshift64 */
static uint64_t
draw(struct remains *r, uint64_t below)
{
	r->random ^= r->random << 13;
	r->random ^= r->random >> 7;
	r->random ^= r->random << 17;
	return (r->random % below);
}

static void
resize(struct content *c, size_t len)
{
	if (len > c->room) {
		c->room = len * 2;
		ASSERT((c->p = realloc(c->p, c->room)) != NULL);
	}
	if (len > c->len)
		memset(c->p + c->len, 0, len - c->len);
	c->len = len;
}

static void
put(struct content *c, size_t at, const unsigned char *bytes, size_t len)
{
	if (len == 0)
		return;
	if (at + len > c->len)
		resize(c, at + len);
	memcpy(c->p + at, bytes, len);
}

/* Some of its sectors, and parts of some. */
static void
put_some(struct remains *r, struct content *c, const struct step *s)
{
	const uint64_t lost = r->fate == MOST_SECTORS ? 1 : 8; /* of 16 */
	size_t done, len;

	for (done = 0; done < s->len; done += len) {
		len = SECTOR - (s->at + done) % SECTOR;
		if (len > s->len - done)
			len = s->len - done;
		if (draw(r, 16) >= lost)
			put(c, s->at + done, s->bytes + done, len);
		else if (draw(r, 8) == 0)
			put(c, s->at + done, s->bytes + done, draw(r, len));
	}
}

/* A step that was not synced. */
static bool
survives(struct remains *r, unsigned n)
{
	switch (r->fate) {
	case NOTHING:
	case NFATES:
		break;
	case ALL:
		return (true);
	case FIRST_STEPS:
		return (n < r->limit);
	case LAST_STEPS:
		return (n >= r->limit);
	case SOME_STEPS:
	case MOST_SECTORS:
	case SOME_SECTORS:
		return (draw(r, 2) == 0);
	}
	return (false);
}

static void
write_step(struct remains *r, unsigned n)
{
	const struct step *s = &disk.steps[n];
	struct content *c = &r->content[s->inode];
	size_t len = 0;

	if (n < c->synced)
		len = s->len;
	else if (r->fate == MOST_SECTORS || r->fate == SOME_SECTORS)
		put_some(r, c, s);
	else if (r->fate == FIRST_STEPS && n == r->limit)
		len = draw(r, s->len + 1);
	else if (survives(r, n))
		len = s->len;
	put(c, s->at, s->bytes, len);
}

/* What is certain to be there. */
static void
find_synced(struct remains *r, unsigned moment)
{
	unsigned n;

	for (n = 0; n < moment; n++)
		if (disk.steps[n].what == SYNCED)
			r->content[disk.steps[n].inode].synced = n;
		else if (disk.steps[n].what == FOLDER_SYNCED)
			r->folder_synced = n;
}

static void
write_file(const char *folder, const char *name, const struct content *c)
{
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	ASSERT(fd != -1);
	if (c->len > 0)
		ASSERT(write(fd, c->p, c->len) == (ssize_t)c->len);
	(void)close(fd);
}

void
lossy_disk_restore(unsigned moment, uint64_t seed, const char *folder)
{
	struct remains r = { .random = seed * 2654435761u + 1 };
	bool has_name[FILES_MAX] = { false };
	const struct step *s;
	unsigned n, i;

	find_synced(&r, moment);
	r.fate = (enum fate)(seed % NFATES);
	/* Mostly among the last: what is older is synced, mostly. */
	r.limit = moment - (unsigned)draw(&r, draw(&r, moment + 1) + 1);
	for (n = 0; n < moment; n++) {
		s = &disk.steps[n];
		if (s->what == WRITTEN)
			write_step(&r, n);
		else if (s->what == CUT) {
			if (n < r.content[s->inode].synced || survives(&r, n))
				resize(&r.content[s->inode], s->at);
		} else if (s->what == MADE || s->what == REMOVED) {
			if (n >= r.folder_synced && !survives(&r, n))
				continue;
			for (i = 0; s->what == MADE && i < disk.ninodes; i++)
				if (strcmp(disk.inodes[i].name,
					disk.inodes[s->inode].name) == 0)
					has_name[i] = false;
			has_name[s->inode] = s->what == MADE;
		}
	}
	for (i = 0; i < disk.ninodes; i++) {
		if (has_name[i])
			write_file(folder, disk.inodes[i].name, &r.content[i]);
		free(r.content[i].p);
	}
}
