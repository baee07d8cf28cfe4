/* SPDX-License-Identifier: ISC */
/*
 * main.c: avtoworker-child, started by avtoworkerd, and by whoever writes a
 * handler.
 *
 *	avtoworker-child --run TYPE [--params JSON] [--kind KIND] FILE [ARG...]
 *	avtoworker-child --describe FILE
 *	avtoworker-child --remove DIRECTORY...
 *	avtoworker-child --parent PID --category NAME [OPTION]... -- WHAT
 *
 * WHAT is TYPE=FILE... for modules, TYPE PATH [ARG...] with --kind exec, and
 * PATH [ARG...] with --kind channel. Descriptor 3 is the channel. Only the
 * first line is for people, and whatever is wrong is answered with it; the
 * options are those of the table in arguments.c, put together by
 * supervisor/children/command.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "child/arguments.h"
#include "child/channel.h"
#include "child/exec.h"
#include "child/launch.h"
#include "child/launcher.h"
#include "child/modules.h"
#include "child/name.h"
#include "child/once.h"
#include "child/pins.h"
#include "child/ready.h"
#include "child/remove.h"
#include "child/serve.h"
#include "child/turn.h"

/* What the handlers are, whatever their kind. */
struct handlers {
	struct assignment *list; /* of modules */
	struct modules modules;
	struct exec exec;
	struct host host;
};

/* Cuts TYPE=FILE in place. Returns what is wrong with it, or NULL. */
static const char *
parse_assignment(char *text, struct assignment *out)
{
	char *equals = strchr(text, '=');

	if (equals == NULL || equals[1] == '\0')
		return ("a handler must be given as TYPE=FILE");
	*equals = '\0';
	out->type = text;
	out->file = equals + 1;
	if (!name_is_sane(out->type))
		return ("a handler has a malformed type");
	return (NULL);
}

static int
use_modules(
    struct handlers *h, const struct arguments *a, char **argv, size_t count)
{
	const char *fault;
	size_t i, j;

	if ((h->list = calloc(count, sizeof(*h->list))) == NULL) {
		fprintf(stderr, "avtoworker-child: out of memory\n");
		return (EX_OSERR);
	}
	for (i = 0; i < count; i++) {
		fault = parse_assignment(argv[i], &h->list[i]);
		for (j = 0; fault == NULL && j < i; j++)
			if (strcmp(h->list[j].type, h->list[i].type) == 0)
				fault = "a handler is given twice";
		if (fault != NULL)
			return (arguments_usage(fault, argv[i]));
	}
	h->modules = (struct modules){
		.category = a->category,
		.pins = &a->pins,
		.what = h->list,
		.count = count,
	};
	h->host = modules_host(&h->modules);
	return (EX_OK);
}

static int
use_executable(
    struct handlers *h, const struct arguments *a, char **argv, size_t count)
{
	if (!name_is_sane(argv[0]))
		return (
		    arguments_usage("a handler has a malformed type", argv[0]));
	if (count < 2 || *argv[1] == '\0')
		return (arguments_usage(
		    "an executable must be given as TYPE PATH", argv[0]));
	pins_close(&a->pins);
	h->exec = (struct exec){
		.type = argv[0],
		.category = a->category,
		.argv = argv + 1,
		.limits = &a->launch.limits,
		.in_workspace = a->launch.directory == NULL,
		.sweep = a->sweep == SWEEP_TASK,
	};
	h->host = exec_host(&h->exec);
	return (EX_OK);
}

/* Returns EX_OK, or what to exit with after saying why. */
static int
handlers_init(
    struct handlers *h, const struct arguments *a, char **argv, size_t count)
{
	*h = (struct handlers){ 0 };
	return (a->kind == KIND_EXEC ? use_executable(h, a, argv, count) :
				       use_modules(h, a, argv, count));
}

static void
handlers_fini(struct handlers *h)
{
	modules_fini(&h->modules);
	exec_fini(&h->exec);
	free(h->list);
}

/* It cannot start; said to the supervisor, or else to its log. */
static int
give_up(struct wire *wire, const struct arguments *a, struct bytes *why)
{
	if (ready_send_error(wire, why) == -1)
		fprintf(stderr, "avtoworker-child [%s]: %.*s\n", a->category,
		    (int)why->len, why->p != NULL ? why->p : "");
	bytes_fini(why);
	return (EX_OSERR);
}

static int
serve_handlers(struct wire *wire, struct arguments *a,
    const struct title *title, char **argv, size_t count)
{
	struct limits none = { 0 };
	struct turn turn = {
		.category = a->category,
		.title = *title,
		.limits = a->kind == KIND_EXEC ? &none : &a->launch.limits,
		.sweep = { .when = a->sweep, .category = a->category },
	};
	struct handlers handlers;
	int status;

	if ((status = handlers_init(&handlers, a, argv, count)) == EX_OK) {
		status = serve(wire, &turn, &handlers.host);
		turn_over(&turn);
	}
	handlers_fini(&handlers);
	return (status);
}

/* Becomes the program, which says ready by itself. */
static int
become_program(struct wire *wire, const struct arguments *a, char **argv)
{
	struct bytes why = { 0 };

	pins_close(&a->pins);
	if (setenv("AVTOWORKER_CHANNEL", CHANNEL_FD_TEXT, 1) == 0)
		(void)execv(argv[0], argv);
	bytes_printf(&why, "cannot execute %s: %s", argv[0], strerror(errno));
	return (give_up(wire, a, &why));
}

static int
launch_and_serve(struct wire *wire, struct arguments *a,
    const struct title *title, char **argv, size_t count)
{
	const struct launcher launcher = {
		.supervisor = a->launch.parent,
		.cgroup = a->launch.cgroup,
		.category = a->category,
		.files = (unsigned)a->pins.len,
	};
	struct launch steps = a->launch;
	struct bytes why = { 0 };

	/* A launcher takes the orphans of one that sweeps at its end only:
	 * then they are not left as zombies until then. */
	steps.subreaper =
	    a->kind != KIND_CHANNEL && (a->sweep == SWEEP_TASK || !a->launcher);
	steps.program = a->kind == KIND_CHANNEL;
	if (a->kind == KIND_EXEC)
		steps.limits = (struct limits){ 0 }; /* its processes' */
	if (a->launcher || a->kind == KIND_CHANNEL) {
		title_set(title, "[%s] launcher", a->category);
		steps.parent = getpid();
		if (launcher_fork(&launcher, &why) == -1)
			return (give_up(wire, a, &why));
	}
	title_set(title, "[%s] starting", a->category);
	if (launch(&steps, &why) == -1)
		return (give_up(wire, a, &why));
	return (a->kind == KIND_CHANNEL ?
		become_program(wire, a, argv) :
		serve_handlers(wire, a, title, argv, count));
}

/* The other end of the channel is gone: the supervisor was dead before we
 * could ask to be told. */
static bool
is_alone(void)
{
	struct pollfd channel = { .fd = CHANNEL_FD };

	return (poll(&channel, 1, 0) == 1 && (channel.revents & POLLHUP));
}

static int
run(struct arguments *a, const struct title *title, char **argv, size_t count)
{
	struct wire wire;
	int status;

	if (a->remove)
		return (remove_directories(argv, count));
	if (a->run != NULL)
		return (once(a, argv));
	if (fcntl(CHANNEL_FD, F_GETFD) == -1)
		return (arguments_usage("descriptor 3 is not open", NULL));
	wire_init(&wire, CHANNEL_FD);
	if (a->describe != NULL) {
		/* A file that hangs while it is loaded must not outlive us. */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		status = is_alone() ? EX_IOERR : describe(&wire, a->describe);
	} else
		status = launch_and_serve(&wire, a, title, argv, count);
	wire_fini(&wire);
	return (status);
}

int
main(int argc, char **argv)
{
	struct arguments a = { .launch = { .umask = -1 } };
	struct title title;
	char **words;
	int status;

	if ((words = title_init(&title, argc, argv)) == NULL)
		return (EX_OSERR);
	/* Lines of a handler that crashes must not die in a buffer. */
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if ((status = arguments_parse(&a, argc, words)) == EX_OK)
		status =
		    run(&a, &title, words + optind, (size_t)(argc - optind));
	free(words);
	return (status);
}
