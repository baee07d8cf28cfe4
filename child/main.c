/* SPDX-License-Identifier: ISC */
/*
 * main.c: avtoworker-child, started by avtoworkerd only.
 *
 *	avtoworker-child --describe FILE
 *	avtoworker-child --parent PID --category NAME TYPE=FILE...
 *
 * Descriptor 3 is the channel. Not for people, hence no help and no getopt:
 * whatever differs from these two forms is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>

#include "child/channel.h"
#include "child/launch.h"
#include "child/module.h"
#include "child/ready.h"
#include "child/serve.h"

static int
usage(const char *what, const char *which)
{
	fprintf(stderr,
	    "avtoworker-child: %s%s%s; this program is started by "
	    "avtoworkerd only, see avtoworkerd(8)\n",
	    what, which != NULL ? ": " : "", which != NULL ? which : "");
	return (EX_USAGE);
}

/* Returns -1 when it is no process id. */
static int
parse_pid(const char *text, pid_t *pid)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || value < 1 ||
	    value > INT_MAX)
		return (-1);
	*pid = (pid_t)value;
	return (0);
}

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
	if (!module_name_is_sane(out->type))
		return ("a handler has a malformed type");
	return (NULL);
}

static int
serve_arguments(
    struct wire *wire, const char *category, char **argv, size_t count)
{
	struct assignment *list;
	const char *fault;
	int status;
	size_t i, j;

	if ((list = calloc(count, sizeof(*list))) == NULL) {
		fprintf(stderr, "avtoworker-child: out of memory\n");
		return (EX_OSERR);
	}
	for (i = 0; i < count; i++) {
		fault = parse_assignment(argv[i], &list[i]);
		for (j = 0; fault == NULL && j < i; j++)
			if (strcmp(list[j].type, list[i].type) == 0)
				fault = "a handler is given twice";
		if (fault != NULL) {
			status = usage(fault, argv[i]);
			goto out;
		}
	}
	status = serve(wire, category, list, count);
out:
	free(list);
	return (status);
}

static int
launch_and_serve(struct wire *wire, int argc, char **argv)
{
	struct launch how;
	struct bytes why = { 0 };

	if (argc < 6 || strcmp(argv[3], "--category") != 0)
		return (usage("it needs --category NAME and TYPE=FILE", NULL));
	if (parse_pid(argv[2], &how.parent) == -1)
		return (usage("--parent must be a process id", argv[2]));
	if (!module_name_is_sane(argv[4]))
		return (usage("the category has a malformed name", argv[4]));
	if (launch(&how, &why) == -1) {
		fprintf(stderr, "avtoworker-child [%s]: %.*s\n", argv[4],
		    (int)why.len, why.p != NULL ? why.p : "");
		bytes_fini(&why);
		return (EX_OSERR);
	}
	return (serve_arguments(wire, argv[4], argv + 5, (size_t)argc - 5));
}

int
main(int argc, char **argv)
{
	struct wire wire;
	int status;

	/* Lines of a handler that crashes must not die in a buffer. */
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 2)
		return (usage("it has no arguments", NULL));
	if (fcntl(CHANNEL_FD, F_GETFD) == -1)
		return (usage("descriptor 3 is not open", NULL));
	wire_init(&wire, CHANNEL_FD);
	if (strcmp(argv[1], "--describe") == 0 && argc == 3) {
		/* A file that hangs while it is loaded must not outlive us. */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		status = describe(&wire, argv[2]);
	} else if (strcmp(argv[1], "--parent") == 0)
		status = launch_and_serve(&wire, argc, argv);
	else
		status = usage("it does not know this", argv[1]);
	wire_fini(&wire);
	return (status);
}
