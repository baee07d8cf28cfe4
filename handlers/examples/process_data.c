/* SPDX-License-Identifier: ISC */
/*
 * process_data: the smallest useful handler.
 *
 *	params	{"input": "some text"}
 *	data	{"result": "SOME TEXT"}
 *
 * Only the letters a to z change; all other bytes of the UTF-8 text stay.
 */
#include <avtoworker/handler.h>

#include <stdlib.h>

static void
run(struct aw_task *task, void *state)
{
	const char *input;
	enum aw_got got;
	size_t len, i;
	char *upper;

	(void)state;
	if ((got = aw_get_string(task, "input", &input, &len)) != AW_GOT) {
		aw_invalid_input(
		    task, "\"input\" %s: a string is needed", aw_got_text(got));
		return;
	}
	if ((upper = malloc(len + 1)) == NULL) {
		aw_retry(task, "RESOURCE_EXHAUSTED_ERROR", "out of memory");
		return;
	}
	for (i = 0; i < len; i++)
		upper[i] = (char)(input[i] >= 'a' && input[i] <= 'z' ?
			input[i] - 'a' + 'A' :
			input[i]);
	aw_json_bytes(aw_data(task), "result", upper, len);
	free(upper);
	aw_success_data(task);
}

static const struct aw_handler process_data = {
	.size = sizeof(struct aw_handler),
	.type = "process_data",
	.run = run,
};

AW_MODULE(&process_data);
