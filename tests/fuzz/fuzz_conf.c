/* SPDX-License-Identifier: ISC */
/*
 * Any bytes as a configuration file. Whatever is accepted must also be written
 * by -T in a form that is accepted and gives the same again; whatever is
 * refused must say why.
 */
#include <sys/mman.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/conf.h"
#include "tests/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static char *environment[] = { "WORKER_TOKEN=s3cret", NULL };

/* Builds from bytes, by way of a file that has no name to clean up. */
static struct conf *
build(const void *bytes, size_t len, bool local)
{
	struct conf_source source = { .environment = environment,
		.local = local };
	struct conf_problems problems;
	struct conf_problem *p;
	struct conf *conf;
	char path[64];
	int fd = memfd_create("fuzz_conf", MFD_CLOEXEC);

	must(fd != -1);
	must(write(fd, bytes, len) == (ssize_t)len);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	source.file = path;
	conf_problems_init(&problems);
	conf = conf_new(&source, &problems);
	must((conf == NULL) == (problems.count > 0));
	TAILQ_FOREACH(p, &problems.list, entry)
		must(strlen(p->text) > 0 && strstr(p->text, "s3cret") == NULL);
	conf_problems_fini(&problems);
	(void)close(fd);
	return (conf);
}

static char *
dump(const struct conf *conf)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	must(f != NULL);
	conf_dump(conf, f);
	must(fclose(f) == 0);
	return (text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const bool local = size % 2 == 0;
	struct conf *conf;
	char *first, *second;

	/* The secret must be nowhere but in the environment to be missed. */
	if (memmem(data, size, "s3cret", strlen("s3cret")) != NULL)
		return (-1);
	if ((conf = build(data, size, local)) == NULL)
		return (0);
	first = dump(conf);
	conf_free(conf);
	conf = build(first, strlen(first), local);
	must(conf != NULL);
	second = dump(conf);
	conf_free(conf);
	must(strcmp(first, second) == 0);
	must(strstr(first, "s3cret") == NULL);
	free(first);
	free(second);
	return (0);
}
