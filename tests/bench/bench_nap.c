/* SPDX-License-Identifier: ISC */
/* A handler that says it has begun, in a datagram, and sleeps. */
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <avtoworker/handler.h>

static void
tell(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path) ||
	    (fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == -1)
		return;
	memcpy(sun.sun_path, path, strlen(path) + 1);
	(void)sendto(fd, "x", 1, 0, (struct sockaddr *)&sun, sizeof(sun));
	(void)close(fd);
}

static void
run(struct aw_task *task, void *state)
{
	const char *path;
	int64_t ms = 0;
	struct timespec left;

	(void)state;
	if (aw_get_string(task, "tell", &path, NULL) == AW_GOT)
		tell(path);
	(void)aw_get_int64(task, "ms", &ms);
	left.tv_sec = ms / 1000;
	left.tv_nsec = ms % 1000 * 1000000;
	while (nanosleep(&left, &left) == -1)
		;
	aw_success(task, "{}");
}

static const struct aw_handler nap = {
	.size = sizeof(struct aw_handler),
	.type = "nap",
	.category = "light",
	.run = run,
};

AW_MODULE(&nap);
