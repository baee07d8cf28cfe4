/* SPDX-License-Identifier: ISC */
/*
 * greet: a handler to start from.
 *
 *	params	{"name": "world"}
 *	data	{"greeting": "hello, world"}
 */
#include <avtoworker/handler.h>

#include <stdio.h>

static void
run(struct aw_task *task, void *state)
{
	const char *name;
	char greeting[128];
	enum aw_got got;

	(void)state;
	if ((got = aw_get_string(task, "name", &name, NULL)) != AW_GOT) {
		aw_invalid_input(task, "\"name\" %s", aw_got_text(got));
		return;
	}
	(void)snprintf(greeting, sizeof(greeting), "hello, %s", name);
	aw_json_string(aw_data(task), "greeting", greeting);
	aw_success_data(task);
}

static const struct aw_handler greet = {
	.size = sizeof(struct aw_handler),
	.type = "greet",
	.run = run,
};

AW_MODULE(&greet);
