/* SPDX-License-Identifier: ISC */
/*
 * conf.h: the configuration: one table of keys (conf_keys.c), and a struct
 * that is built whole from defaults, file, environment and command line, and
 * never changed afterwards.
 */
#ifndef AVTOWORKER_CONF_H
#define AVTOWORKER_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <bsd/sys/queue.h>

#include "supervisor/base/log.h"
#include "supervisor/base/why.h"

enum conf_protocol {
	CONF_AUTO,
	CONF_CLASSIC,
	CONF_RXON
};
enum conf_retry_status {
	CONF_RETRY_FAILURE,
	CONF_RETRY_PASSTHROUGH
};

/* worker { } */
struct conf_worker {
	char *id; /* NULL: made at the first start, kept in state_dir */
	char *type; /* shown to the orchestrator */
	int64_t max_concurrent_tasks; /* running tasks over all categories */
	int64_t heartbeat_interval_ms;
	int64_t
	    poll_interval_ms; /* pause after an empty poll that did not wait */
	int64_t shutdown_timeout_ms;
	char *state_dir; /* NULL: found by the identity code */
};

/* log { } */
struct conf_log {
	char *destination; /* stderr, syslog or an absolute path */
	enum log_level level;
	enum log_format format;
};

/* orchestrator NAME { } */
struct conf_orchestrator {
	TAILQ_ENTRY(conf_orchestrator) entry;
	char *name;
	char *url; /* http or https; no trailing slash, no user info */
	char *token; /* secret, from the environment; or NULL */
	char *token_file; /* read when needed, if there is no token; or NULL */
	enum conf_protocol protocol;
	enum conf_retry_status retry_status;
	int64_t poll_timeout_ms; /* client-side limit of a long poll */
	int64_t request_timeout_ms; /* limit of every other request */
};

/* category NAME { } */
struct conf_category {
	TAILQ_ENTRY(conf_category) entry;
	char *name;
	int64_t children; /* how many are kept; 0: number of cores */
};

/* module NAME { }: every handler of a file. */
struct conf_module {
	TAILQ_ENTRY(conf_module) entry;
	char *name;
	char *file; /* as written: a path, or a name in pkglibdir/handlers */
	bool from_argv : 1; /* named on the command line */
};

/* handler TYPE { }: one handler, selected or overridden. */
struct conf_handler {
	TAILQ_ENTRY(conf_handler) entry;
	char *name; /* the task type */
	char *module; /* file, as in struct conf_module; or NULL */
	char *category; /* NULL: as the module says, else "default" */
};

struct conf {
	struct conf_worker worker;
	struct conf_log log;
	TAILQ_HEAD(, conf_orchestrator) orchestrators; /* empty in local mode */
	TAILQ_HEAD(, conf_category) categories;
	TAILQ_HEAD(, conf_module) modules;
	TAILQ_HEAD(, conf_handler) handlers;
};

/* Where a configuration comes from. All borrowed. */
struct conf_source {
	const char *file; /* NULL: none */
	char **environment; /* NULL-terminated NAME=VALUE; or NULL */
	const char **options; /* of -o: SECTION.KEY=VALUE */
	size_t options_len;
	const char **handlers; /* HANDLER arguments: module files */
	size_t handlers_len;
	bool local : 1; /* no orchestrator is needed */
};

/* What is wrong, in the order found; each line is complete:
 * "FILE:LINE: ..." or "environment: ..." or "-o ...: ...". */
struct conf_problem {
	TAILQ_ENTRY(conf_problem) entry;
	char *text;
};
struct conf_problems {
	TAILQ_HEAD(, conf_problem) list;
	unsigned count;
};

/* Builds a configuration; NULL when anything is wrong, with every problem
 * listed (a syntax error or unknown key ends the list). problems must be
 * initialised by conf_problems_init(). */
struct conf *conf_new(const struct conf_source *, struct conf_problems *);
/* Wipes secrets, frees; NULL is fine. */
void conf_free(struct conf *);

void conf_problems_init(struct conf_problems *);
void conf_problems_fini(struct conf_problems *);

/* -T: writes the effective configuration in the file's own syntax, which
 * parses to itself; secrets appear as comments without their value. */
void conf_dump(const struct conf *, FILE *);
/* --help: one line per key: section, key, unit, default, environment, help. */
void conf_print_keys(FILE *);

/* The block of that name, or NULL. */
const struct conf_category *conf_category(
    const struct conf *, const char *name);

/* True when children get the caller's environment (less our secrets) rather
 * than the allowlist: handlers named on the command line run as if the caller
 * had started them. */
bool conf_inherits(const struct conf *);

/* Overwrites the values of our secret variables in the process's own
 * environment block, which a child of the same user could read in /proc, and
 * removes them. Call once the configuration is built. */
void conf_wipe_environment(char **environment);
/* Names of the environment variables that hold secrets; NULL-terminated. */
extern const char *const conf_secret_variables[];

#endif
