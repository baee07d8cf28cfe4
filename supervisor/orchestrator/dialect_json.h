/* SPDX-License-Identifier: ISC */
/*
 * dialect_json.h: building the dialects' small messages with jansson. Every
 * function that returns a value returns a new one, or NULL when memory is
 * short, which makes NULL of the message that it is packed into.
 */
#ifndef AVTOWORKER_DIALECT_JSON_H
#define AVTOWORKER_DIALECT_JSON_H

#include <stdbool.h>

#include <jansson.h>

struct bytes;
struct why;
struct worker_facts;

/* Names of the skills that are offered just now, or of the hot ones among
 * them. */
json_t *dialect_names(const struct worker_facts *, bool hot_only);
/* {"NAME": cost} of the skills that have one; maybe empty. */
json_t *dialect_costs(const struct worker_facts *);
/* {"NAME": value} of resources.properties; maybe empty. */
json_t *dialect_properties(const struct worker_facts *);
/* Puts "NAME": "VALUE" for each pair (base/pairs.h) into an object; at may be
 * NULL. -1 when memory is short. */
int dialect_put_pairs(json_t *object, const char *at);
/* [{"name", "version"}] of resources.models; type: what stands as "type" in
 * each, or NULL. */
json_t *dialect_models(const struct worker_facts *, const char *type);
/* Cores and gigabytes that are told. */
json_int_t dialect_cores(const struct worker_facts *);
json_int_t dialect_memory_gb(const struct worker_facts *);
/* A number with one digit after the point. */
json_t *dialect_tenths(double);
/* Puts a value into an object, or drops it when it is empty; takes the value.
 * -1 when memory is short. */
int dialect_set_filled(json_t *object, const char *name, json_t *value);
/* Appends a message; takes it, NULL included. -1 and why. */
int dialect_put_message(json_t *, struct bytes *out, struct why *);

#endif
