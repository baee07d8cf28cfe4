/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child/channel.h"
#include "child/pins.h"

int
pins_add(struct pins *p, const char *file)
{
	if (p->len == PINS_MAX)
		return (-1);
	p->files[p->len++] = file;
	return (0);
}

const char *
pins_path(const struct pins *p, const char *file, char path[PIN_PATH_SIZE])
{
	struct stat named, pinned;
	size_t i;

	for (i = 0; i < p->len; i++)
		if (strcmp(p->files[i], file) == 0)
			break;
	if (i == p->len || fstat(CHANNEL_FD + 1 + (int)i, &pinned) == -1)
		return (file);
	/* The name where it still fits: it is what $ORIGIN, debuggers and
	 * backtraces go by. */
	if (stat(file, &named) == 0 && named.st_dev == pinned.st_dev &&
	    named.st_ino == pinned.st_ino)
		return (file);
	(void)snprintf(
	    path, PIN_PATH_SIZE, "/proc/self/fd/%d", CHANNEL_FD + 1 + (int)i);
	return (path);
}

void
pins_close(const struct pins *p)
{
	size_t i;

	for (i = 0; i < p->len; i++)
		(void)close(CHANNEL_FD + 1 + (int)i);
}
