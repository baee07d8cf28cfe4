/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "child/bytes.h"
#include "child/json_scan.h"
#include "tests/devorch/bad_task.h"
#include "tests/devorch/spec.h"

#define MAX_COUNT 100000000u
#define MAX_FILL  (8ul * 1024 * 1024)
#define MAX_TYPE  128u /* bytes of a task type */

void
specs_fini(struct specs *ss)
{
	size_t i;

	for (i = 0; i < ss->count; i++) {
		free(ss->list[i].type);
		free(ss->list[i].params);
	}
	free(ss->list);
	*ss = (struct specs){ 0 };
}

/* Adds tasks; takes type and params (and frees them on failure). */
static int
add_spec(struct specs *ss, char *type, char *params, uint32_t count,
    const struct bad_task *bad, struct why *why)
{
	struct spec *specs;

	specs = type == NULL || params == NULL ?
	    NULL :
	    reallocarray(ss->list, ss->count + 1, sizeof(*specs));
	if (specs == NULL) {
		why_errno(why, "tasks");
		free(type);
		free(params);
		return (-1);
	}
	ss->list = specs;
	specs[ss->count++] = (struct spec){
		.type = type, .params = params, .count = count, .bad = bad
	};
	ss->unmade += count;
	return (0);
}

static int
read_count(const char *text, size_t len, uint32_t *count, struct why *why)
{
	char digits[16];
	const char *bad;

	if (len < sizeof(digits)) {
		memcpy(digits, text, len);
		digits[len] = '\0';
		*count = (uint32_t)strtonum(digits, 1, MAX_COUNT, &bad);
		if (bad == NULL)
			return (0);
	}
	why_set(why, "%.*s is no count between 1 and %u", (int)len, text,
	    MAX_COUNT);
	return (-1);
}

/* Writes what {fill=BYTES} stands for. Returns the length of the mark, 0 when
 * it is none. */
static size_t
write_fill(const char *mark, struct bytes *out)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
	unsigned long size;
	char *end;

	if (strncmp(mark, "{fill=", 6) != 0)
		return (0);
	size = strtoul(mark + 6, &end, 10);
	if (*end != '}' || size > MAX_FILL)
		return (0);
	for (; size > 0; size -= size < 32 ? size : 32)
		bytes_append(out, letters, size < 32 ? size : 32);
	return ((size_t)(end + 1 - mark));
}

void
spec_write_params(const char *params, uint32_t number, struct bytes *out)
{
	const char *mark;
	size_t len;

	while ((mark = strchr(params, '{')) != NULL) {
		bytes_append(out, params, (size_t)(mark - params));
		if (strncmp(mark, "{i}", 3) == 0) {
			bytes_printf(out, "%u", number);
			params = mark + 3;
		} else if ((len = write_fill(mark, out)) > 0)
			params = mark + len;
		else {
			bytes_append(out, mark, 1);
			params = mark + 1;
		}
	}
	bytes_puts(out, params);
}

/* Checks params as they will look with a number in them. */
static int
check_params(const char *params, struct why *why)
{
	struct bytes text = { 0 };
	struct jscan_error error = { "out of memory", 0 };
	struct jslice root = { 0 };

	spec_write_params(params, 1, &text);
	if (bytes_failed(&text) ||
	    jscan_check(
		text.p, text.len, &jscan_payload_limits, &root, &error) == -1)
		why_set(why, "params %s: %s at byte %zu", params, error.text,
		    error.at);
	else if (root.type != JSCAN_OBJECT) {
		why_set(why, "params %s: must be a JSON object", params);
		root.p = NULL;
	}
	bytes_fini(&text);
	return (root.p == NULL ? -1 : 0);
}

int
specs_add_tasks(struct specs *ss, const char *text, struct why *why)
{
	const char *equals = strchr(text, '='), *params = "{}";
	const char *colon = equals == NULL ? NULL : strchr(equals, ':');
	const size_t type_len =
	    equals == NULL ? strlen(text) : (size_t)(equals - text);
	uint32_t count = 1;

	if (type_len == 0 || type_len > MAX_TYPE ||
	    strcspn(text, "\"\\") < type_len) {
		why_set(why, "%s: the task type is missing, too long or quoted",
		    text);
		return (-1);
	}
	if (equals != NULL &&
	    read_count(equals + 1,
		colon == NULL ? strlen(equals + 1) :
				(size_t)(colon - equals - 1),
		&count, why) == -1)
		return (-1);
	if (colon != NULL)
		params = colon + 1;
	if (check_params(params, why) == -1)
		return (-1);
	if (add_spec(ss, strndup(text, type_len), strdup(params), count, NULL,
		why) == -1)
		return (-1);
	ss->list[ss->count - 1].numbered =
	    strstr(params, "{i}") != NULL || strstr(params, "{fill=") != NULL;
	return (0);
}

/* One line of a task file. */
static int
add_line(struct specs *ss, const char *line, size_t len, struct why *why)
{
	struct jslice root, type, params;
	struct jscan_error error;
	char *name;

	if (jscan_check(line, len, &jscan_payload_limits, &root, &error) ==
	    -1) {
		why_set(why, "%s at byte %zu", error.text, error.at);
		return (-1);
	}
	if (!jscan_get(&root, "type", &type) ||
	    (name = jscan_strdup(&type, MAX_TYPE)) == NULL) {
		why_set(why, "\"type\" is missing or no string");
		return (-1);
	}
	if (!jscan_get(&root, "params", &params))
		params = (struct jslice){ "{}", 2, JSCAN_OBJECT };
	if (params.type != JSCAN_OBJECT || strpbrk(name, "\"\\") != NULL) {
		why_set(why, "\"params\" is no object, or the type has quotes");
		free(name);
		return (-1);
	}
	return (
	    add_spec(ss, name, strndup(params.p, params.len), 1, NULL, why));
}

int
specs_add_file(struct specs *ss, const char *path, struct why *why)
{
	struct why reason;
	char *line = NULL;
	size_t size = 0;
	ssize_t len;
	unsigned number = 0;
	int result = 0;
	FILE *f;

	if ((f = fopen(path, "re")) == NULL) {
		why_errno(why, "%s", path);
		return (-1);
	}
	while (result == 0 && (len = getline(&line, &size, f)) > 0) {
		number++;
		if (strspn(line, " \t\r\n") == (size_t)len)
			continue;
		result = add_line(ss, line, (size_t)len, &reason);
		if (result == -1)
			why_set(why, "%s:%u: %s", path, number, reason.text);
	}
	free(line);
	(void)fclose(f);
	return (result);
}

int
specs_add_bad(struct specs *ss, const char *text, struct why *why)
{
	const size_t len = strcspn(text, "=");
	const struct bad_task *bad = bad_task_find(text, len);
	uint32_t count = 1;

	if (bad == NULL) {
		why_set(why, "%.*s is no kind of bad task; see --help",
		    (int)len, text);
		return (-1);
	}
	if (text[len] == '=' &&
	    read_count(text + len + 1, strlen(text + len + 1), &count, why) ==
		-1)
		return (-1);
	return (add_spec(ss, strdup("echo"), strdup("{}"), count, bad, why));
}

bool
specs_next(struct specs *ss, uint32_t *spec, uint32_t *number)
{
	if (ss->unmade == 0)
		return (false);
	while (ss->list[ss->turn].made == ss->list[ss->turn].count)
		ss->turn = (ss->turn + 1) % ss->count;
	*spec = (uint32_t)ss->turn;
	*number = ++ss->list[ss->turn].made;
	ss->turn = (ss->turn + 1) % ss->count;
	ss->unmade--;
	return (true);
}
