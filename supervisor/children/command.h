/* SPDX-License-Identifier: ISC */
/*
 * command.h: what a program's children are started with: command line, limits
 * and environment, put together once per program from its configuration.
 */
#ifndef AVTOWORKER_COMMAND_H
#define AVTOWORKER_COMMAND_H

#include <stdbool.h>

#include "child/bytes.h"
#include "supervisor/base/why.h"
#include "supervisor/children/spawn.h"

struct child_env;
struct child_start;
struct conf_category;
struct handler_source;
struct handler_table;
struct program;

struct command {
	char **argv; /* owned, NULL-terminated */
	char **envp; /* the same */
	struct bytes set_files; /* of the settings: which they are, and when
				   they were written; differs when they do */
	struct spawn_files files; /* of the handlers; the table's */
};

/* All borrowed for the call. */
struct command_settings {
	const char *category; /* whose children they are */
	const struct conf_category *conf; /* its settings */
	const struct handler_source *source; /* NULL: C modules */
	/* Of C modules: */
	const struct handler_table *handlers;
	const struct program *program; /* its own handlers are marked so */
	const struct child_env *env;
	bool inherit; /* what environment = auto means; not for scripts, which
			 always inherit then */
};

/* Reads the category's env_file. -1 and why; then there is nothing to free. */
int command_init(
    struct command *, const struct command_settings *, struct why *);
/* Takes the same files from another table, where the old one is going. */
void command_move(
    struct command *, const struct program *, const struct handler_table *);
void command_fini(struct command *);

/* Says how one child is started; whose it is, is for the caller to say. The
 * result borrows from both. */
void command_fill(struct child_start *, const struct command *,
    const struct command_settings *);

/* A command line like argv, of a child that joins the control group whose
 * directory cgroup is. Caller frees the array; what is in it is borrowed from
 * both. NULL with errno. */
char **command_argv_in(char *const argv[], const char *cgroup);

#endif
