/* SPDX-License-Identifier: ISC */
/*
 * journal_question.c: made and answered in the loop, asked in the journal's
 * thread; the lists they travel in are the writer's.
 */
#include <stdlib.h>

#include "supervisor/orchestrator/journal_db.h"
#include "supervisor/orchestrator/journal_question.h"

struct journal_question *
journal_question_new(
    enum journal_asking kind, int64_t id, journal_done done, void *arg)
{
	struct journal_question *q;

	if ((q = calloc(1, sizeof(*q))) == NULL)
		return (NULL);
	q->kind = kind;
	q->id = id;
	q->done = done;
	q->arg = arg;
	TAILQ_INIT(&q->answer.rows);
	return (q);
}

static void
take_row(struct journal_row *row, void *arg)
{
	struct journal_answer *answer = arg;

	TAILQ_INSERT_TAIL(&answer->rows, row, entry);
}

int
journal_question_ask(struct journal_question *q, struct journal_db *db)
{
	struct journal_answer *a = &q->answer;
	int rc = -1;

	switch (q->kind) {
	case JOURNAL_ASK_RESULT:
		rc = journal_db_result(db, q->id, &a->result, &a->why);
		break;
	case JOURNAL_ASK_ROWS:
		rc = journal_db_letters(db, q->id, take_row, a, &a->why);
		break;
	case JOURNAL_ASK_TEXT:
		rc = journal_db_show_letters(db, q->id, &q->text, &a->why);
		if (bytes_failed(&q->text)) {
			why_set(&a->why, "no memory for an answer");
			rc = -1;
		}
		break;
	}
	if (q->kind == JOURNAL_ASK_RESULT && rc == -1)
		return (-1);
	a->text = &q->text;
	a->failed = rc != 0;
	return (0);
}

static void
question_free(struct journal_question *q)
{
	struct journal_row *row;

	while ((row = TAILQ_FIRST(&q->answer.rows)) != NULL) {
		TAILQ_REMOVE(&q->answer.rows, row, entry);
		journal_row_free(row);
	}
	journal_result_fini(&q->answer.result);
	bytes_fini(&q->text);
	free(q);
}

void
journal_question_answer(struct journal_question *q)
{
	q->done(&q->answer, q->id, q->arg);
	question_free(q);
}

void
journal_questions_free(struct journal_questions *list)
{
	struct journal_question *q;

	while ((q = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, entry);
		question_free(q);
	}
}
