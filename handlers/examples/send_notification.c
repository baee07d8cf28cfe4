/* SPDX-License-Identifier: ISC */
/*
 * send_notification: many small tasks that wait more than they compute; shows
 * how a handler keeps something open from task to task.
 *
 *	params	{"to": "ops", "message": "the disk is full"}
 *	data	{"message_id": "ntf-<task id>"}
 *
 * Each notification is one line of JSON, appended to the file that
 * NOTIFICATION_OUTBOX names in the environment (whatever delivers them reads
 * it there), or printed when it names none.
 */
#include <avtoworker/handler.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TO_MAX      256 /* bytes */
#define MESSAGE_MAX 16384 /* bytes, as JSON */

struct outbox {
	int fd; /* standard output when there is no file */
};

static int
init(void **state, struct aw_error *error)
{
	const char *path = getenv("NOTIFICATION_OUTBOX");
	struct outbox *outbox;

	if ((outbox = malloc(sizeof(*outbox))) == NULL)
		return (aw_error_set(error, "out of memory"));
	outbox->fd = STDOUT_FILENO;
	if (path != NULL && *path != '\0') {
		outbox->fd =
		    open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
		if (outbox->fd == -1) {
			free(outbox);
			return (aw_error_set(error,
			    "cannot open NOTIFICATION_OUTBOX %s: %s", path,
			    strerror(errno)));
		}
	}
	*state = outbox;
	return (0);
}

static void
fini(void *state)
{
	struct outbox *outbox = state;

	if (outbox->fd != STDOUT_FILENO)
		(void)close(outbox->fd);
	free(outbox);
}

/* A parameter that must be a string of 1 to max bytes, as JSON text: quoted
 * and escaped as it came, so always on one line. Sets the result and returns
 * NULL when it is not. */
static const char *
get_text(struct aw_task *task, const char *name, size_t max, size_t *len)
{
	const char *decoded, *json;
	enum aw_got got;

	if ((got = aw_get_string(task, name, &decoded, len)) != AW_GOT) {
		aw_invalid_input(task, "\"%s\" %s: a string is needed", name,
		    aw_got_text(got));
		return (NULL);
	}
	if (*len == 0 || aw_get_json(task, name, &json, len) != AW_GOT ||
	    *len > max) {
		aw_invalid_input(
		    task, "\"%s\" must have 1 to %zu bytes", name, max);
		return (NULL);
	}
	return (json);
}

/* One write per line, so that children that share the file cannot mix. */
static int
append(const struct outbox *outbox, const char *line, size_t len)
{
	const ssize_t n = write(outbox->fd, line, len);

	if (n >= 0 && (size_t)n < len)
		errno = ENOSPC;
	return (n == (ssize_t)len ? 0 : -1);
}

static void
run(struct aw_task *task, void *state)
{
	char line[TO_MAX + MESSAGE_MAX + 512], id[160];
	const char *to, *message;
	size_t to_len, message_len;
	int len;

	if ((to = get_text(task, "to", TO_MAX, &to_len)) == NULL ||
	    (message = get_text(task, "message", MESSAGE_MAX, &message_len)) ==
		NULL)
		return;
	(void)snprintf(id, sizeof(id), "ntf-%s", aw_task_id(task));
	len = snprintf(line, sizeof(line),
	    "{\"id\":\"%s\",\"to\":%.*s,\"message\":%.*s}\n", id, (int)to_len,
	    to, (int)message_len, message);
	if (len < 0 || (size_t)len >= sizeof(line)) {
		aw_failure(task, "PERMANENT_ERROR", "the line is too long");
		return;
	}
	if (append(state, line, (size_t)len) == -1) {
		aw_retry(task, "OUTBOX_ERROR", "cannot write the outbox: %s",
		    strerror(errno));
		return;
	}
	aw_json_string(aw_data(task), "message_id", id);
	aw_success_data(task);
}

static const struct aw_handler send_notification = {
	.size = sizeof(struct aw_handler),
	.type = "send_notification",
	.category = "light",
	.init = init,
	.run = run,
	.fini = fini,
};

AW_MODULE(&send_notification);
