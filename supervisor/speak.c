/* SPDX-License-Identifier: ISC */
/*
 * speak.c: what passes between orchestrators and the speakers of programs:
 * commands go down; what is known of the machine, and which task types are not
 * to come just now, goes up.
 */
#include "child/bytes.h"
#include "child/json_scan.h"
#include "supervisor/base/log.h"
#include "supervisor/run.h"
#include "supervisor/used.h"

#define UNKNOWN_MAX 100 /* lines about commands that nobody takes */

/* The payload of a command frame. The name is as it stands in the message. */
static void
put_command(struct bytes *out, const struct jslice *message)
{
	struct jslice name;

	if (!jscan_get(message, "command", &name))
		(void)jscan_get(message, "type", &name);
	bytes_puts(out, "{\"name\":");
	bytes_append(out, name.p, name.len);
	bytes_puts(out, ",\"command\":");
	bytes_append(out, message->p, message->len);
	bytes_puts(out, "}");
}

static void
give(struct program *p, const char *name, const struct bytes *payload)
{
	struct why why;

	if (bytes_failed(payload))
		why_set(&why, "no memory");
	else if (program_command(p, payload->p, payload->len, &why) == 0)
		return;
	log_warn("command \"%s\" is lost: %s", name, why.text);
}

void
run_command(struct orchestrator *o, const char *name,
    const struct jslice *message, void *arg)
{
	struct supervisor *s = arg;
	struct bytes payload = { 0 };
	struct program *p;
	bool known = false;

	(void)o;
	put_command(&payload, message);
	TAILQ_FOREACH(p, &s->now->programs, entry)
		if (program_takes_command(p, name)) {
			known = true;
			give(p, name, &payload);
		}
	bytes_fini(&payload);
	if (known)
		return;
	/* Who sends many of them is not to fill the log. */
	s->unknown_commands += s->unknown_commands < UNKNOWN_MAX;
	log_line(s->unknown_commands < UNKNOWN_MAX ? LOG_LEVEL_WARN :
						     LOG_LEVEL_DEBUG,
	    NULL, "command \"%s\": no script has an on_command() for it", name);
}

bool
run_is_full(struct orchestrator *o, const char *type, void *arg)
{
	struct supervisor *s = arg;
	const struct program *p = generation_program_of(s->now, type);

	(void)o;
	return (p != NULL && program_is_full(p, type));
}

void
run_used(struct orchestrator *o, struct used *used, void *arg)
{
	struct supervisor *s = arg;
	const struct used *own;
	const struct program *p;

	(void)o;
	TAILQ_FOREACH(p, &s->now->programs, entry)
		if ((own = program_used(p)) != NULL)
			used_add(used, own);
}
