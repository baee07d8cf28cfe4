/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/identity.h"
#include "supervisor/task.h"
#include "tests/test.h"

static char home[] = "/tmp/test_identity.XXXXXX";

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return (remove(path));
}

static void
remove_home(void)
{
	(void)nftw(home, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *
make_home(void)
{
	ASSERT(mkdtemp(home) != NULL);
	ASSERT_INT(atexit(remove_home), 0);
	return (home);
}

static char *
worker_id(const char *state_dir)
{
	struct why why = { "" };
	char *id = identity_worker_id(state_dir, &why);

	if (id == NULL)
		test_fail(__FILE__, __LINE__, "%s", why.text);
	return (id);
}

/* Asks again, and whether the answer is that id. */
static bool
is_same(const char *state_dir, const char *id)
{
	char *again = worker_id(state_dir);
	const bool same = strcmp(again, id) == 0;

	free(again);
	return (same);
}

static void
read_file(char *text, size_t size)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/worker_id", home);
	ASSERT((fd = open(path, O_RDONLY | O_CLOEXEC)) != -1);
	ASSERT((n = read(fd, text, size - 1)) >= 0);
	(void)close(fd);
	text[n] = '\0';
}

static void
write_file(const char *text)
{
	char path[PATH_MAX];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/worker_id", home);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ASSERT(fd != -1);
	ASSERT_INT(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
}

static void
is_kept(void)
{
	const char *dir = make_home();
	char *id = worker_id(dir);
	const char *dash = strrchr(id, '-');

	ASSERT(task_id_ok(id));
	ASSERT(strlen(id) <= 64);
	ASSERT(dash != NULL && strlen(dash + 1) == 6);
	ASSERT_INT(strspn(dash + 1, "0123456789abcdef"), 6);
	ASSERT(is_same(dir, id));
	ASSERT(is_same(dir, id));
	free(id);
}

static void
is_made_anew_elsewhere(void)
{
	const char *dir = make_home();
	char *id = worker_id(dir);
	char line[300], other[600];

	read_file(line, sizeof(line));
	ASSERT(strncmp(line, id, strlen(id)) == 0);
	ASSERT(line[strlen(id)] == ' ');
	/* The same machine may have another id in its file, by hand. */
	(void)snprintf(other, sizeof(other), "mine%s", line + strlen(id));
	write_file(other);
	ASSERT(is_same(dir, "mine"));
	/* Another machine's */
	(void)snprintf(other, sizeof(other), "%s-of-another-machine", line);
	write_file(other);
	ASSERT(!is_same(dir, id));
	free(id);
	id = worker_id(dir);
	ASSERT(is_same(dir, id));
	free(id);
}

static void
replaces_what_is_no_id(void)
{
	const char *dir = make_home();
	char line[300], text[600];
	char *id = worker_id(dir);
	const char *machine;

	read_file(line, sizeof(line));
	machine = line + strlen(id);
	free(id);
	write_file("");
	id = worker_id(dir);
	ASSERT(task_id_ok(id));
	free(id);
	write_file("no-machine");
	id = worker_id(dir);
	ASSERT(strcmp(id, "no-machine") != 0);
	free(id);
	write_file(machine); /* an empty id */
	id = worker_id(dir);
	ASSERT(task_id_ok(id));
	free(id);
	(void)snprintf(text, sizeof(text), "%065d%s", 0, machine);
	write_file(text);
	id = worker_id(dir);
	ASSERT(strlen(id) <= 64 && id[0] != '0');
	free(id);
}

static void
says_what_cannot_be_written(void)
{
	char path[PATH_MAX];
	struct why why;

	/* Even for root: a file stands where a folder should be. */
	(void)make_home();
	write_file("x");
	(void)snprintf(path, sizeof(path), "%s/worker_id", home);
	ASSERT(identity_worker_id(path, &why) == NULL);
	ASSERT(strstr(why.text, "set worker.id, or worker.state_dir") != NULL);
}

static void
keeps_what_cannot_be_read(void)
{
	char path[PATH_MAX], link[PATH_MAX];
	struct why why;
	ssize_t n;

	/* Even for root: a link to itself. */
	(void)snprintf(path, sizeof(path), "%s/worker_id", make_home());
	ASSERT(symlink(path, path) == 0);
	ASSERT(identity_worker_id(home, &why) == NULL);
	ASSERT(strstr(why.text, "cannot read the worker id in") != NULL);
	ASSERT((n = readlink(path, link, sizeof(link))) > 0);
	ASSERT_MEM(link, (size_t)n, path, strlen(path));
}

static const struct test tests[] = {
	{ "an id is made once and kept", is_kept },
	{ "another machine gets another id", is_made_anew_elsewhere },
	{ "a broken file is replaced", replaces_what_is_no_id },
	{ "a folder that cannot be used is named, with what to do",
	    says_what_cannot_be_written },
	{ "an id that cannot be read is not replaced",
	    keeps_what_cannot_be_read },
};
TEST_MAIN(tests)
