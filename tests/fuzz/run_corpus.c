/* SPDX-License-Identifier: ISC */
/*
 * Stands in for the fuzzer: feeds a target every file of its seed corpus and
 * speaks TAP. A target called fuzz_X has its corpus in tests/fuzz/corpus/X. A
 * target that finds something ends the program, which the driver notices.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void __attribute__((__noreturn__)) bail_out(const char *path)
{
	(void)printf("Bail out! %s: %s\n", path, strerror(errno));
	exit(EXIT_FAILURE);
}

static int
is_visible(const struct dirent *entry)
{
	return (entry->d_name[0] != '.');
}

static void
run_file(const char *path)
{
	struct stat st;
	uint8_t *data;
	size_t size;
	FILE *fp;

	if ((fp = fopen(path, "rb")) == NULL || fstat(fileno(fp), &st) == -1)
		bail_out(path);
	size = (size_t)st.st_size;
	/* Of its very size, so that a sanitizer sees a read beyond the end. */
	if ((data = malloc(size > 0 ? size : 1)) == NULL ||
	    fread(data, 1, size, fp) != size)
		bail_out(path);
	(void)fclose(fp);
	(void)LLVMFuzzerTestOneInput(data, size);
	free(data);
}

int
main(void)
{
	const char *top = getenv("top_srcdir");
	const char *name = program_invocation_short_name;
	char dir[PATH_MAX / 2], path[PATH_MAX];
	struct dirent **files;
	int count, i;

	if (strncmp(name, "fuzz_", strlen("fuzz_")) != 0) {
		errno = EINVAL;
		bail_out(name);
	}
	(void)snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%s",
	    top != NULL ? top : ".", name + strlen("fuzz_"));
	if ((count = scandir(dir, &files, is_visible, alphasort)) < 1)
		bail_out(dir);
	(void)printf("1..%d\n", count);
	for (i = 0; i < count; i++) {
		(void)snprintf(
		    path, sizeof(path), "%s/%s", dir, files[i]->d_name);
		run_file(path);
		(void)printf("ok %d - %s\n", i + 1, files[i]->d_name);
		(void)fflush(stdout);
		free(files[i]);
	}
	free(files);
	return (EXIT_SUCCESS);
}
