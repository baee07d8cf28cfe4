/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "supervisor/base/folder.h"

/* path is written into and left as it was. */
static int
make(char *path)
{
	char *slash;
	int rc;

	for (slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		if (slash[strspn(slash, "/")] == '\0')
			break; /* behind the last one */
		*slash = '\0';
		rc = mkdir(path, 0755);
		*slash = '/';
		if (rc == -1 && errno != EEXIST)
			return (-1);
	}
	return (mkdir(path, 0700) == -1 && errno != EEXIST ? -1 : 0);
}

int
folder_make(const char *path)
{
	char *copy;
	int rc, error;

	if ((copy = strdup(path)) == NULL)
		return (-1);
	rc = make(copy);
	error = errno;
	free(copy);
	errno = error;
	return (rc);
}
