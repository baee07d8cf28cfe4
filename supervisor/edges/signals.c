/* SPDX-License-Identifier: ISC */
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "supervisor/edges/signals.h"

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct signals *s = arg;
	struct signalfd_siginfo info;
	size_t i;

	(void)what;
	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		for (i = 0; i < s->count; i++)
			if (s->rows[i].number == (int)info.ssi_signo)
				s->rows[i].act(s->rows[i].number, s->arg);
}

void
signals_defer(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

int
signals_open(struct signals *s, struct event_base *base,
    const struct signal_row *rows, size_t count, void *arg, struct why *why)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	const struct sigaction preset = { .sa_handler = SIG_DFL };
	sigset_t set;
	size_t i;

	*s = (struct signals){
		.rows = rows, .count = count, .arg = arg, .fd = -1
	};
	(void)sigemptyset(&set);
	for (i = 0; i < count; i++) {
		(void)sigaddset(&set, rows[i].number);
		/* An ignored one would be dropped; SIGCHLD even with its
		 * zombies. */
		(void)sigaction(rows[i].number, &preset, NULL);
	}
	/* Errors tell of both: EPIPE, and EFBIG of a file that is as long as
	 * a limit lets us make it. */
	(void)sigaction(SIGPIPE, &ignore, NULL);
	(void)sigaction(SIGXFSZ, &ignore, NULL);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == -1 ||
	    (s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) == -1) {
		why_errno(why, "signalfd");
		return (-1);
	}
	if (event_assign(&s->readable, base, s->fd, EV_READ | EV_PERSIST,
		on_readable, s) == -1 ||
	    event_add(&s->readable, NULL) == -1) {
		why_set(why, "no memory for the signals' event");
		return (-1);
	}
	return (0);
}

void
signals_close(struct signals *s)
{
	if (s->fd == -1)
		return;
	if (event_initialized(&s->readable))
		(void)event_del(&s->readable);
	(void)close(s->fd);
	s->fd = -1;
}
