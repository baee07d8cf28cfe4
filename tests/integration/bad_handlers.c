/* SPDX-License-Identifier: ISC */
/* bad_handlers.c: a module whose handlers do what no handler should. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child/handler.h"

#define LARGE       200000000
#define CHUNK       ((size_t)1 << 20)
#define DESCRIPTORS 1024

static void
c_good(struct aw_task *task, void *state)
{
	(void)state;
	aw_json_int64(aw_data(task), "pid", getpid());
	aw_success_data(task);
}

/* Megabytes, as its params say. */
static void
c_prints(struct aw_task *task, void *state)
{
	char *chunk = malloc(CHUNK);
	int64_t left = 0;

	if (chunk == NULL)
		return;
	memset(chunk, 'x', CHUNK);
	(void)aw_get_int64(task, "megabytes", &left);
	while (left-- > 0)
		(void)!write(STDOUT_FILENO, chunk, CHUNK);
	free(chunk);
	c_good(task, state);
}

static void
c_closes(struct aw_task *task, void *state)
{
	int fd;

	for (fd = 0; fd < DESCRIPTORS; fd++)
		(void)close(fd);
	c_good(task, state);
}

static void
c_large(struct aw_task *task, void *state)
{
	char *text = malloc(LARGE + 1);

	(void)state;
	if (text == NULL)
		return;
	memset(text, 'x', LARGE);
	memcpy(text, "{\"v\":\"", 6);
	memcpy(text + LARGE - 2, "\"}", 3);
	aw_success(task, text);
	free(text);
}

#define SAYS(name, text) \
	static void c_##name(struct aw_task *task, void *state) \
	{ \
		(void)state; \
		aw_success(task, text); \
	}
SAYS(half, "{\"a\": ")
SAYS(bytes, "{\"a\": \"\377\"}")
SAYS(twice, "{\"a\": 1, \"a\": 2}")

#define HANDLER(name) \
	static const struct aw_handler handler_##name = { \
		.size = sizeof(struct aw_handler), \
		.type = "c_" #name, \
		.run = c_##name, \
	}
HANDLER(good);
HANDLER(prints);
HANDLER(closes);
HANDLER(large);
HANDLER(half);
HANDLER(bytes);
HANDLER(twice);

AW_MODULE(&handler_good, &handler_prints, &handler_closes, &handler_large,
    &handler_half, &handler_bytes, &handler_twice);
