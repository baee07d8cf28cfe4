/* SPDX-License-Identifier: ISC */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/ask.h"
#include "supervisor/base/clock.h"
#include "supervisor/base/text.h"
#include "supervisor/edges/control.h"
#include "supervisor/instance.h"

#define WAIT_MS    ((int64_t)10 * 1000) /* for the whole answer */
#define ANSWER_MAX (64u * 1024 * 1024) /* bytes: some 100,000 children */

char *
ask_find_socket(const char *name, struct why *why)
{
	char *folder, *path = NULL;

	if (name != NULL && !instance_name_ok(name)) {
		why_set(why,
		    "-n: %.80s is no name of a worker: 1 to 64 letters, "
		    "digits, _, . or -, and no . or - in front",
		    name);
		return (NULL);
	}
	if ((folder = instance_state_dir(NULL, name)) != NULL)
		path = text_format("%s/" CONTROL_SOCKET, folder);
	if (path == NULL)
		why_errno(why, "socket");
	free(folder);
	return (path);
}

static int
connect_to(const char *path, struct why *why)
{
	const struct timeval tv = clock_timeval(WAIT_MS);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const size_t len = strlen(path);
	int fd;

	if (len >= sizeof(sa.sun_path)) {
		why_set(why, "the socket's path is longer than %zu bytes",
		    sizeof(sa.sun_path) - 1);
		return (-1);
	}
	memcpy(sa.sun_path, path, len + 1);
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) == -1 ||
	    connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == -1) {
		why_errno(why, "no worker answers at %.150s", path);
		if (fd != -1)
			(void)close(fd);
		return (-1);
	}
	return (fd);
}

/* Whether a worker of that name answers below the folder. */
static bool
answers(const char *folder, const char *name)
{
	struct why why;
	char *path;
	int fd = -1;

	if ((path = text_format("%s/%s/" CONTROL_SOCKET, folder, name)) != NULL)
		fd = connect_to(path, &why);
	free(path);
	if (fd != -1)
		(void)close(fd);
	return (fd != -1);
}

char *
ask_names(void)
{
	char *folder = instance_state_dir(NULL, NULL);
	DIR *dir = folder != NULL ? opendir(folder) : NULL;
	const struct dirent *entry;
	struct bytes names = { 0 };

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (instance_name_ok(entry->d_name) &&
		    answers(folder, entry->d_name))
			bytes_printf(&names, "%s%s", names.len > 0 ? " " : "",
			    entry->d_name);
	if (dir != NULL)
		(void)closedir(dir);
	free(folder);
	bytes_append(&names, "", 1);
	if (bytes_failed(&names)) {
		bytes_fini(&names);
		return (NULL);
	}
	return (names.p);
}

static int
send_all(int fd, const struct bytes *request, struct why *why)
{
	size_t sent = 0;
	ssize_t n;

	while (sent < request->len) {
		n = send(
		    fd, request->p + sent, request->len - sent, MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			why_errno(why, "cannot ask the worker");
			return (-1);
		}
		sent += (size_t)n;
	}
	return (0);
}

static int
read_all(int fd, struct bytes *answer, struct why *why)
{
	const int64_t end_ms = clock_now_ms() + WAIT_MS;
	char buf[65536];
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			why_errno(why, "the worker does not answer");
			return (-1);
		}
		bytes_append(answer, buf, (size_t)n);
		if (bytes_failed(answer) || answer->len > ANSWER_MAX ||
		    clock_now_ms() > end_ms) {
			why_set(why, "the worker's answer does not end");
			return (-1);
		}
	}
	if (answer->len > 0)
		return (0);
	why_set(why,
	    "the worker has closed the connection: this user may not "
	    "ask it, or it is about to end");
	return (-1);
}

int
ask(const char *path, const struct bytes *request, struct bytes *answer,
    struct why *why)
{
	int fd, rc = -1;

	if ((fd = connect_to(path, why)) == -1)
		return (-1);
	if (send_all(fd, request, why) == 0 && read_all(fd, answer, why) == 0)
		rc = 0;
	(void)close(fd);
	return (rc);
}
