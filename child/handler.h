/* SPDX-License-Identifier: ISC */
/*
 * avtoworker/handler.h: the C API for handlers, version 1.
 *
 * A module is a shared object with one or more handlers. Each handler runs
 * the tasks of one type, one at a time, in a process that serves nothing
 * else: a crash costs the task at hand and nothing more.
 *
 *	static void
 *	run(struct aw_task *task, void *state)
 *	{
 *		aw_json_string(aw_data(task), "greeting", "hello");
 *		aw_success_data(task);
 *	}
 *
 *	static const struct aw_handler hello = {
 *		.size = sizeof(struct aw_handler),
 *		.type = "hello",
 *		.run = run,
 *	};
 *	AW_MODULE(&hello);
 *
 * Build it with
 *	cc -shared -fPIC $(pkg-config --cflags avtoworker) -o hello.so hello.c
 * The aw_ functions are found when avtoworker-child loads the module: there is
 * no library to link. avtoworker-handler(3) has the same in prose.
 *
 * Threads: init, run and fini are called in the main thread, one at a time.
 * A handler may start threads, and they may call what is declared here, but
 * only one thread at a time and only until run returns. No C++ exception may
 * leave init, run or fini.
 *
 * Processes: what a handler forks ends by exec or _exit. A fork that returns
 * from init or run instead is ended, with status 70 (EX_SOFTWARE).
 *
 * Memory: every pointer that a function gives about a task is the task's: it is
 * good until run returns, and is not to be freed. Everything that is handed to
 * a function is copied.
 */
#ifndef AVTOWORKER_HANDLER_H
#define AVTOWORKER_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Grows when a module built against an older header can no longer be run. */
#define AW_ABI_VERSION 1

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define AW_EXPORT          __attribute__((__visibility__("default")))
#define AW_PRINTF(fmt, ap) __attribute__((__format__(printf, fmt, ap)))
#else
#define AW_EXPORT
#define AW_PRINTF(fmt, ap)
#endif

/* One task, from the call of run to its return. */
struct aw_task;
/* Where init says why it failed. */
struct aw_error;
/* Writes the data of a result. */
struct aw_json;

/*
 * What a module offers. Tables are read, never written, and must stay until
 * the process ends (make them static). Each starts with its own size, so that
 * later versions can add members at the end: those that a module was not
 * built with count as zero.
 */
struct aw_handler {
	/* sizeof(struct aw_handler). */
	size_t size;
	/* The task type: 1 to 128 of A-Z a-z 0-9 . _ : - */
	const char *type;
	/* The category whose children run it, of the same characters; NULL
	 * leaves it to the configuration. */
	const char *category;
	/* Called once per process before the first task; may be NULL. *state
	 * is NULL and is what run and fini get. Returns 0, or -1 after
	 * aw_error_set(): the process then ends and the reason is logged. */
	int (*init)(void **state, struct aw_error *error);
	/* Runs a task and sets its result. Must not be NULL. */
	void (*run)(struct aw_task *task, void *state);
	/* Called once before the process ends in good order, if init was
	 * successful; may be NULL. A process that is killed never gets here. */
	void (*fini)(void *state);
	/*
	 * What an orchestrator that speaks RXON is told of it; each may be NULL
	 * and is then not told.
	 */
	/* Its version, of the characters of a type. */
	const char *version;
	/* What it does, for people: at most 1024 bytes of UTF-8. */
	const char *description;
	/* The kind of skill that it is, of the characters of a type. */
	const char *kind;
	/* JSON Schemas of params, data and events: the JSON text of an object,
	 * at most 64 KiB each. */
	const char *input_schema;
	const char *output_schema;
	const char *events_schema;
	/* The statuses that its results may have: a JSON array of words. */
	const char *output_statuses;
};

struct aw_module {
	/* sizeof(struct aw_module). */
	size_t size;
	/* AW_ABI_VERSION of the header that the module was built with. */
	unsigned abi_version;
	/* NULL-terminated; at least one. */
	const struct aw_handler *const *handlers;
};

/* The one symbol that a module exports; AW_MODULE defines it. */
extern AW_EXPORT const struct aw_module avtoworker_module;

/* AW_MODULE(&one, &two); names the module's handlers, once per module. */
#define AW_MODULE(...) \
	static const struct aw_handler *const avtoworker_handlers[] = { \
		__VA_ARGS__, NULL \
	}; \
	const struct aw_module avtoworker_module = { sizeof(struct aw_module), \
		AW_ABI_VERSION, avtoworker_handlers }

/* Says why init fails; cut after 500 bytes. Returns -1, so that init can end
 * with "return (aw_error_set(error, ...));". */
int aw_error_set(struct aw_error *error, const char *fmt, ...) AW_PRINTF(2, 3);

/*
 * The task.
 */

/* The orchestrator's name of this attempt, and of the job it belongs to. */
const char *aw_task_id(const struct aw_task *task);
const char *aw_job_id(const struct aw_task *task);
/* The task type, for a run function that serves several. */
const char *aw_task_type(const struct aw_task *task);
/* The params as they came: the JSON text of one object, checked, in UTF-8.
 * NOT terminated by a NUL: *len is its length in bytes. */
const char *aw_params(const struct aw_task *task, size_t *len);

/* What came with it: the JSON text of an object as above, "{}" when there was
 * none. Of the job, of files that the params name, and of whoever traces. */
const char *aw_metadata(const struct aw_task *task, size_t *len);
const char *aw_params_metadata(const struct aw_task *task, size_t *len);
const char *aw_tracing_context(const struct aw_task *task, size_t *len);
/* How urgent it is, as the orchestrator says; 0 when it says nothing. */
double aw_priority(const struct aw_task *task);
/* When its result comes too late: milliseconds of Unix time; 0 for never. */
int64_t aw_deadline_ms(const struct aw_task *task);
/* A directory for this task alone, made when it is first asked for and removed
 * after the result with all that is in it. Absolute; NULL with errno when it
 * cannot be made. */
const char *aw_workspace(struct aw_task *task);

/* A setting of the configuration, "set KEY = VALUE" or "set_file KEY = PATH";
 * of the latter the content of the file, without the newline at its end. Read
 * once, good until the process ends, callable from init. NULL when there is
 * none, or with errno when its file cannot be read (1 MiB at most). */
const char *aw_setting(const char *key);

/* What a getter found. */
enum aw_got {
	AW_GOT = 0, /* the value has been stored */
	AW_MISSING = 1, /* there is none at that path, or it is null */
	AW_WRONG_TYPE = 2, /* it has another type, or does not fit */
};

/*
 * One value of the params each, by its path: "user.tags[0].name". "" is the
 * params object itself. *value is left alone unless AW_GOT is returned.
 */

/* A string, decoded and terminated. *len (len may be NULL) is its length in
 * bytes; with a NULL len a string that holds a NUL is AW_WRONG_TYPE. */
enum aw_got aw_get_string(const struct aw_task *task, const char *path,
    const char **value, size_t *len);
/* An integer in range; 3.0 and 1e2 are integers too. */
enum aw_got aw_get_int64(
    const struct aw_task *task, const char *path, int64_t *value);
/* Any number. */
enum aw_got aw_get_double(
    const struct aw_task *task, const char *path, double *value);
enum aw_got aw_get_bool(
    const struct aw_task *task, const char *path, bool *value);
/* Any value, null included, as JSON text that is not terminated. */
enum aw_got aw_get_json(const struct aw_task *task, const char *path,
    const char **value, size_t *len);
/* "is missing" or "has the wrong type", to put behind a name; static. */
const char *aw_got_text(enum aw_got got);

/*
 * Being asked to stop. A task that has reached its soft time limit, is
 * cancelled, or is in the way of a stop of the worker, is told so when it
 * asks; nothing interrupts it. It should then return soon, with a result:
 * what it returns counts as ever, but after "cancel", when its result is
 * "cancelled" in any case. After a grace (cancel_grace in the configuration)
 * its process is killed. An avtoworker-child that is older
 * than these two functions refuses a module that calls them.
 */

/* True once the task has been asked to stop; costs about as much as reading
 * the time, so that a loop can ask in every turn. */
bool aw_cancelled(struct aw_task *task);
/* Why aw_cancelled() is true: "time_limit" (its soft time limit, or its
 * deadline is near), "cancel" (the orchestrator wants no result any more) or
 * "drain" (the worker stops); NULL while it has not been true. Static. */
const char *aw_cancel_reason(const struct aw_task *task);

/*
 * Telling while it runs. Neither call ever waits: what the supervisor cannot
 * take at once, and what comes faster than ten in a second (after a burst of
 * ten), is left out. Orchestrators that speak classic are not told.
 */

/* How far it is, 0 to 1, and a text for people (cut after 4096 bytes; may be
 * NULL). Of several only the latest may reach the orchestrator. */
void aw_progress(struct aw_task *task, double fraction, const char *message);
/* An event of your own: type is 1 to 128 of A-Z a-z 0-9 . _ : -, payload the
 * JSON text of one object of at most 64 KiB. False when it is not sent. A
 * blueprint can have transitions for events; the task's result then comes too
 * late. */
bool aw_event(struct aw_task *task, const char *type, const char *payload);

enum aw_level {
	AW_DEBUG = 0,
	AW_INFO = 1,
	AW_WARNING = 2,
	AW_ERROR = 3,
};

/* A line of the worker's log, marked with the task; cut after 4096 bytes.
 * task is NULL outside of run. What is printed to stdout and stderr gets there
 * too, at level info. */
void aw_log(struct aw_task *task, enum aw_level level, const char *fmt, ...)
    AW_PRINTF(3, 4);

/*
 * The result. A task that returns from run without one has failed with
 * TRANSIENT_ERROR, and will be tried again. A second result replaces the
 * first. Everything is copied.
 */

/* Done. data is the JSON text of one object in UTF-8, terminated. Anything
 * else makes the task fail with CONTRACT_VIOLATION_ERROR; more than fits a
 * message (a little less than 1 MiB) with PERMANENT_ERROR. */
void aw_success(struct aw_task *task, const char *data);
/* Done; the data is what has been written to aw_data(), or an empty object. */
void aw_success_data(struct aw_task *task);
/* Failed. code is 1 to 64 of A-Z 0-9 _ and decides what happens next:
 * "TRANSIENT_ERROR" and codes of your own are tried again a few times,
 * "PERMANENT_ERROR" sets the job aside, "INVALID_INPUT_ERROR" fails it at
 * once. The message is cut after 4096 bytes. */
void aw_failure(struct aw_task *task, const char *code, const char *fmt, ...)
    AW_PRINTF(3, 4);
/* Asks for the task to be run again; otherwise as aw_failure(). */
void aw_retry(struct aw_task *task, const char *code, const char *fmt, ...)
    AW_PRINTF(3, 4);
/* aw_failure() with INVALID_INPUT_ERROR. */
void aw_invalid_input(struct aw_task *task, const char *fmt, ...)
    AW_PRINTF(2, 3);

/*
 * What goes with the result, set before or after it. Each returns false, and
 * does nothing, when it is not what it should be.
 */

/* The status of a success in place of "success": 1 to 128 of A-Z a-z 0-9
 * . _ : -, for blueprints that have transitions for words of their own. */
bool aw_status(struct aw_task *task, const char *word);
/* The JSON text of one object, terminated, of at most 64 KiB and 2000 values:
 * metadata for the job, and of files that the data names, by their paths. A
 * second replaces the first. Orchestrators that speak classic are not told. */
bool aw_result_metadata(struct aw_task *task, const char *object);
bool aw_data_metadata(struct aw_task *task, const char *object);

/*
 * Writing data. Keys name members of an object and are NULL inside an array.
 * A mistake or a lack of memory is remembered, and told by the result that
 * aw_success_data() then sets.
 */

/* The task's writer, inside the data object; the first call in a task, and
 * the first after aw_success_data(), starts an empty one. The task owns it. */
struct aw_json *aw_data(struct aw_task *task);
/* text is UTF-8, other bytes are replaced by U+FFFD; NULL writes null. */
void aw_json_string(struct aw_json *json, const char *key, const char *text);
/* The same for len bytes, which may hold NULs. */
void aw_json_bytes(
    struct aw_json *json, const char *key, const char *text, size_t len);
void aw_json_int64(struct aw_json *json, const char *key, int64_t value);
/* An infinity or a NaN is a mistake: JSON has none. */
void aw_json_double(struct aw_json *json, const char *key, double value);
void aw_json_bool(struct aw_json *json, const char *key, bool value);
void aw_json_null(struct aw_json *json, const char *key);
/* JSON text as it is, such as a value from aw_get_json(). */
void aw_json_text(
    struct aw_json *json, const char *key, const char *text, size_t len);
/* Opens an object or an array, at most 60 inside one another; aw_json_end()
 * closes the one opened last. */
void aw_json_object(struct aw_json *json, const char *key);
void aw_json_array(struct aw_json *json, const char *key);
void aw_json_end(struct aw_json *json);

#ifdef __cplusplus
}
#endif

#endif
