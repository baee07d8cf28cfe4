/* SPDX-License-Identifier: ISC */
#include <ctype.h>
#include <string.h>

#include "supervisor/orchestrator/command_read.h"

#define CANCEL    "cancel_task"
#define SHOWN_MAX 64 /* bytes of a foreign name in one of our lines */

/* An id, or "" when there is none that may be one. */
static void
read_id(const struct jslice *root, const char *name, char id[TASK_ID_MAX + 1])
{
	struct jslice value;
	ssize_t len;

	if (!jscan_get(root, name, &value) ||
	    (len = jscan_string(&value, id, TASK_ID_MAX + 1)) < 0 ||
	    (size_t)len != strlen(id) || !task_id_ok(id))
		id[0] = '\0';
}

/* What is not understood, fit for a log. */
static void
show(const struct jslice *name, struct why *why)
{
	char text[SHOWN_MAX + 1];
	char *p;

	if (name == NULL || jscan_string(name, text, sizeof(text)) == -1) {
		why_set(why, "a message that is no command");
		return;
	}
	for (p = text; *p != '\0'; p++)
		if (!isprint((unsigned char)*p))
			*p = '?';
	why_set(why, "a command whose name is none: %s", text);
}

/* A name that fits a line of the log as it is. */
static bool
read_name(const struct jslice *name, char out[TASK_ID_MAX + 1])
{
	const ssize_t len = jscan_string(name, out, TASK_ID_MAX + 1);
	const char *p;

	if (len <= 0 || (size_t)len != strlen(out))
		return (false);
	for (p = out; *p != '\0'; p++)
		if (iscntrl((unsigned char)*p))
			return (false);
	return (true);
}

enum command_kind
command_read(
    const char *text, size_t len, struct command *command, struct why *why)
{
	struct jscan_error error;
	struct jslice root, name;

	if (jscan_check(text, len, &jscan_payload_limits, &root, &error) ==
	    -1) {
		why_set(why, "a message that is no JSON: %s", error.text);
		return (COMMAND_NONE);
	}
	/* Clients of old expect the second name, so some may send it. */
	if (!jscan_get(&root, "command", &name) &&
	    !jscan_get(&root, "type", &name)) {
		show(NULL, why);
		return (COMMAND_NONE);
	}
	if (!jscan_string_is(&name, CANCEL)) {
		command->message = root;
		if (read_name(&name, command->name))
			return (COMMAND_OTHER);
		show(&name, why);
		return (COMMAND_NONE);
	}
	read_id(&root, "task_id", command->task_id);
	read_id(&root, "job_id", command->job_id);
	if (command->task_id[0] != '\0' || command->job_id[0] != '\0')
		return (COMMAND_CANCEL);
	why_set(why, "a " CANCEL " that names neither task nor job");
	return (COMMAND_NONE);
}
