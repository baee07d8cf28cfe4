/* SPDX-License-Identifier: ISC */
/*
 * conf_block.h: what was said, by whom and where, before it is judged: blocks
 * of settings, filled by file, environment and command line in any order; the
 * source with the higher rank wins each key.
 */
#ifndef AVTOWORKER_CONF_BLOCK_H
#define AVTOWORKER_CONF_BLOCK_H

#include <bsd/sys/queue.h>

#include "supervisor/conf.h"
#include "supervisor/conf_keys.h"
#include "supervisor/conf_told.h"

enum conf_rank {
	CONF_RANK_SCRIPT,
	CONF_RANK_FILE,
	CONF_RANK_ENVIRONMENT,
	CONF_RANK_OPTION
};

struct conf_setting {
	TAILQ_ENTRY(conf_setting) entry;
	const struct conf_key *key;
	char *value;
	char *where; /* starts its problem lines: "FILE:LINE" */
	const char *label; /* what its writer calls it: key or variable */
	enum conf_rank rank;
};

struct conf_block {
	TAILQ_ENTRY(conf_block) entry;
	const struct conf_section *section;
	char *title; /* NULL when the section has none */
	char *where;
	TAILQ_HEAD(, conf_setting) settings;
};

TAILQ_HEAD(conf_blocks, conf_block);

void conf_blocks_init(struct conf_blocks *);
/* Wipes secrets, frees. */
void conf_blocks_fini(struct conf_blocks *);

/* Copies title and where; NULL without memory. */
struct conf_block *conf_block_add(struct conf_blocks *,
    const struct conf_section *, const char *title, const char *where);
/* The first of that name, or NULL. title is NULL for a section without. */
struct conf_block *conf_block_find(
    struct conf_blocks *, const struct conf_section *, const char *title);
const struct conf_setting *conf_block_get(
    const struct conf_block *, const struct conf_key *);
/* Where a key was set, or else its block: what problem lines begin with. */
const char *conf_block_where(
    const struct conf_block *, const struct conf_key *);
/* Copies value and where; borrows label. A key twice in files is a problem, a
 * secret that does not come from the environment too. */
void conf_block_set(struct conf_block *, const struct conf_key *,
    const char *value, const char *where, const char *label, enum conf_rank,
    struct conf_problems *);

/* One more word for a list that has been set. */
void conf_block_add_word(struct conf_block *, const struct conf_key *,
    const char *word, struct conf_problems *);

/* From conf_file.c: reads a file and those it includes into blocks. A syntax
 * error or unknown name ends it: -1 with the problem added. */
int conf_file_read(
    const char *path, struct conf_blocks *, struct conf_problems *);

/* From conf_told.c: makes the block of an orchestrator that a script names,
 * when there is none; called before the environment is read, which may say more
 * about it. */
void conf_told_prepare(
    const struct conf_tolds *, struct conf_blocks *, struct conf_problems *);
/* From conf_told.c: settings of scripts, for what nobody else has set; called
 * when all others are there. */
void conf_told_apply(
    struct conf_tolds *, struct conf_blocks *, struct conf_problems *);
/* From conf.c: the struct that a block's keys are fields of; with a title a new
 * one, or NULL without memory. */
void *conf_struct(struct conf *, const char *section, const char *title);
/* From conf_arguments.c: a HANDLER of the command line. */
void conf_argument_add(struct conf *, const char *file, struct conf_problems *);

/* From conf_env.c: settings of the environment and of -o; the latter makes
 * the blocks it names. */
void conf_environment_read(
    const struct conf_source *, struct conf_blocks *, struct conf_problems *);
/* The value of a variable; NULL when it is unset or empty, which is how
 * container platforms say "unset". */
const char *conf_variable(char **environment, const char *name);
/* Sets a key as a variable says, of an orchestrator where it is one's. */
void conf_environment_set(const struct conf_source *, struct conf_blocks *,
    const struct conf_key *, const char *variable, const char *value,
    struct conf_problems *);
/* From conf_sdk.c: settings of variables that have to be translated. */
void conf_sdk_read(
    const struct conf_source *, struct conf_blocks *, struct conf_problems *);
void conf_options_read(const char **options, size_t options_len,
    struct conf_blocks *, struct conf_problems *);

/* From conf_env.c: keeps the secrets of the environment, which are wiped from
 * it, for an orchestrator that a script may name. */
void conf_secrets_keep(
    struct conf *, const struct conf_source *, struct conf_problems *);
/* From conf_env.c: ORCHESTRATORS_CONFIG, or NULL; that of the start when it
 * has been wiped since. */
const char *conf_orchestrators_list(const struct conf_source *);
/* From conf_orchestrators.c: makes blocks of ORCHESTRATORS_CONFIG, a JSON list
 * as the Python SDK reads it; and checks what orchestrators there are, which
 * are then sorted by priority. */
void conf_orchestrators_read(
    const char *json, struct conf_blocks *, struct conf_problems *);
void conf_orchestrators_check(struct conf *, struct conf_blocks *,
    const struct conf_source *, struct conf_problems *);

#endif
