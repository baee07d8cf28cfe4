/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "child/bytes.h"
#include "supervisor/base/devlog.h"

static void
hang_up(int *fd)
{
	if (*fd != -1)
		(void)close(*fd);
	*fd = -1;
}

static bool
dial(int *fd, const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const size_t len = strlen(path);

	hang_up(fd);
	if (len >= sizeof(sa.sun_path))
		return (false);
	memcpy(sa.sun_path, path, len + 1);
	*fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd != -1 &&
	    connect(*fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0)
		return (true);
	hang_up(fd);
	return (false);
}

static bool
transmit(int fd, const struct bytes *b)
{
	return (send(fd, b->p, b->len, MSG_NOSIGNAL | MSG_DONTWAIT) != -1);
}

bool
devlog_send(int *fd, const char *path, int priority, const char *tag,
    const char *text, size_t len)
{
	const time_t now = time(NULL);
	struct bytes b = { 0 };
	struct tm tm;
	char date[32];
	bool sent = false;

	(void)localtime_r(&now, &tm);
	(void)strftime(date, sizeof(date), "%b %e %H:%M:%S", &tm);
	bytes_printf(&b, "<%d>%s %s[%d]: ", LOG_MAKEPRI(LOG_DAEMON, priority),
	    date, tag, (int)getpid());
	bytes_append(&b, text, len);
	if (!bytes_failed(&b) && (*fd != -1 || dial(fd, path))) {
		sent = transmit(*fd, &b);
		/* Full is no reason to begin anew. */
		if (!sent && errno != EAGAIN && errno != ENOBUFS)
			sent = dial(fd, path) && transmit(*fd, &b);
	}
	bytes_fini(&b);
	return (sent);
}
