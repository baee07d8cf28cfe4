/* SPDX-License-Identifier: ISC */
/*
 * figures.c: one reading process at a time; who asks meanwhile gets the same
 * answer. A process that takes too long, or says too much, is killed, and the
 * answer is nothing: other figures do not wait for those of scripts.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bsd/sys/queue.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "child/bytes.h"
#include "supervisor/base/clock.h"
#include "supervisor/base/folder.h"
#include "supervisor/base/log.h"
#include "supervisor/base/text.h"
#include "supervisor/base/words.h"
#include "supervisor/children/figures.h"
#include "supervisor/children/reaper.h"
#include "supervisor/children/spawn.h"

#define PROGRAM    "avtoworker_figures.py"
#define SUFFIX     ".db" /* of the library's files */
#define LIMIT_MS   5000 /* of one reading */
#define TEXT_MAX   ((size_t)8 * 1024 * 1024) /* bytes of one answer */
#define NO_LIBRARY 3 /* exit status: this interpreter does not know it */

struct asker {
	STAILQ_ENTRY(asker) entry;
	figures_done done;
	void *to;
};

struct figures {
	char *directory;
	char *program; /* path of PROGRAM */
	char *const *environment;
	struct reaper *reaper;
	struct event_base *loop;
	STAILQ_HEAD(, asker) askers;
	char **interpreters; /* of this reading */
	size_t next; /* of them, to be tried */
	struct reaped process; /* pid 0: none is at it */
	struct event readable;
	struct event limit;
	struct bytes text;
	int fd; /* what it prints; -1 when closed */
	bool told; /* a failure has been logged, and none succeeded since */
};

static void read_next(struct figures *);

/* Calls back for every file, until one says that it is enough. */
static bool
any_file(const struct figures *f,
    bool (*is_enough)(const struct figures *, const char *name))
{
	const struct dirent *entry;
	bool enough = false;
	DIR *dir;

	if ((dir = opendir(f->directory)) == NULL)
		return (false);
	while (!enough && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			enough = is_enough(f, entry->d_name);
	(void)closedir(dir);
	return (enough);
}

static bool
is_figures(const struct figures *f, const char *name)
{
	const size_t len = strlen(name), suffix = sizeof(SUFFIX) - 1;

	(void)f;
	return (len > suffix && strcmp(name + len - suffix, SUFFIX) == 0);
}

static bool
remove_one(const struct figures *f, const char *name)
{
	char *path = text_format("%s/%s", f->directory, name);

	if (path != NULL)
		(void)unlink(path);
	free(path);
	return (false);
}

/* Everybody who waits gets the text, which may be empty. */
static void
answer(struct figures *f)
{
	STAILQ_HEAD(, asker) askers = STAILQ_HEAD_INITIALIZER(askers);
	struct asker *a;

	words_free(f->interpreters);
	f->interpreters = NULL;
	STAILQ_CONCAT(&askers, &f->askers);
	while ((a = STAILQ_FIRST(&askers)) != NULL) {
		STAILQ_REMOVE_HEAD(&askers, entry);
		a->done(f->text.p, f->text.len, a->to);
		free(a);
	}
	bytes_fini(&f->text);
	f->text = (struct bytes){ 0 };
}

/* No figures this time, for that reason; said once, until it works again. */
static void
give_up(struct figures *f, const char *reason)
{
	if (!f->told)
		log_warn("cannot add up the figures of scripts: %s", reason);
	f->told = true;
	f->text.len = 0;
	answer(f);
}

static void
close_output(struct figures *f)
{
	if (f->fd == -1)
		return;
	(void)event_del(&f->readable);
	(void)event_del(&f->limit);
	(void)close(f->fd);
	f->fd = -1;
}

/* Reads what is there. */
static void
drain(struct figures *f)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(f->fd, buf, sizeof(buf))) > 0) {
		bytes_append(&f->text, buf, (size_t)n);
		if (f->text.len > TEXT_MAX)
			(void)kill(f->process.pid, SIGKILL);
	}
	if (n == 0) /* its death follows */
		(void)event_del(&f->readable);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	drain(arg);
}

static void
on_limit(evutil_socket_t fd, short what, void *arg)
{
	const struct figures *f = arg;

	(void)fd;
	(void)what;
	(void)kill(f->process.pid, SIGKILL);
}

static void
on_dying(void *arg)
{
	struct figures *f = arg;

	drain(f);
	close_output(f);
}

/* The last line of what it has printed instead of figures; cuts the text. */
static const char *
last_line(struct bytes *text)
{
	char *line;

	while (text->len > 0 && text->p[text->len - 1] == '\n')
		text->len--;
	bytes_append(text, "", 1);
	if (bytes_failed(text))
		return ("out of memory");
	line = strrchr(text->p, '\n');
	return (line != NULL ? line + 1 : text->p);
}

static void
on_dead(void *arg, int status, const struct rusage *usage)
{
	struct figures *f = arg;

	(void)usage;
	f->process.pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_LIBRARY)
		read_next(f);
	else if (WIFSIGNALED(status))
		give_up(f, "it took too long, or there are too many");
	else if (WEXITSTATUS(status) != 0)
		give_up(f, last_line(&f->text));
	else if (bytes_failed(&f->text))
		give_up(f, "out of memory");
	else {
		f->told = false;
		answer(f);
	}
}

static int
start(struct figures *f, char *interpreter, struct why *why)
{
	const struct timeval limit = clock_timeval(LIMIT_MS);
	char *argv[] = { interpreter, f->program, f->directory, NULL };
	struct spawned s;

	if (spawn(argv, f->environment, NULL, &s, why) == -1)
		return (-1);
	(void)close(s.channel_fd);
	(void)close(s.pidfd);
	f->fd = s.output_fd;
	f->process = (struct reaped){
		.pid = s.pid,
		.dying = on_dying,
		.dead = on_dead,
		.arg = f,
	};
	reaper_add(f->reaper, &f->process);
	if (event_assign(&f->readable, f->loop, f->fd, EV_READ | EV_PERSIST,
		on_readable, f) == -1 ||
	    event_add(&f->readable, NULL) == -1 ||
	    event_add(&f->limit, &limit) == -1)
		(void)kill(s.pid, SIGKILL); /* its death says so */
	return (0);
}

/* Tries the next interpreter; an answer without figures when there is none. */
static void
read_next(struct figures *f)
{
	struct why why;

	bytes_fini(&f->text);
	f->text = (struct bytes){ 0 };
	if (f->interpreters[f->next] == NULL)
		give_up(f, "no interpreter of a script has prometheus_client");
	else if (start(f, f->interpreters[f->next++], &why) == -1)
		give_up(f, why.text);
}

struct figures *
figures_new(const struct figures_settings *set, struct why *why)
{
	struct figures *f;

	if ((f = calloc(1, sizeof(*f))) == NULL) {
		why_errno(why, "figures of scripts");
		return (NULL);
	}
	STAILQ_INIT(&f->askers);
	f->fd = -1;
	f->environment = set->environment;
	f->reaper = set->reaper;
	f->loop = set->loop;
	f->directory = strdup(set->directory);
	f->program = text_format("%s/" PROGRAM, set->python);
	if (f->directory == NULL || f->program == NULL ||
	    evtimer_assign(&f->limit, f->loop, on_limit, f) == -1 ||
	    folder_make(f->directory) == -1) {
		why_errno(why, "figures of scripts: %s", set->directory);
		figures_free(f);
		return (NULL);
	}
	(void)any_file(f, remove_one);
	return (f);
}

const char *
figures_directory(const struct figures *f)
{
	return (f->directory);
}

void
figures_ask(
    struct figures *f, char *const interpreters[], figures_done done, void *to)
{
	struct asker *a;

	if (interpreters[0] == NULL || !any_file(f, is_figures) ||
	    (a = calloc(1, sizeof(*a))) == NULL) {
		done("", 0, to);
		return;
	}
	a->done = done;
	a->to = to;
	STAILQ_INSERT_TAIL(&f->askers, a, entry);
	if (f->process.pid != 0)
		return;
	f->next = 0;
	if ((f->interpreters = words_copy(interpreters)) == NULL)
		give_up(f, "out of memory");
	else
		read_next(f);
}

void
figures_free(struct figures *f)
{
	struct asker *a;

	if (f == NULL)
		return;
	if (f->process.pid != 0) {
		(void)kill(f->process.pid, SIGKILL);
		reaper_remove(f->reaper, &f->process);
	}
	close_output(f);
	while ((a = STAILQ_FIRST(&f->askers)) != NULL) {
		STAILQ_REMOVE_HEAD(&f->askers, entry);
		free(a);
	}
	if (f->directory != NULL) {
		(void)any_file(f, remove_one);
		(void)rmdir(f->directory);
	}
	words_free(f->interpreters);
	bytes_fini(&f->text);
	free(f->program);
	free(f->directory);
	free(f);
}
