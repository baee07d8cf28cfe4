/* SPDX-License-Identifier: ISC */
/*
 * module.c: loads a handler module and checks its tables before anything in
 * them is used. A file that is no module, or one of another ABI, is refused
 * with a sentence that says what to do.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child/json_scan.h"
#include "child/module.h"
#include "child/name.h"

#define SCHEMA_BYTES_MAX      65536
#define SCHEMA_DEPTH_MAX      100
#define SCHEMA_TOKENS_MAX     10000
#define DESCRIPTION_BYTES_MAX 1024
#define TABLE_MAX             4096 /* no table is that big: its size is garbage */

/* Every version has the members up to these; what version 1 was. */
#define ABI_MIN               (offsetof(struct aw_module, abi_version) + sizeof(unsigned))
#define MODULE_MIN            (offsetof(struct aw_module, handlers) + sizeof(void *))
#define HANDLER_MIN           (offsetof(struct aw_handler, fini) + sizeof(void *))

/* dlopen looks for a name without slash along the library path, and we mean
 * the file. */
static void *
open_file(const char *file, const char *from, struct bytes *why)
{
	struct bytes path = { 0 };
	const char *error;
	void *handle = NULL;

	bytes_printf(
	    &path, "%s%s", strchr(from, '/') == NULL ? "./" : "", from);
	if (bytes_failed(&path)) {
		bytes_printf(why, "cannot load %s: out of memory", file);
		goto out;
	}
	if ((handle = dlopen(path.p, RTLD_NOW | RTLD_LOCAL)) == NULL) {
		error = dlerror();
		/* It mostly begins with the path. */
		if (strncmp(error, path.p, path.len) == 0 &&
		    strncmp(error + path.len, ": ", 2) == 0)
			error += path.len + 2;
		bytes_printf(why, "cannot load %s: %s", file, error);
	}
out:
	bytes_fini(&path);
	return (handle);
}

static const struct aw_module *
find_table(void *handle, const char *file, struct bytes *why)
{
	const struct aw_module *table = dlsym(handle, "avtoworker_module");

	if (table == NULL)
		bytes_printf(why,
		    "%s is no handler module: it has no symbol "
		    "avtoworker_module (define it with AW_MODULE, see "
		    "avtoworker-handler(3))",
		    file);
	else if (table->size < ABI_MIN || table->size > TABLE_MAX)
		bytes_printf(why,
		    "%s: its module table is damaged; rebuild it "
		    "with the <avtoworker/handler.h> of this avtoworker",
		    file);
	else if (table->abi_version != AW_ABI_VERSION)
		bytes_printf(why,
		    "%s was built for another version of "
		    "avtoworker (its handler ABI is %u, this one's is %u); "
		    "rebuild it with this one's <avtoworker/handler.h>",
		    file, table->abi_version, AW_ABI_VERSION);
	else if (table->size < MODULE_MIN)
		bytes_printf(why,
		    "%s: its module table says that it is %zu "
		    "bytes and must be %zu at least; set .size to "
		    "sizeof(struct aw_module)",
		    file, table->size, MODULE_MIN);
	else if (table->handlers == NULL || table->handlers[0] == NULL)
		bytes_printf(
		    why, "%s has no handlers: name them in AW_MODULE", file);
	else
		return (table);
	return (NULL);
}

static bool
is_json(const char *text, enum jscan_type type)
{
	const struct jscan_limits limits = {
		.max_bytes = SCHEMA_BYTES_MAX,
		.max_depth = SCHEMA_DEPTH_MAX,
		.max_tokens = SCHEMA_TOKENS_MAX,
	};
	struct jscan_error error;
	struct jslice root;

	return (text == NULL ||
	    (jscan_check(text, strlen(text), &limits, &root, &error) == 0 &&
		root.type == type));
}

static bool
is_array_of_words(const char *text)
{
	char word[NAME_BYTES_MAX + 2];
	struct jscan_error error;
	struct jscan_iter iter;
	struct jslice root, value;

	if (text == NULL)
		return (true);
	if (!is_json(text, JSCAN_ARRAY) ||
	    jscan_check(
		text, strlen(text), &jscan_payload_limits, &root, &error) == -1)
		return (false);
	jscan_begin(&iter, &root);
	while (jscan_next(&iter, NULL, &value))
		if (jscan_string(&value, word, sizeof(word)) == -1 ||
		    !name_is_sane(word))
			return (false);
	return (true);
}

/* What of the handler's description cannot be told to anybody; or NULL. */
static const char *
find_unusable(const struct aw_handler *h)
{
	if (h->version != NULL && !name_is_sane(h->version))
		return ("version");
	if (h->kind != NULL && !name_is_sane(h->kind))
		return ("kind");
	if (h->description != NULL &&
	    strlen(h->description) > DESCRIPTION_BYTES_MAX)
		return ("description");
	if (!is_json(h->input_schema, JSCAN_OBJECT))
		return ("input_schema");
	if (!is_json(h->output_schema, JSCAN_OBJECT))
		return ("output_schema");
	if (!is_json(h->events_schema, JSCAN_OBJECT))
		return ("events_schema");
	if (!is_array_of_words(h->output_statuses))
		return ("output_statuses");
	return (NULL);
}

/* Checks the handler in place index and appends a copy of it. */
static int
add_handler(struct module *m, const struct aw_handler *from, size_t index,
    struct bytes *why)
{
	struct aw_handler *to = &m->handlers[m->len];
	const char *unusable;

	if (from->size < HANDLER_MIN || from->size > TABLE_MAX) {
		bytes_printf(why,
		    "%s: the table of handler %zu says that it "
		    "is %zu bytes and must be %zu at least; set .size to "
		    "sizeof(struct aw_handler)",
		    m->file, index + 1, from->size, HANDLER_MIN);
		return (-1);
	}
	memset(to, 0, sizeof(*to));
	memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
	if (to->type == NULL || !name_is_sane(to->type))
		bytes_printf(why,
		    "%s: the type of handler %zu must be 1 to %d "
		    "of A-Z a-z 0-9 . _ : -",
		    m->file, index + 1, NAME_BYTES_MAX);
	else if (to->category != NULL && !name_is_sane(to->category))
		bytes_printf(why,
		    "%s: the category of handler \"%s\" must be "
		    "1 to %d of A-Z a-z 0-9 . _ : -, or NULL",
		    m->file, to->type, NAME_BYTES_MAX);
	else if (to->run == NULL)
		bytes_printf(why, "%s: handler \"%s\" has no run function",
		    m->file, to->type);
	else if (module_find(m, to->type) != NULL)
		bytes_printf(why, "%s has two handlers of type \"%s\"", m->file,
		    to->type);
	else if ((unusable = find_unusable(to)) != NULL)
		bytes_printf(why,
		    "%s: the %s of handler \"%s\" is malformed or too long "
		    "(see avtoworker-handler(3))",
		    m->file, unusable, to->type);
	else {
		m->len++;
		return (0);
	}
	return (-1);
}

static int
copy_handlers(
    struct module *m, const struct aw_module *table, struct bytes *why)
{
	size_t i, count = 0;

	while (count <= MODULE_HANDLERS_MAX && table->handlers[count] != NULL)
		count++;
	if (count > MODULE_HANDLERS_MAX) {
		bytes_printf(why,
		    "%s has more than %d handlers: does NULL end "
		    "its list?",
		    m->file, MODULE_HANDLERS_MAX);
		return (-1);
	}
	if ((m->handlers = calloc(count, sizeof(*m->handlers))) == NULL) {
		bytes_printf(why, "cannot load %s: out of memory", m->file);
		return (-1);
	}
	for (i = 0; i < count; i++)
		if (add_handler(m, table->handlers[i], i, why) == -1)
			return (-1);
	return (0);
}

int
module_load(
    struct module *m, const char *file, const char *path, struct bytes *why)
{
	const struct aw_module *table;
	void *handle;

	*m = (struct module){ .file = file };
	if ((handle = open_file(file, path, why)) == NULL ||
	    (table = find_table(handle, file, why)) == NULL ||
	    copy_handlers(m, table, why) == -1) {
		module_fini(m);
		return (-1);
	}
	return (0);
}

const struct aw_handler *
module_find(const struct module *m, const char *type)
{
	size_t i;

	for (i = 0; i < m->len; i++)
		if (strcmp(m->handlers[i].type, type) == 0)
			return (&m->handlers[i]);
	return (NULL);
}

void
module_fini(struct module *m)
{
	free(m->handlers);
	*m = (struct module){ 0 };
}

int
aw_error_set(struct aw_error *error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(error->text, sizeof(error->text), fmt, ap) < 0)
		error->text[0] = '\0';
	va_end(ap);
	return (-1);
}
