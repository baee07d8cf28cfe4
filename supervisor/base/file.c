/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/base/file.h"

ssize_t
file_read(const char *path, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;
	int fd, error = 0;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)) == -1)
		return (-1);
	while (len < size - 1) {
		n = read(fd, buf + len, size - 1 - len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			error = errno;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	(void)close(fd);
	buf[len] = '\0';
	if (error != 0) {
		errno = error;
		return (-1);
	}
	return ((ssize_t)len);
}

int
file_write(const char *path, const char *text)
{
	const size_t len = strlen(text);
	ssize_t n;
	int fd, error = 0;

	if ((fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY)) == -1)
		return (-1);
	do
		n = write(fd, text, len);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		error = errno;
	else if ((size_t)n != len)
		error = EIO;
	(void)close(fd);
	if (error != 0) {
		errno = error;
		return (-1);
	}
	return (0);
}
