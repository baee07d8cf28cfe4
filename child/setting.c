/* SPDX-License-Identifier: ISC */
/*
 * setting.c: settings come as variables of the environment: KEY with the value
 * of "set", KEY_FILE with the path of "set_file". The content of a file is kept
 * until the process ends: handlers are promised that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child/bytes.h"
#include "child/handler.h"

#define FILE_SUFFIX    "_FILE"
#define FILE_BYTES_MAX (1024 * 1024)

struct setting {
	struct setting *next;
	char *key;
	struct bytes value; /* terminated */
};

/* Those that came from files. */
static struct setting *kept;

/* Reads it whole. -1 and errno. */
static int
read_file(const char *path, struct bytes *out)
{
	char chunk[4096];
	ssize_t n;
	int fd, error = 0;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)) == -1)
		return (-1);
	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 || out->len + (size_t)n > FILE_BYTES_MAX) {
			error = n == -1 ? errno : EFBIG;
			break;
		}
		bytes_append(out, chunk, (size_t)n);
	}
	(void)close(fd);
	if (out->len > 0 && out->p[out->len - 1] == '\n')
		out->len--;
	bytes_append(out, "", 1);
	if (error == 0 && bytes_failed(out))
		error = ENOMEM;
	errno = error;
	return (error == 0 ? 0 : -1);
}

static const char *
keep(const char *key, const char *path)
{
	struct setting *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return (NULL);
	if (read_file(path, &s->value) == -1 ||
	    (s->key = strdup(key)) == NULL) {
		bytes_fini(&s->value);
		free(s);
		return (NULL);
	}
	s->next = kept;
	kept = s;
	return (s->value.p);
}

const char *
aw_setting(const char *key)
{
	char name[256];
	const struct setting *s;
	const char *value;

	errno = 0;
	if ((value = getenv(key)) != NULL)
		return (value);
	for (s = kept; s != NULL; s = s->next)
		if (strcmp(s->key, key) == 0)
			return (s->value.p);
	if ((size_t)snprintf(name, sizeof(name), "%s" FILE_SUFFIX, key) >=
	    sizeof(name))
		return (NULL);
	if ((value = getenv(name)) == NULL)
		return (NULL);
	return (keep(key, value));
}
