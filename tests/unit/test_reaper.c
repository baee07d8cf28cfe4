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

/* Something else that waits in the same loop. */
static void
on_other(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(unsigned *)arg = dead;
}

static void
takes_turns(void)
{
	struct event_base *base = event_base_new();
	const struct timeval now = { 0, 0 };
	unsigned dead_by_then = MANY;
	struct why why;

	ASSERT(base != NULL);
	reaper_init(&reaper);
	ASSERT_INT(reaper_attach(&reaper, base, &why), 0);
	reaper.reaped = on_turn;
	start_ours(MANY);
	reaper_run(&reaper);
	ASSERT_INT(dead, reaper.turn_max);
	ASSERT(dead < MANY);
	ASSERT_INT(event_base_once(
		       base, -1, EV_TIMEOUT, on_other, &dead_by_then, &now),
	    0);
	ASSERT_INT(event_base_dispatch(base), 1); /* nothing is left to do */
	ASSERT_INT(dead, MANY);
	ASSERT(dead_by_then < MANY);
	ASSERT_INT(turns, (MANY + reaper.turn_max - 1) / reaper.turn_max);
	reaper_fini(&reaper);
	event_base_free(base);
}

static const struct test tests[] = {
	{ "everybody who is dead is reaped, strangers too", reaps_all },
	{ "a stranger is reaped before its turn if it is dead",
	    takes_strangers },
	{ "many deaths leave room for whatever else waits", takes_turns },
};
TEST_MAIN(tests)
