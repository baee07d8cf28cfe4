/* SPDX-License-Identifier: ISC */
/* journal_row.c: what may be believed of a row. */
#include <stdlib.h>
#include <string.h>

#include "child/json_scan.h"
#include "supervisor/orchestrator/journal_row.h"

#define MOMENT_MAX ((int64_t)1 << 53) /* ms from 1970, either way */

void
journal_row_free(struct journal_row *row)
{
	if (row == NULL)
		return;
	free(row->url);
	free(row->worker_id);
	free(row->status);
	free(row->code);
	task_fini(&row->task);
	free(row);
}

static bool
is_word(const char *text)
{
	return (text != NULL && task_id_ok(text));
}

static bool
is_moment(int64_t ms)
{
	return (ms > -MOMENT_MAX && ms < MOMENT_MAX);
}

bool
journal_row_ok(const struct journal_row *row, struct why *why)
{
	const struct task *task = &row->task;

	if (row->id <= 0)
		why_set(why, "its id is no positive number");
	else if (row->url == NULL || row->worker_id == NULL)
		why_set(why, "it has no owner");
	else if (!is_word(task->task_id) || !is_word(task->job_id))
		why_set(why, "its task_id or job_id is none");
	else if (task->type != NULL && !task_id_ok(task->type))
		why_set(why, "its type is none");
	else if (row->finished_ms != 0 && !is_word(row->status))
		why_set(why, "its status is no word");
	else if (!is_moment(row->leased_ms) || !is_moment(row->finished_ms) ||
	    !is_moment(row->sending_ms))
		why_set(why, "one of its times makes no sense");
	else
		return (true);
	return (false);
}

static bool
is_object(const struct bytes *text, const char *what, struct why *why)
{
	struct jscan_error error;
	struct jslice root;

	if (text->len == 0)
		return (true);
	if (jscan_check(
		text->p, text->len, &jscan_payload_limits, &root, &error) == -1)
		why_set(
		    why, "its %s: %s at byte %zu", what, error.text, error.at);
	else if (root.type != JSCAN_OBJECT)
		why_set(why, "its %s is no object", what);
	else
		return (true);
	return (false);
}

bool
journal_result_ok(const struct journal_result *jr, struct why *why)
{
	const struct result *r = &jr->result;

	if (!is_word(r->status)) {
		why_set(why, "its status is no word");
		return (false);
	}
	return (is_object(&r->data, "data", why) &&
	    is_object(&r->details, "details", why) &&
	    is_object(&r->metadata, "metadata", why) &&
	    is_object(&r->data_metadata, "data_metadata", why) &&
	    is_object(&jr->task_metadata, "task_metadata", why));
}

void
journal_result_fini(struct journal_result *jr)
{
	result_fini(&jr->result);
	bytes_fini(&jr->task_metadata);
}
