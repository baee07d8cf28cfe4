/* SPDX-License-Identifier: ISC */
/*
 * module.h: one loaded handler module. Loaded once, checked as a whole, and
 * never unloaded: handlers may have left threads and pointers behind.
 */
#ifndef AVTOWORKER_MODULE_H
#define AVTOWORKER_MODULE_H

#include <stddef.h>

#include "child/bytes.h"
#include "child/handler.h"

#define MODULE_HANDLERS_MAX 1024 /* handlers in one file */
#define MODULE_ERROR_MAX    500 /* bytes that aw_error_set() keeps */

struct module {
	const char *file; /* borrowed */
	struct aw_handler *handlers; /* copies; members that the module's
				      * tables do not have are zero */
	size_t len;
};

struct aw_error {
	char text[MODULE_ERROR_MAX + 1];
};

/* Loads file (borrowed) from path, where it is, and checks what it offers;
 * calls nothing in it but its constructors. Returns -1 and why: a sentence
 * naming the file. */
int module_load(
    struct module *, const char *file, const char *path, struct bytes *why);
/* The handler of that type, or NULL. */
const struct aw_handler *module_find(const struct module *, const char *type);
/* Frees the copies; the code stays loaded. */
void module_fini(struct module *);

#endif
