/* SPDX-License-Identifier: ISC */
/*
 * dead_letters.c: one question is one question to the journal; its answer
 * comes back in the loop, and goes on to whoever has asked.
 */
#include <stdlib.h>

#include "child/bytes.h"
#include "supervisor/base/log.h"
#include "supervisor/orchestrator/dead_letters.h"
#include "supervisor/orchestrator/journal.h"

struct question {
	struct dead_letters letters;
	enum letters_order order;
	struct letters_asker asker;
};

static void
answer(const struct letters_asker *asker, const struct letters_answer *a)
{
	asker->answer(a, asker->ticket, asker->to);
}

static void
answer_error(const struct letters_asker *asker, const char *text)
{
	answer(asker, &(struct letters_answer){ .error = text });
}

static void
on_found(struct journal_answer *found, int64_t id, void *arg)
{
	struct question *q = arg;
	struct letters_answer a = { 0 };
	struct journal_row *row;
	struct why why;

	if (found->failed)
		a.error = found->why.text;
	else if (TAILQ_EMPTY(&found->rows) && id != 0)
		a.error = "there is no dead letter of that number";
	while (a.error == NULL && (row = TAILQ_FIRST(&found->rows)) != NULL) {
		TAILQ_REMOVE(&found->rows, row, entry);
		if (q->order == LETTERS_DROP) {
			journal_row_free(row);
			a.count++;
		} else if (q->letters.resend(row, &why, q->letters.arg))
			a.count++;
		else if (id != 0)
			a.error = why.text;
		else
			log_warn("%s", why.text);
	}
	if (a.error == NULL && q->order == LETTERS_DROP)
		(void)journal_write(
		    q->letters.journal, JOURNAL_DROP, id, 0, NULL, 0);
	answer(&q->asker, &a);
	free(q);
}

static void
on_shown(struct journal_answer *shown, int64_t id, void *arg)
{
	struct question *q = arg;

	if (shown->failed)
		answer_error(&q->asker, shown->why.text);
	else if (id != 0 && shown->text->len <= 2)
		answer_error(
		    &q->asker, "there is no dead letter of that number");
	else
		answer(&q->asker,
		    &(struct letters_answer){
			.list = shown->text->p,
			.list_len = shown->text->len,
		    });
	free(q);
}

void
dead_letters_ask(const struct dead_letters *letters, enum letters_order order,
    int64_t id, const struct letters_asker *asker)
{
	struct journal *j = letters->journal;
	struct question *q;
	int rc;

	if (j == NULL || journal_trouble(j) != NULL) {
		answer_error(asker,
		    j == NULL ? "there are no dead letters: durability is off" :
				"the journal cannot be used just now");
		return;
	}
	if ((q = calloc(1, sizeof(*q))) == NULL) {
		answer_error(asker, "out of memory");
		return;
	}
	*q = (struct question){ *letters, order, *asker };
	if (order == LETTERS_LIST || order == LETTERS_SHOW)
		rc = journal_show_letters(j, id, on_shown, q);
	else
		rc = journal_find_letters(j, id, on_found, q);
	if (rc == -1) {
		answer_error(asker, "out of memory");
		free(q);
	}
}
