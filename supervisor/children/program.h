/* SPDX-License-Identifier: ISC */
/*
 * program.h: what a category's children run: command line, limits and
 * environment, put together once per category from its configuration.
 */
#ifndef AVTOWORKER_PROGRAM_H
#define AVTOWORKER_PROGRAM_H

#include <stdbool.h>

#include "supervisor/base/why.h"
#include "supervisor/children/spawn.h"

struct child_env;
struct conf_category;
struct handler_table;

struct program {
	char **argv; /* owned, NULL-terminated */
	char **envp; /* the same */
	struct spawn_files files; /* of the handlers; the table's */
};

/* For the handlers of the table that name the category; reads its env_file.
 * inherit: what environment = auto means. -1 and why; then there is nothing to
 * free. */
int program_init(struct program *, const char *category,
    const struct conf_category *, const struct handler_table *,
    const struct child_env *, bool inherit, struct why *);
/* Takes the same files from another table, where the old one is going. */
void program_move(
    struct program *, const char *category, const struct handler_table *);
void program_fini(struct program *);

/* A command line like argv, of a child that joins the control group whose
 * directory cgroup is. Caller frees the array; what is in it is borrowed from
 * both. NULL with errno. */
char **program_argv_in(char *const argv[], const char *cgroup);

#endif
