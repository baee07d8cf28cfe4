/* SPDX-License-Identifier: ISC */
/*
 * fake_wall.c: preloaded into the worker: its wall clock is as many seconds off
 * as the file FAKE_WALL of the environment says, or stands still at a time, with
 * "= SECONDS" there; the monotonic one is not touched.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void
falsify(struct timespec *ts)
{
	const char *file = getenv("FAKE_WALL");
	char text[32];
	ssize_t n = 0;
	int fd;

	if (file == NULL || (fd = open(file, O_RDONLY | O_CLOEXEC)) == -1)
		return;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	text[n > 0 ? n : 0] = '\0';
	if (text[0] == '=')
		*ts = (struct timespec){ strtoll(text + 1, NULL, 10), 0 };
	else
		ts->tv_sec += strtoll(text, NULL, 10);
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	const int rc = (int)syscall(SYS_clock_gettime, id, ts);

	if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		falsify(ts);
	return (rc);
}

time_t
time(time_t *out)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (out != NULL)
		*out = ts.tv_sec;
	return (ts.tv_sec);
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return (0);
}
