/* SPDX-License-Identifier: ISC */
#include <signal.h>
#include <sys/wait.h>

#include "supervisor/base/file.h"
#include "supervisor/children/cgroup.h"
#include "tests/unit/fake_tree.h"

static const char *
path_of(const struct tree *t, const char *name)
{
	static char path[256];

	(void)snprintf(path, sizeof(path), "%s%s", t->cgroup, name);
	return (path);
}

/* What cgroup_own() finds: the directory below the root, or the reason. */
static const char *
own(const struct tree *t)
{
	static char dir[CGROUP_PATH_MAX];
	static struct why why;

	why.text[0] = '\0';
	if (cgroup_own(t->proc, t->cgroup, dir, &why) == -1)
		return (why.text);
	ASSERT_INT(strncmp(dir, t->cgroup, strlen(t->cgroup)), 0);
	return (dir + strlen(t->cgroup));
}

static void
finds_our_own_group(void)
{
	struct tree t;

	tree_open(&t);
	tree_put(t.cgroup, "a.slice/b.service/x", "%s", "");
	tree_put(t.proc, "self/cgroup", "%s", "0::/a.slice/b.service\n");
	ASSERT_STR(own(&t), "/a.slice/b.service");
	tree_put(t.proc, "self/cgroup", "%s", "0::/\n");
	ASSERT_STR(own(&t), "");
	tree_put(t.proc, "self/cgroup", "%s", "0::/a.slice");
	ASSERT_STR(own(&t), "/a.slice");
	tree_close(&t);
}

static void
refuses_what_is_not_version_2_alone(void)
{
	static const struct {
		const char *text;
		const char *why;
	} rows[] = {
		{ "4:memory:/x\n1:name=systemd:/x\n0::/\n", "version 1" },
		{ "0::/\n1:name=systemd:/x\n", "version 1" },
		{ "garbage\n", "version 1" },
		{ "0:", "version 1" },
		{ "", "has no control groups" },
		{ "\n\n", "has no control groups" },
		{ "0::\n", "has no control groups" },
		{ "0::x\n", "has no control groups" },
		{ "0::/..\n", "not to be seen" },
		{ "0::/../other\n", "not to be seen" },
		{ "0::/gone (deleted)\n", "No such file" },
	};
	struct tree t;
	size_t i;

	tree_open(&t);
	ASSERT(strstr(own(&t), "cannot read our control group: No such file"));
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tree_put(t.proc, "self/cgroup", "%s", rows[i].text);
		if (strstr(own(&t), rows[i].why) == NULL)
			test_fail(
			    __FILE__, __LINE__, "row %zu: %s", i, own(&t));
	}
	tree_close(&t);
}

static void
refuses_a_path_that_is_too_long(void)
{
	char text[6000];
	struct tree t;

	tree_open(&t);
	memset(text, 'x', sizeof(text));
	memcpy(text, "0::/", 4);
	text[sizeof(text) - 1] = '\0';
	tree_put(t.proc, "self/cgroup", "%s", text);
	ASSERT(strstr(own(&t), "not to be seen") != NULL);
	tree_close(&t);
}

static void
knows_who_is_in_a_group(void)
{
	const int us = (int)getpid();
	struct tree t;

	tree_open(&t);
	ASSERT(!cgroup_is_ours_alone(t.cgroup)); /* no such file */
	ASSERT(!cgroup_is_vacant(t.cgroup));
	tree_put(t.cgroup, "cgroup.procs", "%d\n", us);
	ASSERT(cgroup_is_ours_alone(t.cgroup));
	ASSERT(!cgroup_is_vacant(t.cgroup));
	tree_put(t.cgroup, "cgroup.procs", "%d\n%d\n", us, us);
	ASSERT(cgroup_is_ours_alone(t.cgroup));
	tree_put(t.cgroup, "cgroup.procs", "%d\n%d\n", us, us + 1);
	ASSERT(!cgroup_is_ours_alone(t.cgroup));
	tree_put(t.cgroup, "cgroup.procs", "1\n%d\n", us);
	ASSERT(!cgroup_is_ours_alone(t.cgroup));
	/* Somebody of another PID namespace. */
	tree_put(t.cgroup, "cgroup.procs", "%d\n0\n", us);
	ASSERT(!cgroup_is_ours_alone(t.cgroup));
	tree_put(t.cgroup, "cgroup.procs", "%s", "0\n");
	ASSERT(!cgroup_is_vacant(t.cgroup));
	tree_put(t.cgroup, "cgroup.procs", "%d\nwhat\n", us);
	ASSERT(!cgroup_is_ours_alone(t.cgroup));
	tree_put(t.cgroup, "cgroup.procs", "%s", "");
	ASSERT(cgroup_is_vacant(t.cgroup));
	tree_close(&t);
}

static void
knows_what_is_delegated(void)
{
	struct why why;
	struct tree t;
	char dir[256];

	tree_open(&t);
	ASSERT_INT(cgroup_check_delegated(t.cgroup, &why), -1);
	ASSERT(strstr(why.text, "is not delegated to us: No such") != NULL);
	tree_delegate(t.cgroup);
	ASSERT_INT(cgroup_check_delegated(t.cgroup, &why), 0);
	tree_put(t.cgroup, "cgroup.controllers", "%s", "cpu memoryx pids\n");
	ASSERT_INT(cgroup_check_delegated(t.cgroup, &why), -1);
	ASSERT_STR(why.text, "our control group has no memory controller");
	tree_put(t.cgroup, "cgroup.controllers", "%s", "memory\n");
	ASSERT_INT(cgroup_check_delegated(t.cgroup, &why), 0);
	tree_put(t.cgroup, "cgroup.controllers", "%s", "");
	ASSERT_INT(cgroup_check_delegated(t.cgroup, &why), -1);
	/* Root may write there, but systemd has not left it to us. */
	(void)snprintf(dir, sizeof(dir), "%s/x.service", t.cgroup);
	tree_delegate(dir);
	ASSERT_INT(cgroup_check_delegated(dir, &why), geteuid() == 0 ? -1 : 0);
	tree_close(&t);
}

static void
settles_in_a_leaf(void)
{
	char buf[256];
	struct why why;
	struct tree t;

	tree_open(&t);
	tree_delegate(t.cgroup);
	ASSERT_INT(cgroup_settle(t.cgroup, &why), 0);
	ASSERT_STR(tree_get(buf, t.cgroup, "supervisor/cgroup.procs"), "0");
	/* The last order, over the one before: nothing truncates these. */
	ASSERT_STR(
	    tree_get(buf, t.cgroup, "cgroup.subtree_control"), "+pidsry");
	tree_put(t.cgroup, "cgroup.controllers", "%s", "memory");
	tree_put(t.cgroup, "cgroup.subtree_control", "%s", "");
	ASSERT_INT(cgroup_enable_memory(t.cgroup, &why), 0);
	ASSERT_STR(
	    tree_get(buf, t.cgroup, "cgroup.subtree_control"), "+memory");
	/* Enabled already: nothing is written. */
	tree_put(t.cgroup, "cgroup.subtree_control", "%s", "memory pids\n");
	ASSERT_INT(cgroup_enable_memory(t.cgroup, &why), 0);
	ASSERT_STR(
	    tree_get(buf, t.cgroup, "cgroup.subtree_control"), "memory pids\n");
	tree_close(&t);
}

static void
goes_back_when_it_cannot_settle(void)
{
	char buf[256], path[300];
	struct why why;
	struct tree t;

	tree_open(&t);
	tree_delegate(t.cgroup);
	ASSERT_INT(unlink(path_of(&t, "/cgroup.subtree_control")), 0);
	ASSERT_INT(cgroup_settle(t.cgroup, &why), -1);
	ASSERT(strstr(why.text, "cannot enable memory limits") != NULL);
	ASSERT(strncmp(tree_get(buf, t.cgroup, "cgroup.procs"), "0", 1) == 0);
	/* Somebody else is in the leaf. */
	tree_delegate(t.cgroup);
	tree_put(t.cgroup, "supervisor/cgroup.procs", "%s", "1\n");
	ASSERT_INT(cgroup_settle(t.cgroup, &why), -1);
	ASSERT(strstr(why.text, "somebody else is in") != NULL);
	ASSERT_STR(tree_get(buf, t.cgroup, "supervisor/cgroup.procs"), "1\n");
	/* No group can be made: a file is in the way. */
	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", t.cgroup);
	ASSERT_INT(cgroup_settle(path, &why), -1);
	ASSERT(strstr(why.text, "cannot make a control group") != NULL);
	tree_close(&t);
}

static void
makes_a_group_with_a_limit(void)
{
	char buf[256], dir[256];
	struct why why;
	struct tree t;

	tree_open(&t);
	(void)snprintf(dir, sizeof(dir), "%s/child-1", t.cgroup);
	tree_put(dir, "memory.max", "%s", "max\n");
	/* No swap and an old kernel: those files are not there. */
	ASSERT_INT(cgroup_make(dir, (int64_t)2 << 30, &why), 0);
	ASSERT(
	    strncmp(tree_get(buf, dir, "memory.max"), "2147483648", 10) == 0);
	tree_put(dir, "memory.swap.max", "%s", "x");
	tree_put(dir, "memory.oom.group", "%s", "0");
	ASSERT_INT(cgroup_make(dir, 4096, &why), 0);
	ASSERT_STR(tree_get(buf, dir, "memory.swap.max"), "0");
	ASSERT_STR(tree_get(buf, dir, "memory.oom.group"), "1");
	tree_close(&t);
}

static void
a_group_without_its_limit_is_none(void)
{
	struct why why;
	struct tree t;

	tree_open(&t);
	/* A new directory has no memory.max here. */
	ASSERT_INT(cgroup_make(path_of(&t, "/child-1"), 4096, &why), -1);
	ASSERT_STR(why.text,
	    "cannot set the limit of a control group: No such "
	    "file or directory");
	ASSERT(!tree_has(t.cgroup, "child-1"));
	ASSERT_INT(cgroup_make(path_of(&t, "/no/child-1"), 4096, &why), -1);
	ASSERT(strstr(why.text, "cannot make a control group") != NULL);
	tree_close(&t);
}

static void
kills_and_removes(void)
{
	char buf[256], dir[256];
	struct tree t;

	tree_open(&t);
	(void)snprintf(dir, sizeof(dir), "%s/child-1", t.cgroup);
	ASSERT_INT(cgroup_remove(dir), 0); /* is gone already */
	ASSERT_INT(cgroup_kill(dir), -1);
	ASSERT_INT(errno, ENOENT);
	tree_put(dir, "cgroup.kill", "%s", "");
	ASSERT_INT(cgroup_kill(dir), 0);
	ASSERT_STR(tree_get(buf, dir, "cgroup.kill"), "1");
	/* A file in it stands for a process that lives on. */
	ASSERT_INT(cgroup_remove(dir), -1);
	ASSERT_INT(errno, EBUSY);
	tree_remove(dir);
	/* Groups that a handler has made. */
	ASSERT_INT(mkdir(dir, 0700), 0);
	ASSERT_INT(mkdir(path_of(&t, "/child-1/a"), 0700), 0);
	ASSERT_INT(mkdir(path_of(&t, "/child-1/a/b"), 0700), 0);
	ASSERT_INT(cgroup_remove(dir), 0);
	ASSERT(!tree_has(t.cgroup, "child-1"));
	/* Not a directory: an error of another kind. */
	tree_put(t.cgroup, "file", "%s", "");
	ASSERT_INT(cgroup_remove(path_of(&t, "/file")), -1);
	ASSERT_INT(errno, ENOTDIR);
	tree_close(&t);
}

static void
removes_what_an_earlier_run_left(void)
{
	static const char *const kept[] = { "/supervisor", "/child-",
		"/child-0", "/child-01", "/child-2x", "/children", "/other",
		"/child-99999999999999999999" };
	char buf[256];
	struct tree t;
	size_t i;

	tree_open(&t);
	for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		ASSERT_INT(mkdir(path_of(&t, kept[i]), 0700), 0);
	ASSERT_INT(mkdir(path_of(&t, "/child-3"), 0700), 0);
	ASSERT_INT(mkdir(path_of(&t, "/child-40"), 0700), 0);
	ASSERT_INT(cgroup_remove_children(t.cgroup), 0);
	ASSERT(!tree_has(t.cgroup, "child-3"));
	ASSERT(!tree_has(t.cgroup, "child-40"));
	for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		ASSERT(tree_has(t.cgroup, kept[i]));
	/* Those that stay are killed, and their numbers not used again. */
	tree_put(t.cgroup, "child-7/cgroup.kill", "%s", "");
	tree_put(t.cgroup, "child-12/cgroup.kill", "%s", "");
	ASSERT_INT(cgroup_remove_children(t.cgroup), 12);
	ASSERT_STR(tree_get(buf, t.cgroup, "child-7/cgroup.kill"), "1");
	ASSERT_INT(cgroup_remove_children(path_of(&t, "/nowhere")), 0);
	tree_close(&t);
}

static void
reads_numbers(void)
{
	static const struct {
		const char *text;
		int64_t value; /* -1: EINVAL */
	} rows[] = {
		{ "max\n", INT64_MAX },
		{ "0\n", 0 },
		{ "2147483648\n", 2147483648 },
		{ "9223372036854771712\n", INT64_C(9223372036854771712) },
		{ "7", 7 },
		{ "", -1 },
		{ "\n", -1 },
		{ "-1\n", -1 },
		{ " 1\n", -1 },
		{ "1 2\n", -1 },
		{ "12x\n", -1 },
		{ "maximum\n", -1 },
		{ "99999999999999999999\n", -1 },
	};
	struct tree t;
	size_t i;

	tree_open(&t);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tree_put(t.cgroup, "memory.max", "%s", rows[i].text);
		errno = 0;
		ASSERT_INT(
		    cgroup_number(t.cgroup, "memory.max"), rows[i].value);
		ASSERT_INT(errno, rows[i].value == -1 ? EINVAL : 0);
	}
	ASSERT_INT(cgroup_number(t.cgroup, "memory.peak"), -1);
	ASSERT_INT(errno, ENOENT);
	tree_close(&t);
}

static void
reads_keys(void)
{
	static const char events[] = "low 0\nhigh 1\nmax 22\noom 3\n"
				     "oom_kill 4\noom_group_kill 5\n";
	struct tree t;

	tree_open(&t);
	tree_put(t.cgroup, "memory.events", "%s", events);
	ASSERT_INT(cgroup_key(t.cgroup, "memory.events", "oom"), 3);
	ASSERT_INT(cgroup_key(t.cgroup, "memory.events", "oom_kill"), 4);
	ASSERT_INT(cgroup_key(t.cgroup, "memory.events", "low"), 0);
	ASSERT_INT(cgroup_key(t.cgroup, "memory.events", "oom_"), -1);
	ASSERT_INT(errno, ENODATA);
	tree_put(t.cgroup, "memory.events", "%s", "oom_kill\noom x\nlow -3\n");
	ASSERT_INT(cgroup_key(t.cgroup, "memory.events", "oom_kill"), -1);
	ASSERT_INT(errno, ENODATA);
	ASSERT_INT(cgroup_key(t.cgroup, "memory.events", "oom"), -1);
	ASSERT_INT(errno, EINVAL);
	ASSERT_INT(cgroup_key(t.cgroup, "memory.events", "low"), -1);
	ASSERT_INT(errno, EINVAL);
	ASSERT_INT(cgroup_key(t.cgroup, "memory.stat", "file"), -1);
	ASSERT_INT(errno, ENOENT);
	tree_close(&t);
}

/* A directory of a real cgroup v2 that we may make groups in, or NULL. */
static const char *
real_groups(void)
{
	static const char *const mounts[] = { "/sys/fs/cgroup",
		"/sys/fs/cgroup/unified" };
	static char dir[128];
	size_t i;

	for (i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		if (!tree_has(mounts[i], "cgroup.procs"))
			continue;
		(void)snprintf(dir, sizeof(dir), "%s/avtoworker-test-%d",
		    mounts[i], (int)getpid());
		if (mkdir(dir, 0755) == 0)
			return (dir);
	}
	return (NULL);
}

/* What no fake tree can show; there is nothing to see where the machine does
 * not let us. */
static void
the_kernel_agrees(void)
{
	const char *dir = real_groups();
	char child[160], path[200], byte;
	struct why why;
	int fds[2], i;
	pid_t pid;

	if (dir == NULL)
		return;
	(void)snprintf(child, sizeof(child), "%s/child-1", dir);
	ASSERT_INT(cgroup_make(child, 0, &why), 0);
	ASSERT(cgroup_is_vacant(child));
	ASSERT_INT(pipe(fds), 0);
	ASSERT((pid = fork()) != -1);
	if (pid == 0) {
		(void)snprintf(path, sizeof(path), "%s/cgroup.procs", child);
		if (file_write(path, "0") == -1 || !cgroup_is_ours_alone(child))
			_exit(1);
		(void)!write(fds[1], "", 1);
		for (;;)
			(void)pause();
	}
	(void)close(fds[1]);
	ASSERT_INT(read(fds[0], &byte, 1), 1);
	ASSERT(!cgroup_is_vacant(child));
	ASSERT(!cgroup_is_ours_alone(child));
	ASSERT_INT(cgroup_remove(child), -1);
	ASSERT_INT(errno, EBUSY);
	if (cgroup_kill(child) == -1) /* before Linux 5.14 */
		ASSERT_INT(kill(pid, SIGKILL), 0);
	ASSERT_INT(waitpid(pid, &i, 0), pid);
	ASSERT(WIFSIGNALED(i) && WTERMSIG(i) == SIGKILL);
	(void)snprintf(path, sizeof(path), "%s/nested", child);
	ASSERT_INT(mkdir(path, 0755), 0);
	ASSERT_INT(cgroup_remove_children(dir), 0);
	ASSERT(!tree_has(dir, "child-1"));
	ASSERT_INT(rmdir(dir), 0);
}

static const struct test tests[] = {
	{ "finds our own group", finds_our_own_group },
	{ "refuses what is not version 2 alone",
	    refuses_what_is_not_version_2_alone },
	{ "refuses a path that is too long", refuses_a_path_that_is_too_long },
	{ "knows who is in a group", knows_who_is_in_a_group },
	{ "knows what is delegated", knows_what_is_delegated },
	{ "settles in a leaf", settles_in_a_leaf },
	{ "goes back when it cannot settle", goes_back_when_it_cannot_settle },
	{ "makes a group with a limit", makes_a_group_with_a_limit },
	{ "a group without its limit is none",
	    a_group_without_its_limit_is_none },
	{ "kills and removes", kills_and_removes },
	{ "removes what an earlier run left",
	    removes_what_an_earlier_run_left },
	{ "reads numbers", reads_numbers },
	{ "reads keys", reads_keys },
	{ "the kernel agrees", the_kernel_agrees },
};

TEST_MAIN(tests)
