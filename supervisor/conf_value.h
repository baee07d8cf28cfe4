/* SPDX-License-Identifier: ISC */
/*
 * conf_value.h: one value between its text and its field, as the key's row
 * says.
 */
#ifndef AVTOWORKER_CONF_VALUE_H
#define AVTOWORKER_CONF_VALUE_H

#include <stdio.h>

#include "supervisor/conf_keys.h"

/* Reads text into the key's field of the struct at base. Returns -1 with
 * errno EINVAL when it is not what the key expects, or ENOMEM; the field is
 * then untouched. */
int conf_value_set(const struct conf_key *, const char *text, void *base);
/* What the key expects, as the end of a sentence. */
void conf_value_expects(const struct conf_key *, char *buf, size_t size);
/* False when the field holds no value: a text that is NULL, a number without
 * default that is 0. */
bool conf_value_is_set(const struct conf_key *, const void *base);
/* Writes a field that is set as a file would have it. Never a secret. */
void conf_value_print(const struct conf_key *, const void *base, FILE *);
/* True when the key's fields of both structs hold the same. */
bool conf_value_equal(const struct conf_key *, const void *, const void *);
/* Wipes secrets, frees what a text holds. */
void conf_value_free(const struct conf_key *, void *base);

/* The units; -1 for anything else, also for what int64_t cannot hold. */
int conf_parse_number(const char *, int64_t *); /* 12 */
int conf_parse_decimal(const char *, int64_t *); /* 1.5: 1500. Rounded up. */
int conf_parse_size(const char *, int64_t *); /* bytes; 12, 12K, 12M, 12G */
/* Milliseconds; 12, 1.5 and 1.5s are seconds; ms, m, h. Rounded up. */
int conf_parse_time(const char *, int64_t *);
int conf_parse_flag(const char *, bool *); /* yes/no, true/false, on/off */

#endif
