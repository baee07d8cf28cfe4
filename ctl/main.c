/* SPDX-License-Identifier: ISC */
/*
 * avtoworkerctl: one question to a running avtoworkerd, over its control
 * socket, and the answer for people or, with -j, as it came.
 */
#include "config.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "ctl/ask.h"
#include "ctl/show.h"

#define EXIT_REFUSED 1

struct command {
	const char *name;
	const char *help;
	void (*show)(const json_t *answer);
	bool takes_category;
	bool takes_json; /* -j */
	bool takes_order; /* and what it is about */
};

static const struct command commands[] = {
	{ "status", "the state of the worker and its categories", show_status,
	    false, true, false },
	{ "ps", "its children, and what they run", show_children, false, true,
	    false },
	{ "results", "results that are not delivered yet", show_results, false,
	    true, false },
	{ "dead-letters",
	    "results that were given up: list, show, resend, drop",
	    show_letters, false, true, true },
	{ "pause", "take no more tasks, of a category or at all", show_message,
	    true, false, false },
	{ "resume", "take tasks again", show_message, true, false, false },
	{ "drain", "finish what is there, and end", show_message, false, false,
	    false },
	{ "reload", "read the configuration again", show_message, false, false,
	    false },
};
#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

struct arguments {
	const char *name; /* of the worker; or NULL */
	const char *socket; /* NULL: that of the worker of that name */
	bool json;
	const struct command *command;
	const char *category; /* or NULL */
	const char *order; /* about dead letters; or NULL */
	const char *id; /* of one of them; NULL: none, or all */
};

static void
print_help(void)
{
	size_t i;

	(void)printf(
	    "usage: avtoworkerctl [-j] [-n NAME] [-s SOCKET] COMMAND "
	    "[CATEGORY]\n"
	    "       avtoworkerctl [-j] [-n NAME] [-s SOCKET] dead-letters "
	    "list\n"
	    "       avtoworkerctl [-j] [-n NAME] [-s SOCKET] dead-letters "
	    "show ID\n"
	    "       avtoworkerctl [-n NAME] [-s SOCKET] dead-letters "
	    "resend | drop ID | all\n\n"
	    "Asks a running avtoworkerd, or tells it what to do.\n\n"
	    "  -h, --help           print this\n"
	    "  -j, --json           print the answer as it came\n"
	    "  -n, --name NAME      the worker of that name\n"
	    "  -s, --socket SOCKET  the worker that has that control socket\n"
	    "  -v, --version        print the version\n\n"
	    "Commands:\n");
	for (i = 0; i < NCOMMANDS; i++)
		(void)printf("  %-13s%-11s%s\n", commands[i].name,
		    commands[i].takes_category ? "[CATEGORY]" :
			commands[i].takes_json ? "[-j]" :
						 "",
		    commands[i].help);
}

static int
usage_error(const char *text, const char *what)
{
	(void)fprintf(stderr,
	    "avtoworkerctl: %s%s; avtoworkerctl --help tells more\n", text,
	    what);
	return (EX_USAGE);
}

/* What is to be done with which dead letter; -1, or the exit status. */
static int
read_order(char *words[], struct arguments *a)
{
	a->order = words[0] != NULL ? words[0] : "list";
	if (strcmp(a->order, "list") == 0 &&
	    (words[0] == NULL || words[1] == NULL))
		return (-1);
	if (strcmp(a->order, "show") != 0 && strcmp(a->order, "resend") != 0 &&
	    strcmp(a->order, "drop") != 0)
		return (usage_error(
		    "dead-letters: expected list, show, resend or drop: ",
		    a->order));
	if (words[1] == NULL || words[2] != NULL)
		return (usage_error(
		    "dead-letters: expected one number for ", a->order));
	if (strcmp(words[1], "all") == 0 && strcmp(a->order, "show") != 0)
		return (-1);
	a->id = words[1];
	if (a->id[strspn(a->id, "0123456789")] != '\0' || a->id[0] == '\0' ||
	    a->id[0] == '0' || strlen(a->id) > 18)
		return (usage_error("dead-letters: no number: ", a->id));
	return (-1);
}

/* Command and category; -1, or the exit status. */
static int
read_command(char *words[], struct arguments *a)
{
	size_t i;

	if (words[0] == NULL)
		return (usage_error("a command is missing", ""));
	for (i = 0; i < NCOMMANDS; i++)
		if (strcmp(words[0], commands[i].name) == 0)
			break;
	if (i == NCOMMANDS)
		return (usage_error("unknown command: ", words[0]));
	a->command = &commands[i];
	if (a->json && !a->command->takes_json)
		return (usage_error("-j is not for ", words[0]));
	if (a->command->takes_order)
		return (read_order(words + 1, a));
	a->category = words[1];
	if (words[1] != NULL &&
	    (!a->command->takes_category || words[2] != NULL))
		return (usage_error("too many arguments for ", words[0]));
	return (-1);
}

/* -1 to go on, or the exit status. */
static int
read_arguments(int argc, char *argv[], struct arguments *a)
{
	static const struct option longs[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "json", no_argument, NULL, 'j' },
		{ "name", required_argument, NULL, 'n' },
		{ "socket", required_argument, NULL, 's' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "hjn:s:v", longs, NULL)) != -1)
		switch (c) {
		case 'h':
			print_help();
			return (EX_OK);
		case 'j':
			a->json = true;
			break;
		case 'n':
			a->name = optarg;
			break;
		case 's':
			a->socket = optarg;
			break;
		case 'v':
			(void)puts(PACKAGE_STRING);
			return (EX_OK);
		default:
			return (usage_error("see above", ""));
		}
	return (read_command(argv + optind, a));
}

static void
make_request(const struct arguments *a, struct bytes *out)
{
	bytes_printf(out, "{\"command\":\"%s\"", a->command->name);
	if (a->category != NULL) {
		bytes_puts(out, ",\"category\":");
		bytes_put_json(out, a->category, strlen(a->category));
	}
	if (a->order != NULL)
		bytes_printf(out, ",\"order\":\"%s\"", a->order);
	if (a->id != NULL)
		bytes_printf(out, ",\"id\":%s", a->id);
	bytes_puts(out, "}\n");
}

/* Prints an answer; the exit status. */
static int
show(const struct arguments *a, const struct bytes *answer)
{
	json_t *object = json_loadb(answer->p, answer->len, 0, NULL);
	const char *error = json_string_value(json_object_get(object, "error"));
	int status = EX_OK;

	if (error != NULL) {
		(void)fprintf(stderr, "avtoworkerctl: %s\n", error);
		status = EXIT_REFUSED;
	} else if (!json_is_true(json_object_get(object, "ok"))) {
		(void)fprintf(
		    stderr, "avtoworkerctl: what has answered is no worker\n");
		status = EX_UNAVAILABLE;
	} else if (a->json)
		(void)fwrite(answer->p, 1, answer->len, stdout);
	else
		a->command->show(object);
	json_decref(object);
	return (status);
}

/* Nobody answers: why, and who would. */
static void
tell_silence(const struct arguments *a, const struct why *why)
{
	char *names = NULL;

	(void)fprintf(stderr, "avtoworkerctl: %s", why->text);
	if (a->name == NULL && a->socket == NULL) {
		if ((names = ask_names()) != NULL && names[0] != '\0')
			(void)fprintf(
			    stderr, "; with -n NAME these answer: %s", names);
		else
			(void)fputs("; if it has a name, give -n NAME", stderr);
	}
	(void)fputc('\n', stderr);
	free(names);
}

static int
run(const struct arguments *a)
{
	struct bytes request = { 0 }, answer = { 0 };
	char *path = NULL;
	struct why why;
	int status;

	if (a->socket == NULL &&
	    (path = ask_find_socket(a->name, &why)) == NULL) {
		(void)fprintf(stderr, "avtoworkerctl: %s\n", why.text);
		return (EX_USAGE);
	}
	make_request(a, &request);
	if (bytes_failed(&request)) {
		(void)fprintf(stderr, "avtoworkerctl: out of memory\n");
		status = EX_OSERR;
	} else if (ask(a->socket != NULL ? a->socket : path, &request, &answer,
		       &why) == -1) {
		tell_silence(a, &why);
		status = EX_UNAVAILABLE;
	} else
		status = show(a, &answer);
	bytes_fini(&request);
	bytes_fini(&answer);
	free(path);
	return (status);
}

int
main(int argc, char *argv[])
{
	struct arguments arguments = { 0 };
	int status;

	if ((status = read_arguments(argc, argv, &arguments)) == -1)
		status = run(&arguments);
	if (fflush(stdout) == EOF)
		status = EX_IOERR;
	return (status);
}
