/* SPDX-License-Identifier: ISC */
/*
 * discover_parts.h: what the files of the discovery know of each other: discover.c
 * (describing runs), discover_resident.c (first children), discover_rules.c
 * (what comes of both) and discover_again.c (first children that failed).
 * Nobody else includes this.
 */
#ifndef AVTOWORKER_DISCOVER_PARTS_H
#define AVTOWORKER_DISCOVER_PARTS_H

#include <stdbool.h>
#include <sys/stat.h>

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>

#include "supervisor/base/backoff.h"
#include "supervisor/children/discover.h"
#include "supervisor/children/offer.h"
#include "supervisor/children/start_gate.h"
#include "supervisor/handler.h"

struct child;
struct child_ops;
struct death;

/* A file that the configuration names. */
struct file {
	TAILQ_ENTRY(file) entry;
	struct discovery *discovery;
	struct child *child; /* NULL when it is not running */
	char *path; /* absolute; NULL when it cannot be found */
	char *written; /* as the configuration has it */
	struct offer offer;
	char failure[320]; /* why it cannot be used; or "" */
	struct handler_file *kept; /* the table's, once resolved */
	struct stat st; /* as it was before it was described */
	int fd; /* the same file, kept open; -1 when given away */
	bool described : 1;
	bool again : 1; /* it is being described for the second time */
};

/* A script or channel program, of which the first child is the description. */
struct resident {
	TAILQ_ENTRY(resident) entry;
	struct discovery *discovery;
	struct child *child; /* NULL when it is not running */
	enum source_kind kind;
	const char *name; /* of the block; the configuration's */
	char from[128]; /* "python NAME" or "channel NAME" */
	const char *category; /* of the block; the configuration's */
	const struct conf_settings *settings; /* the configuration's */
	char **words; /* its command; NULL once given to the table */
	struct handler_source *source; /* the table's, once resolved */
	struct offer offer;
	char failure[320]; /* why it cannot be used; or "" */
	struct backoff backoff; /* between starts that fail */
	struct event timer; /* until the next one */
	struct gate_ticket ticket; /* of a start that is tried again */
	int64_t retry_ms; /* when the timer is due; 0: it is not set */
	bool described : 1;
	bool was_started : 1;
};

struct discovery {
	const struct child_env *env;
	const struct conf *conf;
	discovery_done done;
	void *arg;
	TAILQ_HEAD(, file) files;
	TAILQ_HEAD(, resident) residents;
	struct event finished; /* calls done from the loop */
	struct discovery_again again; /* once it has come to that */
	unsigned running; /* that have not answered yet */
	enum discovery_mode mode;
};

/* Says that it is done, when it is. */
void discovery_check(struct discovery *);

/* The file that is written so, or NULL. */
struct file *discovery_file(const struct discovery *, const char *written);
/* The absolute path of a file: one without slash is among the installed
 * handlers. Caller frees. NULL and why. */
char *discovery_find(const char *written, struct why *);

/* A command with the absolute path of its program. Caller frees with
 * words_free(). NULL and why. */
char **discovery_command(char *const *words, struct why *);

/*
 * discover_resident.c
 */

/* Finds and starts them. -1 and why: not one of them, but memory. */
int discovery_add_residents(struct discovery *, struct why *);
void discovery_free_residents(struct discovery *);
/* Starts a child of it, whose ops get the resident. -1 and why. */
int discovery_start(struct resident *, const struct child_ops *, struct why *);
/* Why a child of its has ended before it was ready. */
void discovery_note_death(struct resident *, const struct death *);

/*
 * discover_rules.c
 */

/* Fills the table with what one resident offers, which has started after the
 * others. -1 with every problem in the list; then nothing has changed. */
int discovery_resolve_late(struct discovery *, struct resident *,
    struct handler_table *, struct conf_problems *);
/* Takes it out of the table again. */
void discovery_forget(struct resident *, struct handler_table *);

/*
 * discover_again.c
 */

void discovery_again_fini(struct resident *);

#endif
