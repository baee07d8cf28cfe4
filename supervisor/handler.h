/* SPDX-License-Identifier: ISC */
/*
 * handler.h: the registry: which task types there are, which category runs
 * each, and which file holds it. Filled by discovery, read by everybody.
 */
#ifndef AVTOWORKER_HANDLER_H
#define AVTOWORKER_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bsd/sys/tree.h>

struct handler {
	RB_ENTRY(handler) entry;
	char *type; /* the task type: its key */
	char *category; /* name */
	char *file; /* of the module, absolute */
	int64_t time_limit_ms; /* 0: its category's */
	int64_t soft_time_limit_ms; /* 0: its category's */
};

RB_HEAD(handler_tree, handler);

struct handler_table {
	struct handler_tree tree;
	size_t count;
};

void handler_table_init(struct handler_table *);
void handler_table_fini(struct handler_table *);
/* Adds a handler, copying the names. NULL with errno ENOMEM, or EEXIST when
 * the type is there already. */
struct handler *handler_add(struct handler_table *, const char *type,
    const char *category, const char *file);
/* Gives it another category or file; -1 with errno ENOMEM. */
int handler_set_category(struct handler *, const char *category);
int handler_set_file(struct handler *, const char *file);
struct handler *handler_find(const struct handler_table *, const char *type);
/* In the order of their types; NULL starts and ends. */
struct handler *handler_next(const struct handler_table *, struct handler *);

#endif
