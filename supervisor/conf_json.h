/* SPDX-License-Identifier: ISC */
/* conf_json.h: what others say in JSON, as the text of a key. */
#ifndef AVTOWORKER_CONF_JSON_H
#define AVTOWORKER_CONF_JSON_H

#include <stdbool.h>

struct bytes;
struct jslice;

/* Appends a value on one line, as a file has it: without control characters. */
void conf_json_line(const struct jslice *, struct bytes *);
/* Appends a number as a whole one, at least 1; nothing for 0, which says
 * nothing. False when it is no number, or no reasonable one. */
bool conf_json_whole(const struct jslice *, struct bytes *);

#endif
