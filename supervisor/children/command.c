/* SPDX-License-Identifier: ISC */
/*
 * command.c: the command line of avtoworker-child (see child/main.c) out of a
 * category's settings. Everything that a child shall be is in it, so that two
 * programs with the same line and environment have the same children.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor/base/text.h"
#include "supervisor/base/words.h"
#include "supervisor/children/child.h"
#include "supervisor/children/environment.h"
#include "supervisor/children/figures.h"
#include "supervisor/children/command.h"
#include "supervisor/conf.h"
#include "supervisor/handler.h"

#define OOM_SCORE_ADJ "500" /* children before the supervisor */

static void
add_option(struct words *w, const char *name, const char *value)
{
	words_add(w, strdup(name));
	words_add(w, strdup(value));
}

static void
add_number(struct words *w, const char *name, int64_t value)
{
	words_add(w, strdup(name));
	words_add(w, text_format("%lld", (long long)value));
}

static void
add_limit(struct words *w, const char *name, int64_t value)
{
	words_add(w, strdup("--limit"));
	words_add(w, text_format("%s=%lld", name, (long long)value));
}

/* What the supervisor was started with: its own has been raised since. */
static void
add_own_open_files(struct words *w, const struct child_env *env)
{
	struct rlimit now;

	if (env->nofile == 0 || getrlimit(RLIMIT_NOFILE, &now) == -1 ||
	    env->nofile > now.rlim_max)
		return;
	words_add(w, strdup("--limit"));
	words_add(w,
	    text_format("nofile=%llu:%llu", (unsigned long long)env->nofile,
		(unsigned long long)now.rlim_max));
}

/* When what tasks have left behind is ended. What a script has started, such
 * as a browser, mostly belongs to its child. */
static const char *
sweep_of(const struct command_settings *set)
{
	if (set->conf->sweep == CONF_SWEEP_AUTO)
		return (
		    set->source != NULL && set->source->kind == SOURCE_CHANNEL ?
			"exit" :
			"task");
	return (set->conf->sweep == CONF_SWEEP_EXIT ? "exit" : "task");
}

/* True when a launcher stays above the process that runs the handlers. */
static bool
is_launched(const struct command_settings *set)
{
	return (set->conf->launcher || handler_source_stays(set->source));
}

static void
add_settings(struct words *w, const struct command_settings *set)
{
	const struct conf_category *conf = set->conf;

	if (conf->max_open_files > 0)
		add_limit(w, "nofile", conf->max_open_files);
	else
		add_own_open_files(w, set->env);
	if (conf->max_file_size > 0)
		add_limit(w, "fsize", conf->max_file_size);
	add_limit(w, "core", conf->core_size);
	if (conf->cpu_time_limit_ms > 0)
		add_number(
		    w, "--task-cpu", (conf->cpu_time_limit_ms + 999) / 1000);
	if (conf->nice > 0)
		add_number(w, "--nice", conf->nice);
	if (conf->umask != NULL)
		add_option(w, "--umask", conf->umask);
	if (conf->working_directory != NULL)
		add_option(w, "--directory", conf->working_directory);
	add_option(w, "--oom-score-adj", OOM_SCORE_ADJ);
	add_option(w, "--sweep", sweep_of(set));
	if (is_launched(set))
		words_add(w, strdup("--launcher"));
}

static bool
has_fd(const struct spawn_files *files, int fd)
{
	size_t i;

	for (i = 0; i < files->len; i++)
		if (files->fds[i] == fd)
			return (true);
	return (false);
}

/* The files, each once, as they were when they were described. Those that are
 * too many to be handed on are loaded by name. w: NULL when the line is there
 * already. */
static void
add_pins(struct words *w, struct spawn_files *files,
    const struct program *program, const struct handler_table *handlers)
{
	struct handler *h = NULL;

	files->len = 0;
	while ((h = handler_next(handlers, h)) != NULL &&
	    files->len < SPAWN_FILES_MAX) {
		if (h->pinned == NULL || h->program != program ||
		    has_fd(files, h->pinned->fd))
			continue;
		files->fds[files->len++] = h->pinned->fd;
		if (w != NULL)
			add_option(w, "--pin", h->pinned->path);
	}
}

/* What is behind the options: the modules, or the program and its arguments. */
static void
add_program(struct words *w, const struct command_settings *set)
{
	struct handler *h = NULL;
	char *const *word;

	words_add(w, strdup("--")); /* a type may begin with a dash */
	if (set->source == NULL) {
		while ((h = handler_next(set->handlers, h)) != NULL)
			if (h->program == set->program)
				words_add(
				    w, text_format("%s=%s", h->type, h->file));
		return;
	}
	if (set->source->kind == SOURCE_EXEC)
		words_add(w, strdup(set->source->name));
	for (word = set->source->words; *word != NULL; word++)
		words_add(w, strdup(*word));
}

static char **
make_argv(struct spawn_files *files, const struct command_settings *set)
{
	struct words w = { 0 };

	words_add(&w, strdup(set->env->program));
	add_number(&w, "--parent", getpid());
	add_option(&w, "--category", set->category);
	if (set->source != NULL)
		add_option(&w, "--kind",
		    set->source->kind == SOURCE_EXEC ? "exec" : "channel");
	add_settings(&w, set);
	if (set->source == NULL)
		add_pins(&w, files, set->program, set->handlers);
	add_program(&w, set);
	return (words_take(&w));
}

static bool
inherits(const struct command_settings *set)
{
	if (set->conf->environment != CONF_ENVIRONMENT_AUTO)
		return (set->conf->environment == CONF_ENVIRONMENT_INHERIT);
	return (set->inherit ||
	    (set->source != NULL && set->source->kind == SOURCE_PYTHON));
}

/* What a child would only find out again and again. */
static int
check_places(
    const char *category, const struct conf_category *conf, struct why *why)
{
	struct rlimit files;
	struct stat st;

	if (conf->working_directory != NULL) {
		if (stat(conf->working_directory, &st) == -1) {
			why_errno(why, "category %s: working_directory %s",
			    category, conf->working_directory);
			return (-1);
		}
		if (!S_ISDIR(st.st_mode)) {
			why_set(why,
			    "category %s: working_directory %s is no directory",
			    category, conf->working_directory);
			return (-1);
		}
	}
	if (geteuid() != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0 &&
	    conf->max_open_files > 0 &&
	    (rlim_t)conf->max_open_files > files.rlim_max) {
		why_set(why,
		    "category %s: max_open_files is more than the %llu that "
		    "this process may give",
		    category, (unsigned long long)files.rlim_max);
		return (-1);
	}
	return (0);
}

/* Where a script that counts does so. */
static int
add_figures(struct command *c, const struct command_settings *set)
{
	if (set->env->figures == NULL || set->source == NULL ||
	    set->source->kind != SOURCE_PYTHON)
		return (0);
	return (environment_add(&c->envp, FIGURES_VARIABLE, set->env->figures));
}

/* The word of a list that sets the key of another; or NULL. */
static const char *
same_key(char *const *list, const char *setting)
{
	const size_t len = strcspn(setting, "=") + 1;

	for (; list != NULL && *list != NULL; list++)
		if (strncmp(*list, setting, len) == 0)
			return (*list);
	return (NULL);
}

/* Modules that share a child cannot have each a value of their own. */
static int
check_shared(const struct command_settings *set, const struct handler *h,
    char *const *list, size_t offset, struct why *why)
{
	struct handler *other = NULL;
	const char *found;
	char **theirs;

	for (; list != NULL && *list != NULL; list++)
		while ((other = handler_next(set->handlers, other)) != NULL) {
			if (other->program != set->program ||
			    other->settings == NULL || other == h)
				continue;
			memcpy(&theirs, (const char *)other->settings + offset,
			    sizeof(theirs));
			found = same_key(theirs, *list);
			if (found == NULL || strcmp(found, *list) == 0)
				continue;
			why_set(why,
			    "handlers %s and %s share children, which cannot "
			    "have two values of %.*s; give one of them "
			    "another category",
			    h->type, other->type, (int)strcspn(*list, "="),
			    *list);
			return (-1);
		}
	return (0);
}

static int
add_module_settings(char ***envp, struct bytes *files,
    const struct command_settings *set, struct why *why)
{
	struct handler *h = NULL;

	while ((h = handler_next(set->handlers, h)) != NULL) {
		if (h->program != set->program || h->settings == NULL)
			continue;
		if (check_shared(set, h, h->settings->set,
			offsetof(struct conf_settings, set), why) == -1 ||
		    check_shared(set, h, h->settings->set_file,
			offsetof(struct conf_settings, set_file), why) == -1 ||
		    environment_add_settings(envp, files, h->settings, why) ==
			-1)
			return (-1);
	}
	return (0);
}

/* The limits that its tasks have: an executable's own, or else those of its
 * category. */
static int
add_limits(char ***envp, const struct command_settings *set, struct why *why)
{
	const struct conf_category *conf = set->conf;
	const struct handler *h = NULL;
	int64_t hard_ms = conf->time_limit_ms;
	int64_t soft_ms = conf->soft_time_limit_ms;

	if (set->source != NULL && set->source->kind == SOURCE_EXEC)
		h = handler_find(set->handlers, set->source->name);
	if (h != NULL && h->time_limit_ms > 0)
		hard_ms = h->time_limit_ms;
	if (h != NULL && h->soft_time_limit_ms > 0)
		soft_ms = h->soft_time_limit_ms;
	if (environment_set_number(envp, "AVTOWORKER_TIME_LIMIT_MS", hard_ms) ==
		-1 ||
	    environment_set_number(
		envp, "AVTOWORKER_SOFT_TIME_LIMIT_MS", soft_ms) == -1 ||
	    environment_set_number(envp, "AVTOWORKER_CPU_TIME_LIMIT_MS",
		conf->cpu_time_limit_ms) == -1 ||
	    environment_set_number(envp, "AVTOWORKER_MEMORY_LIMIT_BYTES",
		conf->memory_limit) == -1) {
		why_errno(why, "category %s", set->category);
		return (-1);
	}
	return (0);
}

/* The category's, and then what is nearer to the handlers. */
static char **
make_envp(
    struct bytes *files, const struct command_settings *set, struct why *why)
{
	char **envp;
	int rc;

	envp = environment_of_category(
	    inherits(set) ? set->env->inherited : set->env->clean,
	    set->category, set->conf->env_file, why);
	if (envp == NULL)
		return (NULL);
	rc = add_limits(&envp, set, why);
	if (rc == 0)
		rc = environment_add_settings(
		    &envp, files, &set->conf->settings, why);
	if (rc == 0 && set->source == NULL)
		rc = add_module_settings(&envp, files, set, why);
	else if (rc == 0 && set->source->settings != NULL)
		rc = environment_add_settings(
		    &envp, files, set->source->settings, why);
	if (rc == 0)
		return (envp);
	words_free(envp);
	return (NULL);
}

int
command_init(
    struct command *c, const struct command_settings *set, struct why *why)
{
	*c = (struct command){ 0 };
	if (check_places(set->category, set->conf, why) == -1)
		return (-1);
	if ((c->envp = make_envp(&c->set_files, set, why)) == NULL) {
		bytes_fini(&c->set_files);
		return (-1);
	}
	c->argv = make_argv(&c->files, set);
	if (c->argv == NULL || add_figures(c, set) == -1) {
		why_errno(why, "category %s", set->category);
		command_fini(c);
		return (-1);
	}
	return (0);
}

void
command_move(struct command *c, const struct program *program,
    const struct handler_table *handlers)
{
	add_pins(NULL, &c->files, program, handlers);
}

char **
command_argv_in(char *const argv[], const char *cgroup)
{
	size_t n = 0;
	char **out;

	while (argv[n] != NULL)
		n++;
	if ((out = calloc(n + 3, sizeof(*out))) == NULL)
		return (NULL);
	out[0] = argv[0];
	out[1] = (char *)"--cgroup";
	out[2] = (char *)(uintptr_t)cgroup;
	memcpy(out + 3, argv + 1, n * sizeof(*out)); /* with its NULL */
	return (out);
}

void
command_fill(struct child_start *how, const struct command *c,
    const struct command_settings *set)
{
	how->env = set->env;
	how->category = set->category;
	how->argv = c->argv;
	how->envp = c->envp;
	how->files = &c->files;
	how->timeout_ms = set->conf->start_timeout_ms;
	how->stop_timeout_ms = set->conf->stop_timeout_ms;
	how->cpu_limit_ms = set->conf->cpu_time_limit_ms;
	how->launched = is_launched(set);
	how->memory_limit = set->conf->memory_limit;
}

void
command_fini(struct command *c)
{
	bytes_fini(&c->set_files);
	words_free(c->envp);
	words_free(c->argv);
	*c = (struct command){ 0 };
}
