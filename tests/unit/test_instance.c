/* SPDX-License-Identifier: ISC */
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "supervisor/instance.h"
#include "tests/test.h"

static char home[] = "/tmp/test_instance.XXXXXX";

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
	ASSERT_INT(unsetenv("STATE_DIRECTORY"), 0);
	return (home);
}

static struct instance
opened(const char *configured)
{
	struct instance in = INSTANCE_NONE;
	struct why why = { "" };

	if (instance_open(&in, configured, &why) != EX_OK)
		test_fail(__FILE__, __LINE__, "%s", why.text);
	return (in);
}

static void
is_ours_alone_with_a_slash_behind_it(void)
{
	char path[PATH_MAX];
	struct instance in;
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/a/b//", make_home());
	in = opened(path);
	ASSERT_INT(stat(path, &st), 0);
	ASSERT_INT(st.st_mode & 07777, 0700);
	instance_close(&in);
}

static void
is_exposed_when_it_is_anothers(void)
{
	char path[PATH_MAX];
	struct instance in;

	(void)snprintf(path, sizeof(path), "%s/a", make_home());
	in = opened(path);
	ASSERT(!instance_is_exposed(&in));
	if (geteuid() == 0) {
		ASSERT_INT(chown(path, 1, 1), 0);
		ASSERT(instance_is_exposed(&in));
	}
	instance_close(&in);
}

static void
is_named(void)
{
	static const struct {
		const char *given, *conf, *handler, *name;
	} rows[] = {
		{ NULL, NULL, NULL, NULL },
		{ "a", "b", "c", "a" },
		{ "avtoworker", NULL, NULL, "avtoworker" },
		{ NULL, "/etc/avtoworker/avtoworker.conf", "x.so", NULL },
		{ NULL, "avtoworker", NULL, NULL },
		{ NULL, "/etc/avtoworker/parsers.conf", "x.so", "parsers" },
		{ NULL, NULL, "./greet.so", "greet" },
		{ NULL, NULL, "worker.v2.py", "worker.v2" },
		{ NULL, NULL, "/opt/.hidden", "_hidden" },
		{ NULL, NULL, "-dash.so", "_dash" },
		{ NULL, NULL, "a b\n.so", "a_b_" },
		{ NULL, NULL, "/", NULL },
	};
	struct instance in;
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		in = INSTANCE_NONE;
		ASSERT_INT(instance_set_name(&in, rows[i].given, rows[i].conf,
			       rows[i].handler, &why),
		    0);
		ASSERT_STR(in.name, rows[i].name);
		ASSERT(in.name == NULL || instance_name_ok(in.name));
		instance_close(&in);
	}
}

static void
long_names_are_cut(void)
{
	struct instance in = INSTANCE_NONE;
	struct why why;
	char path[200];

	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	ASSERT_INT(instance_set_name(&in, NULL, path, NULL, &why), 0);
	ASSERT_INT(strlen(in.name), 64);
	ASSERT(instance_name_ok(in.name));
	instance_close(&in);
}

static void
names_are_no_paths(void)
{
	static const char *const bad[] = { "", ".", "..", ".a", "a/b", "-a",
		"a b", "\xc3\xa4" };
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (instance_name_ok(bad[i]))
			test_fail(__FILE__, __LINE__, "\"%s\" is ok", bad[i]);
}

static void
makes_its_folders(void)
{
	char path[PATH_MAX];
	struct instance in;
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/a/b/c", make_home());
	in = opened(path);
	ASSERT_STR(in.state_dir, path);
	ASSERT_INT(stat(path, &st), 0);
	ASSERT_INT(st.st_mode & 077, 0);
	ASSERT(!instance_is_exposed(&in));
	ASSERT_INT(chmod(path, 0777), 0);
	ASSERT(instance_is_exposed(&in));
	instance_close(&in);
	ASSERT(in.state_dir == NULL && in.lock_fd == -1);
}

static void
finds_its_folder(void)
{
	struct instance in = INSTANCE_NONE;
	char path[PATH_MAX], other[PATH_MAX + 16];
	struct why why;

	(void)snprintf(path, sizeof(path), "%s/state", make_home());
	(void)snprintf(other, sizeof(other), "%s:/nonexistent", path);
	ASSERT_INT(setenv("STATE_DIRECTORY", other, 1), 0);
	in = opened(NULL);
	ASSERT_STR(in.state_dir, path);
	instance_close(&in);
	/* Given for us alone: a name does not matter. */
	ASSERT_INT(instance_set_name(&in, "a", NULL, NULL, &why), 0);
	ASSERT_INT(instance_open(&in, NULL, &why), EX_OK);
	ASSERT_STR(in.state_dir, path);
	instance_close(&in);
	/* What is configured goes first. */
	in = opened(home);
	ASSERT_STR(in.state_dir, home);
	instance_close(&in);
}

/* As another user: root must not make the folder of the system. */
static void
a_name_is_a_folder(void)
{
	struct instance in = INSTANCE_NONE;
	char path[PATH_MAX];
	struct why why;

	ASSERT_INT(setenv("HOME", make_home(), 1), 0);
	ASSERT_INT(chmod(home, 0777), 0);
	if (geteuid() == 0)
		ASSERT_INT(seteuid(65534), 0);
	(void)snprintf(path, sizeof(path), "%s/.local/state/avtoworker", home);
	in = opened(NULL);
	ASSERT_STR(in.state_dir, path);
	instance_close(&in);
	ASSERT_INT(instance_set_name(&in, "parsers", NULL, NULL, &why), 0);
	ASSERT_INT(instance_open(&in, NULL, &why), EX_OK);
	(void)snprintf(
	    path, sizeof(path), "%s/.local/state/avtoworker/parsers", home);
	ASSERT_STR(in.state_dir, path);
	instance_close(&in);
	if (getuid() == 0)
		ASSERT_INT(seteuid(0), 0);
}

static void
is_one_at_a_time(void)
{
	const char *dir = make_home();
	struct instance in = opened(dir), other = INSTANCE_NONE;
	struct why why;
	char pid[32];

	(void)snprintf(pid, sizeof(pid), "PID %d;", (int)getpid());
	ASSERT_INT(instance_open(&other, dir, &why), EX_TEMPFAIL);
	ASSERT(strstr(why.text, pid) != NULL);
	ASSERT(strstr(why.text, "-n") != NULL);
	ASSERT(strstr(why.text, dir) != NULL);
	instance_close(&other);
	ASSERT_INT(instance_open(&other, dir, &why), EX_TEMPFAIL);
	instance_close(&other);
	instance_close(&in);
	in = opened(dir);
	instance_close(&in);
}

static void
says_what_cannot_be_used(void)
{
	struct instance in = INSTANCE_NONE;
	char path[PATH_MAX];
	struct why why;
	int fd;

	/* Even for root: a file stands where a folder should be. */
	(void)snprintf(path, sizeof(path), "%s/file", make_home());
	ASSERT((fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) != -1);
	(void)close(fd);
	ASSERT_INT(instance_open(&in, path, &why), EX_CONFIG);
	ASSERT(strstr(why.text, "set worker.state_dir") != NULL);
	instance_close(&in);
	(void)snprintf(path, sizeof(path), "%s/file/sub", home);
	ASSERT_INT(instance_open(&in, path, &why), EX_CONFIG);
	ASSERT(strstr(why.text, "cannot make the state folder") != NULL);
	instance_close(&in);
	/* Nobody leads us to a file elsewhere. */
	(void)snprintf(path, sizeof(path), "%s/lock", home);
	ASSERT_INT(symlink("/tmp/test_instance.victim", path), 0);
	ASSERT_INT(instance_open(&in, home, &why), EX_CONFIG);
	ASSERT_INT(access("/tmp/test_instance.victim", F_OK), -1);
	instance_close(&in);
}

static const struct test tests[] = {
	{ "is ours alone with a slash behind it, too",
	    is_ours_alone_with_a_slash_behind_it },
	{ "is exposed when it is another's", is_exposed_when_it_is_anothers },
	{ "the name is the given one, the file's or the handler's", is_named },
	{ "a long name is cut", long_names_are_cut },
	{ "a name is never a path", names_are_no_paths },
	{ "missing folders are made, the last one private", makes_its_folders },
	{ "$STATE_DIRECTORY is used when nothing is configured",
	    finds_its_folder },
	{ "a named instance has a folder of its own in the usual place",
	    a_name_is_a_folder },
	{ "one at a time, and the other is told who has it", is_one_at_a_time },
	{ "a folder that cannot be used is named, with what to do",
	    says_what_cannot_be_used },
};
TEST_MAIN(tests)
