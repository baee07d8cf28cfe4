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
#include "supervisor/conf_told.h"

enum conf_protocol {
	CONF_AUTO,
	CONF_CLASSIC,
	CONF_RXON
};
enum conf_retry_status {
	CONF_RETRY_FAILURE,
	CONF_RETRY_PASSTHROUGH
};
enum conf_stop_status {
	CONF_STOP_KEEP,
	CONF_STOP_OFFLINE
};
/* What heartbeats offer while categories are full. */
enum conf_offer {
	CONF_OFFER_ALL, /* what can be run at all: tasks wait in the queue */
	CONF_OFFER_FREE /* what can be run at once */
};
enum conf_registration {
	CONF_REGISTRATION_WORKER, /* one, with all task types */
	CONF_REGISTRATION_CATEGORY /* one for each category */
};
/* Who gets the next poll while several orchestrators have tasks. */
enum conf_orchestrator_mode {
	CONF_MODE_WATERFALL, /* the first, and what it leaves the next */
	CONF_MODE_ROUND_ROBIN, /* each in turn, by weight */
	CONF_MODE_FAILOVER /* the first that answers; one at each other */
};
enum conf_rate_budget {
	CONF_RATE_AUTO, /* the published limits, once a 429 was seen */
	CONF_RATE_ALWAYS,
	CONF_RATE_OFF
};
/* What the journal survives. */
enum conf_durability {
	CONF_DURABILITY_PROCESS, /* any end of the supervisor */
	CONF_DURABILITY_POWER, /* of the machine, too */
	CONF_DURABILITY_OFF /* there is none */
};
enum conf_environment {
	CONF_ENVIRONMENT_AUTO, /* inherit for handlers of the command line */
	CONF_ENVIRONMENT_CLEAR,
	CONF_ENVIRONMENT_INHERIT
};
enum conf_sweep {
	CONF_SWEEP_TASK,
	CONF_SWEEP_EXIT,
	CONF_SWEEP_AUTO /* by the kind of the program */
};

/* worker { } */
struct conf_worker {
	char *id; /* NULL: made at the first start, kept in state_dir */
	char *type; /* shown to the orchestrator */
	int64_t max_concurrent_tasks; /* running tasks over all categories */
	int64_t heartbeat_interval_ms;
	int64_t heartbeat_debounce_ms; /* from a change to an early one */
	int64_t heartbeat_cooldown_ms; /* from one to an early one, at least */
	int64_t usage_deadband_milli; /* points, and percent: no news */
	int64_t usage_interval_ms; /* after which usage is told all the same */
	int64_t
	    poll_interval_ms; /* pause after an empty poll that did not wait */
	int64_t shutdown_timeout_ms;
	enum conf_orchestrator_mode orchestrator_mode;
	enum conf_durability durability;
	int64_t result_retention_ms; /* of results that are not taken */
	char *state_dir; /* NULL: found by the identity code */
	char *task_files_dir; /* NULL: in state_dir */
	char *pid_file; /* NULL: in state_dir, with -d only */
	int64_t max_queued; /* leases that wait; 0: max_concurrent_tasks */
	int64_t max_deaths_per_task; /* children that one task may cost */
	int64_t min_free_memory; /* bytes; below it nothing is leased; or 0 */
};

/* resources { }: what orchestrators are told that this worker has. */
struct conf_resources {
	int64_t cpu; /* cores; 0: as many as may be used here */
	int64_t memory_gb; /* 0: as much as may be used here */
	bool gpu;
	char *gpu_model; /* with gpu; NULL: not told */
	int64_t gpu_memory_gb; /* with gpu; 0: not told */
	char *gpu_id; /* with gpu */
	char *devices; /* others: a JSON list of objects; or NULL */
	char **extra; /* "NAME=VALUE" of capabilities; or NULL */
	char *properties; /* pairs (base/pairs.h); or NULL */
	char *models; /* pairs of name and version; or NULL */
	char *software; /* the same */
	char *costs; /* pairs of task type and decimal number; or NULL */
};

/* storage { }: the object store that tasks are given, as far as orchestrators
 * are told of it. */
struct conf_storage {
	char *endpoint; /* URL, or NULL */
	char *access_key; /* or NULL */
	char *bucket;
};

/* log { } */
struct conf_log {
	char *destination; /* stderr, syslog or an absolute path */
	enum log_level level;
	enum log_format format;
};

/* metrics { } */
struct conf_metrics {
	bool enabled;
	char *address; /* to listen on; NULL: 127.0.0.1, or 0.0.0.0 when a
			  port is set */
	int64_t port; /* 0: 8083, if it is free */
};

/* orchestrator NAME { } */
struct conf_orchestrator {
	TAILQ_ENTRY(conf_orchestrator) entry;
	char *name;
	char *url; /* http or https; no trailing slash, no user info */
	char *token; /* secret, from the environment; or NULL */
	char *token_file; /* read when needed, if there is no token; or NULL */
	char *task_key; /* secret, from the environment; or NULL */
	char *task_key_file; /* the same for the key; neither: tasks are not
				verified */
	bool require_signature; /* with a key, of every task */
	enum conf_protocol protocol;
	enum conf_retry_status retry_status;
	enum conf_stop_status stop_status; /* what a stop tells it */
	int64_t priority; /* those with a smaller one come first */
	int64_t weight; /* share of the polls; see conf_orchestrator_mode */
	enum conf_registration registration;
	enum conf_offer offer;
	int64_t poll_timeout_ms; /* client-side limit of a long poll */
	int64_t request_timeout_ms; /* limit of every other request */
	/* Delays after failures: the first, and where they stop growing. */
	int64_t registration_backoff_initial_ms;
	int64_t registration_backoff_max_ms;
	int64_t poll_backoff_initial_ms;
	int64_t poll_backoff_max_ms;
	int64_t poll_backoff_factor_milli;
	int64_t result_backoff_initial_ms;
	int64_t result_backoff_max_ms;
	int64_t report_stderr; /* bytes of a dead child's output that are
				  sent with its result; 0: none */
	enum conf_rate_budget rate_budget;
	bool websocket; /* one is kept open, where it has them */
	char *tls_ca_file; /* PEM, or a directory; NULL: the system's CAs */
	char *tls_ca_path; /* directory, as made by c_rehash; or NULL */
	char *tls_cert; /* PEM, ours; or NULL */
	char *tls_key; /* PEM; NULL: in tls_cert */
};

/* For handlers to read: "KEY=VALUE", and "KEY=PATH" of files that hold values;
 * each NULL: none. */
struct conf_settings {
	char **set;
	char **set_file;
};

/* category NAME { } */
struct conf_category {
	TAILQ_ENTRY(conf_category) entry;
	char *name; /* NULL in the defaults */
	/* How many children; see conf_category_sizes(). */
	int64_t children; /* always that many; 0: min to max */
	int64_t min_children; /* always there */
	int64_t max_children; /* 0: by the kind of the program */
	int64_t max_tasks; /* that run at once; 0: see conf_category_limit() */
	int64_t idle_timeout_ms; /* of children beyond the minimum */
	int64_t start_timeout_ms; /* from start to ready */
	int64_t stop_timeout_ms; /* from being told to leave to the kill */
	int64_t withdraw_after_ms; /* without a ready child */
	int64_t tasks_per_child; /* at once; of programs that stay */
	/* When one is replaced, between tasks; 0: never. */
	int64_t max_tasks_per_child;
	int64_t max_memory_per_child; /* bytes */
	int64_t max_child_age_ms;
	/* Of one task; 0: none. */
	int64_t time_limit_ms;
	int64_t soft_time_limit_ms;
	int64_t cancel_grace_ms; /* from the request to stop to the kill */
	int64_t slow_after_ms;
	int64_t memory_limit; /* bytes, of a child and all it started */
	int64_t cpu_time_limit_ms;
	int64_t output_limit; /* bytes of a task's output that are logged */
	/* Of the process. */
	int64_t max_open_files; /* 0: as the supervisor was started with */
	int64_t max_file_size; /* bytes; 0: the same */
	int64_t core_size; /* bytes */
	int64_t nice;
	char *umask; /* octal digits; NULL: the supervisor's */
	char *working_directory; /* NULL: the supervisor's */
	enum conf_environment environment;
	char *env_file; /* NAME=VALUE lines that are added; or NULL */
	struct conf_settings settings;
	enum conf_sweep sweep; /* when leftover processes are ended */
	bool launcher; /* a process of ours stays above each child */
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
	char **exec; /* a program and its arguments; or NULL */
	char *category; /* NULL: as the module says, else "default" */
	char *version; /* of the skill; NULL: SKILL_VERSION */
	char *cost; /* decimal number; or NULL */
	int64_t time_limit_ms; /* 0: the category's */
	int64_t soft_time_limit_ms; /* 0: the category's */
	char **final_codes; /* of failures that end the job; or NULL */
	struct conf_settings settings;
	bool from_argv : 1; /* its executable is named on the command line */
};

/* python NAME { }: a script, whose handlers are all offered. */
struct conf_python {
	TAILQ_ENTRY(conf_python) entry;
	char *name;
	char **script; /* FILE, -m MODULE or MODULE:ATTRIBUTE, and arguments */
	char *app; /* variable that holds its Worker; or NULL */
	char *python; /* interpreter; NULL: found by the script */
	char *category; /* NULL: "default" */
	struct conf_settings settings;
};

/* channel NAME { }: a program that speaks the channel by itself, whose
 * handlers are all offered. */
struct conf_channel {
	TAILQ_ENTRY(conf_channel) entry;
	char *name;
	char **exec; /* the program and its arguments */
	char *category; /* NULL: "default" */
	struct conf_settings settings;
};

struct conf {
	struct conf_worker worker;
	struct conf_resources resources;
	struct conf_storage storage;
	struct conf_log log;
	struct conf_metrics metrics;
	struct conf_category category_defaults; /* of one without a block */
	/* By priority; empty in local mode. */
	TAILQ_HEAD(, conf_orchestrator) orchestrators;
	char *orchestrators_config; /* secret: the variable that named them,
				       as it was; or NULL */
	TAILQ_HEAD(, conf_category) categories;
	TAILQ_HEAD(, conf_module) modules;
	TAILQ_HEAD(, conf_handler) handlers;
	TAILQ_HEAD(, conf_python) pythons;
	TAILQ_HEAD(, conf_channel) channels;
	struct conf_tolds secrets; /* of the environment, as they were */
};

/* Where a configuration comes from. All borrowed. */
struct conf_source {
	const char *file; /* NULL: none */
	char **environment; /* NULL-terminated NAME=VALUE; or NULL */
	const char **options; /* of -o: SECTION.KEY=VALUE */
	size_t options_len;
	const char **handlers; /* HANDLER arguments: module files */
	size_t handlers_len;
	const struct conf *previous; /* what the worker was started with: its
					tokens are gone from the environment;
					or NULL */
	struct conf_tolds *told; /* settings of scripts, which learn what has
				    overruled them; or NULL */
	bool local : 1; /* no orchestrator is needed */
	bool awaits_scripts : 1; /* a script may still bring the orchestrator */
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

/* True when two categories are configured alike, but for their names. */
bool conf_category_equal(
    const struct conf_category *, const struct conf_category *);
/* Calls changed("worker.id", arg) for every key that differs and that a
 * running worker cannot change. */
void conf_restart_keys(const struct conf *old, const struct conf *new,
    void (*changed)(const char *key, void *arg), void *arg);

/* -T: writes the effective configuration in the file's own syntax, which
 * parses to itself; secrets appear as comments without their value. */
void conf_dump(const struct conf *, FILE *);
/* --help: one line per key: section, key, unit, default, environment, help. */
void conf_print_keys(FILE *);

/* The category of handlers that name none; it needs no block. */
#define CONF_DEFAULT_CATEGORY "default"

/* The block of that task type, or NULL. */
const struct conf_handler *conf_handler(const struct conf *, const char *type);
/* The block of that name, or NULL. */
const struct conf_category *conf_category(
    const struct conf *, const char *name);
/* The same, or the defaults for a category that has no block. */
const struct conf_category *conf_category_or_default(
    const struct conf *, const char *name);
/* Most of its tasks that may run at once; 0: it has no limit of its own. */
unsigned conf_category_limit(const struct conf_category *);
/* The least and the most children that a program of it has; usual: the most
 * where it does not say. max is at least 1. */
void conf_category_sizes(
    const struct conf_category *, unsigned usual, unsigned *min, unsigned *max);

/* True when there are programs that may bring settings with them. */
bool conf_has_scripts(const struct conf *);
/* True when children get the caller's environment (less our secrets) rather
 * than the allowlist: handlers named on the command line run as if the caller
 * had started them. */
bool conf_inherits(const struct conf *);

/* Overwrites the values of our secret variables in the process's own
 * environment block, which a child of the same user could read in /proc, and
 * removes them. Call once the configuration is built. */
void conf_wipe_environment(char **environment);
/* A variable of the Python SDK that sets no key. */
struct conf_variable {
	const char *name;
	const char *instead; /* why, or what to do: one clause */
	bool by_scripts; /* where there are any, they read it */
};
extern const struct conf_variable conf_variables[];
extern const size_t conf_variables_len;
/* Calls found() for each of them that is set, not empty, and not read by any
 * script that there is. */
void conf_variables_without_use(const struct conf *, char **environment,
    void (*found)(const struct conf_variable *, void *arg), void *arg);

/* True when SECRET_KEY, which many programs use for secrets of their own, is
 * the key by which tasks are verified. */
bool conf_secret_key_is_taken(const struct conf *, char **environment);

/* True for a variable whose value sets a key once it is translated. */
bool conf_sdk_knows(const char *variable);

/* The variable that names all orchestrators, in JSON. */
#define CONF_ORCHESTRATORS "ORCHESTRATORS_CONFIG"

/* Names of the environment variables that hold secrets; NULL-terminated. */
extern const char *const conf_secret_variables[];

#endif
