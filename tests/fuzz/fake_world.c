/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <event2/event.h>

#include "supervisor/base/clock.h"
#include "supervisor/children/reaper.h"
#include "supervisor/children/spawn.h"
#include "tests/fuzz/fake_world.h"
#include "tests/must.h"

#define FIRST_PID  5000000 /* above PID_MAX_LIMIT */
#define EVENTS_MAX 1024
#define STEPS_MAX  100000 /* more in one turn is spinning */
#define SEND_BUF   1 /* bytes; it gets the least there can be */

struct fake_world world;

/* Events that are added. */
static struct {
	struct event *event;
	int64_t due_ms; /* INT64_MAX: only its descriptor counts */
	bool active;
} events[EVENTS_MAX];
static size_t nevents;
static pid_t last_pid = FIRST_PID;

/* The clock. */

int64_t
clock_now_ms(void)
{
	return (world.now_ms);
}

int64_t
clock_wall_ms(void)
{
	return (world.now_ms + INT64_C(1700000000000));
}

struct timeval
clock_timeval(int64_t ms)
{
	if (ms < 0)
		ms = 0;
	return ((struct timeval){ ms / 1000, ms % 1000 * 1000 });
}

/* Chance. */

uint32_t
arc4random_uniform(uint32_t below)
{
	return ((uint32_t)((uint64_t)below * world.chance / 256));
}

/* Events. */

static size_t
find(const struct event *event)
{
	size_t i;

	for (i = 0; i < nevents; i++)
		if (events[i].event == event)
			break;
	return (i);
}

static size_t
find_or_make(struct event *event)
{
	const size_t i = find(event);

	if (i == EVENTS_MAX)
		abort();
	if (i == nevents) {
		events[nevents].event = event;
		events[nevents].due_ms = INT64_MAX;
		events[nevents++].active = false;
	}
	return (i);
}

int
event_add(struct event *event, const struct timeval *tv)
{
	const size_t i = find_or_make(event);

	if (tv != NULL)
		events[i].due_ms = world.now_ms + (int64_t)tv->tv_sec * 1000 +
		    (tv->tv_usec + 999) / 1000;
	return (0);
}

int
event_del(struct event *event)
{
	const size_t i = find(event);

	if (i < nevents)
		events[i] = events[--nevents];
	return (0);
}

void
event_active(struct event *event, int what, short calls)
{
	(void)what;
	(void)calls;
	events[find_or_make(event)].active = true;
}

int
event_pending(const struct event *event, short what, struct timeval *tv)
{
	(void)what;
	(void)tv;
	return (find(event) < nevents);
}

/* What of it is so now; 0: nothing. */
static short
state(size_t i)
{
	const struct event *event = events[i].event;
	struct pollfd p = { .fd = event_get_fd(event) };
	short what = 0;

	if (events[i].active || events[i].due_ms <= world.now_ms)
		return (EV_TIMEOUT);
	if (p.fd == -1)
		return (0);
	if (event_get_events(event) & EV_READ)
		p.events |= POLLIN;
	if (event_get_events(event) & EV_WRITE)
		p.events |= POLLOUT;
	if (poll(&p, 1, 0) != 1)
		return (0);
	if (p.revents & (POLLIN | POLLHUP | POLLERR))
		what |= EV_READ & event_get_events(event);
	if (p.revents & (POLLOUT | POLLHUP | POLLERR))
		what |= EV_WRITE & event_get_events(event);
	return (what);
}

/* One event; false when there is nothing to do. */
static bool
step(void)
{
	struct event *event;
	short what;
	size_t i;

	for (i = 0; i < nevents; i++) {
		if ((what = state(i)) == 0)
			continue;
		event = events[i].event;
		if (event_get_events(event) & EV_PERSIST)
			events[i].active = false;
		else
			(void)event_del(event);
		event_get_callback(event)(
		    event_get_fd(event), what, event_get_callback_arg(event));
		return (true);
	}
	return (false);
}

void
world_turn(void)
{
	unsigned n = 0;

	while (step())
		if (++n > STEPS_MAX)
			abort();
}

void
world_pass(int64_t ms)
{
	world.now_ms += ms;
	world_turn();
}

/* Processes. */

static void
close_ends(struct fake_child *c)
{
	if (c->channel_fd != -1)
		(void)close(c->channel_fd);
	if (c->output_fd != -1)
		(void)close(c->output_fd);
	c->channel_fd = c->output_fd = -1;
}

void
world_reset(void)
{
	unsigned i;

	for (i = 0; i < world.count; i++)
		close_ends(&world.children[i]);
	world = (struct fake_world){ .now_ms = 1000000, .chance = 128 };
	nevents = 0;
}

struct child_env
world_env(void)
{
	static char *const environment[] = { NULL };
	static struct event_base *base; /* nothing runs on it */

	(void)signal(SIGPIPE, SIG_IGN); /* as signals_open() does */
	if (base == NULL && (base = event_base_new()) == NULL)
		abort();
	return ((struct child_env){
	    .base = base,
	    .program = "/avtoworker-child",
	    .clean = environment,
	    .inherited = environment,
	});
}

struct fake_child *
world_child(unsigned n)
{
	unsigned i, living = 0;

	for (i = 0; i < world.count; i++)
		living += !world.children[i].dead;
	if (living == 0)
		return (NULL);
	n %= living;
	for (i = 0; world.children[i].dead || n-- > 0; i++)
		continue;
	return (&world.children[i]);
}

void
world_say(struct fake_child *c, enum frame_type type, uint64_t lease,
    const char *payload)
{
	unsigned char raw[CHANNEL_HEADER_SIZE];
	const struct frame_header header = {
		.length = (uint32_t)strlen(payload),
		.type = (uint16_t)type,
		.lease = lease,
	};

	frame_encode(&header, raw);
	if (c->channel_fd == -1 ||
	    send(c->channel_fd, raw, sizeof(raw), MSG_NOSIGNAL) == -1)
		return;
	(void)!send(c->channel_fd, payload, strlen(payload), MSG_NOSIGNAL);
}

void
world_say_all(enum frame_type type, const char *payload)
{
	unsigned i;

	for (i = 0; i < world.count; i++)
		world_say(&world.children[i], type, 0, payload);
	world_turn();
}

bool
world_hear(struct fake_child *c, struct frame_header *header, char *payload,
    size_t size)
{
	unsigned char raw[CHANNEL_HEADER_SIZE];
	struct iovec iov[2] = { { raw, sizeof(raw) }, { payload, 0 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	if (c->channel_fd == -1 ||
	    recv(c->channel_fd, raw, sizeof(raw), MSG_PEEK) !=
		(ssize_t)sizeof(raw))
		return (false);
	must(frame_decode(raw, (uint32_t)size, header) == NULL);
	iov[1].iov_len = header->length;
	if (recvmsg(c->channel_fd, &msg, MSG_PEEK) !=
	    (ssize_t)(sizeof(raw) + header->length))
		return (false); /* the rest is yet to come */
	must(recvmsg(c->channel_fd, &msg, 0) ==
	    (ssize_t)(sizeof(raw) + header->length));
	return (true);
}

void
world_die(struct fake_child *c, int status)
{
	const uint64_t one = 1;

	if (c->dead)
		return;
	c->dead = true;
	c->status = status;
	close_ends(c);
	(void)!write(c->pidfd, &one, sizeof(one));
}

int
spawn(char *const argv[], char *const envp[], const struct spawn_files *files,
    struct spawned *out, struct why *why)
{
	struct fake_child *c = &world.children[world.count];
	const int send_buf = SEND_BUF;
	int channel[2], output[2], pidfd;

	(void)argv;
	(void)envp;
	(void)files;
	if (world.no_spawn || world.count == WORLD_CHILDREN_MAX) {
		why_set(why, "no process can be started");
		return (-1);
	}
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		 channel) == 0);
	must(setsockopt(channel[0], SOL_SOCKET, SO_SNDBUF, &send_buf,
		 sizeof(send_buf)) == 0);
	must(pipe2(output, O_CLOEXEC | O_NONBLOCK) == 0);
	must((pidfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) != -1);
	*c = (struct fake_child){
		.pid = ++last_pid,
		.channel_fd = channel[1],
		.output_fd = output[1],
		.pidfd = pidfd,
	};
	world.count++;
	*out = (struct spawned){ c->pid, c->pidfd, channel[0], output[0] };
	return (0);
}

int
spawn_quiet(char *const argv[], char *const envp[], pid_t *out, struct why *why)
{
	(void)argv;
	(void)envp;
	(void)out;
	why_set(why, "no process can be started");
	return (-1);
}

/* All that is sent is SIGKILL. */
int
kill(pid_t pid, int number)
{
	unsigned i;

	(void)number;
	for (i = 0; i < world.count; i++)
		if (world.children[i].pid == (pid < 0 ? -pid : pid))
			world_die(&world.children[i], SIGKILL);
	return (0);
}

/* The reaper: a list is enough. */

static int
compare(const struct reaped *a, const struct reaped *b)
{
	return ((a->pid > b->pid) - (a->pid < b->pid));
}

#define UNUSED_STATIC static __attribute__((__unused__))
RB_GENERATE_INTERNAL(reaped_tree, reaped, entry, compare, UNUSED_STATIC)

void
reaper_init(struct reaper *r)
{
	*r = (struct reaper){ 0 };
	RB_INIT(&r->known);
}

void
reaper_add(struct reaper *r, struct reaped *p)
{
	(void)RB_INSERT(reaped_tree, &r->known, p);
}

void
reaper_remove(struct reaper *r, struct reaped *p)
{
	(void)RB_REMOVE(reaped_tree, &r->known, p);
	p->pid = 0;
}

bool
reaper_knows(const struct reaper *r, pid_t pid)
{
	const struct reaped key = { .pid = pid };

	return (RB_FIND(reaped_tree, (struct reaped_tree *)&r->known,
		    (struct reaped *)&key) != NULL);
}

void
reaper_run(struct reaper *r)
{
	const struct rusage usage = { 0 };
	struct reaped key, *p;
	unsigned i;
	int status;

	for (i = 0; i < world.count;) {
		if (!world.children[i].dead) {
			i++;
			continue;
		}
		key.pid = world.children[i].pid;
		status = world.children[i].status;
		p = RB_FIND(reaped_tree, &r->known, &key);
		if (p != NULL)
			p->dying(p->arg);
		world.children[i] = world.children[--world.count];
		if (p != NULL) {
			reaper_remove(r, p);
			p->dead(p->arg, status, &usage);
		}
		i = 0; /* who knows what that has done */
	}
}
