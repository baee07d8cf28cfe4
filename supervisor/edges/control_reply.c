/* SPDX-License-Identifier: ISC */
/*
 * control_reply.c: what may be asked over the control socket, one row each,
 * and how the answers look. Times in answers are lengths in ms, because the
 * supervisor's clock means nothing to others.
 */
#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include "child/bytes.h"
#include "supervisor/base/clock.h"
#include "supervisor/edges/control.h"
#include "supervisor/edges/view.h"

struct request {
	const struct view_ops *ops;
	void *arg;
	const char *category; /* NULL: none was named */
	const json_t *object; /* the whole request */
	const struct letters_asker *asker;
	struct bytes *out;
	bool later; /* the answer goes to asker */
};

static void
put_text(struct bytes *out, const char *name, const char *text)
{
	bytes_printf(out, ",\"%s\":", name);
	bytes_put_json(out, text, text != NULL ? strlen(text) : 0);
}

static void
put_number(struct bytes *out, const char *name, int64_t number)
{
	bytes_printf(out, ",\"%s\":%" PRId64, name, number);
}

static void
put_bool(struct bytes *out, const char *name, bool claim)
{
	bytes_printf(out, ",\"%s\":%s", name, claim ? "true" : "false");
}

static void
put_ok(struct bytes *out, const char *text)
{
	bytes_puts(out, "{\"ok\":true");
	if (text != NULL)
		put_text(out, "message", text);
	bytes_puts(out, "}\n");
}

static void
put_error(struct bytes *out, const char *text)
{
	bytes_puts(out, "{\"error\":");
	bytes_put_json(out, text, strlen(text));
	bytes_puts(out, "}\n");
}

static const struct view *
look(const struct request *r)
{
	const struct view *v = r->ops->look(r->arg);

	if (v == NULL)
		put_error(r->out, "the worker is out of memory");
	return (v);
}

static void
put_orchestrator(struct bytes *out, const struct orchestrator_view *o)
{
	bytes_puts(out, "{\"name\":");
	bytes_put_json(out, o->name, strlen(o->name));
	put_text(out, "url", o->url);
	put_text(out, "worker_id", o->worker_id);
	put_text(out, "dialect", o->dialect);
	put_bool(out, "registered", o->registered);
	put_bool(out, "websocket", o->websocket);
	put_number(out, "polls", o->polls);
	put_number(out, "undelivered", o->undelivered);
	bytes_puts(out, "}");
}

static void
put_category(struct bytes *out, const struct category_view *c, int64_t now_ms)
{
	bytes_puts(out, "{\"name\":");
	bytes_put_json(out, c->name, strlen(c->name));
	put_number(out, "min_children", c->min_children);
	put_number(out, "max_children", c->max_children);
	put_number(out, "starting", c->starting);
	put_number(out, "idle", c->idle);
	put_number(out, "busy", c->busy);
	put_number(out, "leaving", c->leaving);
	put_number(out, "queued", c->queued);
	put_bool(out, "offered", c->offered);
	put_bool(out, "paused", c->paused);
	put_bool(out, "retiring", c->retiring);
	put_text(out, "failure", c->failure != NULL ? c->failure : "");
	put_number(out, "retry_in_ms",
	    c->retry_ms > now_ms ? c->retry_ms - now_ms : 0);
	bytes_puts(out, "}");
}

static void
put_failing(struct bytes *out, const struct failing_view *f, int64_t now_ms)
{
	bytes_puts(out, "{\"name\":");
	bytes_put_json(out, f->name, strlen(f->name));
	put_text(out, "failure", f->failure);
	put_number(out, "retry_in_ms",
	    f->retry_ms > now_ms ? f->retry_ms - now_ms : 0);
	bytes_puts(out, "}");
}

static void
status(struct request *r)
{
	const struct view *v = look(r);
	const int64_t now_ms = clock_now_ms();
	struct bytes *out = r->out;
	size_t i;

	if (v == NULL)
		return;
	bytes_puts(out, "{\"ok\":true");
	put_text(out, "version", v->version);
	put_text(out, "name", v->name);
	put_text(out, "worker_id", v->worker_id);
	put_text(out, "state", v->state);
	put_number(out, "pid", v->pid);
	put_number(out, "uptime_ms", now_ms - v->started_ms);
	put_number(out, "generation", v->generation);
	put_bool(out, "paused", v->paused);
	put_bool(out, "registered", v->registered);
	put_bool(out, "short_of_memory", v->short_of_memory);
	put_number(out, "queued", v->queued);
	put_number(out, "running", v->running);
	put_number(out, "finished", v->finished);
	put_number(out, "undelivered", v->undelivered);
	put_text(out, "journal", v->journal);
	put_number(out, "dead_letters", v->dead_letters);
	put_number(out, "polls", v->polls);
	bytes_puts(out, ",\"orchestrators\":[");
	for (i = 0; i < v->orchestrators_len; i++) {
		bytes_puts(out, i > 0 ? "," : "");
		put_orchestrator(out, &v->orchestrators[i]);
	}
	bytes_puts(out, "],\"categories\":[");
	for (i = 0; i < v->categories_len; i++) {
		bytes_puts(out, i > 0 ? "," : "");
		put_category(out, &v->categories[i], now_ms);
	}
	bytes_puts(out, "],\"failing\":[");
	for (i = 0; i < v->failing_len; i++) {
		bytes_puts(out, i > 0 ? "," : "");
		put_failing(out, &v->failing[i], now_ms);
	}
	bytes_puts(out, "]}\n");
}

static void
put_child(struct bytes *out, const struct child_view *c, int64_t now_ms)
{
	bytes_printf(out, "{\"pid\":%d", (int)c->pid);
	put_text(out, "category", c->category);
	put_text(out, "state", c->state);
	put_number(out, "age_ms", now_ms - c->born_ms);
	put_number(out, "in_state_ms", now_ms - c->since_ms);
	put_number(out, "tasks", c->tasks);
	put_number(out, "running", c->running);
	put_text(out, "task_type", c->task_type);
	put_text(out, "task_id", c->task_id);
	put_text(out, "job_id", c->job_id);
	bytes_puts(out, "}");
}

static void
ps(struct request *r)
{
	const struct view *v = look(r);
	const int64_t now_ms = clock_now_ms();
	size_t i;

	if (v == NULL)
		return;
	bytes_puts(r->out, "{\"ok\":true,\"children\":[");
	for (i = 0; i < v->children_len; i++) {
		bytes_puts(r->out, i > 0 ? "," : "");
		put_child(r->out, &v->children[i], now_ms);
	}
	bytes_puts(r->out, "]}\n");
}

static void
no_category(const struct request *r)
{
	const struct view *v = look(r);
	struct bytes text = { 0 };
	size_t i;

	if (v == NULL)
		return;
	bytes_printf(&text, "there is no category %.64s; there are:",
	    r->category != NULL ? r->category : "");
	for (i = 0; i < v->categories_len; i++)
		bytes_printf(&text, " %s", v->categories[i].name);
	bytes_append(&text, "", 1);
	put_error(
	    r->out, bytes_failed(&text) ? "there is no such category" : text.p);
	bytes_fini(&text);
}

static void
pause_leasing(struct request *r)
{
	if (r->ops->pause(r->category, r->arg))
		put_ok(r->out, NULL);
	else
		no_category(r);
}

static void
resume_leasing(struct request *r)
{
	if (r->ops->resume(r->category, r->arg))
		put_ok(r->out, NULL);
	else
		no_category(r);
}

static void
drain(struct request *r)
{
	put_ok(r->out, "draining was begun; the log tells how it goes");
	r->ops->drain(r->arg);
}

static void
reload(struct request *r)
{
	put_ok(r->out, "reloading was begun; the log tells how it went");
	r->ops->reload(r->arg);
}

/*
 * Results.
 */

struct results_writer {
	struct bytes *out;
	int64_t now_ms;
	const char *separator;
};

static void
put_result(const struct result_view *v, void *arg)
{
	struct results_writer *w = arg;

	bytes_printf(w->out, "%s{\"id\":%" PRIu64, w->separator, v->id);
	w->separator = ",";
	put_text(w->out, "task_id", v->task_id);
	put_text(w->out, "job_id", v->job_id);
	put_text(w->out, "task_type", v->task_type);
	put_text(w->out, "status", v->status);
	put_text(w->out, "code", v->code);
	put_text(w->out, "url", v->url);
	put_number(w->out, "age_ms", w->now_ms - v->finished_ms);
	put_number(w->out, "refusals", v->refusals);
	put_number(w->out, "retry_in_ms",
	    v->after_ms > w->now_ms ? v->after_ms - w->now_ms : 0);
	put_bool(w->out, "on_disk", v->on_disk);
	bytes_puts(w->out, "}");
}

static void
results(struct request *r)
{
	struct results_writer w = { r->out, clock_now_ms(), "" };

	bytes_puts(r->out, "{\"ok\":true,\"results\":[");
	r->ops->results(put_result, &w, r->arg);
	bytes_puts(r->out, "]}\n");
}

static void
dead_letters(struct request *r)
{
	static const char *const orders[] = {
		[LETTERS_LIST] = "list",
		[LETTERS_SHOW] = "show",
		[LETTERS_RESEND] = "resend",
		[LETTERS_DROP] = "drop",
	};
	const char *name =
	    json_string_value(json_object_get(r->object, "order"));
	const json_t *number = json_object_get(r->object, "id");
	const json_int_t id = json_integer_value(number);
	size_t i;

	for (i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (name != NULL && strcmp(name, orders[i]) == 0)
			break;
	if (i == sizeof(orders) / sizeof(orders[0]))
		put_error(r->out, "order must be list, show, resend or drop");
	else if (number != NULL && id <= 0)
		put_error(r->out, "id must be the number of a dead letter");
	else if ((i == LETTERS_SHOW) != (number != NULL) &&
	    (i == LETTERS_SHOW || i == LETTERS_LIST))
		put_error(r->out,
		    i == LETTERS_SHOW ? "show needs an id" :
					"list takes no id");
	else {
		r->later = true;
		r->ops->letters((enum letters_order)i, id, r->asker, r->arg);
	}
}

void
control_put_letters(const struct letters_answer *a, struct bytes *out)
{
	if (a->error != NULL) {
		put_error(out, a->error);
		return;
	}
	bytes_puts(out, "{\"ok\":true");
	if (a->list != NULL) {
		bytes_puts(out, ",\"dead_letters\":");
		bytes_append(out, a->list, a->list_len);
	} else
		put_number(out, "count", a->count);
	bytes_puts(out, "}\n");
}

static const struct {
	const char *name;
	void (*run)(struct request *);
	bool takes_category;
} commands[] = {
	{ "status", status, false },
	{ "ps", ps, false },
	{ "results", results, false },
	{ "dead-letters", dead_letters, false },
	{ "pause", pause_leasing, true },
	{ "resume", resume_leasing, true },
	{ "drain", drain, false },
	{ "reload", reload, false },
};
#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static void
run(struct request *r, json_t *object)
{
	const json_t *category = json_object_get(object, "category");
	const char *name =
	    json_string_value(json_object_get(object, "command"));
	size_t i;

	r->object = object;
	r->category = json_string_value(category);
	for (i = 0; i < NCOMMANDS && name != NULL; i++)
		if (strcmp(name, commands[i].name) == 0)
			break;
	if (name == NULL)
		put_error(r->out, "the request has no command");
	else if (i == NCOMMANDS)
		put_error(r->out,
		    "there is no such command; there are status, ps, results, "
		    "dead-letters, pause, resume, drain and reload");
	else if (category != NULL && !json_is_null(category) &&
	    (r->category == NULL || !commands[i].takes_category))
		put_error(r->out,
		    "category must be a name, and is for pause and resume "
		    "only");
	else
		commands[i].run(r);
}

bool
control_reply(const char *line, size_t len, const struct view_ops *ops,
    void *arg, const struct letters_asker *asker, struct bytes *out)
{
	struct request r = {
		.ops = ops,
		.arg = arg,
		.asker = asker,
		.out = out,
	};
	json_t *object;

	object = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(object))
		run(&r, object);
	else
		put_error(out, "the request is not one JSON object");
	json_decref(object);
	return (!r.later);
}
