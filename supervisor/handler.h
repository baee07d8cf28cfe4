/* SPDX-License-Identifier: ISC */
/*
 * handler.h: the registry: which task types there are, which category limits
 * each, and which file or program runs it. Filled by discovery, read by
 * everybody.
 */
#ifndef AVTOWORKER_HANDLER_H
#define AVTOWORKER_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/stat.h>

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "supervisor/declared.h"

/*
 * A file as it was when it was described. Open, so that children can be given
 * just that one when another has taken its name: a package upgrade must not
 * mix two versions in one pool.
 */
struct handler_file {
	TAILQ_ENTRY(handler_file) entry;
	char *path; /* absolute */
	int fd;
	struct stat st;
	bool told; /* that the name stands for another file now */
};

struct conf_settings;

enum source_kind {
	SOURCE_EXEC, /* a program that is run once for each task */
	SOURCE_CHANNEL, /* one that stays, and speaks the channel itself */
	SOURCE_PYTHON, /* the same, a script */
};

/* A program that is no C module, and the children of which run its handlers
 * alone. */
struct handler_source {
	TAILQ_ENTRY(handler_source) entry; /* of the table */
	enum source_kind kind;
	char *name; /* the task type, or its block; unique for a kind */
	char **words; /* its command: an absolute path, then arguments */
	char *category; /* whose settings its children have */
	const struct conf_settings *settings; /* the configuration's */
};

struct program;

struct handler {
	RB_ENTRY(handler) entry;
	char *type; /* the task type: its key */
	char *category; /* name */
	char *file; /* of the module or program, absolute */
	const struct handler_source *source; /* the table's; NULL: a module */
	struct program *program; /* that runs it, once there are programs */
	struct handler_file *pinned; /* the same; the table's, or NULL */
	struct declared declared;
	const struct conf_settings *settings; /* the configuration's; or NULL */
	int64_t time_limit_ms; /* 0: its category's */
	int64_t soft_time_limit_ms; /* 0: its category's */
};

RB_HEAD(handler_tree, handler);

struct handler_table {
	struct handler_tree tree;
	TAILQ_HEAD(, handler_file) files;
	TAILQ_HEAD(, handler_source) sources;
	size_t count;
};

void handler_table_init(struct handler_table *);
void handler_table_fini(struct handler_table *);
/* Adds a handler, copying the names. NULL with errno ENOMEM, or EEXIST when
 * the type is there already. */
struct handler *handler_add(struct handler_table *, const char *type,
    const char *category, const char *file);
/* Gives it another category; -1 with errno ENOMEM. */
int handler_set_category(struct handler *, const char *category);
/* Says what its program declares; the same. */
int handler_declare(struct handler *, const struct declared *);
struct handler *handler_find(const struct handler_table *, const char *type);
/* Adds a program. Takes the words, each and their array allocated. NULL with
 * errno; they are then freed. */
struct handler_source *handler_source_add(struct handler_table *,
    enum source_kind, const char *name, const char *category, char **words);
/* Removes it with all its handlers, of which no program may be made. Returns its
 * words, which are then the caller's. */
char **handler_source_remove(struct handler_table *, struct handler_source *);
/* Keeps a file of that path; takes fd. NULL with errno; fd is then closed. */
struct handler_file *handler_file_keep(
    struct handler_table *, const char *path, int fd, const struct stat *);
/* True when its name stands for it still, unchanged. */
bool handler_file_is_current(const struct handler_file *);
/* True when it is still there, but its content is another. */
bool handler_file_was_overwritten(const struct handler_file *);
/* True when it is a program that stays, and is described by its first child;
 * source may be NULL: C modules. */
bool handler_source_stays(const struct handler_source *);
/* True when both are the same program; its command may have changed. Each may
 * be NULL: C modules. */
bool handler_source_equal(
    const struct handler_source *, const struct handler_source *);
/* True when both are the same, file and limits included; what they declare is
 * only told. */
bool handler_equal(const struct handler *, const struct handler *);
/* In the order of their types; NULL starts and ends. */
struct handler *handler_next(const struct handler_table *, struct handler *);

#endif
