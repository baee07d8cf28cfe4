/* SPDX-License-Identifier: ISC */
/*
 * The children's side as a state machine: leases come and are cancelled,
 * children say what they like and die when they like, time passes, the program
 * is stopped. Every two bytes are one event. Whatever happens, each lease ends
 * in exactly one result (or is given back once), what is said to run does, and
 * when all is over no child is left.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/base/log.h"
#include "tests/fuzz/fake_world.h"
#include "tests/must.h"
#include "tests/unit/program_rig.h"

#define EVENTS_MAX 400

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const char ready[] =
    "{\"version\":1,\"handlers\":[{\"type\":\"t\",\"category\":\"pool\"}],"
    "\"commands\":[\"c\"]}";

static unsigned ended[RIG_LEASES_MAX]; /* results that each lease has got */

static void
nothing(enum log_level level, const char *text)
{
	(void)level;
	must(text[0] != '\0');
}

static void
end(struct rig *r, struct lease *l, struct result *result)
{
	unsigned i;

	for (i = 0; i < r->count && r->lease[i] != l; i++)
		continue;
	must(i < r->count && ended[i] == 0);
	ended[i]++;
	lease_finish(&r->leases, l, result);
}

static void
on_finished(struct lease *l, struct result *result, void *arg)
{
	must(result->status != NULL);
	end(arg, l, result);
}

/* Another generation would run it; here that is the end of it. */
static void
on_returned(struct lease *l, void *arg)
{
	struct result result = { 0 };

	must(l->state == LEASE_QUEUED);
	end(arg, l, &result);
}

static void
on_emptied(struct program *program, void *arg)
{
	struct rig *r = arg;

	must(TAILQ_EMPTY(&program->children));
	r->emptied++;
}

/* Limits short enough to be met, by the first bytes. */
static void
configure(struct conf_category *conf, uint8_t sizes, uint8_t limits)
{
	if (sizes & 0x80)
		conf->children = 1 + (sizes & 3);
	else {
		conf->min_children = sizes & 1;
		conf->max_children = 1 + (sizes >> 1 & 3);
	}
	conf->max_tasks_per_child = sizes >> 4 & 3;
	conf->tasks_per_child = sizes & 8 ? 3 : 1;
	conf->max_child_age_ms = sizes & 0x40 ? 2000 : 0;
	conf->start_timeout_ms = 1000;
	conf->stop_timeout_ms = 1000;
	conf->withdraw_after_ms = 3000;
	conf->idle_timeout_ms = 500;
	conf->output_limit = 1000;
	conf->cancel_grace_ms = limits & 1 ? 100 : 0;
	conf->soft_time_limit_ms = limits & 2 ? 300 : 0;
	conf->time_limit_ms = limits & 4 ? 600 : 0;
	conf->slow_after_ms = limits & 8 ? 200 : 0;
}

static void
open_rig(struct rig *r, uint8_t sizes, uint8_t limits)
{
	/* One that may have several tasks at once, or C modules. */
	const bool speaks = sizes & 8;

	memset(ended, 0, sizeof(ended));
	world_reset();
	rig_init(r, world_env());
	rig_add_handler(
	    r, "t", "pool", speaks ? rig_add_source(r, "pool") : NULL);
	must((r->poison = poison_new(2)) != NULL);
	configure(&r->conf, sizes, limits);
	rig_add_category(r, "pool");
	r->ops.finished = on_finished;
	r->ops.returned = on_returned;
	r->ops.emptied = on_emptied;
	rig_open(r,
	    &(struct program_settings){
		.name = "pool",
		.gate = &r->gate,
		.max_running = limits >> 4,
	    });
	if (speaks)
		rig_describe(r, ready);
	program_start(r->program);
}

static void
submit(struct rig *r, uint8_t how)
{
	char task_id[16], job_id[16];
	struct lease *l;

	if (r->count == RIG_LEASES_MAX)
		return;
	(void)snprintf(task_id, sizeof(task_id), "t-%u", r->count);
	(void)snprintf(job_id, sizeof(job_id), "j-%u", how & 3);
	l = rig_lease(r, "t", task_id, job_id, "{}");
	if (how & 4)
		l->deadline_ms = world.now_ms + how;
	program_submit(r->program, l);
}

/* Takes what there is; what it is told last is its task. */
static void
listen_to(struct fake_child *c)
{
	struct frame_header header;
	char payload[1024];

	while (world_hear(c, &header, payload, sizeof(payload)))
		if (header.type == FRAME_TASK) {
			must(header.lease != 0);
			c->lease = header.lease;
		}
}

/* What one of the children does. */
static void
act(uint8_t what, uint8_t who)
{
	static const char *const states[] = {
		"{\"progress\":0.5,\"message\":\"x\"}",
		"{}",
		"{\"full\":[\"t\"],\"usage\":{\"devices\":[]}}",
		"{\"full\":[],\"usage\":{\"cpu_load_percent\":1}}",
	};
	static const char *const results[] = {
		"{\"status\":\"success\"}",
		"{\"status\":\"failure\",\"error\":{\"code\":\"X\"}}",
		"{\"status\":",
		"[]",
	};
	struct fake_child *c = world_child(who & 7);
	uint8_t raw[3];

	if (c == NULL)
		return;
	listen_to(c);
	switch (what) {
	case 0:
		world_say(c, FRAME_READY, 0, ready);
		break;
	case 1:
		world_say(c, FRAME_STARTED, c->lease - (who >> 7), "{}");
		break;
	case 2:
		world_say(c, FRAME_RESULT, c->lease - (who >> 7),
		    results[(who >> 5 & 3) < 3 ? 0 : who >> 3 & 3]);
		break;
	case 3:
		world_die(c, who & 8 ? SIGSEGV : (who >> 4) << 8);
		break;
	case 4:
		memset(raw, who, sizeof(raw));
		if (c->channel_fd != -1)
			(void)!send(
			    c->channel_fd, raw, sizeof(raw), MSG_NOSIGNAL);
		break;
	case 5:
		if (c->channel_fd != -1)
			(void)shutdown(c->channel_fd, SHUT_RDWR);
		break;
	case 6:
		world_say(c, (enum frame_type)(16 + (who >> 3 & 7)), c->lease,
		    states[who >> 6]);
		break;
	default:
		if (c->output_fd != -1)
			(void)!write(c->output_fd, "x\n", 1 + (who >> 7));
	}
}

static void
command(struct rig *r)
{
	struct why why;

	if (program_takes_command(r->program, "c"))
		(void)program_command(r->program, "{}", 2, &why);
}

static void
event(struct rig *r, uint8_t what, uint8_t how)
{
	static void (*const orders[])(struct program *) = {
		program_balance,
		program_say_farewell,
		program_stop,
		program_retire,
	};

	if (what < 64)
		submit(r, how);
	else if (what < 96)
		world.now_ms += how * 10;
	else if (what < 224)
		act((what - 96) >> 4, how);
	else if (what < 240) {
		if (r->count > 0 && ended[how % r->count] == 0)
			(void)program_cancel(
			    r->program, r->lease[how % r->count]);
	} else if (what < 242)
		world.no_spawn = how & 1;
	else if (what < 244)
		world.chance = how;
	else if (what < 248)
		command(r);
	else if (what < 254)
		orders[how & 1](r->program);
	else if (r->emptied == 0)
		orders[2 + (how & 1)](r->program);
	/* Not always: things happen together, too. */
	if (!(how & 0x10) || what < 96)
		world_turn();
}

/* Running are those that a child has, and no others; who speaks is there. */
static void
check(const struct rig *r)
{
	bool speaks = r->program->speaker == NULL;
	const struct child_task *t;
	const struct child *c;
	unsigned held = 0;

	TAILQ_FOREACH(c, &r->program->children, entry) {
		speaks = speaks || c == r->program->speaker;
		TAILQ_FOREACH(t, &c->running, entry) {
			must(t->lease->state == LEASE_RUNNING);
			held++;
		}
	}
	must(speaks);
	must(r->leases.count[LEASE_RUNNING] == held);
	must(r->leases.count[LEASE_QUEUED] == r->program->queued);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rig r;
	size_t i;

	if (size < 2)
		return (-1);
	log_divert(nothing);
	open_rig(&r, data[0], data[1]);
	for (i = 2; i + 1 < size && i < 2 * EVENTS_MAX; i += 2) {
		event(&r, data[i], data[i + 1]);
		check(&r);
	}
	if (r.emptied == 0) {
		program_abandon(r.program);
		world_turn();
		check(&r);
		program_kill(r.program);
	}
	world_turn();
	for (i = 0; i < r.count; i++)
		must(ended[i] == 1);
	must(TAILQ_EMPTY(&r.program->children) && world.count == 0);
	must(r.emptied > 0);
	rig_close(&r);
	world_reset();
	return (0);
}
