/* SPDX-License-Identifier: ISC */
/*
 * memory.c: which way limits of memory are kept, and keeping them. Only
 * children with a limit get a control group: joining one can cost a child some
 * milliseconds, and all the others the wait for its lock.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "supervisor/base/clock.h"
#include "supervisor/base/log.h"
#include "supervisor/base/text.h"
#include "supervisor/children/cgroup.h"
#include "supervisor/children/death.h"
#include "supervisor/children/footprint.h"
#include "supervisor/children/headroom.h"
#include "supervisor/children/memory.h"
#include "supervisor/conf.h"

#define SAMPLE_MS       250 /* between two looks at the busy */
#define SAMPLED_AT_ONCE 64 /* children, and */
#define SAMPLE_MOST_MS  20 /* time, in one turn of the loop */
#define PSS_SHARE       20 /* a closer look may cost a child 1/20 of its time */
#define REMOVE_MS       100 /* between two tries to remove a group */
#define REMOVE_TRIES    100
#define SHORT_MS        200 /* between two looks at what is free */
#define OOM_LOOK_MS     1000 /* between two looks at the OOM count */
#define OOM_RECENT_MS   2000 /* a death that soon after it grew was one of it */

/* A group that could not be removed at once. */
struct leftover {
	TAILQ_ENTRY(leftover) entry;
	unsigned tries;
	char path[]; /* directory */
};

struct memory {
	struct memory_paths paths; /* owned */
	char own[CGROUP_PATH_MAX]; /* group we are in; "" when unknown */
	char groups[CGROUP_PATH_MAX]; /* where children get theirs; "" */
	struct why why_not; /* there are no groups; valid then */
	TAILQ_HEAD(, memory_use) sampled;
	struct event sample;
	TAILQ_HEAD(, leftover) leftovers;
	struct event remove;
	unsigned last_group; /* N of the last child-N */
	int64_t ooms; /* kills counted in our own group; -1: not told */
	int64_t ooms_looked_ms;
	int64_t ooms_grew_ms; /* 0: not yet */
	int64_t short_looked_ms;
	bool is_short : 1; /* as found then */
	bool looked : 1; /* short_looked_ms is valid */
	bool group_failed : 1; /* the last group could not be made; logged */
};

/*
 * Single processes.
 */

#define PROC "/proc"

int64_t
memory_rss(pid_t pid)
{
	return (footprint_rss(PROC, pid));
}

int64_t
memory_pss(pid_t pid)
{
	const int64_t bytes = footprint_pss(PROC, pid);

	if (bytes == -1 && (errno == EACCES || errno == EPERM))
		return (footprint_rss(PROC, pid));
	return (bytes);
}

bool
memory_is_above(pid_t pid, int64_t limit)
{
	return (memory_rss(pid) > limit && memory_pss(pid) > limit);
}

/*
 * The kernel's OOM killer.
 */

/* Looks at how many processes it has killed in the group we share with the
 * children that have none of their own. */
static void
look_at_ooms(struct memory *m, int64_t now_ms)
{
	int64_t count;

	m->ooms_looked_ms = now_ms;
	if (m->own[0] == '\0')
		return;
	count = cgroup_key(m->own, "memory.events", "oom_kill");
	if (m->ooms != -1 && count > m->ooms)
		m->ooms_grew_ms = now_ms;
	m->ooms = count;
}

/* It had a group: its own count is proof. */
static void
judge_group(const struct memory_use *u, struct death *d)
{
	char limit[FOOTPRINT_TEXT_MAX], peak[FOOTPRINT_TEXT_MAX];
	struct why text;
	int64_t ooms, kills, most;

	kills = cgroup_key(u->group, "memory.events", "oom_kill");
	if (kills <= 0)
		return;
	ooms = cgroup_key(u->group, "memory.events", "oom");
	most = cgroup_number(u->group, "memory.peak"); /* since Linux 5.19 */
	footprint_text(limit, u->limit);
	footprint_text(peak, most);
	if (ooms > 0)
		why_set(&text,
		    "was killed by the kernel for lack of memory "
		    "(memory_limit %s%s%s)",
		    limit, most > 0 ? "; peak " : "", most > 0 ? peak : "");
	else
		why_set(&text,
		    "was killed by the kernel because the machine, or the "
		    "worker's control group, was out of memory (it was below "
		    "its memory_limit %s%s%s)",
		    limit, most > 0 ? "; peak " : "", most > 0 ? peak : "");
	death_blame(d, DEATH_OOM, text.text);
}

void
memory_use_judge(const struct memory_use *u, struct death *d)
{
	struct memory *m = u->memory;
	int64_t now_ms;

	if (m == NULL || d->signal != SIGKILL)
		return;
	if (u->group != NULL) {
		judge_group(u, d);
		return;
	}
	now_ms = clock_now_ms();
	look_at_ooms(m, now_ms);
	if (m->ooms_grew_ms != 0 && now_ms - m->ooms_grew_ms <= OOM_RECENT_MS)
		death_blame(d, DEATH_OOM,
		    "was killed when the kernel's OOM killer was at work in "
		    "the worker's control group");
}

/*
 * What is free.
 */

int64_t
memory_available(struct memory *m)
{
	if (m == NULL)
		return (INT64_MAX);
	return (headroom(m->paths.proc, m->paths.cgroup, m->own));
}

bool
memory_is_short(struct memory *m, int64_t min_free, int64_t now_ms)
{
	char free_text[FOOTPRINT_TEXT_MAX], limit[FOOTPRINT_TEXT_MAX];
	int64_t available;
	bool was;

	if (m == NULL || min_free == 0)
		return (false);
	if (m->looked && now_ms - m->short_looked_ms < SHORT_MS)
		return (m->is_short);
	available = memory_available(m);
	was = m->is_short;
	m->looked = true;
	m->short_looked_ms = now_ms;
	m->is_short = available < min_free;
	if (m->is_short != was) {
		footprint_text(free_text, available);
		footprint_text(limit, min_free);
		if (m->is_short)
			log_warn("%s of memory are free, less than "
				 "min_free_memory (%s); no task is taken until "
				 "there is more",
			    free_text, limit);
		else
			log_info("%s of memory are free; tasks are taken again",
			    free_text);
	}
	return (m->is_short);
}

/*
 * Groups that are to go.
 */

static void
set_timer(struct event *timer, int64_t ms)
{
	const struct timeval tv = clock_timeval(ms);

	if (evtimer_pending(timer, NULL) == 0 && evtimer_add(timer, &tv) == -1)
		log_err("cannot set a timer for the limits of memory");
}

/* True when it is dealt with. */
static bool
try_to_remove(struct leftover *l)
{
	(void)cgroup_kill(l->path);
	if (cgroup_remove(l->path) == 0)
		return (true);
	if (++l->tries < REMOVE_TRIES && errno == EBUSY)
		return (false);
	log_warn("cannot remove the control group %s: %s; it is left for the "
		 "next start",
	    l->path, strerror(errno));
	return (true);
}

static void
on_remove(evutil_socket_t fd, short what, void *arg)
{
	struct memory *m = arg;
	struct leftover *l, *next;

	(void)fd;
	(void)what;
	TAILQ_FOREACH_SAFE(l, &m->leftovers, entry, next) {
		if (!try_to_remove(l))
			continue;
		TAILQ_REMOVE(&m->leftovers, l, entry);
		free(l);
	}
	if (!TAILQ_EMPTY(&m->leftovers))
		set_timer(&m->remove, REMOVE_MS);
}

static void
remove_group(struct memory *m, const char *path)
{
	const size_t size = strlen(path) + 1;
	struct leftover *l;

	if (cgroup_remove(path) == 0)
		return;
	if (errno == EBUSY)
		(void)cgroup_kill(path);
	/* Without memory for it, the next start removes it. */
	if ((l = calloc(1, sizeof(*l) + size)) == NULL)
		return;
	memcpy(l->path, path, size);
	TAILQ_INSERT_TAIL(&m->leftovers, l, entry);
	set_timer(&m->remove, REMOVE_MS);
}

/*
 * Sampling.
 */

static void
leave_sampled(struct memory_use *u)
{
	TAILQ_REMOVE(&u->memory->sampled, u, entry);
	u->busy = false;
}

/* How much it uses with all it has started, or less than that when it is
 * within the limit anyway. */
static int64_t
look(struct memory_use *u, int64_t now_ms)
{
	const char *proc = u->memory->paths.proc;
	struct footprint_family family;
	int64_t bytes;

	footprint_family(&family, proc, u->pid);
	bytes = footprint_sum(&family, proc, footprint_rss);
	if (bytes <= u->limit || now_ms < u->not_before_ms)
		return (0);
	bytes = footprint_sum(&family, proc, footprint_pss);
	u->not_before_ms =
	    now_ms + (clock_now_ms() - now_ms) * PSS_SHARE + SAMPLE_MS / 2;
	return (bytes);
}

static void
sample(struct memory_use *u, int64_t now_ms)
{
	const int64_t bytes = look(u, now_ms);
	char limit[FOOTPRINT_TEXT_MAX], used[FOOTPRINT_TEXT_MAX];
	struct why text;

	if (bytes <= u->limit)
		return;
	leave_sampled(u);
	why_set(&text, "used more than memory_limit (%s): %s; sampled",
	    footprint_text(limit, u->limit), footprint_text(used, bytes));
	u->over(text.text, u->arg);
}

static void
on_sample(evutil_socket_t fd, short what, void *arg)
{
	struct memory *m = arg;
	const int64_t begin_ms = clock_now_ms();
	int64_t now_ms = begin_ms;
	struct memory_use *u;
	unsigned left = 0;

	(void)fd;
	(void)what;
	TAILQ_FOREACH(u, &m->sampled, entry)
		left++;
	if (left > SAMPLED_AT_ONCE)
		left = SAMPLED_AT_ONCE;
	/* In turns: who is not looked at now is first the next time. */
	while (left-- > 0 && (u = TAILQ_FIRST(&m->sampled)) != NULL &&
	    now_ms - begin_ms < SAMPLE_MOST_MS) {
		TAILQ_REMOVE(&m->sampled, u, entry);
		TAILQ_INSERT_TAIL(&m->sampled, u, entry);
		sample(u, now_ms);
		now_ms = clock_now_ms();
	}
	if (!TAILQ_EMPTY(&m->sampled))
		set_timer(&m->sample, SAMPLE_MS);
}

/*
 * One child.
 */

static void
give_group(struct memory *m, struct memory_use *u)
{
	struct why why;

	u->group =
	    text_format("%s/" CGROUP_CHILD "%u", m->groups, ++m->last_group);
	if (u->group == NULL)
		why_errno(&why, "control group");
	else if (cgroup_make(u->group, u->limit, &why) == 0) {
		m->group_failed = false;
		return;
	}
	free(u->group);
	u->group = NULL;
	if (!m->group_failed)
		log_warn(
		    "memory_limit: %s; children are sampled instead", why.text);
	m->group_failed = true;
}

void
memory_use_init(struct memory_use *u, struct memory *m, int64_t limit,
    void (*over)(const char *, void *), void *arg)
{
	*u = (struct memory_use){
		.memory = m,
		.over = over,
		.arg = arg,
		.limit = limit,
	};
	if (m != NULL && limit != 0 && m->groups[0] != '\0')
		give_group(m, u);
}

void
memory_use_started(struct memory_use *u, pid_t pid)
{
	u->pid = pid;
}

void
memory_use_busy(struct memory_use *u, bool busy)
{
	struct memory *m = u->memory;
	int64_t now_ms;

	if (m == NULL || u->group != NULL)
		return;
	if (!busy) {
		if (u->busy)
			leave_sampled(u);
		return;
	}
	now_ms = clock_now_ms();
	if (now_ms - m->ooms_looked_ms >= OOM_LOOK_MS)
		look_at_ooms(m, now_ms);
	if (u->limit == 0 || u->busy)
		return;
	u->busy = true;
	TAILQ_INSERT_TAIL(&m->sampled, u, entry);
	set_timer(&m->sample, SAMPLE_MS);
}

void
memory_use_kill(struct memory_use *u)
{
	if (u->group != NULL)
		(void)cgroup_kill(u->group);
}

void
memory_use_fini(struct memory_use *u)
{
	if (u->busy)
		leave_sampled(u);
	if (u->group != NULL)
		remove_group(u->memory, u->group);
	free(u->group);
	*u = (struct memory_use){ 0 };
}

/*
 * All of them.
 */

/* Started in a leaf of that name already, as systemd's DelegateSubgroup= does:
 * the group to use is the one above. */
static bool
is_leaf(const char *dir)
{
	const char *name = strrchr(dir, '/');

	return (name != NULL && strcmp(name + 1, CGROUP_LEAF) == 0);
}

static int
take_groups(struct memory *m, struct why *why)
{
	char dir[CGROUP_PATH_MAX];
	bool leaf;

	if (cgroup_own(m->paths.proc, m->paths.cgroup, m->own, why) == -1)
		return (-1);
	if (!cgroup_is_ours_alone(m->own)) {
		why_set(why, "our control group is shared with others");
		return (-1);
	}
	(void)strlcpy(dir, m->own, sizeof(dir));
	leaf = is_leaf(dir);
	if (leaf)
		*strrchr(dir, '/') = '\0';
	if (cgroup_check_delegated(dir, why) == -1)
		return (-1);
	if (leaf && !cgroup_is_vacant(dir)) {
		why_set(why, "our control group is shared with others");
		return (-1);
	}
	if (leaf ? cgroup_enable_memory(dir, why) == -1 :
		   cgroup_settle(dir, why) == -1)
		return (-1);
	if (!leaf)
		(void)strlcat(m->own, "/" CGROUP_LEAF, sizeof(m->own));
	(void)strlcpy(m->groups, dir, sizeof(m->groups));
	m->last_group = cgroup_remove_children(dir);
	return (0);
}

struct memory *
memory_new(
    struct event_base *base, const struct memory_paths *paths, struct why *why)
{
	struct memory *m;

	if ((m = calloc(1, sizeof(*m))) == NULL)
		goto fail;
	TAILQ_INIT(&m->sampled);
	TAILQ_INIT(&m->leftovers);
	m->ooms = -1;
	m->paths.proc = strdup(paths != NULL ? paths->proc : PROC);
	m->paths.cgroup =
	    strdup(paths != NULL ? paths->cgroup : "/sys/fs/cgroup");
	if (m->paths.proc == NULL || m->paths.cgroup == NULL ||
	    evtimer_assign(&m->sample, base, on_sample, m) == -1 ||
	    evtimer_assign(&m->remove, base, on_remove, m) == -1)
		goto fail;
	if (take_groups(m, &m->why_not) == -1)
		m->groups[0] = '\0';
	look_at_ooms(m, clock_now_ms());
	return (m);

fail:
	why_errno(why, "limits of memory");
	memory_free(m);
	return (NULL);
}

void
memory_free(struct memory *m)
{
	struct leftover *l;

	if (m == NULL)
		return;
	while ((l = TAILQ_FIRST(&m->leftovers)) != NULL) {
		TAILQ_REMOVE(&m->leftovers, l, entry);
		(void)cgroup_remove(l->path);
		free(l);
	}
	if (event_initialized(&m->sample))
		(void)event_del(&m->sample);
	if (event_initialized(&m->remove))
		(void)event_del(&m->remove);
	free((char *)m->paths.proc);
	free((char *)m->paths.cgroup);
	free(m);
}

bool
memory_has_groups(const struct memory *m)
{
	return (m != NULL && m->groups[0] != '\0');
}

static bool
limits_memory(const struct conf *conf)
{
	const struct conf_category *c;

	TAILQ_FOREACH(c, &conf->categories, entry)
		if (c->memory_limit != 0)
			return (true);
	return (conf->category_defaults.memory_limit != 0);
}

void
memory_announce(const struct memory *m, const struct conf *conf)
{
	if (m == NULL || !limits_memory(conf))
		return;
	if (m->groups[0] != '\0')
		log_info("memory_limit: kept by the kernel, in control groups "
			 "below %s",
		    m->groups);
	else
		log_info("memory_limit: sampled, best effort, because %s; run "
			 "under systemd with Delegate=memory for the kernel's "
			 "own limit",
		    m->why_not.text);
}
