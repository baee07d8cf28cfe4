/* SPDX-License-Identifier: ISC */
/* conf_rows.h: the rows of the table of keys, which stand in several files; for
 * these and conf_keys.c. */
#ifndef AVTOWORKER_CONF_ROWS_H
#define AVTOWORKER_CONF_ROWS_H

#include <stdint.h>

#include "supervisor/conf_keys.h"

#define SECOND       1000
#define MINUTE       (60 * SECOND)
#define HOUR         (60 * (int64_t)MINUTE)
#define K            ((int64_t)1024)
#define M            (1024 * K)
#define G            (1024 * M)

#define PATH_EXPECTS "an absolute path"
#define NAME_EXPECTS "1 to 64 letters, digits, \"_\", \".\" or \"-\""
#define TYPE_EXPECTS "1 to 128 letters, digits, \".\", \"_\", \":\" or \"-\""
#define WORDS_EXPECTS \
	"a path, or {PATH, ARGUMENT, ...}, without control characters"
#define SETTING_EXPECTS \
	"KEY=VALUE, or a list of those; a KEY is made of letters, digits and " \
	"\"_\""
#define SETTING_FILE_EXPECTS "KEY=PATH, or a list of those; a PATH is absolute"

struct conf_rows {
	const struct conf_key *rows;
	size_t len;
};

extern const struct conf_rows conf_rows_worker;
extern const struct conf_rows conf_rows_orchestrator;
extern const struct conf_rows conf_rows_category;
extern const struct conf_rows conf_rows_handlers;

#endif
