/* SPDX-License-Identifier: ISC */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "supervisor/children/reaper.h"
#include "tests/test.h"

#define MANY 300

static struct reaper reaper;
static struct reaped ours[MANY];
static unsigned dying, dead, turns;

static void
on_dying(void *arg)
{
	const struct reaped *p = arg;

	ASSERT_INT(kill(p->pid, 0), 0); /* its number is pinned */
	dying++;
}

static void
on_dead(void *arg, int status, const struct rusage *usage)
{
	const struct reaped *p = arg;

	(void)usage;
	ASSERT_INT(WEXITSTATUS(status), 3);
	ASSERT_INT(p->pid, 0);
	dead++;
}

static void
on_turn(void *arg)
{
	(void)arg;
	turns++;
}

static struct event_base *
attach(void)
{
	struct event_base *base = event_base_new();
	struct why why;

	ASSERT(base != NULL);
	reaper_init(&reaper);
	ASSERT_INT(reaper_attach(&reaper, base, &why), 0);
	return (base);
}

/* A process that is dead, but not reaped. */
static pid_t
start_dead(void)
{
	siginfo_t info;
	const pid_t pid = fork();

	ASSERT(pid != -1);
	if (pid == 0)
		_exit(3);
	ASSERT_INT(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	return (pid);
}

static void
start_ours(size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		ours[i] = (struct reaped){
			.pid = start_dead(),
			.dying = on_dying,
			.dead = on_dead,
			.arg = &ours[i],
		};
		reaper_add(&reaper, &ours[i]);
	}
}

static void
reaps_all(void)
{
	pid_t stranger;

	reaper_init(&reaper);
	reaper.reaped = on_turn;
	reaper_run(&reaper);
	ASSERT_INT(turns, 0);
	start_ours(5);
	stranger = start_dead();
	ASSERT(reaper_knows(&reaper, ours[4].pid));
	ASSERT(!reaper_knows(&reaper, stranger));
	reaper_remove(&reaper, &ours[4]);
	reaper_run(&reaper);
	ASSERT_INT(dying, 4);
	ASSERT_INT(dead, 4);
	ASSERT_INT(reaper.unknown, 2);
	ASSERT_INT(turns, 1);
	ASSERT_INT(waitpid(-1, NULL, WNOHANG), -1);
}

static void
takes_strangers(void)
{
	const pid_t living = fork();
	pid_t stranger;

	ASSERT(living != -1);
	if (living == 0)
		for (;;)
			(void)pause();
	reaper_init(&reaper);
	stranger = start_dead();
	ASSERT(!reaper_take(&reaper, living));
	ASSERT(reaper_take(&reaper, stranger));
	ASSERT_INT(reaper.unknown, 1);
	ASSERT_INT(waitpid(stranger, NULL, WNOHANG), -1);
	ASSERT(reaper_take(&reaper, stranger)); /* somebody else's by now */
	ASSERT_INT(reaper.unknown, 1);
	ASSERT_INT(kill(living, SIGKILL), 0);
	ASSERT_INT(waitpid(living, NULL, 0), living);
}

/* What it has started may have become ours when nobody looked any more. */
static void
looks_again(void)
{
	struct event_base *base = attach();

	reaper.reaped = on_turn;
	ASSERT(reaper_take(&reaper, start_dead()));
	ASSERT(reaper_take(&reaper, start_dead()));
	ASSERT_INT(turns, 0);
	ASSERT_INT(event_base_dispatch(base), 1); /* nothing is left to do */
	ASSERT_INT(turns, 1);
	reaper_run(&reaper);
	ASSERT_INT(turns, 1);
	reaper_fini(&reaper);
	event_base_free(base);
}

/* Something else in the same loop: it comes when the loop runs already. */
struct other {
	int fds[2]; /* a pipe */
	unsigned dead_by_then;
};

static void
on_their_turn(void *arg)
{
	const struct other *other = arg;

	if (turns++ == 1) /* the first of the loop */
		ASSERT_INT(write(other->fds[1], "x", 1), 1);
}

static void
on_other(evutil_socket_t fd, short what, void *arg)
{
	struct other *other = arg;

	(void)fd;
	(void)what;
	other->dead_by_then = dead;
}

static void
takes_turns(void)
{
	struct event_base *base = attach();
	struct other other = { .dead_by_then = MANY };

	ASSERT_INT(pipe(other.fds), 0);
	reaper.reaped = on_their_turn;
	reaper.arg = &other;
	start_ours(MANY);
	reaper_run(&reaper);
	ASSERT_INT(dead, reaper.turn_max);
	ASSERT(dead < MANY);
	ASSERT_INT(event_base_once(
		       base, other.fds[0], EV_READ, on_other, &other, NULL),
	    0);
	ASSERT_INT(event_base_dispatch(base), 1); /* nothing is left to do */
	ASSERT_INT(dead, MANY);
	ASSERT(other.dead_by_then < MANY);
	ASSERT_INT(turns, (MANY + reaper.turn_max - 1) / reaper.turn_max);
	reaper_fini(&reaper);
	event_base_free(base);
	(void)close(other.fds[0]);
	(void)close(other.fds[1]);
}

static const struct test tests[] = {
	{ "everybody who is dead is reaped, strangers too", reaps_all },
	{ "a stranger is reaped before its turn if it is dead",
	    takes_strangers },
	{ "after that what it has left is looked for", looks_again },
	{ "many deaths leave room for whatever else waits", takes_turns },
};
TEST_MAIN(tests)
