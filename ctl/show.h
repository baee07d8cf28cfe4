/* SPDX-License-Identifier: ISC */
/* show.h: answers of a worker, for people. */
#ifndef AVTOWORKER_SHOW_H
#define AVTOWORKER_SHOW_H

#include <stdint.h>

#include <jansson.h>

/* Write to the standard output. What an answer lacks is shown as "-". */
void show_status(const json_t *answer);
void show_children(const json_t *answer);
void show_results(const json_t *answer);
/* A list of them, one in full, or how many an order was about. */
void show_letters(const json_t *answer);
void show_message(const json_t *answer);

/* A length of time: "12s", "3m04s", "2h05m", "3d04h". */
void show_time(char out[32], int64_t ms);

#endif
