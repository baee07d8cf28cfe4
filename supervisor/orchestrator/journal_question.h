/* SPDX-License-Identifier: ISC */
/*
 * journal_question.h: what the journal is asked, on its way to the thread, and
 * back with the answer. Has one owner at a time.
 */
#ifndef AVTOWORKER_JOURNAL_QUESTION_H
#define AVTOWORKER_JOURNAL_QUESTION_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "child/bytes.h"
#include "supervisor/base/why.h"
#include "supervisor/orchestrator/journal_row.h"

struct journal_db;

/* An answer of the journal, borrowed by what is called. */
struct journal_answer {
	bool failed; /* why is set, and nothing else */
	struct why why;
	struct journal_rows rows;
	struct journal_result result; /* may be taken */
	struct bytes *text;
};
typedef void (*journal_done)(struct journal_answer *, int64_t id, void *arg);

enum journal_asking {
	JOURNAL_ASK_RESULT,
	JOURNAL_ASK_ROWS, /* of dead letters */
	JOURNAL_ASK_TEXT /* the same, to be shown */
};

struct journal_question {
	STAILQ_ENTRY(journal_question) entry;
	enum journal_asking kind;
	int64_t id; /* of the lease; 0: all */
	journal_done done;
	void *arg;
	struct journal_answer answer;
	struct bytes text; /* of the answer */
};

STAILQ_HEAD(journal_questions, journal_question);

/* NULL without memory. */
struct journal_question *journal_question_new(
    enum journal_asking, int64_t id, journal_done, void *arg);
/* Blocks. -1 when the database fails, why is in the answer, and it is to be
 * asked again. */
int journal_question_ask(struct journal_question *, struct journal_db *);
/* Gives the answer to whoever has asked, and frees all. */
void journal_question_answer(struct journal_question *);
void journal_questions_free(struct journal_questions *);

#endif
