/* SPDX-License-Identifier: ISC */
/*
 * given_conf.h: a configuration built from what a case has at hand: a text, an
 * environment, options and handlers. Its files are in a directory of the
 * case's own, which goes with the case.
 */
#ifndef UNIT_GIVEN_CONF_H
#define UNIT_GIVEN_CONF_H

#include <stdbool.h>
#include <stddef.h>

struct conf;
struct conf_problems;

/* What an environment has of the one orchestrator. */
#define ORCHESTRATOR "ORCHESTRATOR_URL=http://h:8080", "WORKER_TOKEN=s3cret"

struct given {
	const char *text; /* of main.conf; NULL: no file */
	char **environment; /* NULL: an empty one */
	const char **options;
	size_t options_len;
	const char **handlers;
	size_t handlers_len;
	bool orchestrated; /* not local */
};

/* The path of a file in the directory. Not to be freed; the eighth after it
 * takes its place. */
const char *given_path(const char *name);
/* Writes that file; its path. */
const char *given_bytes(const char *name, const void *bytes, size_t len);
const char *given_file(const char *name, const char *text);

/* NULL when it is refused. The caller frees both. */
struct conf *given_build(const struct given *, struct conf_problems *);
/* The same of what must be accepted. */
struct conf *given_conf(const struct given *);

/* It is refused: every wanted text is part of its problem, in order, and there
 * are no more. A file's own problems start with "@", which stands for its path.
 * The list ends with NULL. */
void given_refuses(const struct given *, const char *const *want);
#define REFUSES(given, ...) \
	given_refuses(given, (const char *const[]){ __VA_ARGS__, NULL })
#define REFUSES_TEXT(t, ...) \
	REFUSES(&(struct given){ .text = (t) }, __VA_ARGS__)

#endif
