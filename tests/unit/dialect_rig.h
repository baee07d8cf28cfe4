/* SPDX-License-Identifier: ISC */
/*
 * dialect_rig.h: a worker and a task that dialects tell of, and the messages
 * that they make of them, opened.
 */
#ifndef UNIT_DIALECT_RIG_H
#define UNIT_DIALECT_RIG_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "supervisor/lease.h"
#include "supervisor/orchestrator/dialect.h"
#include "supervisor/orchestrator/orchestrator.h"

extern const struct skill skills[2];

/* A worker that has these skills. */
struct worker_facts make_facts(void);
/* A finished lease; what is NULL is not there. Free its result alone. */
struct lease make_lease(const char *status, const char *code,
    const char *message, const char *data, const char *details);

/* Parses a message and frees it. */
json_t *open_plain(struct bytes *message);
/* The same of a signed one: checks what every one of them has, its signature,
 * time and nonce, and takes that off. */
json_t *open_envelope(struct bytes *message, char nonce[33]);

/* Compares with JSON text, in which nothing may be left out; frees root. */
void check_json(json_t *root, const char *text);
/* An object without members, at any depth. */
bool has_empty_object(const json_t *);
/* So many digits, in lower case. */
bool is_hex(const char *text, size_t len);

#endif
