/* SPDX-License-Identifier: ISC */
/*
 * The table of keys. Nothing else in the program knows a key's name, default,
 * range or variable.
 */
#include <assert.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include "supervisor/base/pairs.h"
#include "supervisor/conf.h"
#include "supervisor/conf_keys.h"
#include "supervisor/conf_problem.h"

#define SECOND  1000
#define MINUTE  (60 * SECOND)
#define HOUR    (60 * (int64_t)MINUTE)
#define K       ((int64_t)1024)
#define M       (1024 * K)
#define G       (1024 * M)

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS  "0123456789"

/* A choice is stored as an unsigned. */
static_assert(sizeof(enum conf_protocol) == sizeof(unsigned), "enum size");
static_assert(sizeof(enum conf_retry_status) == sizeof(unsigned), "enum size");
static_assert(sizeof(enum conf_stop_status) == sizeof(unsigned), "enum size");
static_assert(sizeof(enum conf_offer) == sizeof(unsigned), "enum size");
static_assert(sizeof(enum conf_rate_budget) == sizeof(unsigned), "enum size");
static_assert(sizeof(enum conf_environment) == sizeof(unsigned), "enum size");
static_assert(sizeof(enum conf_durability) == sizeof(unsigned), "enum size");
static_assert(sizeof(enum conf_sweep) == sizeof(unsigned), "enum size");
static_assert(sizeof(enum log_level) == sizeof(unsigned), "enum size");
static_assert(sizeof(enum log_format) == sizeof(unsigned), "enum size");

static bool
is_made_of(const char *s, const char *set, size_t max)
{
	const size_t len = strnlen(s, max + 1);

	return (len > 0 && len <= max && strspn(s, set) == len);
}

bool
conf_is_name(const char *s)
{
	return (is_made_of(s, LETTERS DIGITS "_.-", 64));
}

bool
conf_is_task_type(const char *s)
{
	return (is_made_of(s, LETTERS DIGITS "._:-", 128));
}

/* An orchestrator keeps `ghost` for workers that have vanished. */
static bool
is_worker_id(const char *s)
{
	return (
	    is_made_of(s, LETTERS DIGITS "_-", 64) && strcmp(s, "ghost") != 0);
}

static bool
is_printable(const char *s, char from, size_t max)
{
	size_t i;

	for (i = 0; s[i] != '\0'; i++)
		if (i >= max || s[i] < from || s[i] > '~')
			return (false);
	return (i > 0);
}

static bool
is_worker_type(const char *s)
{
	return (is_printable(s, ' ', 128));
}

/* It goes into a header line, so no space and nothing below it. */
static bool
is_token(const char *s)
{
	return (is_printable(s, '!', 4096));
}

static bool
is_task_key(const char *s)
{
	return (is_printable(s, ' ', 4096));
}

static bool
is_path(const char *s)
{
	size_t i;

	for (i = 0; s[i] != '\0'; i++)
		if (i >= PATH_MAX - 1 || (s[i] > 0 && s[i] < ' ') ||
		    s[i] == 0x7f)
			return (false);
	return (i > 0);
}

/* A word of a command; an argument may be empty. */
static bool
is_word(const char *s)
{
	return (*s == '\0' || is_path(s));
}

/* KEY=VALUE: it becomes a variable, so not one of ours. */
static bool
is_setting(const char *s)
{
	const size_t len = strspn(s, LETTERS DIGITS "_");
	size_t i;

	if (len == 0 || len > 64 || s[len] != '=' || strchr(DIGITS, s[0]) ||
	    strncmp(s, "AVTOWORKER_", 11) == 0)
		return (false);
	for (i = 0; conf_secret_variables[i] != NULL; i++)
		if (strlen(conf_secret_variables[i]) == len &&
		    strncmp(s, conf_secret_variables[i], len) == 0)
			return (false);
	return (s[len + 1] == '\0' || is_path(s + len + 1));
}

static bool
is_file_setting(const char *s)
{
	return (is_setting(s) && strchr(s, '=')[1] == '/' &&
	    is_path(strchr(s, '=') + 1));
}

/* NAME=VALUE, NAME=VALUE ...; is_model: NAME or NAME=VERSION. */
static bool
is_pairs(const char *s, bool is_model)
{
	struct pair pair;

	if (!is_printable(s, ' ', 4096) || pairs_next(&s, &pair) != 1)
		return (false);
	for (;;) {
		if (pair.name_len == 0 || pair.name_len > 64 ||
		    (is_model ? pair.value != NULL && pair.value_len == 0 :
				pair.value_len == 0))
			return (false);
		if (pairs_next(&s, &pair) == 0)
			return (true);
	}
}

static bool
is_properties(const char *s)
{
	return (is_pairs(s, false));
}

static bool
is_models(const char *s)
{
	return (is_pairs(s, true));
}

/* Of a variable, perhaps in a module. */
static bool
is_python_name(const char *s)
{
	return (is_made_of(s, LETTERS DIGITS "_.", 128));
}

static bool
is_version(const char *s)
{
	return (is_made_of(s, LETTERS DIGITS "_.+-", 64));
}

/* A decimal number that is the same for everybody who reads it. */
static bool
is_cost(const char *s)
{
	const size_t whole = strspn(s, DIGITS);
	size_t fraction = 0;

	if (s[whole] == '.')
		fraction = strspn(s + whole + 1, DIGITS);
	return (whole >= 1 && whole <= 9 && fraction <= 6 &&
	    (s[whole] == '\0' ||
		(fraction > 0 && s[whole + 1 + fraction] == '\0')));
}

static bool
is_costs(const char *s)
{
	struct pair pair;
	char cost[32];

	if (!is_pairs(s, false))
		return (false);
	while (pairs_next(&s, &pair) != 0)
		if (snprintf(cost, sizeof(cost), "%.*s", (int)pair.value_len,
			pair.value) >= (int)sizeof(cost) ||
		    !is_cost(cost))
			return (false);
	return (true);
}

static bool
is_absolute_path(const char *s)
{
	return (s[0] == '/' && is_path(s));
}

static bool
is_log_destination(const char *s)
{
	return (strcmp(s, "stderr") == 0 || strcmp(s, "syslog") == 0 ||
	    is_absolute_path(s));
}

static bool
is_umask(const char *s)
{
	return (is_made_of(s, "01234567", 4) && strtoul(s, NULL, 8) <= 0777);
}

static bool
is_address(const char *s)
{
	struct in6_addr any;

	return (inet_pton(AF_INET, s, &any) == 1 ||
	    inet_pton(AF_INET6, s, &any) == 1);
}

static const struct conf_choice levels[] = {
	{ "debug", LOG_LEVEL_DEBUG },
	{ "info", LOG_LEVEL_INFO },
	{ "warn", LOG_LEVEL_WARN },
	{ "warning", LOG_LEVEL_WARN },
	{ "error", LOG_LEVEL_ERR },
	{ NULL, 0 },
};

static const struct conf_choice formats[] = {
	{ "text", LOG_FORMAT_TEXT },
	{ "json", LOG_FORMAT_JSON },
	{ NULL, 0 },
};

static const struct conf_choice protocols[] = {
	{ "auto", CONF_AUTO },
	{ "classic", CONF_CLASSIC },
	{ "rxon", CONF_RXON },
	{ NULL, 0 },
};

static const struct conf_choice retry_statuses[] = {
	{ "failure", CONF_RETRY_FAILURE },
	{ "passthrough", CONF_RETRY_PASSTHROUGH },
	{ NULL, 0 },
};

static const struct conf_choice stop_statuses[] = {
	{ "keep", CONF_STOP_KEEP },
	{ "offline", CONF_STOP_OFFLINE },
	{ NULL, 0 },
};

static const struct conf_choice offers[] = {
	{ "all", CONF_OFFER_ALL },
	{ "free", CONF_OFFER_FREE },
	{ NULL, 0 },
};

static const struct conf_choice registrations[] = {
	{ "worker", CONF_REGISTRATION_WORKER },
	{ "category", CONF_REGISTRATION_CATEGORY },
	{ NULL, 0 },
};

static const struct conf_choice orchestrator_modes[] = {
	{ "waterfall", CONF_MODE_WATERFALL },
	{ "round_robin", CONF_MODE_ROUND_ROBIN },
	{ "failover", CONF_MODE_FAILOVER },
	{ NULL, 0 },
};

static const struct conf_choice durabilities[] = {
	{ "process", CONF_DURABILITY_PROCESS },
	{ "power", CONF_DURABILITY_POWER },
	{ "off", CONF_DURABILITY_OFF },
	{ NULL, 0 },
};

static const struct conf_choice rate_budgets[] = {
	{ "auto", CONF_RATE_AUTO },
	{ "always", CONF_RATE_ALWAYS },
	{ "off", CONF_RATE_OFF },
	{ NULL, 0 },
};

static const struct conf_choice environments[] = {
	{ "auto", CONF_ENVIRONMENT_AUTO },
	{ "clear", CONF_ENVIRONMENT_CLEAR },
	{ "inherit", CONF_ENVIRONMENT_INHERIT },
	{ NULL, 0 },
};

static const struct conf_choice sweeps[] = {
	{ "task", CONF_SWEEP_TASK },
	{ "exit", CONF_SWEEP_EXIT },
	{ "auto", CONF_SWEEP_AUTO },
	{ NULL, 0 },
};

#define WORDS_EXPECTS \
	"a path, or {PATH, ARGUMENT, ...}, without control characters"
#define SETTING_EXPECTS \
	"KEY=VALUE, or a list of those; a KEY is made of letters, digits and " \
	"\"_\""
#define SETTING_FILE_EXPECTS "KEY=PATH, or a list of those; a PATH is absolute"
#define NAME_EXPECTS         "1 to 64 letters, digits, \"_\", \".\" or \"-\""
#define TYPE_EXPECTS         "1 to 128 letters, digits, \".\", \"_\", \":\" or \"-\""

const struct conf_section conf_sections[] = {
	{ .name = "worker",
	    .help = "This worker, as the orchestrator sees it." },
	{ .name = "resources",
	    .help = "What orchestrators are told that this worker has." },
	{ .name = "storage",
	    .help = "The object store that handlers use, as orchestrators "
		    "know it." },
	{ .name = "log", .help = "Where log lines go and how they look." },
	{ .name = "metrics", .help = "Figures and health, over HTTP." },
	{ .name = "orchestrator",
	    .title = "NAME",
	    .title_ok = conf_is_name,
	    .title_expects = NAME_EXPECTS,
	    .help = "An orchestrator to take tasks from." },
	{ .name = "category",
	    .title = "NAME",
	    .title_ok = conf_is_name,
	    .title_expects = NAME_EXPECTS,
	    .help = "A group of handlers that share children." },
	{ .name = "module",
	    .title = "NAME",
	    .title_ok = conf_is_name,
	    .title_expects = NAME_EXPECTS,
	    .help = "A file whose handlers are all offered." },
	{ .name = "handler",
	    .title = "TYPE",
	    .title_ok = conf_is_task_type,
	    .title_expects = TYPE_EXPECTS,
	    .help = "One task type, selected or overridden." },
	{ .name = "python",
	    .title = "NAME",
	    .title_ok = conf_is_name,
	    .title_expects = NAME_EXPECTS,
	    .help = "A Python script whose handlers are all offered." },
	{ .name = "channel",
	    .title = "NAME",
	    .title_ok = conf_is_name,
	    .title_expects = NAME_EXPECTS,
	    .help = "A program that speaks the channel by itself." },
};
const size_t conf_sections_len =
    sizeof(conf_sections) / sizeof(conf_sections[0]);

const struct conf_key conf_keys[] = {
	{ .section = "worker",
	    .name = "id",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_worker, id),
	    .unset = "made at the first start",
	    .check = is_worker_id,
	    .expects = "1 to 64 letters, digits, \"_\" or \"-\", "
		       "and not \"ghost\"",
	    .environment = "WORKER_ID",
	    .restart = true,
	    .help = "Name of this worker; no two workers may share one." },
	{ .section = "worker",
	    .name = "type",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_worker, type),
	    .def = "avtoworker",
	    .check = is_worker_type,
	    .expects = "1 to 128 printable ASCII characters",
	    .environment = "WORKER_TYPE",
	    .restart = true,
	    .help = "Kind of worker, as shown by the orchestrator." },
	{ .section = "worker",
	    .name = "max_concurrent_tasks",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_worker, max_concurrent_tasks),
	    .def = "10",
	    .min = 1,
	    .max = 10000,
	    .environment = "MAX_CONCURRENT_TASKS",
	    .help = "Most tasks that run at once, over all categories." },
	{ .section = "worker",
	    .name = "heartbeat_interval",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_worker, heartbeat_interval_ms),
	    .def = "30s",
	    .min = SECOND,
	    .max = 5 * MINUTE,
	    .environment = "HEARTBEAT_INTERVAL",
	    .restart = true,
	    .help = "Time between two heartbeats." },
	{ .section = "worker",
	    .name = "poll_interval",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_worker, poll_interval_ms),
	    .def = "1s",
	    .min = 0,
	    .max = 5 * MINUTE,
	    .environment = "POLL_INTERVAL",
	    .restart = true,
	    .help = "Pause after a poll that was empty and did not wait." },
	{ .section = "worker",
	    .name = "shutdown_timeout",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_worker, shutdown_timeout_ms),
	    .def = "25s",
	    .min = 0,
	    .max = 24 * HOUR,
	    .environment = "WORKER_SHUTDOWN_TIMEOUT",
	    .help = "How long a stop waits for running tasks." },
	{ .section = "worker",
	    .name = "state_dir",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_worker, state_dir),
	    .unset = "$STATE_DIRECTORY, or ~/.local/state/avtoworker",
	    .check = is_absolute_path,
	    .expects = "an absolute path",
	    .restart = true,
	    .help = "Directory of what must outlive the process." },
	{ .section = "worker",
	    .name = "task_files_dir",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_worker, task_files_dir),
	    .unset = "in the state directory; with --local in $TMPDIR",
	    .check = is_absolute_path,
	    .expects = "an absolute path",
	    .environment = "TASK_FILES_DIR",
	    .restart = true,
	    .help = "Directory in which tasks have theirs." },
	{ .section = "worker",
	    .name = "pid_file",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_worker, pid_file),
	    .unset = "in the state directory, with -d",
	    .check = is_absolute_path,
	    .expects = "an absolute path",
	    .restart = true,
	    .help = "File that holds the process id." },
	{ .section = "worker",
	    .name = "max_queued",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_worker, max_queued),
	    .unset = "max_concurrent_tasks",
	    .min = 1,
	    .max = 100000,
	    .help = "Most tasks that wait for a child." },
	{ .section = "worker",
	    .name = "max_deaths_per_task",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_worker, max_deaths_per_task),
	    .def = "3",
	    .min = 1,
	    .max = 1000,
	    .help = "Children a task may cost before it is refused for good." },
	{ .section = "worker",
	    .name = "min_free_memory",
	    .type = CONF_TYPE_SIZE,
	    .offset = offsetof(struct conf_worker, min_free_memory),
	    .unset = "no such limit",
	    .min = M,
	    .max = 1024 * G,
	    .help = "Free memory below which no task is taken." },
	{ .section = "worker",
	    .name = "orchestrator_mode",
	    .type = CONF_TYPE_CHOICE,
	    .offset = offsetof(struct conf_worker, orchestrator_mode),
	    .def = "waterfall",
	    .choices = orchestrator_modes,
	    .environment = "MULTI_ORCHESTRATOR_MODE",
	    .restart = true,
	    .help = "Who is asked next while several have tasks." },
	{ .section = "worker",
	    .name = "durability",
	    .type = CONF_TYPE_CHOICE,
	    .offset = offsetof(struct conf_worker, durability),
	    .def = "process",
	    .choices = durabilities,
	    .restart = true,
	    .help = "What tasks and results outlive." },
	{ .section = "worker",
	    .name = "result_retention",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_worker, result_retention_ms),
	    .def = "24h",
	    .min = MINUTE,
	    .max = 365 * 24 * HOUR,
	    .restart = true,
	    .help = "How long a result is offered." },

	{ .section = "resources",
	    .name = "cpu",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_resources, cpu),
	    .unset = "as many cores as may be used here",
	    .min = 1,
	    .max = 65536,
	    .environment = "CPU_CORES",
	    .restart = true,
	    .help = "Cores." },
	{ .section = "resources",
	    .name = "memory_gb",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_resources, memory_gb),
	    .unset = "as much as may be used here",
	    .min = 1,
	    .max = 1048576,
	    .restart = true,
	    .help = "Memory in gigabytes." },
	{ .section = "resources",
	    .name = "gpu",
	    .type = CONF_TYPE_FLAG,
	    .offset = offsetof(struct conf_resources, gpu),
	    .def = "no",
	    .restart = true,
	    .help = "Whether there is a graphics processor." },
	{ .section = "resources",
	    .name = "gpu_model",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_resources, gpu_model),
	    .unset = "not told",
	    .check = is_worker_type,
	    .expects = "1 to 128 printable ASCII characters",
	    .environment = "GPU_MODEL",
	    .restart = true,
	    .help = "Its model." },
	{ .section = "resources",
	    .name = "gpu_memory_gb",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_resources, gpu_memory_gb),
	    .unset = "not told",
	    .min = 1,
	    .max = 65536,
	    .restart = true,
	    .help = "Its memory in gigabytes." },
	{ .section = "resources",
	    .name = "properties",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_resources, properties),
	    .unset = "none",
	    .check = is_properties,
	    .expects = "\"NAME=VALUE, NAME=VALUE\"",
	    .restart = true,
	    .help = "What else there is that tasks may ask for." },
	{ .section = "resources",
	    .name = "models",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_resources, models),
	    .unset = "none",
	    .check = is_models,
	    .expects = "\"NAME, NAME=VERSION\"",
	    .restart = true,
	    .help = "Models that are installed." },

	{ .section = "resources",
	    .name = "software",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_resources, software),
	    .unset = "none",
	    .check = is_properties,
	    .expects = "\"NAME=VERSION, NAME=VERSION\"",
	    .restart = true,
	    .help = "Programs that are installed." },
	{ .section = "resources",
	    .name = "costs",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_resources, costs),
	    .unset = "what handlers' blocks and programs say",
	    .check = is_costs,
	    .expects = "\"TYPE=NUMBER, TYPE=NUMBER\", such as \"echo=0.5\"",
	    .help = "What a task of a type costs, unless its block says." },

	{ .section = "storage",
	    .name = "endpoint",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_storage, endpoint),
	    .unset = "there is none",
	    .check = is_token,
	    .expects = "a URL",
	    .environment = "S3_ENDPOINT_URL",
	    .restart = true,
	    .help = "URL of the store." },
	{ .section = "storage",
	    .name = "access_key",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_storage, access_key),
	    .unset = "not told",
	    .check = is_token,
	    .expects = "1 to 4096 printable ASCII characters without spaces",
	    .environment = "S3_ACCESS_KEY",
	    .restart = true,
	    .help = "Name of its user." },
	{ .section = "storage",
	    .name = "bucket",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_storage, bucket),
	    .def = "avtomatika-payloads",
	    .check = is_token,
	    .expects = "1 to 4096 printable ASCII characters without spaces",
	    .environment = "S3_DEFAULT_BUCKET",
	    .restart = true,
	    .help = "Bucket of results." },

	{ .section = "log",
	    .name = "destination",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_log, destination),
	    .def = "stderr",
	    .check = is_log_destination,
	    .expects = "stderr, syslog or an absolute path",
	    .help = "Where log lines go." },
	{ .section = "log",
	    .name = "level",
	    .type = CONF_TYPE_CHOICE,
	    .offset = offsetof(struct conf_log, level),
	    .def = "info",
	    .choices = levels,
	    .environment = "LOG_LEVEL",
	    .help = "Least important lines that are written." },
	{ .section = "log",
	    .name = "format",
	    .type = CONF_TYPE_CHOICE,
	    .offset = offsetof(struct conf_log, format),
	    .def = "text",
	    .choices = formats,
	    .environment = "LOG_FORMAT",
	    .help = "Lines for people, or a JSON object on each." },

	{ .section = "metrics",
	    .name = "enabled",
	    .type = CONF_TYPE_FLAG,
	    .offset = offsetof(struct conf_metrics, enabled),
	    .def = "yes",
	    .environment = "WORKER_ENABLE_METRICS",
	    .restart = true,
	    .help = "Whether they are served at all." },
	{ .section = "metrics",
	    .name = "address",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_metrics, address),
	    .unset = "127.0.0.1, or 0.0.0.0 when a port is set",
	    .check = is_address,
	    .expects = "an IPv4 or IPv6 address",
	    .restart = true,
	    .help = "Address to listen on." },
	{ .section = "metrics",
	    .name = "port",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_metrics, port),
	    .unset = "8083, if it is free",
	    .min = 1,
	    .max = 65535,
	    .environment = "WORKER_PORT",
	    .restart = true,
	    .help = "Port to listen on." },

	{ .section = "orchestrator",
	    .name = "url",
	    .type = CONF_TYPE_URL,
	    .offset = offsetof(struct conf_orchestrator, url),
	    .environment = "ORCHESTRATOR_URL",
	    .required = true,
	    .restart = true,
	    .help = "Where it listens: http or https." },
	{ .section = "orchestrator",
	    .name = "token",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_orchestrator, token),
	    .unset = "token_file",
	    .check = is_token,
	    .expects = "1 to 4096 printable ASCII characters without spaces",
	    .environment = "WORKER_TOKEN",
	    .environment_first = "WORKER_INDIVIDUAL_TOKEN",
	    .file = "token_file",
	    .secret = true,
	    .restart = true,
	    .help = "The token itself; from the environment only." },
	{ .section = "orchestrator",
	    .name = "token_file",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_orchestrator, token_file),
	    .unset = "the token comes from the environment",
	    .check = is_absolute_path,
	    .expects = "an absolute path",
	    .restart = true,
	    .help = "File that holds the token." },
	{ .section = "orchestrator",
	    .name = "task_key",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_orchestrator, task_key),
	    .unset = "task_key_file, else nothing is verified",
	    .check = is_task_key,
	    .expects = "1 to 4096 printable ASCII characters",
	    .environment = "ORCHESTRATOR_SECRET_KEY",
	    .file = "task_key_file",
	    .secret = true,
	    .restart = true,
	    .help = "The key itself; from the environment only." },
	{ .section = "orchestrator",
	    .name = "task_key_file",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_orchestrator, task_key_file),
	    .unset = "the key comes from the environment, or there is none",
	    .check = is_absolute_path,
	    .expects = "an absolute path",
	    .restart = true,
	    .help = "File that holds the key by which tasks are verified." },
	{ .section = "orchestrator",
	    .name = "protocol",
	    .type = CONF_TYPE_CHOICE,
	    .offset = offsetof(struct conf_orchestrator, protocol),
	    .def = "auto",
	    .choices = protocols,
	    .restart = true,
	    .help = "Dialect that it speaks; auto finds out." },
	{ .section = "orchestrator",
	    .name = "retry_status",
	    .type = CONF_TYPE_CHOICE,
	    .offset = offsetof(struct conf_orchestrator, retry_status),
	    .def = "failure",
	    .choices = retry_statuses,
	    .restart = true,
	    .help = "How a handler's \"retry\" is sent." },
	{ .section = "orchestrator",
	    .name = "stop_status",
	    .type = CONF_TYPE_CHOICE,
	    .offset = offsetof(struct conf_orchestrator, stop_status),
	    .def = "keep",
	    .choices = stop_statuses,
	    .restart = true,
	    .help = "What it is told when the worker stops." },
	{ .section = "orchestrator",
	    .name = "priority",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_orchestrator, priority),
	    .def = "10",
	    .min = 0,
	    .max = 1000000,
	    .restart = true,
	    .help = "Those with a smaller one are asked first." },
	{ .section = "orchestrator",
	    .name = "weight",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_orchestrator, weight),
	    .def = "1",
	    .min = 1,
	    .max = 1000,
	    .restart = true,
	    .help = "Its share of the polls with round_robin." },
	{ .section = "orchestrator",
	    .name = "registration",
	    .type = CONF_TYPE_CHOICE,
	    .offset = offsetof(struct conf_orchestrator, registration),
	    .def = "worker",
	    .choices = registrations,
	    .restart = true,
	    .help = "One for the whole worker, or one for each category." },
	{ .section = "orchestrator",
	    .name = "offer",
	    .type = CONF_TYPE_CHOICE,
	    .offset = offsetof(struct conf_orchestrator, offer),
	    .def = "all",
	    .choices = offers,
	    .restart = true,
	    .help = "Whether full categories are offered, too." },
	{ .section = "orchestrator",
	    .name = "poll_timeout",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_orchestrator, poll_timeout_ms),
	    .def = "40s",
	    .min = SECOND,
	    .max = 10 * MINUTE,
	    .restart = true,
	    .help = "Limit of a long poll; above what the server waits." },
	{ .section = "orchestrator",
	    .name = "request_timeout",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_orchestrator, request_timeout_ms),
	    .def = "30s",
	    .min = SECOND,
	    .max = 10 * MINUTE,
	    .restart = true,
	    .help = "Limit of every other request." },
	{ .section = "orchestrator",
	    .name = "report_stderr",
	    .type = CONF_TYPE_SIZE,
	    .offset = offsetof(struct conf_orchestrator, report_stderr),
	    .def = "0",
	    .min = 0,
	    .max = 64 * K,
	    .restart = true,
	    .help =
		"Last output of a dead child that is sent with its result." },
	{ .section = "orchestrator",
	    .name = "rate_budget",
	    .type = CONF_TYPE_CHOICE,
	    .offset = offsetof(struct conf_orchestrator, rate_budget),
	    .def = "auto",
	    .choices = rate_budgets,
	    .restart = true,
	    .help = "When requests pause before its rate limits block them." },
	{ .section = "orchestrator",
	    .name = "websocket",
	    .type = CONF_TYPE_FLAG,
	    .offset = offsetof(struct conf_orchestrator, websocket),
	    .def = "yes",
	    .environment = "WORKER_ENABLE_WEBSOCKETS",
	    .restart = true,
	    .help = "Whether a WebSocket is kept open, where it has them." },
	{ .section = "orchestrator",
	    .name = "tls_ca_file",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_orchestrator, tls_ca_file),
	    .unset = "the CAs of the system",
	    .check = is_absolute_path,
	    .expects = "an absolute path",
	    .environment = "TLS_CA_PATH",
	    .restart = true,
	    .help = "Certificates (PEM) of the CAs that are trusted." },
	{ .section = "orchestrator",
	    .name = "tls_ca_path",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_orchestrator, tls_ca_path),
	    .unset = "the CAs of the system",
	    .check = is_absolute_path,
	    .expects = "an absolute path",
	    .restart = true,
	    .help = "Directory of such certificates, with hashed names." },
	{ .section = "orchestrator",
	    .name = "tls_cert",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_orchestrator, tls_cert),
	    .unset = "no client certificate",
	    .check = is_absolute_path,
	    .expects = "an absolute path",
	    .environment = "TLS_CERT_PATH",
	    .restart = true,
	    .help = "Our own certificate (PEM)." },
	{ .section = "orchestrator",
	    .name = "tls_key",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_orchestrator, tls_key),
	    .unset = "in tls_cert",
	    .check = is_absolute_path,
	    .expects = "an absolute path",
	    .environment = "TLS_KEY_PATH",
	    .restart = true,
	    .help = "Its private key (PEM), without a passphrase." },

	{ .section = "category",
	    .name = "children",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_category, children),
	    .unset = "min_children to max_children",
	    .min = 1,
	    .max = 10000,
	    .help = "Keeps exactly that many children." },
	{ .section = "category",
	    .name = "min_children",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_category, min_children),
	    .def = "1",
	    .min = 0,
	    .max = 10000,
	    .help = "Children that are always there; 0: on demand only." },
	{ .section = "category",
	    .name = "max_children",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_category, max_children),
	    .unset = "max_tasks; else max_concurrent_tasks for scripts, "
		     "number of cores for others",
	    .min = 1,
	    .max = 10000,
	    .help = "Most children of each of its programs." },
	{ .section = "category",
	    .name = "max_tasks",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_category, max_tasks),
	    .unset = "children or max_children",
	    .min = 1,
	    .max = 10000,
	    .help = "Most of its tasks that run at once." },
	{ .section = "category",
	    .name = "idle_timeout",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_category, idle_timeout_ms),
	    .def = "60s",
	    .min = SECOND,
	    .max = 24 * HOUR,
	    .help = "How long a child beyond min_children stays idle." },
	{ .section = "category",
	    .name = "start_timeout",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_category, start_timeout_ms),
	    .def = "60s",
	    .min = 100,
	    .max = 24 * HOUR,
	    .help = "Limit of a child's start, until it is ready." },
	{ .section = "category",
	    .name = "withdraw_after",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_category, withdraw_after_ms),
	    .def = "5m",
	    .min = SECOND,
	    .max = 24 * HOUR,
	    .help =
		"Time without a ready child after which nothing is offered." },
	{ .section = "category",
	    .name = "tasks_per_child",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_category, tasks_per_child),
	    .def = "1",
	    .min = 1,
	    .max = 1000,
	    .help = "Tasks that a script or channel program has at once." },
	{ .section = "category",
	    .name = "max_tasks_per_child",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_category, max_tasks_per_child),
	    .unset = "no such limit",
	    .min = 1,
	    .max = 1000000000,
	    .help = "Tasks after which a child is replaced." },
	{ .section = "category",
	    .name = "max_memory_per_child",
	    .type = CONF_TYPE_SIZE,
	    .offset = offsetof(struct conf_category, max_memory_per_child),
	    .unset = "no such limit",
	    .min = M,
	    .max = 1024 * G,
	    .help = "Memory at which a child is replaced after its task." },
	{ .section = "category",
	    .name = "max_child_age",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_category, max_child_age_ms),
	    .unset = "no such limit",
	    .min = SECOND,
	    .max = 365 * 24 * HOUR,
	    .help = "Age at which a child is replaced." },
	{ .section = "category",
	    .name = "time_limit",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_category, time_limit_ms),
	    .unset = "no such limit",
	    .min = 10,
	    .max = 365 * 24 * HOUR,
	    .help = "Time after which a task is ended." },
	{ .section = "category",
	    .name = "soft_time_limit",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_category, soft_time_limit_ms),
	    .unset = "no such limit",
	    .min = 10,
	    .max = 365 * 24 * HOUR,
	    .help = "Time after which a task is asked to stop." },
	{ .section = "category",
	    .name = "cancel_grace",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_category, cancel_grace_ms),
	    .def = "5s",
	    .min = 0,
	    .max = HOUR,
	    .help = "Time a task has to stop once it is asked to." },
	{ .section = "category",
	    .name = "slow_after",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_category, slow_after_ms),
	    .unset = "not logged",
	    .min = 10,
	    .max = 365 * 24 * HOUR,
	    .help = "Time after which a task is logged as slow." },
	{ .section = "category",
	    .name = "memory_limit",
	    .type = CONF_TYPE_SIZE,
	    .offset = offsetof(struct conf_category, memory_limit),
	    .unset = "no such limit",
	    .min = M,
	    .max = 1024 * G,
	    .help = "Memory of a child, with all it started, that ends it." },
	{ .section = "category",
	    .name = "cpu_time_limit",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_category, cpu_time_limit_ms),
	    .unset = "no such limit",
	    .min = SECOND,
	    .max = 365 * 24 * HOUR,
	    .help = "Processor time of one task." },
	{ .section = "category",
	    .name = "output_limit",
	    .type = CONF_TYPE_SIZE,
	    .offset = offsetof(struct conf_category, output_limit),
	    .def = "1M",
	    .min = K,
	    .max = G,
	    .help = "Output of a task that is logged; the rest is dropped." },
	{ .section = "category",
	    .name = "max_open_files",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_category, max_open_files),
	    .unset = "as the supervisor was started with",
	    .min = 16,
	    .max = 1048576,
	    .help = "Files that a child may have open." },
	{ .section = "category",
	    .name = "max_file_size",
	    .type = CONF_TYPE_SIZE,
	    .offset = offsetof(struct conf_category, max_file_size),
	    .unset = "as the supervisor was started with",
	    .min = K,
	    .max = 1024 * G,
	    .help = "Size of a file that a child may write." },
	{ .section = "category",
	    .name = "core_size",
	    .type = CONF_TYPE_SIZE,
	    .offset = offsetof(struct conf_category, core_size),
	    .def = "0",
	    .min = 0,
	    .max = 1024 * G,
	    .help = "Size of a core file." },
	{ .section = "category",
	    .name = "nice",
	    .type = CONF_TYPE_NUMBER,
	    .offset = offsetof(struct conf_category, nice),
	    .def = "0",
	    .min = 0,
	    .max = 19,
	    .help = "How much less its children get of busy processors." },
	{ .section = "category",
	    .name = "umask",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_category, umask),
	    .unset = "the supervisor's",
	    .check = is_umask,
	    .expects = "an octal number up to 0777",
	    .help = "Permissions that new files do not get." },
	{ .section = "category",
	    .name = "working_directory",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_category, working_directory),
	    .unset = "the supervisor's",
	    .check = is_absolute_path,
	    .expects = "an absolute path",
	    .help = "Directory that children are started in." },
	{ .section = "category",
	    .name = "environment",
	    .type = CONF_TYPE_CHOICE,
	    .offset = offsetof(struct conf_category, environment),
	    .def = "auto",
	    .choices = environments,
	    .help = "Whether children inherit our environment." },
	{ .section = "category",
	    .name = "env_file",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_category, env_file),
	    .unset = "nothing is added",
	    .check = is_absolute_path,
	    .expects = "an absolute path",
	    .help = "File of NAME=VALUE lines that are added." },
	{ .section = "category",
	    .name = "sweep",
	    .type = CONF_TYPE_CHOICE,
	    .offset = offsetof(struct conf_category, sweep),
	    .def = "auto",
	    .choices = sweeps,
	    .help = "When processes that a task left behind are ended." },
	{ .section = "category",
	    .name = "launcher",
	    .type = CONF_TYPE_FLAG,
	    .offset = offsetof(struct conf_category, launcher),
	    .def = "no",
	    .help = "Whether a process of ours stays above each child." },
	{ .section = "category",
	    .name = "set",
	    .type = CONF_TYPE_WORDS,
	    .offset = offsetof(struct conf_category, settings.set),
	    .unset = "none",
	    .check = is_setting,
	    .expects = SETTING_EXPECTS,
	    .help = "Settings, for handlers to read." },
	{ .section = "category",
	    .name = "set_file",
	    .type = CONF_TYPE_WORDS,
	    .offset = offsetof(struct conf_category, settings.set_file),
	    .unset = "none",
	    .check = is_file_setting,
	    .expects = SETTING_FILE_EXPECTS,
	    .help = "Files that hold settings, such as passwords." },

	{ .section = "module",
	    .name = "file",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_module, file),
	    .check = is_path,
	    .expects = "a path, or a file name without slash",
	    .required = true,
	    .help = "The shared object; without slash: an installed one." },

	{ .section = "handler",
	    .name = "module",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_handler, module),
	    .unset = "the module that has it",
	    .check = is_path,
	    .expects = "a path, or a file name without slash",
	    .help = "The shared object that has this handler." },
	{ .section = "handler",
	    .name = "exec",
	    .type = CONF_TYPE_WORDS,
	    .offset = offsetof(struct conf_handler, exec),
	    .unset = "it is no executable",
	    .check = is_word,
	    .expects = WORDS_EXPECTS,
	    .help = "A program that is run for each task." },
	{ .section = "handler",
	    .name = "category",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_handler, category),
	    .unset = "as the module says, else default",
	    .check = conf_is_name,
	    .expects = NAME_EXPECTS,
	    .help = "Category whose children run it." },
	{ .section = "handler",
	    .name = "version",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_handler, version),
	    .unset = "1.0.0",
	    .check = is_version,
	    .expects = "1 to 64 letters, digits, \"_\", \".\", \"+\" or "
		       "\"-\"",
	    .help = "Version of the skill, as RXON tells it." },
	{ .section = "handler",
	    .name = "cost",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_handler, cost),
	    .unset = "not told",
	    .check = is_cost,
	    .expects = "a decimal number such as 0.5",
	    .help = "What a task costs, by which orchestrators choose." },
	{ .section = "handler",
	    .name = "time_limit",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_handler, time_limit_ms),
	    .unset = "the category's",
	    .min = 10,
	    .max = 365 * 24 * HOUR,
	    .help = "Time after which a task is ended." },
	{ .section = "handler",
	    .name = "soft_time_limit",
	    .type = CONF_TYPE_TIME,
	    .offset = offsetof(struct conf_handler, soft_time_limit_ms),
	    .unset = "the category's",
	    .min = 10,
	    .max = 365 * 24 * HOUR,
	    .help = "Time after which a task is asked to stop." },
	{ .section = "handler",
	    .name = "final_codes",
	    .type = CONF_TYPE_WORDS,
	    .offset = offsetof(struct conf_handler, final_codes),
	    .unset = "none",
	    .check = conf_is_name,
	    .expects = "an error code, or {CODE, ...}",
	    .help = "Its own error codes that end the job at once." },
	{ .section = "handler",
	    .name = "set",
	    .type = CONF_TYPE_WORDS,
	    .offset = offsetof(struct conf_handler, settings.set),
	    .unset = "none",
	    .check = is_setting,
	    .expects = SETTING_EXPECTS,
	    .help = "Settings, for handlers to read." },
	{ .section = "handler",
	    .name = "set_file",
	    .type = CONF_TYPE_WORDS,
	    .offset = offsetof(struct conf_handler, settings.set_file),
	    .unset = "none",
	    .check = is_file_setting,
	    .expects = SETTING_FILE_EXPECTS,
	    .help = "Files that hold settings, such as passwords." },

	{ .section = "python",
	    .name = "script",
	    .type = CONF_TYPE_WORDS,
	    .offset = offsetof(struct conf_python, script),
	    .check = is_word,
	    .expects = "a file, \"-m MODULE\" or MODULE:ATTRIBUTE, or "
		       "{SCRIPT, ARGUMENT, ...}",
	    .required = true,
	    .help = "File, \"-m MODULE\" or MODULE:ATTRIBUTE." },
	{ .section = "python",
	    .name = "app",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_python, app),
	    .unset = "the only Worker that it makes",
	    .check = is_python_name,
	    .expects = "a name of Python, with dots if need be",
	    .help = "Variable of the script that holds its Worker." },
	{ .section = "python",
	    .name = "python",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_python, python),
	    .unset = "by the script: its #!, $VIRTUAL_ENV, .venv, python3",
	    .check = is_path,
	    .expects = "a path, or a name to be found in $PATH",
	    .help = "Interpreter that runs it." },
	{ .section = "python",
	    .name = "category",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_python, category),
	    .unset = "default",
	    .check = conf_is_name,
	    .expects = NAME_EXPECTS,
	    .help = "Category of its children, and of its handlers." },
	{ .section = "python",
	    .name = "set",
	    .type = CONF_TYPE_WORDS,
	    .offset = offsetof(struct conf_python, settings.set),
	    .unset = "none",
	    .check = is_setting,
	    .expects = SETTING_EXPECTS,
	    .help = "Settings, for handlers to read." },
	{ .section = "python",
	    .name = "set_file",
	    .type = CONF_TYPE_WORDS,
	    .offset = offsetof(struct conf_python, settings.set_file),
	    .unset = "none",
	    .check = is_file_setting,
	    .expects = SETTING_FILE_EXPECTS,
	    .help = "Files that hold settings, such as passwords." },

	{ .section = "channel",
	    .name = "exec",
	    .type = CONF_TYPE_WORDS,
	    .offset = offsetof(struct conf_channel, exec),
	    .check = is_word,
	    .expects = WORDS_EXPECTS,
	    .required = true,
	    .help = "The program, and its arguments." },
	{ .section = "channel",
	    .name = "category",
	    .type = CONF_TYPE_TEXT,
	    .offset = offsetof(struct conf_channel, category),
	    .unset = "default",
	    .check = conf_is_name,
	    .expects = NAME_EXPECTS,
	    .help = "Category of its children, and of its handlers." },
	{ .section = "channel",
	    .name = "set",
	    .type = CONF_TYPE_WORDS,
	    .offset = offsetof(struct conf_channel, settings.set),
	    .unset = "none",
	    .check = is_setting,
	    .expects = SETTING_EXPECTS,
	    .help = "Settings, for handlers to read." },
	{ .section = "channel",
	    .name = "set_file",
	    .type = CONF_TYPE_WORDS,
	    .offset = offsetof(struct conf_channel, settings.set_file),
	    .unset = "none",
	    .check = is_file_setting,
	    .expects = SETTING_FILE_EXPECTS,
	    .help = "Files that hold settings, such as passwords." },
};
const size_t conf_keys_len = sizeof(conf_keys) / sizeof(conf_keys[0]);

const struct conf_section *
conf_section_find(const char *name)
{
	size_t i;

	for (i = 0; i < conf_sections_len; i++)
		if (strcmp(conf_sections[i].name, name) == 0)
			return (&conf_sections[i]);
	return (NULL);
}

const struct conf_key *
conf_key_find(const char *section, const char *name)
{
	size_t i;

	for (i = 0; i < conf_keys_len; i++)
		if (strcmp(conf_keys[i].section, section) == 0 &&
		    strcmp(conf_keys[i].name, name) == 0)
			return (&conf_keys[i]);
	return (NULL);
}

const char *
conf_section_nearest(const char *name)
{
	const char *nearest = NULL;
	size_t i, best = SIZE_MAX;

	for (i = 0; i < conf_sections_len; i++)
		if (conf_nearer(name, conf_sections[i].name, &best))
			nearest = conf_sections[i].name;
	return (nearest);
}

const char *
conf_key_nearest(const char *section, const char *name)
{
	const char *nearest = NULL;
	size_t i, best = SIZE_MAX;

	for (i = 0; i < conf_keys_len; i++)
		if (!conf_keys[i].secret &&
		    strcmp(conf_keys[i].section, section) == 0 &&
		    conf_nearer(name, conf_keys[i].name, &best))
			nearest = conf_keys[i].name;
	return (nearest);
}

const char *
conf_key_home(const char *name)
{
	size_t i;

	for (i = 0; i < conf_keys_len; i++)
		if (strcmp(conf_keys[i].name, name) == 0)
			return (conf_keys[i].section);
	return (NULL);
}
